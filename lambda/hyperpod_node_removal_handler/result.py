"""What came of a removal, why one ended before its time, and what may put instances back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hyperpod_node_removal_contract import Outcome, join_names, quote
from hyperpod_node_removal_handler.aws import AccessDeniedError, AwsError
from hyperpod_node_removal_handler.cluster import ClusterDescription
from hyperpod_node_removal_handler.reason import LogPlace, by_code
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode

_DEPENDENCIES: Final = {
    "BatchDeleteClusterNodes": " (and eks:DescribeCluster on the EKS cluster, if it has one)",
}
_SHOWN: Final = 5
"""Names in a sentence."""
_GOING: Final = frozenset({Phase.WAITING, Phase.LEAVING, Phase.REMOVED})


@dataclass(frozen=True)
class Result:
    """What came of a removal."""

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
    """Why the whole set was refused, a phrase for each broken guard, or what came of the hook.
    Empty if it was not."""


@dataclass(frozen=True)
class NodesByOutcome:
    """The nodes of a removal by where they ended."""

    planned: tuple[RequestedNode, ...]
    removed: tuple[RequestedNode, ...]
    accepted: tuple[RequestedNode, ...]
    absent: tuple[RequestedNode, ...]
    failed: tuple[RequestedNode, ...]

    @classmethod
    def of(cls, removal: Removal) -> "NodesByOutcome":
        def ended(phase: Phase) -> tuple[RequestedNode, ...]:
            return tuple(node for node in removal.nodes if node.phase is phase)

        return cls(
            planned=ended(Phase.WAITING),
            removed=ended(Phase.REMOVED),
            accepted=ended(Phase.LEAVING),
            absent=ended(Phase.ABSENT),
            failed=ended(Phase.FAILED),
        )


@dataclass(frozen=True)
class RemovalSummary:
    """A removal that could have removed nodes and has ended, well or not."""

    cluster: str
    """The cluster as the template names it: a name or an ARN."""
    outcome: Outcome
    status: str
    """What CloudFormation is told: `SUCCESS` or `FAILED`."""
    verdict: str
    """The verdict, in a sentence."""
    result: Result
    by_outcome: NodesByOutcome
    log: LogPlace

    def failed_by_code(self) -> Mapping[str, list[RequestedNode]]:
        """The failed nodes by their code, in the order of the set."""
        return by_code(self.by_outcome.failed)


def not_found(name: str, error: AwsError) -> str:
    """Say that there is no such cluster."""
    return (
        f"Cluster {quote(name)} was not found ({error.code}); check its name or ARN, the account"
        " and the region."
    )


def interrupted(error: AwsError, *, has_begun: bool) -> str:
    """Say which call ended the removal, what the service said, and what to do."""
    if error.operation == "DescribeStacks" and not has_begun:
        what = "Whether the stack is rolling back could not be determined, so nothing was removed."
    else:
        what = ""
    return f"{what} {_failed(error)}".lstrip()


def _failed(error: AwsError) -> str:
    said = f"{error.code}: {error.message.rstrip('.')}"
    if not isinstance(error, AccessDeniedError):
        return f"{error.operation} failed: {said}. Redeploy the same set to retry."
    if not error.is_missing_permission:
        return f"The function may not call {error.operation}: {said}."
    service = "cloudformation" if error.operation == "DescribeStacks" else "sagemaker"
    return (
        f"The function may not call {error.operation}: its role needs"
        f" {service}:{error.operation}{_DEPENDENCIES.get(error.operation, '')}. {said}."
    )


# Sentences on what may put instances back ----------------------------------------------------


def warnings(nodes: Iterable[RequestedNode], description: ClusterDescription) -> tuple[str, ...]:
    """What to expect of a cluster after nodes like these have been, or would be, removed."""
    requested = tuple(nodes)
    return (*_autoscaled(requested, description), *_replaced(requested, description))


def _autoscaled(nodes: Sequence[RequestedNode], description: ClusterDescription) -> Iterator[str]:
    groups = sorted({n.node.group for n in nodes if n.node and n.phase in _GOING})
    if description.autoscaler and groups:
        yield (
            f"{description.autoscaler} scales this cluster and may add nodes to"
            f" {join_names(groups, _SHOWN)} again for pending pods, up to the limits of its"
            " node pools."
        )


def _replaced(nodes: Sequence[RequestedNode], description: ClusterDescription) -> Iterator[str]:
    names = [node.name for node in nodes if _may_have_another_id(node)]
    if description.recovers_nodes and names:
        yield (
            "Automatic node recovery may replace a node with another instance (and instance id)"
            f" before it is removed: {join_names(names, _SHOWN)}. Logical ids do not change."
        )


def _may_have_another_id(node: RequestedNode) -> bool:
    """Whether only an instance id names a node that is faulty, or vanished without being asked to.

    A node that was not there to begin with is most likely one that an earlier run removed.
    """
    if node.logical_id or node.node is None:
        return False
    is_faulty = node.phase is Phase.WAITING and node.node.is_faulty
    return is_faulty or node.phase is Phase.ABSENT


def left_alone(names: Sequence[str]) -> Iterator[str]:
    """Say which nodes an update that changes settings only did not ask for."""
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
