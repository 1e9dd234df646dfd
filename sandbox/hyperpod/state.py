"""The state of a cluster, brought up to the clock whenever it is looked at."""

import hashlib
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sandbox.hyperpod.nodes import ClusterStatus, Group, Move, Node, NodeStatus

if TYPE_CHECKING:
    from sandbox.hyperpod.faults import Refusal

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""Wall-clock time of the clock's zero, for the timestamps in answers."""

COUNT_LAG = 20.0
"""Seconds between a node leaving ListClusterNodes and CurrentCount falling."""


@dataclass(frozen=True)
class ClusterPlan:
    """What a cluster is made of. Times are in seconds."""

    name: str
    arn: str
    groups: Mapping[str, int]
    controller_group: str | None = None
    restricted: Collection[str] = ()
    min_counts: Mapping[str, int] = field(default_factory=dict)
    continuous: bool = False
    orchestrator: str = "Slurm"
    shutdown_seconds: float | tuple[float, float] = 60.0
    busy_while_leaving: bool = False
    busy_after_leaving: float = 0.0
    instance_type: str = "ml.p5.48xlarge"
    node_recovery: str = "Automatic"
    autoscaler: str | None = None
    seed: int = 0


class ClusterState:
    """Nodes and groups that change as the clock moves. The caller holds the lock."""

    def __init__(self, plan: ClusterPlan, clock: Callable[[], float]) -> None:
        self.plan = plan
        self.clock = clock
        self.deleted = False
        self.refusals: dict[str, Refusal] = {}
        self.ever: dict[str, Node] = {}
        """Every identifier that ever named a node, and that node."""
        self.listings: list[Mapping[int, str | None]] = []
        """What each listing, with all its pages, does not show as it is: see `Node.glimpses`.
        The keys are ordinals."""
        self.arriving: list[Move] = []
        """Moves of nodes that this cluster will have."""
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
                instance_type=plan.instance_type,
                target_count=count,
                min_count=plan.min_counts.get(group),
                slurm_node_type=node_type if has_slurm_config else None,
                restricted=group in plan.restricted,
            )
            for _ in range(count):
                self.add_node(group, NodeStatus.RUNNING, with_instance=True)

    def settle(self) -> None:
        """Bring every status up to the clock."""
        now = self.clock()
        if self._status_until is not None and now >= self._status_until:
            self.set_cluster_status(ClusterStatus.IN_SERVICE, None)
        for group in self._groups.values():
            if group.status_until is not None and now >= group.status_until:
                group.status, group.status_until = ClusterStatus.IN_SERVICE, None
        for move in [move for move in self.arriving if now >= move.at]:
            self.arriving.remove(move)
            if not move.was_called_off:
                self._attach(move)
        for node in self._nodes:
            if node.status_until is not None and now >= node.status_until:
                node.status, node.status_until, node.message = NodeStatus.RUNNING, None, ""
            if node.leaves_at is not None and now >= node.leaves_at:
                self._finish_leaving(node, node.leaves_at)
        self._nodes = [node for node in self._nodes if node.left_at is None]
        for group in self._groups.values():
            group.counted_until = [until for until in group.counted_until if until > now]

    def listed(self) -> tuple[Node, ...]:
        """Nodes that ListClusterNodes knows, in order of creation."""
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
        """Instances that are listed, and those that have left the list a moment ago."""
        instances = [n for n in self.listed() if n.group == group.name and n.instance_id]
        return len(instances) + len(group.counted_until)

    def find(self, identifier: str) -> Node:
        """The listed node that answers to either of its ids; KeyError when there is none."""
        self.settle()
        return self.find_settled(identifier)

    def find_settled(self, identifier: str) -> Node:
        """The same, for a caller that has settled the cluster: quick among thousands of nodes."""
        node = self.ever[identifier]
        if node.left_at is not None or identifier not in (node.instance_id, node.logical_id):
            raise KeyError(identifier)
        return node

    def begin_listing(self) -> int:
        """The number of a new listing, which takes one glimpse of each node that has any."""
        self.listings.append({n.ordinal: n.glimpses.pop(0) for n in self.listed() if n.glimpses})
        return len(self.listings) - 1

    def add_node(self, group: str, status: NodeStatus, *, with_instance: bool) -> Node:
        self._serial += 1
        continuous = self.plan.continuous
        node = Node(
            ordinal=self._serial,
            address=self._serial,
            group=group,
            instance_type=self._groups[group].instance_type,
            launched=self.timestamp(),
            instance_id=self._digits("instance", 17, prefix="i-") if with_instance else None,
            logical_id=self._digits("logical", 8, prefix=f"{group}-") if continuous else None,
            status=status,
        )
        self._enlist(node)
        return node

    def renew_instance(self, node: Node) -> str:
        """Give the node another instance; its logical id stays. Returns the instance's id."""
        node.instance_id = self._digits("instance", 17, prefix="i-")
        node.status, node.status_until, node.leaves_at = NodeStatus.RUNNING, None, None
        node.launched = self.timestamp()
        self.ever[node.instance_id] = node
        return node.instance_id

    def start_leaving(self, node: Node) -> None:
        """Accept the deletion of a node: it shuts down, and its group's target falls now.

        A node that is named twice in one request, by both its ids, starts once.
        """
        if node.leaves_at is not None:
            return
        seconds = self.plan.shutdown_seconds
        took = self._random.uniform(*seconds) if isinstance(seconds, tuple) else seconds
        own = node.leaves_after
        self._leave(node, NodeStatus.SHUTTING_DOWN, took if own is None else own)

    def start_moving(self, node: Node, seconds: float, attach_seconds: float) -> Move:
        """Let a node detach, to go where the move is put among `arriving`."""
        at = self._leave(node, NodeStatus.DETACHING, seconds)
        return Move(node, at=at, attach_seconds=attach_seconds)

    def remove_any(self, group: Group, count: int) -> None:
        """Lower a group's target by `count`, with nodes of the service's own choice."""
        nodes = [node for node in self.listed() if node.group == group.name]
        for node in self._random.sample([node for node in nodes if node.in_target_count], count):
            self.start_leaving(node)

    def timestamp(self) -> datetime:
        return _EPOCH + timedelta(seconds=self.clock())

    def _enlist(self, node: Node) -> None:
        self._nodes.append(node)
        self.ever.update({i: node for i in (node.instance_id, node.logical_id) if i})

    def _attach(self, move: Move) -> None:
        self._serial += 1
        self._groups[move.node.group].target_count += 1
        arrived = replace(
            move.node,
            ordinal=self._serial,
            status=NodeStatus.ATTACHING,
            status_until=move.at + move.attach_seconds,
            leaves_at=None,
            left_at=None,
            in_target_count=True,
            glimpses=[],
        )
        self._enlist(arrived)

    def _leave(self, node: Node, status: NodeStatus, seconds: float) -> float:
        """Set out to leave the list; the group's target falls now. Returns when it leaves."""
        node.status, node.status_until, node.message = status, None, ""
        node.leaves_at = at = self.clock() + seconds
        if node.in_target_count:
            node.in_target_count = False
            self._groups[node.group].target_count -= 1
        return at

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
        """A new identifier, the same for the same seed, cluster and order of creation."""
        text = f"{self.plan.seed}/{self.plan.name}/{kind}/{len(self.ever)}"
        return prefix + hashlib.sha256(text.encode()).hexdigest()[:count]
