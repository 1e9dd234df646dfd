"""A HyperPod cluster as tests use it: what they read, and what they arrange."""

from dataclasses import replace
from threading import RLock

from sandbox.hyperpod.faults import Refusal
from sandbox.hyperpod.nodes import ClusterStatus, Node, NodeStatus
from sandbox.hyperpod.state import ClusterState


class Cluster:
    """A cluster of the model, created by `HyperPod.create_cluster`. Every method is thread-safe.

    `node_id` is an instance id or a logical id. A method that needs the node to be listed raises
    KeyError if it is not.
    """

    def __init__(self, state: ClusterState, lock: RLock) -> None:
        self._state = state
        self._lock = lock

    @property
    def name(self) -> str:
        return self._state.plan.name

    @property
    def arn(self) -> str:
        """The ARN, which ends in a 12-character id and not in the name."""
        return self._state.plan.arn

    # What a test reads ------------------------------------------------------------------------

    def node_ids(self, group: str) -> tuple[str, ...]:
        """Return instance ids of the group's listed nodes, in order of creation."""
        with self._lock:
            nodes = self._state.listed()
            return tuple(n.instance_id for n in nodes if n.group == group and n.instance_id)

    def logical_ids(self, group: str) -> tuple[str, ...]:
        """Return logical ids of the group's listed nodes; empty unless continuous."""
        with self._lock:
            nodes = self._state.listed()
            return tuple(n.logical_id for n in nodes if n.group == group and n.logical_id)

    def node(self, node_id: str) -> Node:
        """Return the listed node with this id, as it is now."""
        with self._lock:
            return replace(self._state.find(node_id))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All listed nodes as they are now, in order of creation."""
        with self._lock:
            return tuple(replace(node) for node in self._state.listed())

    @property
    def present(self) -> frozenset[str]:
        """Instance ids that are still listed, whatever their status."""
        with self._lock:
            return frozenset(n.instance_id for n in self._state.listed() if n.instance_id)

    @property
    def departures(self) -> dict[str, float]:
        """When each instance that is no longer listed left, by instance id."""
        with self._lock:
            self._state.settle()
            gone = self._state.ever.values()
            return {n.instance_id: n.left_at for n in gone if n.instance_id and n.left_at}

    @property
    def target_counts(self) -> dict[str, int]:
        """`TargetCount` per group."""
        with self._lock:
            return {name: group.target_count for name, group in self._state.groups().items()}

    @property
    def status(self) -> ClusterStatus:
        with self._lock:
            return self._state.cluster_status()

    # What a test arranges ---------------------------------------------------------------------

    def refuse(
        self,
        node_id: str,
        code: str = "NodeIdInUse",
        message: str | None = None,
        until: float | None = None,
        times: int | None = None,
    ) -> None:
        """Refuse to delete a node, listed or not; by default, always.

        `until` is a time of the model's clock, `times` a number of refusals.
        """
        text = message or f"Node {node_id} cannot be deleted: {code}."
        with self._lock:
            self._state.refusals[node_id] = Refusal(code, text, until, times)

    def allow(self, node_id: str) -> None:
        """Undo `refuse` for this id."""
        with self._lock:
            self._state.refusals.pop(node_id, None)

    def fail_while_leaving(self, node_id: str, message: str = "The instance did not stop.") -> None:
        """Make the node's next shutdown end in the status Failure."""
        with self._lock:
            self._state.find(node_id).leaving_fails = message

    def leave_after(self, node_id: str, seconds: float) -> None:
        """Set how long this node's shutdown takes, in place of the cluster's `shutdown_seconds`."""
        with self._lock:
            self._state.find_settled(node_id).leaves_after = seconds

    def set_status(self, status: str, until: float | None = None) -> None:
        """Set `ClusterStatus`; at `until`, a time of the clock, it is InService again."""
        with self._lock:
            self._state.set_cluster_status(ClusterStatus(status), until)

    def set_group_status(self, group: str, status: str, until: float | None = None) -> None:
        """Set an instance group's `Status`, in the same way."""
        with self._lock:
            record = self._state.groups()[group]
            record.status, record.status_until = ClusterStatus(status), until

    def set_node_status(
        self, node_id: str, status: str, until: float | None = None, message: str = ""
    ) -> None:
        """Set a node's status to any text; at `until`, a time of the clock, it is Running again."""
        with self._lock:
            node = self._state.find(node_id)
            node.status, node.status_until, node.leaves_at = status, until, None
            node.message = message

    def detach(self, node_id: str, seconds: float) -> None:
        """Move the node to a cluster that is not modeled, as MoveClusterNodes does.

        It is DetachInProgress for `seconds`, then leaves. AWS moves nodes of continuous clusters on
        EKS only; the model moves any.
        """
        with self._lock:
            self._state.leave(self._state.find(node_id), NodeStatus.DETACHING, seconds)

    def hide(self, node_id: str, listings: int = 1) -> None:
        """Leave the node out of the next listings.

        A listing is a first page of ListClusterNodes, requested without NextToken, and the pages
        that follow it. DescribeClusterNode and the test still see the node.
        """
        with self._lock:
            self._state.find(node_id).listed_as.extend([None] * listings)

    def show_once(self, node_id: str, status: str = "Failure") -> None:
        """Show the node with this status in the next listing only (see `hide`)."""
        with self._lock:
            self._state.find(node_id).listed_as.append(status)

    def leave_out(self, group: str, *members: str) -> None:
        """Leave members of a group out of DescribeCluster, such as `TargetCount`."""
        with self._lock:
            self._state.groups()[group].left_out.update(members)

    def replace_instance(self, node_id: str) -> str:
        """Give the node a new instance, as auto-recovery does. Returns the instance's id."""
        with self._lock:
            return self._state.renew_instance(self._state.find(node_id))

    def add_pending(self, group: str) -> str:
        """Add a node that has no instance yet. Returns its logical id.

        Raises:
            ValueError: the cluster does not provision continuously.
        """
        if not self._state.plan.continuous:
            raise ValueError(f"{self.name} has no logical ids; allowed: continuous=True")
        with self._lock:
            self._state.groups()[group].target_count += 1
            node = self._state.add_node(group, NodeStatus.PENDING, with_instance=False)
            return str(node.logical_id)

    def delete(self) -> None:
        """Delete the cluster at once: later calls get ResourceNotFound."""
        with self._lock:
            self._state.deleted = True
