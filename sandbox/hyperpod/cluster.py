"""A HyperPod cluster as a test sees it: what to look at, and what to arrange."""

from threading import RLock

from sandbox.hyperpod.faults import Refusal
from sandbox.hyperpod.nodes import ClusterStatus, NodeStatus, NodeView
from sandbox.hyperpod.state import ClusterState


class Cluster:
    """A cluster of the model, made by `HyperPod.create_cluster`. Every method is thread-safe.

    A node is named by its instance id or its logical id. A method that needs the node to be
    listed raises KeyError when it is not.
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

    # What a test looks at ---------------------------------------------------------------------

    def node_ids(self, group: str) -> tuple[str, ...]:
        """Instance ids of the group's listed nodes, in order of creation."""
        with self._lock:
            nodes = self._state.listed()
            return tuple(n.instance_id for n in nodes if n.group == group and n.instance_id)

    def logical_ids(self, group: str) -> tuple[str, ...]:
        """Logical ids of the group's listed nodes; empty unless continuous."""
        with self._lock:
            nodes = self._state.listed()
            return tuple(n.logical_id for n in nodes if n.group == group and n.logical_id)

    def node(self, node_id: str) -> NodeView:
        """The listed node of this id."""
        with self._lock:
            return self._state.find(node_id).view()

    @property
    def nodes(self) -> tuple[NodeView, ...]:
        """All listed nodes, in order of creation."""
        with self._lock:
            return tuple(node.view() for node in self._state.listed())

    @property
    def present(self) -> frozenset[str]:
        """Instance ids that are still listed, whatever their status."""
        return frozenset(node.instance_id for node in self.nodes if node.instance_id)

    @property
    def departures(self) -> dict[str, float]:
        """When each instance left that is no longer listed, by instance id."""
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
    def current_counts(self) -> dict[str, int]:
        """`CurrentCount` per group; it falls later than a node leaves the list."""
        with self._lock:
            groups = self._state.groups()
            return {name: self._state.current_count(group) for name, group in groups.items()}

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
        """Refuse to delete a node, listed or not; for ever by default.

        `until` is a time of the model's clock, `times` a number of refusals.
        """
        text = message or f"Node {node_id} cannot be deleted: {code}."
        with self._lock:
            self._state.refusals[node_id] = Refusal(code, text, until, times)

    def allow(self, node_id: str) -> None:
        """Take back what `refuse` said of this id."""
        with self._lock:
            self._state.refusals.pop(node_id, None)

    def fail_while_leaving(self, node_id: str, message: str = "The instance did not stop.") -> None:
        """Let the node's next shutdown end in the status Failure."""
        with self._lock:
            self._state.find(node_id).leaving_fails = message

    def leave_after(self, node_id: str, seconds: float) -> None:
        """Let the node's shutdown take so many seconds, whatever the cluster's nodes take."""
        with self._lock:
            self._state.find_settled(node_id).leaves_after = seconds

    def set_status(self, status: str, until: float | None = None) -> None:
        """Set `ClusterStatus`, until a time of the clock at which it is InService again."""
        with self._lock:
            self._state.set_cluster_status(ClusterStatus(status), until)

    def set_group_status(self, group: str, status: str, until: float | None = None) -> None:
        """Set an instance group's `Status`, in the same manner."""
        with self._lock:
            record = self._state.groups()[group]
            record.status, record.status_until = ClusterStatus(status), until

    def set_node_status(
        self, node_id: str, status: str, until: float | None = None, message: str = ""
    ) -> None:
        """Set a node's status to any text, until a time of the clock at which it is Running again.

        The service deletes nodes in the statuses that are known to allow it, and no others.
        """
        with self._lock:
            node = self._state.find(node_id)
            node.status, node.status_until, node.leaves_at = status, until, None
            node.message = message

    def detach(
        self,
        node_id: str,
        seconds: float,
        to: "Cluster | None" = None,
        attach_seconds: float = 60.0,
    ) -> None:
        """MoveClusterNodes: the node is DetachInProgress for `seconds`, then leaves this cluster.

        It appears in the group of the same name of the cluster `to` (None: of one that is not
        modelled), with the same ids, as AttachInProgress for `attach_seconds`, then Running.
        AWS moves nodes of continuous clusters on EKS only; the model moves any.

        Raises:
            ValueError: `to` has no such group.
        """
        with self._lock:
            node = self._state.find(node_id)
            if to is not None and node.group not in to.target_counts:
                raise ValueError(f"{to.name} has no group {node.group}; allowed: one that has")
            move = self._state.start_moving(node, seconds, attach_seconds)
            if to is not None:
                to._state.arriving.append(move)  # noqa: SLF001 - of the same class

    def hide(self, node_id: str, listings: int = 1) -> None:
        """Leave the node out of the next listings.

        A listing is a first page of ListClusterNodes, asked for without NextToken, with the pages
        that follow it. DescribeClusterNode and the test see the node nevertheless.
        """
        with self._lock:
            self._state.find(node_id).glimpses.extend([None] * listings)

    def show_once(self, node_id: str, status: str = "Failure") -> None:
        """Show the node with this status in the next listing alone, in the sense of `hide`."""
        with self._lock:
            self._state.find(node_id).glimpses.append(status)

    def leave_out(self, group: str, *members: str) -> None:
        """Let DescribeCluster not tell these members of a group, `TargetCount` for example."""
        with self._lock:
            self._state.groups()[group].left_out.update(members)

    def replace_instance(self, node_id: str) -> str:
        """Auto-recovery: a new instance for the node. Returns its id; the logical id stays."""
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
        """Delete the cluster at once: every later call gets ResourceNotFound."""
        with self._lock:
            self._state.deleted = True
