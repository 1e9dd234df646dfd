"""The facts that a command found, independent of the output format.

All texts are plain and may contain anything: the renderers escape them. The names of the fields are
those of the JSON document (`schema.json`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final


class Conclusion(IntEnum):
    """How a command ended. The values are its exit codes."""

    FINE = 0
    """Nothing is wrong."""
    PROBLEMS = 1
    """A file is invalid, a guard is violated, a node would be refused, or a removal failed."""
    UNKNOWN = 2
    """The command could not get an answer."""


class NodeOutcome(StrEnum):
    """What would happen to a node, or what happened."""

    REMOVE = "remove"
    ALREADY_LEAVING = "already leaving"
    ALREADY_ABSENT = "already absent"
    REFUSED = "refused"
    GUARDED = "guarded"
    """It would be removed, but a guard refuses the whole set."""
    UNKNOWN = "unknown"
    """One listing shows it and the next one does not."""
    FAILED = "failed"


@dataclass(frozen=True)
class Problem:
    """A sentence about something that is wrong, including where."""

    text: str
    file: str | None = None
    line: int | None = None
    """Counted from 1. None if unknown."""


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """One requested node."""

    name: str
    """The id by which it was requested."""
    outcome: NodeOutcome
    group: str = ""
    instance_type: str = ""
    status: str = ""
    code: str = ""
    """Why it was refused or failed. Empty if it was not."""
    message: str = ""
    """The same in words."""
    next_step: str = ""
    """What to do about it, as a sentence."""
    file: str | None = None
    """The removal file that lists it."""
    line: int | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether it would not be removed, or was not removed."""
        return self.outcome in {NodeOutcome.REFUSED, NodeOutcome.FAILED}

    @property
    def explanation(self) -> str:
        """What is wrong with the node, and what to do, in one line."""
        parts = (
            f"{self.name} of group {self.group}" if self.group else self.name,
            f"{self.outcome}: {self.code}" if self.code else str(self.outcome),
            self.message,
        )
        text = ": ".join(part.rstrip(".") for part in parts if part)
        return f"{text}. {self.next_step}".rstrip()


_COLUMNS: Final = {
    "Node": "name",
    "Group": "group",
    "Type": "instance_type",
    "Status": "status",
    "Outcome": "outcome",
    "Code": "code",
    "Why": "message",
    "What to do": "next_step",
}


def columns(nodes: Sequence[NodeReport]) -> Mapping[str, str]:
    """Return the headings and fields of the columns that are not empty for all nodes."""
    return {
        heading: name
        for heading, name in _COLUMNS.items()
        if any(getattr(node, name) for node in nodes)
    }


@dataclass(frozen=True)
class GroupChange:
    """A change of a group's target count, which is `InstanceCount` in the cluster's template."""

    name: str
    before: int
    after: int

    @property
    def text(self) -> str:
        """The line to change in the template, with a mark if no nodes remain."""
        mark = "" if self.after else " (no nodes remain)"
        return f"{self.name}: InstanceCount {self.before} -> {self.after}{mark}"


@dataclass(frozen=True, kw_only=True)
class StackReport:
    """The stack that declares a removal."""

    name: str
    stack_id: str
    status: str
    meaning: str
    """What the status means for the removal."""
    next_step: str = ""
    """What to do. Empty if nothing."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found about one file or one stack."""

    subject: str
    """The file or the stack, as in the arguments."""
    conclusion: Conclusion
    headline: str
    """The result in one sentence."""
    cluster: str = ""
    problems: tuple[Problem, ...] = ()
    nodes: tuple[NodeReport, ...] = ()
    groups: tuple[GroupChange, ...] = ()
    """Instance groups whose count changes."""
    notes: tuple[str, ...] = ()
    """Other sentences."""
    stack: StackReport | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Attributes of the removal that the stack has as Outputs."""


@dataclass(frozen=True)
class Findings:
    """All reports of one run of the command."""

    command: str
    """`plan`, `validate`, `explain` or `watch`."""
    reports: tuple[Report, ...]

    @property
    def conclusion(self) -> Conclusion:
        """The highest exit code of the reports."""
        return max((report.conclusion for report in self.reports), default=Conclusion.FINE)


def unknown(subject: str, why: str) -> Report:
    """Return the report of a command that got no answer, and `why` (a sentence)."""
    return Report(
        subject=subject,
        conclusion=Conclusion.UNKNOWN,
        headline=why,
        problems=(Problem(why),),
    )
