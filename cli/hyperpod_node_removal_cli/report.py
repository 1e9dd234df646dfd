"""The facts that a command found, apart from how they are shown.

All texts are plain and may hold anything: whoever shows them escapes them. The names of the fields
are those of the JSON document (`schema.json`).
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
    """It could not be found out."""


class NodeOutcome(StrEnum):
    """What would happen to a node, or did."""

    REMOVE = "remove"
    ALREADY_LEAVING = "already leaving"
    ALREADY_ABSENT = "already absent"
    REFUSED = "refused"
    GUARDED = "guarded"
    """It would be removed, but a guard refuses the whole set."""
    UNKNOWN = "unknown"
    """It was there, and was not a moment later: the next listing would tell."""
    FAILED = "failed"


@dataclass(frozen=True)
class Problem:
    """Something that is wrong, as a sentence that says where."""

    text: str
    file: str | None = None
    line: int | None = None
    """From 1. None where it is not known."""


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
    """The removal file that names it."""
    line: int | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether it will not be removed, or was not."""
        return self.outcome in {NodeOutcome.REFUSED, NodeOutcome.FAILED}

    @property
    def explanation(self) -> str:
        """What is wrong with the node and what to do, in one line."""
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
    """Return the columns of a table in which a node has something: headings and fields."""
    return {
        heading: name
        for heading, name in _COLUMNS.items()
        if any(getattr(node, name) for node in nodes)
    }


@dataclass(frozen=True)
class GroupChange:
    """The count of an instance group, which a template of the cluster holds as `InstanceCount`."""

    name: str
    before: int
    after: int

    @property
    def text(self) -> str:
        """The line to change in the template. A group that loses its last node is marked."""
        mark = "" if self.after else " (no nodes remain)"
        return f"{self.name}: InstanceCount {self.before} -> {self.after}{mark}"


@dataclass(frozen=True, kw_only=True)
class StackReport:
    """The stack of a removal."""

    name: str
    stack_id: str
    status: str
    meaning: str
    """What the status means for the removal."""
    next_step: str = ""
    """How to get out of it. Empty where nothing is to be done."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found about one file or one stack."""

    subject: str
    """The file or the stack, as it was named."""
    conclusion: Conclusion
    headline: str
    """The whole in one sentence."""
    cluster: str = ""
    problems: tuple[Problem, ...] = ()
    nodes: tuple[NodeReport, ...] = ()
    groups: tuple[GroupChange, ...] = ()
    """Instance groups whose count changes."""
    notes: tuple[str, ...] = ()
    """What else is worth knowing, a sentence each."""
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
        """The worst of them."""
        return max((report.conclusion for report in self.reports), default=Conclusion.FINE)


def unknown(subject: str, why: str) -> Report:
    """Report what could not be found out, because `why` (a sentence)."""
    return Report(
        subject=subject,
        conclusion=Conclusion.UNKNOWN,
        headline=why,
        problems=(Problem(why),),
    )
