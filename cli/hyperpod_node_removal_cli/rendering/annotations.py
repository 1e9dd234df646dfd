"""Annotations of a pull request: workflow commands of GitHub Actions."""

from typing import Final

from hyperpod_node_removal_cli.rendering.escaping import visible
from hyperpod_node_removal_cli.rendering.issues import issues
from hyperpod_node_removal_cli.report import Findings

# As the runner unescapes them: docs.github.com, "Workflow commands for GitHub Actions", and
# actions/toolkit `command.ts`. The first must come first.
_IN_MESSAGE: Final = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))
_IN_PROPERTY: Final = (*_IN_MESSAGE, (":", "%3A"), (",", "%2C"))


def github_annotations(findings: Findings) -> str:
    """One `::error` command a line for each thing that is wrong."""
    return "".join(
        f"::error {_properties(issue.place.file, issue.place.line, issue.title)}"
        f"::{_escaped(visible(issue.text), _IN_MESSAGE)}\n"
        for issue in issues(findings)
    )


def _properties(file: str, line: int | None, title: str) -> str:
    values = {"file": file, "line": str(line) if line else "", "title": title}
    return ",".join(
        f"{name}={_escaped(visible(value), _IN_PROPERTY)}"
        for name, value in values.items()
        if value
    )


def _escaped(text: str, escapes: tuple[tuple[str, str], ...]) -> str:
    for character, escape in escapes:
        text = text.replace(character, escape)
    return text
