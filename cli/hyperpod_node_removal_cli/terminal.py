"""Findings and progress as text, on a terminal or in the log of a pipeline."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hyperpod_node_removal_cli.escaping import escape_control, neutralize_commands
from hyperpod_node_removal_cli.report import (
    Conclusion,
    Findings,
    NodeOutcome,
    NodeReport,
    Report,
    columns,
)
from hyperpod_node_removal_contract import join_names

if TYPE_CHECKING:  # it imports boto3
    from hyperpod_node_removal_cli.watch import Progress

LOG_WIDTH: Final = 160
"""Columns without a terminal."""
_SPINNER: Final = 4
"""Columns for the spinner and a margin."""
_INDENT: Final = 2
_PROSE_MIN: Final = 24
"""Minimum columns of a table cell with sentences."""
_ENDLESS: Final = 100_000
"""More columns than any table has."""
_NAMED: Final = 3
"""Nodes that a sentence lists before it counts the others."""
_PROSE: Final = ("Why", "What to do")
_STYLES: Final = {
    Conclusion.FINE: "bold green",
    Conclusion.PROBLEMS: "bold red",
    Conclusion.UNKNOWN: "bold yellow",
}
_OUTCOMES: Final = {
    NodeOutcome.REMOVE: "cyan",
    NodeOutcome.REFUSED: "red",
    NodeOutcome.GUARDED: "red",
    NodeOutcome.FAILED: "red",
}


def show(findings: Findings, stream: TextIO) -> None:
    """Write the findings."""
    console = _console(stream)
    with console.capture() as captured:
        for report in findings.reports:
            for part in _parts(report, console):
                # Sentences are not wrapped, so that they can be searched for in a log.
                console.print(part, soft_wrap=True)
    stream.write(neutralize_commands(captured.get()))


def _console(stream: TextIO) -> Console:
    """Return a console on a stream, as wide as the terminal or else `LOG_WIDTH`."""
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    return console


def _parts(report: Report, console: Console) -> Iterable[RenderableType]:
    is_named = report.headline.startswith(report.subject)
    headline = report.headline if is_named else f"{report.subject}: {report.headline}"
    yield Text(escape_control(headline), style=_STYLES[report.conclusion])
    # An unknown conclusion has its headline as its problem.
    for problem in report.problems:
        if problem.text != report.headline:
            yield _indented(problem.text, "red")
    if report.nodes:
        yield from _nodes(report.nodes, console)
    if report.groups:
        yield Text("After the removal, update the cluster's template with these counts:")
        yield from (_indented(group.text) for group in report.groups)
    yield from (Text(escape_control(note)) for note in report.notes)
    if report.stack:
        stack = report.stack
        yield Text(escape_control(f"Stack {stack.name} is {stack.status}: {stack.meaning}"))
        if stack.next_step:
            yield _indented(stack.next_step, "bold")


def _nodes(nodes: Sequence[NodeReport], console: Console) -> Iterable[RenderableType]:
    """Yield one table or, where that would break words, a short one followed by sentences."""
    shown = columns(nodes)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in shown:
        is_prose = heading in _PROSE
        least = _PROSE_MIN if is_prose else None
        table.add_column(heading, header_style="bold", no_wrap=not is_prose, min_width=least)
    for node in nodes:
        style = _OUTCOMES.get(node.outcome, "")
        cells = (str(getattr(node, name)) for name in shown.values())
        table.add_row(*(Text(escape_control(cell), style=style) for cell in cells))
    endless = console.options.update(max_width=_ENDLESS)
    if console.measure(table, options=endless).minimum + _INDENT <= console.width:
        yield Padding(table, (1, 0, 1, _INDENT), expand=False)
        return
    yield ""
    yield from _short_table(nodes)
    yield ""
    yield from _sentences(nodes)
    yield ""


def _short_table(nodes: Sequence[NodeReport]) -> Iterator[Text]:
    """Yield the lines of a table that is not wrapped here, so ids stay whole."""
    rows = [("Node", "Outcome", "Code" if any(node.code for node in nodes) else "")]
    rows += [
        (escape_control(node.name), str(node.outcome), escape_control(node.code)) for node in nodes
    ]
    name, outcome = (max(len(row[column]) for row in rows) for column in (0, 1))
    styles = ["bold", *(_OUTCOMES.get(node.outcome, "") for node in nodes)]
    for row, style in zip(rows, styles, strict=True):
        yield Text(f"{row[0]:{name}}  {row[1]:{outcome}}  {row[2]}".rstrip(), style=style)


def _sentences(nodes: Sequence[NodeReport]) -> Iterator[Text]:
    """Yield what the short table leaves out, with one sentence for all nodes that share it."""
    names: dict[str, list[str]] = {}
    for node in nodes:
        details = ", ".join(filter(None, (node.group, node.instance_type, node.status)))
        if details or node.message:
            what = node.code or str(node.outcome)
            what = f"{what} ({details})" if details else what
            text = ": ".join(filter(None, (what, node.message.rstrip("."))))
            names.setdefault(f"{text}. {node.next_step}".rstrip(), []).append(node.name)
    for sentence, named in names.items():
        yield _indented(f"{join_names(named, _NAMED)}: {sentence}")


def _indented(text: str, style: str = "") -> Text:
    return Text(f"{' ' * _INDENT}{escape_control(text)}", style=style)


@contextmanager
def progress_on(stream: TextIO) -> Iterator["Callable[[Progress], None]"]:
    """Yield a function that shows progress on a stream.

    On a terminal, rounds replace each other in a status line. Otherwise, each is a line.
    """
    console = _console(stream)
    if not console.is_terminal:

        def write(progress: "Progress") -> None:
            stream.write(f"{_line(progress)}\n")
            stream.flush()

        yield write
        return
    with console.status("Waiting for CloudFormation") as status:

        def update(progress: "Progress") -> None:
            if progress.is_round:
                line = Text(_line(progress))
                # A wrapped line could begin with something that a pipeline would execute.
                line.truncate(console.width - _SPINNER, overflow="crop")
                status.update(line)
            else:
                style = "red" if progress.is_failure else ""
                console.print(Text(_line(progress), style=style), soft_wrap=True)

        yield update


def _line(progress: "Progress") -> str:
    return neutralize_commands(f"{progress.time:%H:%M:%S} {escape_control(progress.text)}")
