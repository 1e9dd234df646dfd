"""Nodes and instance groups, their statuses, and the forms of their identifiers."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

# As in the service model
NODE_ID = re.compile(r"i-[a-f0-9]{8}(?:[a-f0-9]{9})?")
LOGICAL_ID = re.compile(r"(?=.{1,128}\Z)[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]")
CLUSTER = re.compile(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:cluster/[a-z0-9]{12}"
    r"|[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
)


class NodeStatus(StrEnum):
    """Known values of `InstanceStatus.Status`.

    A node may have any other text as well: the list grows, as it did with MoveClusterNodes.
    """

    RUNNING = "Running"
    FAILURE = "Failure"
    PENDING = "Pending"
    SHUTTING_DOWN = "ShuttingDown"
    SYSTEM_UPDATING = "SystemUpdating"
    DETACHING = "DetachInProgress"


class ClusterStatus(StrEnum):
    """`ClusterStatus`, and `Status` of an instance group."""

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


@dataclass
class Node:
    """A node. Times are seconds of the model's clock."""

    ordinal: int
    group: str
    launched: datetime
    instance_id: str | None
    """None while the node waits for its first instance (continuous provisioning)."""
    logical_id: str | None
    """None unless the cluster provisions continuously."""
    status: str = NodeStatus.RUNNING
    message: str = ""
    status_until: float | None = None
    """When a status that a test has set ends and the node is Running again."""
    leaves_at: float | None = None
    """When a node that is shutting down or detaching is gone, or turns to Failure."""
    leaves_after: float | None = None
    """Seconds that shutting down takes; None for the cluster's default."""
    leaving_fails: str | None = None
    """Message of the Failure that shutting down ends in; None if it will succeed."""
    in_target_count: bool = True
    left_at: float | None = None
    """When it left the list; None while it is listed."""
    listed_as: list[str | None] = field(default_factory=list)
    """Statuses that the next listings show in place of the real one; None to leave it out."""


@dataclass
class Group:
    """An instance group as the cluster keeps it."""

    name: str
    target_count: int
    slurm_node_type: str | None = None
    restricted: bool = False
    """Whether it is one of RestrictedInstanceGroups."""
    status: ClusterStatus = ClusterStatus.IN_SERVICE
    status_until: float | None = None
    counted_until: list[float] = field(default_factory=list)
    """When instances that have left the list stop being counted in CurrentCount."""
    left_out: set[str] = field(default_factory=set)
    """Members that DescribeCluster leaves out; the service model requires none."""
