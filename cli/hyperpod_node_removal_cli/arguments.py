"""The command line."""

import argparse
import math
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NoReturn

from hyperpod_node_removal_cli.escaping import escape_control, neutralize_commands

PROGRAM: Final = "hyperpod-node-removal"

POLL_DEFAULT: Final = 5.0
"""Default polling interval of `watch`, in seconds."""
POLL_MIN: Final = 0.1
SECONDS_MAX: Final = 86_400

SHELLS: Final = ("bash", "zsh", "fish")
_FILES: Final = {
    "bash": "_shtab_compgen_files",
    "zsh": "_files",
    "fish": "(__fish_complete_path (commandline -ct))",
}
"""How each shell completes the name of a file: shtab's `FILE`."""

_EXIT_CODES: Final = """\
exit codes:
  0  no problems found
  1  a file is invalid, a guard is violated, a node would be refused,
     or a removal failed
  2  unknown: wrong usage, no credentials or permissions,
     or no such cluster or stack
"""


_EXAMPLES: Final = {
    "validate": """\
  %(prog)s removals.yaml
  %(prog)s removals/*.yaml --junit results.xml
  generate-removals | %(prog)s -
""",
    "plan": """\
  %(prog)s removals.yaml
  %(prog)s --cluster ml-cluster --node-ids i-0123456789abcdef0
  %(prog)s removals.yaml --markdown > comment.md
""",
    "explain": """\
  %(prog)s hyperpod-node-removal-ml-cluster
  %(prog)s hyperpod-node-removal-ml-cluster --json
""",
    "watch": """\
  %(prog)s hyperpod-node-removal-ml-cluster
  %(prog)s hyperpod-node-removal-ml-cluster --wait 60
""",
    "completion": """\
  source <(%(prog)s bash)
  %(prog)s zsh > ~/.zfunc/_hyperpod-node-removal
  %(prog)s fish | source
""",
}


class _Parser(argparse.ArgumentParser):
    """A parser that escapes arguments in its errors: anyone may have chosen the name of a file."""

    def error(self, message: str) -> NoReturn:
        super().error(neutralize_commands(escape_control(message)))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = _Parser(
        prog=PROGRAM,
        description="Show what a removal of HyperPod nodes would do, or what one did.\n"
        "Makes no changes in AWS.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, what: str) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"examples:\n{_EXAMPLES[name]}\n{_EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        return command

    validate = add("validate", "check removal files without calling AWS")
    _add_files(validate, "+")
    _add_formats(validate)

    plan = add("plan", "show what deploying removal files would do (read-only)")
    _add_files(plan, "*")
    plan.add_argument(
        "--cluster", metavar="NAME", help="name or ARN of the cluster, to plan without a file"
    )
    plan.add_argument(
        "--node-ids", metavar="ID", nargs="+", help="ids of the nodes to plan for, with --cluster"
    )
    _add_formats(plan, markdown=True)
    _add_connection(plan)

    explain = add("explain", "show why the last deployment of a stack failed")
    _add_stack(explain)

    watch = add("watch", "follow the deployment of a stack, then explain it")
    _add_stack(watch)
    watch.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="how long to wait for an operation to start (default: explain the last one)",
    )
    watch.add_argument(
        "--every",
        metavar="SECONDS",
        type=partial(_seconds, least=POLL_MIN),
        default=POLL_DEFAULT,
        help="how often to check the stack (default: %(default)g)",
    )

    completion = add("completion", "print a shell completion script")
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    return top


def _completes_files(action: argparse.Action) -> None:
    action.complete = _FILES  # type: ignore[attr-defined]  # shtab looks for it


def _add_files(command: argparse.ArgumentParser, number: str) -> None:
    text = "removal file in YAML or JSON; - for standard input"
    _completes_files(command.add_argument("files", metavar="FILE", nargs=number, help=text))


def _add_stack(command: argparse.ArgumentParser) -> None:
    command.add_argument("stack", metavar="STACK", help="name or ARN of the stack")
    text = "the removal file, so that annotations point to its lines"
    _completes_files(command.add_argument("--file", metavar="FILE", help=text))
    _add_formats(command, markdown=True)
    _add_connection(command)


def _add_formats(command: argparse.ArgumentParser, *, markdown: bool = False) -> None:
    group = command.add_argument_group("output")
    formats = group.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print one JSON document")
    if markdown:
        formats.add_argument(
            "--markdown", action="store_true", help="print Markdown for a pull request comment"
        )
    files = {
        "--json-file": "also write the JSON document",
        "--markdown-file": "also write the Markdown",
        "--junit": "also write the results as JUnit XML",
        "--code-quality": "also write a GitLab code quality report",
    }
    for option, text in files.items():
        if markdown or option != "--markdown-file":
            _completes_files(group.add_argument(option, metavar="FILE", help=text))
    group.add_argument(
        "--annotations",
        choices=["github"],
        help="also print annotations for problems to standard error",
    )


def _add_connection(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "AWS", "Defaults come from the environment, as for the AWS CLI."
    )
    group.add_argument("--profile", metavar="NAME", help="named profile in the AWS configuration")
    group.add_argument("--region", metavar="REGION", help="region of the cluster or stack")


def _seconds(text: str, least: float = 0.0) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not least <= seconds <= SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: {least:g} to {SECONDS_MAX} seconds")
    return seconds


def _version() -> str:
    try:
        return version("hyperpod-node-removal")
    except PackageNotFoundError:
        return "(not installed)"
