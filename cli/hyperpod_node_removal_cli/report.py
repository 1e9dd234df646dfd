"""The facts that a command found, apart from how they are shown.

All texts are plain and may hold anything: whoever shows them escapes them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Conclusion(IntEnum):
    """What came of it. The values are the exit codes of the command."""

    FINE = 0
    """Nothing is wrong."""
    PROBLEMS = 1
    """A file is wrong, a guard is broken, a node would be refused, or a removal failed."""
    UNKNOWN = 2
    """It could not be found out."""


class NodeOutcome(StrEnum):
    """What would happen to a node, or did."""

    REMOVE = "remove"
    ALREADY_LEAVING = "already leaving"
    ALREADY_ABSENT = "already absent"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """It was there, and was not a moment later: the next listing would tell."""
    FAILED = "failed"


@dataclass(frozen=True)
class Place:
    """Where in a file something stands."""

    file: str
    line: int | None = None
    """From 1. None where it is not known."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong, as a sentence that says where."""

    text: str
    place: Place | None = None


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
    """What to do about it."""
    place: Place | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether it will not be removed, or was not."""
        return self.outcome in {NodeOutcome.REFUSED, NodeOutcome.FAILED}


@dataclass(frozen=True)
class GroupChange:
    """The count of an instance group, which a template of the cluster holds as `InstanceCount`."""

    name: str
    before: int
    after: int

    @property
    def line(self) -> str:
        """The line to change in the template."""
        return f"{self.name}: InstanceCount {self.before} -> {self.after}"


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

    @property
    def wrong_nodes(self) -> tuple[NodeReport, ...]:
        """Nodes that will not be removed, or were not."""
        return tuple(node for node in self.nodes if node.is_wrong)


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


def unknown(subject: str, why: str, notes: Iterable[str] = ()) -> Report:
    """The report on what could not be found out, because `why` (a sentence)."""
    return Report(
        subject=subject,
        conclusion=Conclusion.UNKNOWN,
        headline=why,
        problems=(Problem(why),),
        notes=tuple(notes),
    )
