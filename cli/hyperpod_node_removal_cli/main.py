"""The console script: read the command line, collect facts, print them, and return an exit code.

Modules that need boto3 or rich are imported where they are used: they are slow, and an extra.
"""

import os
import sys
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hyperpod_node_removal_cli import documents
from hyperpod_node_removal_cli.arguments import PROGRAM, parser
from hyperpod_node_removal_cli.escaping import escape_control, neutralize_commands
from hyperpod_node_removal_cli.report import Conclusion, Findings, Report
from hyperpod_node_removal_cli.validate import open_file, validate_file

if TYPE_CHECKING:
    from hyperpod_node_removal_cli.connection import Connection

_EXTRAS: Final = {
    "boto3": "cli",
    "botocore": "cli",
    "rich": "cli",
    "yaml": "cli",
    "shtab": "completion",
}
"""The extra that installs each library."""
_INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as in shells: 128 plus the number of SIGINT."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code; see `Conclusion`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, as by `>&-`
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    try:
        return _run(arguments)
    except Exception:  # noqa: BLE001
        # Python's exit code would be 1: that a file is invalid, or that a removal failed.
        traceback.print_exc()
        return int(Conclusion.UNKNOWN)


def _run(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # escape text that the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    command_line = parser()
    options = _parsed(command_line, arguments)
    try:
        if options.command == "completion":
            import shtab  # noqa: PLC0415

            print(shtab.complete(command_line, shell=options.shell))
            return int(Conclusion.FINE)
        findings = Findings(options.command, tuple(_reports(options)))
        _show(findings, options)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(str(error.name).partition(".")[0])
        if extra is None:
            raise
        # No command to copy: anybody could register the name of this package in an index.
        return _cannot(
            f"{error.name} is not installed; install this package with its extra {extra}"
        )
    except BrokenPipeError:  # The reader has closed the pipe.
        _discard_output()
        return int(Conclusion.UNKNOWN)
    except OSError as error:  # of an output file; errors of input files are in the report
        _discard_output()
        return _cannot(f"{error.filename or 'output'}: {error.strerror}")
    except KeyboardInterrupt:
        return _INTERRUPTED
    return int(findings.conclusion)


def _parsed(command_line: ArgumentParser, arguments: Sequence[str] | None) -> Namespace:
    options = command_line.parse_args(arguments)
    if options.command == "plan":
        given = [bool(one) for one in (options.files, options.cluster, options.node_ids)]
        if given not in ([True, False, False], [False, True, True]):
            command_line.error("plan: specify FILE..., or --cluster NAME and --node-ids ID...")
    return options


def _reports(options: Namespace) -> list[Report]:
    if options.command == "validate":
        return [validate_file(file) for file in options.files]
    from hyperpod_node_removal_cli.connection import Connection  # noqa: PLC0415
    from hyperpod_node_removal_cli.explain import explain_stack, place_in_file  # noqa: PLC0415
    from hyperpod_node_removal_cli.plan import plan_file, plan_nodes  # noqa: PLC0415

    connection = Connection(options.profile, options.region)
    if options.command == "plan":
        if options.cluster:
            return [plan_nodes(options.cluster, options.node_ids, connection)]
        return [plan_file(file, connection) for file in options.files]
    file = open_file(options.file) if options.file else None
    if isinstance(file, Report):
        return [file]
    is_watch = options.command == "watch"
    report = _watch(options, connection) if is_watch else explain_stack(options.stack, connection)
    return [place_in_file(report, file.name, file.node_lines) if file else report]


def _watch(options: Namespace, connection: "Connection") -> Report:
    from hyperpod_node_removal_cli.terminal import progress_on  # noqa: PLC0415
    from hyperpod_node_removal_cli.watch import watch_stack  # noqa: PLC0415
    from hyperpod_node_removal_handler.timing import SystemClock  # noqa: PLC0415

    # With --json or --markdown, standard output is for the document alone.
    stream = sys.stderr if options.json or options.markdown else sys.stdout
    with progress_on(stream) as show:
        return watch_stack(
            options.stack,
            connection,
            clock=SystemClock(),
            show=show,
            every=options.every,
            wait=options.wait,
        )


def _show(findings: Findings, options: Namespace) -> None:
    files = {
        "json_file": documents.json_document,
        "markdown_file": documents.markdown,
        "junit": documents.junit,
        "code_quality": documents.code_quality,
    }
    for option, render in files.items():
        if file := getattr(options, option, None):
            Path(file).write_text(render(findings), encoding="utf-8")
    if options.json:
        print(documents.json_document(findings), end="")
    elif getattr(options, "markdown", False):
        print(documents.markdown(findings), end="")
    else:
        from hyperpod_node_removal_cli.terminal import show  # noqa: PLC0415

        show(findings, sys.stdout)
    sys.stdout.flush()
    if options.annotations:
        print(documents.github_annotations(findings), end="", file=sys.stderr)


def _discard_output() -> None:
    """Write nothing more to standard output, not even what is buffered, at exit."""
    with suppress(OSError):  # There is no file if `main` was called with another stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _cannot(why: str) -> int:
    print(neutralize_commands(escape_control(f"{PROGRAM}: error: {why}")), file=sys.stderr)
    return int(Conclusion.UNKNOWN)
