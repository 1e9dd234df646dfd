"""Nodes and instance groups: the nouns of a cluster."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class NodeStatus(StrEnum):
    """Known values of `InstanceStatus.Status`. A node may have any other text as well: the
    service's list grows, as it did by those of MoveClusterNodes."""

    RUNNING = "Running"
    FAILURE = "Failure"
    PENDING = "Pending"
    SHUTTING_DOWN = "ShuttingDown"
    SYSTEM_UPDATING = "SystemUpdating"
    DEEP_HEALTH_CHECK = "DeepHealthCheckInProgress"
    DETACHING = "DetachInProgress"
    ATTACHING = "AttachInProgress"


class ClusterStatus(StrEnum):
    """`ClusterStatus`, in the service's words."""

    CREATING = "Creating"
    DELETING = "Deleting"
    FAILED = "Failed"
    IN_SERVICE = "InService"
    ROLLING_BACK = "RollingBack"
    SYSTEM_UPDATING = "SystemUpdating"
    UPDATING = "Updating"


SETTLED_STATUSES = frozenset({ClusterStatus.IN_SERVICE, ClusterStatus.FAILED})
"""Statuses in which nodes may be deleted; the others are transitional."""

DELETABLE_STATUSES = frozenset({NodeStatus.RUNNING, NodeStatus.FAILURE, NodeStatus.PENDING})
"""Statuses in which a node may be deleted; the others are refused with `InvalidNodeStatus`."""


@dataclass(frozen=True)
class NodeView:
    """What a node looked like at one moment."""

    instance_id: str | None
    """None while the node waits for its first instance (continuous provisioning)."""
    logical_id: str | None
    """None unless the cluster provisions continuously."""
    group: str
    instance_type: str
    status: str
    message: str


@dataclass
class Node:
    """A node as the cluster keeps it. Times are seconds of the model's clock."""

    ordinal: int
    group: str
    instance_type: str
    launched: datetime
    instance_id: str | None
    logical_id: str | None
    address: int
    """Number of its private address, which a moved node keeps."""
    status: str = NodeStatus.RUNNING
    message: str = ""
    status_until: float | None = None
    """When a status that was set from outside ends and the node runs again."""
    leaves_at: float | None = None
    """When a node that is shutting down or detaching is gone, or turns to Failure."""
    leaves_after: float | None = None
    """Seconds that shutting down takes; None for those of the cluster."""
    leaving_fails: str | None = None
    """The message of the Failure that shutting down ends in; None when it will succeed."""
    in_target_count: bool = True
    left_at: float | None = None
    """When it left the list; None while it is in it."""
    glimpses: list[str | None] = field(default_factory=list)
    """Statuses that the next listings show in place of the true one; None where they lack it."""

    def view(self) -> NodeView:
        return NodeView(
            instance_id=self.instance_id,
            logical_id=self.logical_id,
            group=self.group,
            instance_type=self.instance_type,
            status=self.status,
            message=self.message,
        )


@dataclass(frozen=True)
class Move:
    """The way of a node to the group of the same name in another cluster."""

    node: Node
    """The node as its source has it."""
    at: float
    """When it leaves the one list and appears in the other."""
    attach_seconds: float

    @property
    def was_called_off(self) -> bool:
        """Whether something else happened to the node before it left."""
        return self.at not in (self.node.leaves_at, self.node.left_at)


@dataclass
class Group:
    """An instance group as the cluster keeps it."""

    name: str
    instance_type: str
    target_count: int
    min_count: int | None = None
    slurm_node_type: str | None = None
    restricted: bool = False
    """Whether it is one of RestrictedInstanceGroups."""
    status: ClusterStatus = ClusterStatus.IN_SERVICE
    status_until: float | None = None
    counted_until: list[float] = field(default_factory=list)
    """When instances that have left the list stop being counted in CurrentCount."""
    left_out: set[str] = field(default_factory=set)
    """Members that DescribeCluster does not tell; the service model requires none."""
