"""A chapter of the document: a goal, what was measured, and whether the goal is met."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """Whether a goal is met, and the numbers that say so."""

    goal: str
    is_met: bool
    result: str


@dataclass(frozen=True)
class Chapter:
    """What a section has to tell."""

    title: str
    what: str
    """What is measured, and how, for a reader who wants to doubt it."""
    verdicts: Sequence[Verdict]
    tables: Sequence[str]
    data: Any
    """The same as JSON."""
    plots: Sequence[str] = field(default_factory=tuple)
    """Names of the plots that belong here."""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown. A cell holds no bar of its own."""
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value).replace("|", "\\|").replace("\n", " ")
