"""The columns of a table of nodes: those that have something to show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hyperpod_node_removal_cli.report import NodeReport


@dataclass(frozen=True)
class Column:
    """One column."""

    heading: str
    value: Callable[[NodeReport], str]


_COLUMNS: Final = (
    Column("Node", lambda node: node.name),
    Column("Group", lambda node: node.group),
    Column("Type", lambda node: node.instance_type),
    Column("Status", lambda node: node.status),
    Column("Outcome", lambda node: str(node.outcome)),
    Column("Code", lambda node: node.code),
    Column("Why", lambda node: node.message),
    Column("What to do", lambda node: node.next_step),
)


def columns(nodes: Sequence[NodeReport]) -> tuple[Column, ...]:
    """The columns in which a node has something."""
    return tuple(column for column in _COLUMNS if any(column.value(node) for node in nodes))
