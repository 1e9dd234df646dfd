"""Findings for people: sentences and tables on a terminal or in the log of a pipeline."""

from collections.abc import Iterable
from typing import Final, TextIO

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hyperpod_node_removal_cli.rendering.columns import columns
from hyperpod_node_removal_cli.rendering.escaping import inert, visible
from hyperpod_node_removal_cli.report import (
    Conclusion,
    Findings,
    NodeOutcome,
    NodeReport,
    Report,
    StackReport,
)

LOG_WIDTH: Final = 160
"""Columns where there is no terminal."""

_STYLES: Final = {
    Conclusion.FINE: "bold green",
    Conclusion.PROBLEMS: "bold red",
    Conclusion.UNKNOWN: "bold yellow",
}
_OUTCOMES: Final = {
    NodeOutcome.REMOVE: "cyan",
    NodeOutcome.REFUSED: "red",
    NodeOutcome.FAILED: "red",
}


def console_of(stream: TextIO) -> Console:
    """A console on a stream: as wide as the terminal, or as a log may be."""
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    return console


def show(findings: Findings, stream: TextIO) -> None:
    """Write the findings."""
    console = console_of(stream)
    with console.capture() as captured:
        for report in findings.reports:
            for part in _parts(report):
                # Sentences are not folded: whoever searches a log finds them whole.
                console.print(part, soft_wrap=isinstance(part, Text))
    stream.write(inert(captured.get()))


def _parts(report: Report) -> Iterable[RenderableType]:
    style = _STYLES[report.conclusion]
    is_named = report.headline.startswith(report.subject)
    headline = report.headline if is_named else f"{report.subject}: {report.headline}"
    yield Text(visible(headline), style=style)
    # The headline of what could not be found out is its problem.
    for problem in report.problems:
        if problem.text != report.headline:
            yield _indented(problem.text, "red")
    if report.nodes:
        yield Padding(_table(report.nodes), (1, 0, 1, 2), expand=False)
    if report.groups:
        yield Text("Afterwards, write these counts into the cluster's template:")
        for group in report.groups:
            yield _indented(group.line)
    for note in report.notes:
        yield Text(visible(note))
    if report.stack:
        yield from _stack(report.stack)


def _stack(stack: StackReport) -> Iterable[RenderableType]:
    yield Text(f"Stack {visible(stack.name)} is {visible(stack.status)}: {visible(stack.meaning)}")
    if stack.next_step:
        yield _indented(stack.next_step, "bold")


def _table(nodes: tuple[NodeReport, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    shown = columns(nodes)
    for column in shown:
        is_id = column.heading == "Node"
        table.add_column(
            column.heading, header_style="bold", overflow="fold", min_width=19 if is_id else None
        )
    for node in nodes:
        style = _OUTCOMES.get(node.outcome, "")
        table.add_row(*(Text(visible(column.value(node)), style=style) for column in shown))
    return table


def _indented(text: str, style: str = "") -> Text:
    return Text(f"  {visible(text)}", style=style)
