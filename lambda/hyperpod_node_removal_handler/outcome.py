"""How a removal ended: its nodes, its outcome, and the sentences about it.

Two texts are for stack events: the `Reason`, of at most 900 bytes, and the verdict of a success in
the 64 characters of a signal, since CloudFormation shows no reason of a success.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from hyperpod_node_removal_contract import (
    REASON_MAX_BYTES,
    SIGNAL_ID_MAX,
    FailureCode,
    Outcome,
    PartialFailure,
    escape,
    join_names,
    quote,
    truncate_middle,
)
from hyperpod_node_removal_contract.failure_codes import next_step
from hyperpod_node_removal_handler.aws import AccessDeniedError, AwsError
from hyperpod_node_removal_handler.cluster import ClusterDescription
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.request import RemovalRequest, Scope
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode

_DEPENDENCIES: Final = {
    "BatchDeleteClusterNodes": " (and eks:DescribeCluster on the EKS cluster, if it has one)",
}
_SHOWN: Final = 5
"""Names in a sentence."""
_GOING: Final = frozenset({Phase.WAITING, Phase.LEAVING, Phase.REMOVED})
# Whatever else a reason says, it has room for some nodes.
_INTERRUPTION_MAX: Final = 360
_GUARDS_MAX: Final = 480

_OUR_CODES: Final = frozenset(str(code) for code in FailureCode)


@dataclass(frozen=True)
class LogPlace:
    """Where the log of this invocation is."""

    group: str = ""
    stream: str = ""

    @property
    def sentence(self) -> str:
        """With the literal by which the CDK CLI finds and opens the stream (aws-cdk-cli #1645)."""
        if not self.stream:
            return ""
        group = f" Log group: {escape(self.group, 100)}." if self.group else ""
        return f"{group} CloudWatch Log Stream: {escape(self.stream, 150)}"


@dataclass(frozen=True)
class Result:
    """How a removal ended."""

    request: RemovalRequest
    log: LogPlace
    cluster_name: str
    removal: Removal
    elapsed: float
    """Seconds since CloudFormation sent the request."""
    ended: float
    """When this was known, in seconds since the epoch."""
    target_counts: Mapping[str, int] = field(default_factory=dict)
    """Instances each group of the cluster is to have now. Empty if that is not known."""
    target_counts_before: Mapping[str, int] = field(default_factory=dict)
    """The same when the removal began."""
    warnings: tuple[str, ...] = ()
    """What may put instances back, as sentences."""
    interruption: str = ""
    """Why the removal ended before its nodes did, as a sentence. Empty if it did not."""
    objections: tuple[str, ...] = ()
    """Why the whole set was refused: a phrase for each violated guard, or one about the hook. Empty
    if it was not."""

    @property
    def failed(self) -> tuple[RequestedNode, ...]:
        """The nodes that were not removed."""
        return self.removal.by_phase[Phase.FAILED]

    @cached_property
    def failed_by_code(self) -> Mapping[str, list[RequestedNode]]:
        """The failed nodes by their code, in the order of the set."""
        groups: dict[str, list[RequestedNode]] = {}
        for node in self.failed:
            groups.setdefault(code_of(node), []).append(node)
        return groups

    @cached_property
    def outcome(self) -> Outcome:
        """The outcome of a removal that was planned, or carried out wholly or in part."""
        if self.objections:
            return Outcome.FAILED
        if self.request.is_dry_run and not self.interruption:
            return Outcome.PLANNED
        if not self.failed:
            return Outcome.ACCEPTED if self.removal.by_phase[Phase.LEAVING] else Outcome.COMPLETE
        is_left_alone = self.request.scope is Scope.NONE and all(
            code_of(node) == FailureCode.NOT_REQUESTED for node in self.failed
        )
        is_partial = is_left_alone or len(self.failed) < len(self.removal.nodes)
        return Outcome.PARTIAL if is_partial else Outcome.FAILED

    @property
    def is_success(self) -> bool:
        """Whether the resource succeeds."""
        return self.outcome in {Outcome.COMPLETE, Outcome.ACCEPTED, Outcome.PLANNED} or (
            self.outcome is Outcome.PARTIAL
            and self.request.on_partial_failure is PartialFailure.REPORT
        )


def code_of(node: RequestedNode) -> str:
    """Return the code under which a node failed."""
    return str(node.refusal.code) if node.refusal else "Unknown"


# The verdict, in a sentence and in a signal --------------------------------------------------


def verdict(result: Result) -> str:
    """Return the outcome with its counts.

    For example `2 of 7 nodes not removed from ml-cluster (5 removed).`
    """
    cluster = escape(result.cluster_name)
    if result.objections:
        text = f"Nothing was removed from {cluster}: {'; '.join(result.objections)}"
        return f"{truncate_middle(text, _GUARDS_MAX)}."
    count = {phase: len(nodes) for phase, nodes in result.removal.by_phase.items()}
    removed, failed = count[Phase.REMOVED], count[Phase.FAILED]
    leaving, absent = count[Phase.LEAVING], count[Phase.ABSENT]
    if result.outcome is Outcome.PLANNED:
        also = _also({"already leaving": leaving, "already absent": absent, "refused": failed})
        planned = _nodes(count[Phase.WAITING])
        text = f"Dry run: {planned} of {cluster} would be removed{also}; nothing was removed."
    else:
        also = _also({"accepted and leaving": leaving, "already absent": absent})
        text = f"{_nodes(removed)} removed from {cluster}{also} in {round(result.elapsed)} s."
        if failed:
            total = _nodes(len(result.removal.nodes))
            text = f"{failed} of {total} not removed from {cluster} ({removed} removed{also})."
    return f"{text} {truncate_middle(result.interruption, _INTERRUPTION_MAX)}".rstrip()


def _also(counts: Mapping[str, int]) -> str:
    return "".join(f", {count} {what}" for what, count in counts.items() if count)


def _nodes(count: int) -> str:
    return f"{count} {'node' if count == 1 else 'nodes'}"


def signal_id(result: Result) -> str:
    """Return the verdict in the 64 characters of a signal.

    For example `5 of 5 removed` or `1 of 5 not removed: NodeIdInUse i-0123456789abcdef0`. The last
    code that there is room for may be `+2 more`.
    """
    verbs = {
        Outcome.PLANNED: ("would be removed", "would not be removed"),
        Outcome.ACCEPTED: ("accepted", "not accepted"),
    }
    verb, not_verb = verbs.get(result.outcome, ("removed", "not removed"))
    nodes, failed = result.removal.by_phase, result.failed
    total = len(result.removal.nodes)
    besides = {"already absent": len(nodes[Phase.ABSENT])}
    if result.outcome is Outcome.PLANNED:  # They are not part of the plan.
        besides["leaving"] = len(nodes[Phase.LEAVING])
    if not failed:
        return f"{total - sum(besides.values())} of {total} {verb}{_also(besides)}"
    head = f"{len(failed)} of {total} {not_verb}: "
    groups = result.failed_by_code
    ((code, first), *others) = groups.items()
    if not others and len(first) == 1 and len(head + code + first[0].name) < SIGNAL_ID_MAX:
        return f"{head}{code} {first[0].name}"
    counts = [f"{code} {len(group)}" for code, group in groups.items()]
    shown = join_fitting(counts, SIGNAL_ID_MAX - len(head), ", ")
    return head + shown if shown.startswith(code) else head.removesuffix(": ")


# The Reason ----------------------------------------------------------------------------------


def reason(result: Result) -> str:
    """Return the verdict, the failed nodes by code, and the log stream.

    If there is room, also the service's messages and what to do next.
    """
    ending = result.log.sentence
    room = REASON_MAX_BYTES - len(ending)
    head = escape(verdict(result), room)
    groups = result.failed_by_code
    if not groups:
        return head + ending
    ids = {code: [node.name for node in nodes] for code, nodes in groups.items()}
    text = head + _ids_by_code(ids, room - len(head))
    for extra in _extras(groups, head, has_removed=bool(result.removal.by_phase[Phase.REMOVED])):
        if len(text) + len(extra) <= room:
            text += extra
    return text + ending


def join_fitting(items: Sequence[str], room: int, separator: str = ",") -> str:
    """Return as many whole items as fit into `room` characters, the last maybe `+31 more`."""

    def text(count: int) -> str:
        rest = [f"+{len(items) - count} more"] if count < len(items) else []
        return separator.join([*items[:count], *rest])

    return _fitting(text, len(items), room)


def _fitting(text: Callable[[int], str], most: int, room: int) -> str:
    """Return the text of as many items, of `most`, as fit into `room`. At worst that of none."""
    whole = text(most)
    if len(whole) <= room:
        return whole
    fitting = bisect_right(range(most), room, key=lambda count: len(text(count)))
    return text(max(0, fitting - 1))


def _ids_by_code(groups: Mapping[str, Sequence[str]], room: int) -> str:
    """Return ` Code: i-1, i-2; Code: i-3, +31 more.`, with as many ids of each code as fit."""

    def text(most: int) -> str:
        shown = {
            code: join_names(ids, most) if most else _nodes(len(ids))
            for code, ids in groups.items()
        }
        return " " + "; ".join(f"{code}: {ids}" for code, ids in shown.items()) + "."

    longest = max(len(ids) for ids in groups.values())
    # Cut if there are more codes than there is room for.
    return escape(_fitting(text, longest, room), room)


def _extras(
    groups: Mapping[str, Sequence[RequestedNode]], head: str, *, has_removed: bool
) -> Iterator[str]:
    for code, (first, *_) in groups.items():
        said = first.refusal.message if first.refusal else ""
        if said and code not in _OUR_CODES:
            tries = f" ({first.attempts} attempts)" if first.attempts > 1 else ""
            yield f' {code}: "{said.rstrip(".")}"{tries}.'
        if said and code == FailureCode.VETOED and said not in head:
            yield f' {first.name}: "{said.rstrip(".")}".'
    yield from (f" {step}" for step in dict.fromkeys(map(next_step, groups)))
    if has_removed:
        yield " A rollback does not bring removed nodes back."


# Why a removal ended early -------------------------------------------------------------------


def not_found(name: str, error: AwsError) -> str:
    """Say that there is no such cluster."""
    return (
        f"Cluster {quote(name)} was not found ({error.code}); check its name or ARN, the account"
        " and the region."
    )


def interrupted(error: AwsError, *, has_begun: bool) -> str:
    """Say which call ended the removal, what the service said, and what to do."""
    said = f"{error.code}: {error.message.rstrip('.')}"
    if not isinstance(error, AccessDeniedError):
        text = f"{error.operation} failed: {said}. Redeploy the same set to retry."
    elif error.is_missing_permission:
        service = "cloudformation" if error.operation == "DescribeStacks" else "sagemaker"
        text = (
            f"The function may not call {error.operation}: its role needs"
            f" {service}:{error.operation}{_DEPENDENCIES.get(error.operation, '')}. {said}."
        )
    else:
        text = f"The function may not call {error.operation}: {said}."
    if error.operation == "DescribeStacks" and not has_begun:
        unknown = "Whether the stack is rolling back could not be determined"
        return f"{unknown}, so nothing was removed. {text}"
    return text


# Warnings: what may put instances back -------------------------------------------------------


def warnings(nodes: Sequence[RequestedNode], description: ClusterDescription) -> Iterator[str]:
    """Say what to expect of a cluster after nodes like these have been, or would be, removed."""
    groups = sorted({n.node.group for n in nodes if n.node and n.phase in _GOING})
    if description.autoscaler and groups:
        yield (
            f"{description.autoscaler} scales this cluster and may add nodes to"
            f" {join_names(groups, _SHOWN)} again for pending pods, up to the limits of its"
            " node pools."
        )
    names = [node.name for node in nodes if _may_have_another_id(node)]
    if description.recovers_nodes and names:
        yield (
            "Automatic node recovery may replace a node with another instance (and instance id)"
            f" before it is removed: {join_names(names, _SHOWN)}. Logical ids do not change."
        )


def _may_have_another_id(node: RequestedNode) -> bool:
    """Return whether only an instance id names a node that is faulty, or vanished unrequested.

    A node that was never listed is most likely one that an earlier run removed.
    """
    if node.logical_id or node.node is None:
        return False
    is_faulty = node.phase is Phase.WAITING and node.node.is_faulty
    return is_faulty or node.phase is Phase.ABSENT


def left_alone(nodes: Iterable[RequestedNode]) -> Iterator[str]:
    """Say which nodes an update that changes only settings did not request."""
    names = [node.name for node in nodes if code_of(node) == FailureCode.NOT_REQUESTED]
    if names:
        yield (
            "This update changes only settings, so nodes in the cluster were not requested:"
            f" {join_names(names, _SHOWN)}. Change RetryToken to remove them."
        )


def in_transition(status: str, seconds: int) -> str:
    """Say that the cluster is still busy with the removal."""
    return (
        f"The cluster was still {status} {seconds} s after the last node left, so it may reject"
        " changes until that ends."
    )
