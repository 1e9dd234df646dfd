"""Findings as GitHub-flavoured Markdown: the comment on a pull request.

Text that comes from elsewhere stands in code spans only: in them nothing is markup, a mention or a
link. A code span ends at a backtick and a table cell at a bar, so these two are escaped.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from hyperpod_node_removal_cli.escaping import escape_control, neutralize_commands
from hyperpod_node_removal_cli.report import Conclusion, Findings, Report, columns

LENGTH_MAX: Final = 60_000
"""Characters. A comment on GitHub may have 65,536."""
_MARKS: Final = {Conclusion.FINE: "✅", Conclusion.PROBLEMS: "❌", Conclusion.UNKNOWN: "⚠️"}


def markdown(findings: Findings) -> str:
    """Return the comment, cut with a sentence that says so if it is too long."""
    text = ""
    for report in findings.reports:
        for line in _lines(findings.command, report):
            if len(text) + len(line) > LENGTH_MAX:
                text += "\nThe rest does not fit in a comment; see the output of the command.\n"
                return neutralize_commands(text)
            text += f"{line}\n"
    return neutralize_commands(text)


def _lines(command: str, report: Report) -> Iterator[str]:
    yield f"### {_MARKS[report.conclusion]} {command} {code(report.subject)}"
    yield ""
    yield code(report.headline)
    yield from _list(problem.text for problem in report.problems if problem.text != report.headline)
    if report.groups:
        yield ""
        yield "After the removal, update the cluster's template with these counts:"
        yield from _list(group.text for group in report.groups)
    yield from _list(report.notes)
    if report.nodes:
        shown = columns(report.nodes)
        yield ""
        yield _row(list(shown))
        yield _row(["---"] * len(shown))
        for node in report.nodes:
            yield _row([code(str(getattr(node, name))) for name in shown.values()])
    if report.stack:
        stack = report.stack
        yield ""
        yield code(f"Stack {stack.name} is {stack.status}: {stack.meaning}")
        yield from _list([stack.next_step] if stack.next_step else ())
    yield ""


def _list(texts: Iterable[str]) -> Iterator[str]:
    items = [f"- {code(text)}" for text in texts]
    if items:
        yield ""
        yield from items


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def code(text: str) -> str:
    """Put `text` into a code span; nothing for nothing."""
    inside = escape_control(text).strip().replace("`", "\\x60").replace("|", "\\x7c")
    return f"`{inside}`" if inside else ""
