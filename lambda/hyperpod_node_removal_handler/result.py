"""What came of a removal, and why one ended before its time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hyperpod_node_removal_handler.aws import AccessDeniedError, AwsError
from hyperpod_node_removal_handler.contract import quoted
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode

_PERMISSIONS: Final = (
    "sagemaker:BatchDeleteClusterNodes, ListClusterNodes and DescribeCluster on the cluster,"
    " eks:DescribeCluster on its EKS cluster if it has one, cloudformation:DescribeStacks on the"
    " stack"
)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a removal."""

    cluster_name: str
    removal: Removal
    elapsed: float
    """Seconds since the removal began."""
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


@dataclass(frozen=True, slots=True)
class Tally:
    """The nodes of a removal by where they ended."""

    planned: tuple[RequestedNode, ...]
    removed: tuple[RequestedNode, ...]
    accepted: tuple[RequestedNode, ...]
    absent: tuple[RequestedNode, ...]
    failed: tuple[RequestedNode, ...]

    @classmethod
    def of(cls, removal: Removal) -> "Tally":
        def ended(phase: Phase) -> tuple[RequestedNode, ...]:
            return tuple(node for node in removal.nodes if node.phase is phase)

        return cls(
            planned=ended(Phase.WAITING),
            removed=ended(Phase.REMOVED),
            accepted=ended(Phase.LEAVING),
            absent=ended(Phase.ABSENT),
            failed=ended(Phase.FAILED),
        )


def not_found(name: str, error: AwsError) -> str:
    return (
        f"Cluster {quoted(name)} was not found ({error.code}); check its name or ARN, the account"
        " and the region."
    )


def interrupted(error: AwsError) -> str:
    if isinstance(error, AccessDeniedError):
        return (
            f"The function may not call {error.operation}: its role needs {_PERMISSIONS}."
            f" {error.code}: {error.message}"
        )
    return (
        f"{error.operation} failed ({error.code}: {error.message}); deploy the same set again to"
        " retry."
    )
