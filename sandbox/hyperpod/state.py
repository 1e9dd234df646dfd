"""The state of a cluster, which follows the clock whenever it is read."""

import hashlib
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sandbox.hyperpod.faults import Refusal
from sandbox.hyperpod.nodes import ClusterStatus, Group, Node, NodeStatus

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""Wall-clock time of the clock's zero, for the timestamps in responses."""

COUNT_LAG = 20.0
"""Seconds between a node leaving ListClusterNodes and CurrentCount falling."""


@dataclass(frozen=True)
class ClusterPlan:
    """A cluster as it is created. Times are in seconds."""

    name: str
    arn: str
    groups: Mapping[str, int]
    """Instance groups and their counts."""
    controller_group: str | None = None
    """The group that runs the Slurm controller. With None, no group has a SlurmConfig, as in
    clusters created with a provisioning file."""
    restricted: Collection[str] = ()
    """Groups that are in RestrictedInstanceGroups and not in InstanceGroups."""
    continuous: bool = False
    """Whether NodeProvisioningMode is Continuous, and nodes therefore have logical ids."""
    orchestrator: str = "Slurm"
    """`Slurm` or `Eks`."""
    shutdown_seconds: float | tuple[float, float] = 60.0
    """How long a node takes to leave; a pair is a range to draw from."""
    busy_while_leaving: bool = False
    """Whether ClusterStatus is Updating while nodes leave. According to the guide, it never is
    with continuous provisioning; for other clusters, this is not documented."""
    busy_after_leaving: float = 0.0
    """For how long it is Updating after the last node left."""
    node_recovery: str = "Automatic"
    """`Automatic` or `None`. It is only reported: see `Cluster.replace_instance`."""
    autoscaler: str | None = None
    """`Karpenter` if autoscaling is enabled. It is only reported: no nodes are added."""
    seed: int = 0
    """Ids are the same for the same name and seed."""


class ClusterState:
    """Nodes and groups that change over time. The caller holds the lock."""

    def __init__(self, plan: ClusterPlan, clock: Callable[[], float]) -> None:
        self.plan = plan
        self.clock = clock
        self.deleted = False
        self.refusals: dict[str, Refusal] = {}
        self.ever: dict[str, Node] = {}
        """Every identifier that ever named a node, and that node."""
        self.listings: list[Mapping[int, str | None]] = []
        """What each listing shows wrongly on all its pages, by ordinal: see `Node.listed_as`."""
        self._random = random.Random(f"{plan.seed}/{plan.name}")
        self._status = ClusterStatus.IN_SERVICE
        self._status_until: float | None = None
        self._groups: dict[str, Group] = {}
        self._nodes: list[Node] = []
        self._busy_until = float("-inf")
        self._serial = 0
        self.created = self.timestamp()
        for group, count in plan.groups.items():
            node_type = "Controller" if group == plan.controller_group else "Compute"
            has_slurm_config = plan.controller_group is not None and group not in plan.restricted
            self._groups[group] = Group(
                name=group,
                target_count=count,
                slurm_node_type=node_type if has_slurm_config else None,
                restricted=group in plan.restricted,
            )
            for _ in range(count):
                self.add_node(group, NodeStatus.RUNNING, with_instance=True)

    def settle(self) -> None:
        """Update every status to the current time."""
        now = self.clock()
        if self._status_until is not None and now >= self._status_until:
            self.set_cluster_status(ClusterStatus.IN_SERVICE, None)
        for group in self._groups.values():
            if group.status_until is not None and now >= group.status_until:
                group.status, group.status_until = ClusterStatus.IN_SERVICE, None
        for node in self._nodes:
            if node.status_until is not None and now >= node.status_until:
                node.status, node.status_until, node.message = NodeStatus.RUNNING, None, ""
            if node.leaves_at is not None and now >= node.leaves_at:
                self._finish_leaving(node, node.leaves_at)
        self._nodes = [node for node in self._nodes if node.left_at is None]
        for group in self._groups.values():
            group.counted_until = [until for until in group.counted_until if until > now]

    def listed(self) -> tuple[Node, ...]:
        """Return the nodes that ListClusterNodes returns, in order of creation."""
        self.settle()
        return tuple(self._nodes)

    def groups(self) -> dict[str, Group]:
        self.settle()
        return self._groups

    def cluster_status(self) -> ClusterStatus:
        leaving = any(node.status == NodeStatus.SHUTTING_DOWN for node in self.listed())
        busy = self.plan.busy_while_leaving if leaving else self.clock() < self._busy_until
        if busy and self._status is ClusterStatus.IN_SERVICE:
            return ClusterStatus.UPDATING
        return self._status

    def set_cluster_status(self, status: ClusterStatus, until: float | None) -> None:
        self._status, self._status_until = status, until

    def current_count(self, group: Group) -> int:
        """Count the listed instances, and those that have just left the list."""
        instances = [n for n in self.listed() if n.group == group.name and n.instance_id]
        return len(instances) + len(group.counted_until)

    def find(self, identifier: str) -> Node:
        """Return the listed node with this id of either kind; KeyError if there is none."""
        self.settle()
        return self.find_settled(identifier)

    def find_settled(self, identifier: str) -> Node:
        """Do the same without `settle`, which takes long with thousands of nodes."""
        node = self.ever[identifier]
        if node.left_at is not None or identifier not in (node.instance_id, node.logical_id):
            raise KeyError(identifier)
        return node

    def begin_listing(self) -> int:
        """Return the number of a new listing, which takes the next of each node's `listed_as`."""
        self.listings.append({n.ordinal: n.listed_as.pop(0) for n in self.listed() if n.listed_as})
        return len(self.listings) - 1

    def add_node(self, group: str, status: NodeStatus, *, with_instance: bool) -> Node:
        self._serial += 1
        continuous = self.plan.continuous
        node = Node(
            ordinal=self._serial,
            group=group,
            launched=self.timestamp(),
            instance_id=self._digits("instance", 17, prefix="i-") if with_instance else None,
            logical_id=self._digits("logical", 8, prefix=f"{group}-") if continuous else None,
            status=status,
        )
        self._nodes.append(node)
        self.ever.update({i: node for i in (node.instance_id, node.logical_id) if i})
        return node

    def renew_instance(self, node: Node) -> str:
        """Give the node a new instance; its logical id stays. Returns the instance's id."""
        node.instance_id = self._digits("instance", 17, prefix="i-")
        node.status, node.status_until, node.leaves_at = NodeStatus.RUNNING, None, None
        node.launched = self.timestamp()
        self.ever[node.instance_id] = node
        return node.instance_id

    def start_leaving(self, node: Node) -> None:
        """Accept the deletion of a node: it shuts down, and its group's target count falls now.

        A node that a request contains twice, by both its ids, starts once.
        """
        if node.leaves_at is not None:
            return
        seconds = self.plan.shutdown_seconds
        took = self._random.uniform(*seconds) if isinstance(seconds, tuple) else seconds
        own = node.leaves_after
        self.leave(node, NodeStatus.SHUTTING_DOWN, took if own is None else own)

    def leave(self, node: Node, status: NodeStatus, seconds: float) -> None:
        """Let a node leave in `seconds`; its group's target count falls now."""
        node.status, node.status_until, node.message = status, None, ""
        node.leaves_at = self.clock() + seconds
        if node.in_target_count:
            node.in_target_count = False
            self._groups[node.group].target_count -= 1

    def remove_any(self, group: Group, count: int) -> None:
        """Lower a group's target count by `count`, with nodes that the service chooses."""
        nodes = [node for node in self.listed() if node.group == group.name]
        for node in self._random.sample([node for node in nodes if node.in_target_count], count):
            self.start_leaving(node)

    def timestamp(self) -> datetime:
        return _EPOCH + timedelta(seconds=self.clock())

    def _finish_leaving(self, node: Node, when: float) -> None:
        node.leaves_at = None
        if node.status == NodeStatus.SHUTTING_DOWN:
            if node.leaving_fails is not None:
                node.status, node.message = NodeStatus.FAILURE, node.leaving_fails
                node.leaving_fails = None
                return
            self._busy_until = max(self._busy_until, when + self.plan.busy_after_leaving)
        node.left_at = when
        if node.instance_id:
            self._groups[node.group].counted_until.append(when + COUNT_LAG)

    def _digits(self, kind: str, count: int, *, prefix: str) -> str:
        """Return a new identifier, the same for the same seed, cluster and order of creation."""
        text = f"{self.plan.seed}/{self.plan.name}/{kind}/{len(self.ever)}"
        return prefix + hashlib.sha256(text.encode()).hexdigest()[:count]
