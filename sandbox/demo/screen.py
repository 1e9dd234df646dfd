"""The output of the demo: text and tables of at most 100 columns."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from sandbox.hyperpod import Node, NodeStatus
from sandbox.stacks import StackEvent

WIDTH: Final = 100
_OUTPUT_INDENT: Final = 2
STACK: Final = "AWS::CloudFormation::Stack"

_STATUS_STYLES: Final[Mapping[str, str]] = {
    NodeStatus.RUNNING: "green",
    NodeStatus.SYSTEM_UPDATING: "yellow",
    NodeStatus.SHUTTING_DOWN: "yellow",
    NodeStatus.FAILURE: "red",
}


class Screen:
    """The console that the demo prints to."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._console.width = min(
            WIDTH, self._console.width if self._console.is_terminal else WIDTH
        )

    def heading(self, text: str) -> None:
        self._console.print()
        self._console.print(Rule(Text(text, style="bold cyan"), align="left", style="cyan"))

    def say(self, text: str) -> None:
        """Print a paragraph, in which `[bold]` and the like are markup."""
        self._console.print(text)

    def command(self, text: str) -> None:
        """Print a command line as a user would type it."""
        self._console.print(_indented(Text(f"$ {text}", style="bold"), 2, around=1))

    def checked(self, claim: str) -> None:
        """Print a claim that was checked."""
        self._console.print(Text.assemble(("  ✔ ", "bold green"), claim))

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Show on a terminal that something is in progress."""
        return self._console.status(text)

    def lines(self, lines: Iterable[str]) -> None:
        """Print log lines of another program."""
        for line in lines:
            self._console.print(_indented(Text(line.strip(), style="dim"), 4))

    def output(self, text: str) -> None:
        """Print output of another program, with its colors."""
        self._console.print(_indented(Text.from_ansi(text.rstrip()), _OUTPUT_INDENT))

    @property
    def as_terminal(self) -> Mapping[str, str]:
        """Environment variables for a program that uses rich: it writes for this terminal."""
        return {
            "COLUMNS": str(self._console.width - _OUTPUT_INDENT),
            "TERM": "xterm",
            "TTY_COMPATIBLE": "1",
        }

    def event(self, event: StackEvent) -> None:
        """Print a stack event, with the reason of a failure below it."""
        status = event.status
        style = "green" if status.endswith("_COMPLETE") else "default"
        if "FAILED" in status:
            style = "bold red"
        elif "ROLLBACK" in status or status == "DELETE_SKIPPED":
            style = "yellow"
        row = Table.grid(padding=(0, 2))
        for width in (8, 20):
            row.add_column(width=width, no_wrap=True)
        row.add_column()
        what = Text.assemble(
            (event.logical_id, "bold" if event.resource_type == STACK else ""),
            (f"  {event.resource_type}", "dim"),
        )
        row.add_row(Text(f"{event.time:%H:%M:%S}", style="dim"), Text(status, style=style), what)
        self._console.print(_indented(row, 2))
        if event.reason and "FAILED" in status:
            self._console.print(_indented(Text(event.reason, style="red"), 12))

    def cluster(self, nodes: Sequence[Node], notes: Mapping[str, str]) -> None:
        """Print nodes by group, with notes by instance id."""
        table = _table("Group", "Node", "Status", "")
        for node in nodes:
            instance = node.instance_id or ""
            status = Text(node.status, style=_STATUS_STYLES.get(node.status, ""))
            table.add_row(node.group, instance, status, notes.get(instance, ""))
        self._console.print(_indented(table, 2))

    def comparison(self, before: Sequence[Node], after: frozenset[str]) -> None:
        """Print which nodes still exist."""
        table = _table("Group", "Node", "Before", "After")
        for node in before:
            exists = node.instance_id in after
            now = Text("Running", style="green") if exists else Text("removed", style="dim")
            table.add_row(node.group, node.instance_id, node.status, now)
        self._console.print(_indented(table, 2))

    def values(self, title: str, values: Mapping[str, str]) -> None:
        """Print names and values."""
        table = _table(title, "Value")
        for name, value in values.items():
            table.add_row(name, Text(value.replace(",i-", ", i-")) if value else Text("-", "dim"))
        self._console.print(_indented(table, 2))


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in headings:
        table.add_column(heading, header_style="bold", overflow="fold")
    return table


def _indented(what: RenderableType, columns: int, around: int = 0) -> Padding:
    """Indent something by some columns, with empty lines around it."""
    return Padding(what, (around, 0, around, columns), expand=False)
