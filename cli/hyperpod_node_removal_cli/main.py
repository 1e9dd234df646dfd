"""The console script: reads the command line, gathers the facts, shows them, says how it went."""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from hyperpod_node_removal_cli.arguments import PROGRAM, parser
from hyperpod_node_removal_cli.rendering.escaping import inert, visible
from hyperpod_node_removal_cli.report import Conclusion, Findings, Report
from hyperpod_node_removal_cli.validating import opened, validated

if TYPE_CHECKING:
    from hyperpod_node_removal_cli.connection import Connection

_LIBRARIES: Final = frozenset({"boto3", "botocore", "rich", "yaml"})
_INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns its exit code; see `Conclusion`."""
    for stream in (sys.stdout, sys.stderr):
        _never_fail_to_write(stream)
    options = parser().parse_args(arguments)
    try:
        findings = _gathered(options)
        _show(findings, options)
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in _LIBRARIES:
            raise
        return _cannot(f"{error.name} is not installed; pip install 'hyperpod-node-removal[cli]'")
    except BrokenPipeError:
        # Whoever reads has seen enough. Nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Conclusion.UNKNOWN)
    except OSError as error:  # of files to write; what is read is told in the report
        return _cannot(f"{error.filename or 'output'}: {error.strerror}")
    except KeyboardInterrupt:
        return _INTERRUPTED
    return int(findings.conclusion)


def _gathered(options: Namespace) -> Findings:
    # What needs boto3 is imported where it is used: it takes a while, and is an extra.
    match options.command:
        case "validate":
            reports = tuple(validated(file) for file in options.files)
        case "plan":
            from hyperpod_node_removal_cli.connection import Connection  # noqa: PLC0415
            from hyperpod_node_removal_cli.planning import planned  # noqa: PLC0415

            connection = Connection(options.profile, options.region)
            reports = tuple(planned(file, connection) for file in options.files)
        case _:
            reports = (_of_stack(options),)
    return Findings(options.command, reports)


def _of_stack(options: Namespace) -> Report:
    from hyperpod_node_removal_cli.connection import Connection  # noqa: PLC0415
    from hyperpod_node_removal_cli.explaining import explained, placed  # noqa: PLC0415

    file = opened(options.file) if options.file else None
    if isinstance(file, Report):
        return file
    connection = Connection(options.profile, options.region)
    if options.command == "watch":
        report = _watched(options, connection)
    else:
        report = explained(options.stack, connection)
    return placed(report, file.name, file.node_lines) if file else report


def _watched(options: Namespace, connection: "Connection") -> Report:
    from hyperpod_node_removal_cli.rendering.progress import progress_on  # noqa: PLC0415
    from hyperpod_node_removal_cli.watching import Watch  # noqa: PLC0415
    from hyperpod_node_removal_handler.timing import SystemClock  # noqa: PLC0415

    # Standard output is for the one document, if one is asked for.
    stream = sys.stderr if options.json or options.markdown else sys.stdout
    with progress_on(stream) as tell:
        watch = Watch(
            options.stack, connection, SystemClock(), tell, wait=options.wait, every=options.every
        )
        return watch.report()


def _show(findings: Findings, options: Namespace) -> None:
    if options.junit:
        from hyperpod_node_removal_cli.rendering.junit import junit  # noqa: PLC0415

        Path(options.junit).write_text(junit(findings), encoding="utf-8")
    if options.code_quality:
        from hyperpod_node_removal_cli.rendering.code_quality import code_quality  # noqa: PLC0415

        Path(options.code_quality).write_text(code_quality(findings), encoding="utf-8")
    if options.json:
        from hyperpod_node_removal_cli.rendering.json_document import json_document  # noqa: PLC0415

        print(json_document(findings))
    elif getattr(options, "markdown", False):
        from hyperpod_node_removal_cli.rendering.markdown import markdown  # noqa: PLC0415

        print(markdown(findings), end="")
    else:
        from hyperpod_node_removal_cli.rendering.terminal import show  # noqa: PLC0415

        show(findings, sys.stdout)
    sys.stdout.flush()
    if options.annotations:
        from hyperpod_node_removal_cli.rendering.annotations import (  # noqa: PLC0415
            github_annotations,
        )

        print(github_annotations(findings), end="", file=sys.stderr)


def _never_fail_to_write(stream: TextIO) -> None:
    """Whatever the terminal's encoding, text that it lacks is escaped."""
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(errors="backslashreplace")


def _cannot(why: str) -> int:
    print(inert(visible(f"{PROGRAM}: error: {why}")), file=sys.stderr)
    return int(Conclusion.UNKNOWN)
