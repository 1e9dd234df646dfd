"""The removal as an immutable value: its nodes, and how each response of AWS changes them.

Methods such as `observe`, `answer`, and `reject` take a response and return the next `Removal`.
Nothing here does I/O, waits, or knows the time.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Self

from hyperpod_node_removal_contract import (
    MAX_IDS_PER_REQUEST,
    MAX_IDS_PER_REQUEST_WITH_LOGICAL_IDS,
    FailureCode,
    WaitFor,
)
from hyperpod_node_removal_handler.cluster import DeleteReply, Listing, Node, Refusal
from hyperpod_node_removal_handler.request import Scope
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode

_NO_ANSWER: Final = Refusal(
    FailureCode.NO_ANSWER, "the service's response did not mention the node"
)
_SENT: Final = Refusal(FailureCode.NO_ANSWER, "it was requested, but no response came in time")
_OUT_OF_SCOPE: Final = Refusal(
    FailureCode.NOT_REQUESTED,
    "this update changes only settings; change RetryToken to remove the node",
)
_APPEARED_LATE: Final = Refusal(
    FailureCode.GUARDED, "it was not in the cluster when the guards were checked"
)
SPLIT_INTO: Final = 10
"""Parts of a request that was refused as a whole. Halves would take twice as many calls if every
node is at fault, which is what such a refusal means, and single nodes would take one call each if
one id is malformed."""


@dataclass(frozen=True)
class DeleteRequest:
    """The identifiers of one BatchDeleteClusterNodes call."""

    node_ids: tuple[str, ...] = ()
    node_logical_ids: tuple[str, ...] = ()

    @property
    def identifiers(self) -> tuple[str, ...]:
        """All of them."""
        return self.node_ids + self.node_logical_ids

    def parts(self) -> "tuple[DeleteRequest, ...]":
        """Split it into smaller requests for the same nodes; in the end one node each."""
        size = -(-len(self.identifiers) // SPLIT_INTO)
        return (
            *(DeleteRequest(node_ids=ids) for ids in _chunks(self.node_ids, size)),
            *(DeleteRequest(node_logical_ids=ids) for ids in _chunks(self.node_logical_ids, size)),
        )


@dataclass(frozen=True)
class Removal:
    """All requested nodes of one resource."""

    nodes: tuple[RequestedNode, ...]
    scope: Scope = Scope.ALL
    controller_groups: frozenset[str] = field(default=frozenset())
    """Instance groups that run the Slurm controller. Their nodes are never requested."""
    was_requested: bool = False
    """Whether a request was sent, whatever the response."""
    is_guarded: bool = False
    """Whether there are guards: nodes that appear after the removal has begun were not checked."""
    needs_approval: bool = False
    """Whether only nodes that the hook approved may be requested."""

    @classmethod
    def of(
        cls, node_ids: Iterable[str], node_logical_ids: Iterable[str], scope: Scope = Scope.ALL
    ) -> Self:
        """Make a removal that has not begun."""
        by_id = (RequestedNode(node_id=node_id) for node_id in node_ids)
        by_logical_id = (RequestedNode(logical_id=logical_id) for logical_id in node_logical_ids)
        return cls(nodes=(*by_id, *by_logical_id), scope=scope)

    # State -----------------------------------------------------------------------------------

    def has_reached(self, wait_for: WaitFor) -> bool:
        """Return whether every node is gone, has failed or, for `ACCEPTED`, is leaving."""
        return all(
            (node.phase.is_settled and not node.is_unsettled_look)
            or (wait_for is WaitFor.ACCEPTED and node.phase is Phase.LEAVING)
            for node in self.nodes
        )

    @property
    def has_begun(self) -> bool:
        """Whether a request of this removal may have been carried out."""
        return any(node.may_have_been_requested for node in self.nodes)

    @property
    def is_seen_under_way(self) -> bool:
        """Whether nodes of the set are seen leaving: another copy of the request may have begun."""
        return any(node.is_leaving for node in self.nodes)

    @property
    def is_asked(self) -> bool:
        """Whether a hook that is notified of nodes that stay was asked about any node."""
        return any(node.asked for node in self.nodes)

    @property
    def to_release(self) -> tuple[Node, ...]:
        """The nodes that such a hook was asked about and that stay in the cluster."""
        return tuple(node.asked for node in self.nodes if node.asked and node.is_staying)

    @property
    def lowered_by_group(self) -> Mapping[str, int]:
        """By how much this removal lowers the target count of each instance group."""
        return Counter(
            node.node.group
            for node in self.nodes
            if node.node
            and (node.accepted or (node.phase is Phase.REMOVED and node.may_have_been_requested))
        )

    @cached_property
    def by_phase(self) -> Mapping[Phase, tuple[RequestedNode, ...]]:
        """The nodes by their phase, in the order of the set."""
        nodes: dict[Phase, list[RequestedNode]] = {phase: [] for phase in Phase}
        for node in self.nodes:
            nodes[node.phase].append(node)
        return {phase: tuple(of_phase) for phase, of_phase in nodes.items()}

    def requests(self) -> tuple[DeleteRequest, ...]:
        """Return the fewest requests for all waiting nodes, those tried least often first.

        Otherwise throttling would starve the nodes at the end of the template. A request with a
        logical id holds 50 ids, so these are filled with instance ids before requests of 99
        instance ids are made.
        """
        waiting = sorted(self.by_phase[Phase.WAITING], key=lambda node: node.attempts)
        logical_ids = tuple(node.name for node in waiting if node.is_requested_by_logical_id)
        node_ids = tuple(node.name for node in waiting if not node.is_requested_by_logical_id)
        requests = []
        for ids in _chunks(logical_ids, MAX_IDS_PER_REQUEST_WITH_LOGICAL_IDS):
            room = MAX_IDS_PER_REQUEST_WITH_LOGICAL_IDS - len(ids)
            requests.append(DeleteRequest(node_ids[:room], ids))
            node_ids = node_ids[room:]
        requests += [DeleteRequest(ids) for ids in _chunks(node_ids, MAX_IDS_PER_REQUEST)]
        return tuple(requests)

    def is_explained(self, request: DeleteRequest) -> bool:
        """Return whether there is no use in splitting a request that was refused as a whole.

        The API refuses a whole request if every node in it fails validation. One node cannot be
        split, and nodes that were each refused before need not be.
        """
        identifiers = frozenset(request.identifiers)
        return len(identifiers) == 1 or all(
            node.refusal is not None
            for node in self.by_phase[Phase.WAITING]
            if node.name in identifiers
        )

    # Observations ----------------------------------------------------------------------------

    def observe(self, listing: Listing) -> Self:
        """Apply a listing. A node that is named by both its ids becomes one."""
        by_instance_id = {node.instance_id: node for node in listing.nodes if node.instance_id}
        by_logical_id = {node.logical_id: node for node in listing.nodes if node.logical_id}

        def look(requested: RequestedNode) -> RequestedNode:
            node = by_logical_id.get(requested.logical_id) or by_instance_id.get(requested.node_id)
            if node is None:
                return requested.mark_missing()
            seen = requested.observe(node)
            is_late = requested.phase is Phase.ABSENT and self.has_begun
            return seen.fail(_APPEARED_LATE) if is_late and self.is_guarded else seen

        nodes = _merged(look(node) for node in self.nodes)
        return replace(self, nodes=tuple(self._checked(node) for node in nodes))

    def describe(self, requested: RequestedNode, node: Node | None) -> Self:
        """Apply the description of one of the nodes. None: it may be gone."""
        seen = requested.observe(node) if node else requested.mark_missing()
        return replace(
            self,
            nodes=tuple(self._checked(seen) if one is requested else one for one in self.nodes),
        )

    def _checked(self, requested: RequestedNode) -> RequestedNode:
        """Fail a node that would be requested and must not be. No other place decides that."""
        node = requested.node
        if node is None or requested.misses or requested.phase.is_settled:
            return requested
        if node.group in self.controller_groups:
            message = f"group {node.group} runs the Slurm controller, which cannot be removed"
            return requested.fail(Refusal(FailureCode.CONTROLLER_NODE, message))
        if requested.phase is not Phase.WAITING:
            return requested
        if self.scope is Scope.NONE or (
            self.scope is Scope.INSTANCE_IDS and requested.is_requested_by_logical_id
        ):
            return requested.fail(_OUT_OF_SCOPE)
        if self.needs_approval and requested.approved != node.name:
            message = f"the hook was not asked about {node.name}"
            return requested.fail(Refusal(FailureCode.VETOED, message))
        return requested

    def cluster_deleted(self) -> Self:
        """Mark all nodes as gone: the cluster was deleted."""
        return replace(self, nodes=tuple(node.mark_gone() for node in self.nodes))

    # Responses -------------------------------------------------------------------------------

    def send(self, request: DeleteRequest) -> Self:
        """Note that the request is being sent, in case no response comes in time."""
        return self._change(lambda node: node.defer(_SENT, may_have_been_requested=True), request)

    def answer(self, request: DeleteRequest, reply: DeleteReply) -> Self:
        """Apply the response to a request that the service accepted in whole or in part."""

        def apply(node: RequestedNode) -> RequestedNode:
            tried = node.record_attempt()
            if refusal := reply.refused.get(node.name):
                return tried.reject(refusal)
            if node.name in reply.accepted:
                return tried.accept()
            return tried.defer(_NO_ANSWER, may_have_been_requested=True)

        return self._change(apply, request)

    def reject(self, request: DeleteRequest, refusal: Refusal) -> Self:
        """Apply the refusal of a whole request that is not to be split."""
        return self._change(lambda node: node.record_attempt().reject_with_batch(refusal), request)

    def attempt_failed(
        self, request: DeleteRequest, deferral: Refusal, *, may_have_been_requested: bool
    ) -> Self:
        """Note that a request was throttled, or that its answer was lost."""
        return self._change(
            lambda node: node.record_attempt().defer(
                deferral, may_have_been_requested=may_have_been_requested
            ),
            request,
        )

    def defer(self, deferral: Refusal, request: DeleteRequest | None = None) -> Self:
        """Note why the nodes of `request`, or all, could not be requested for now."""
        return self._change(lambda node: node.defer(deferral), request)

    # Endings ---------------------------------------------------------------------------------

    def give_up(self) -> Self:
        """Fail the nodes that were refused: the time for retries is over."""
        return self._change(lambda node: node.fail(node.why_waiting) if node.why_waiting else node)

    def refuse(self, refusal: Refusal) -> Self:
        """Fail all waiting nodes: the whole set is refused."""
        return self._change(lambda node: node.fail(refusal))

    def mark_asked(self, nodes: Iterable[Node]) -> Self:
        """Note the nodes that were shown to a hook that is to be notified of those that stay."""
        shown = {node.name: replace(node, message="") for node in nodes}
        return self._change(
            lambda one: replace(one, asked=shown.get(one.node.name if one.node else "", one.asked))
        )

    def apply_verdict(self, veto_of: Callable[[Node], str | None]) -> Self:
        """Apply the hook's verdict to the waiting nodes."""
        judged = self._change(
            lambda node: node.apply_veto(veto_of(node.node) if node.node else None)
        )
        return replace(judged, needs_approval=True)

    def stop(self, why: str, wait_for: WaitFor) -> Self:
        """End the removal: nodes that have not reached `wait_for` fail, because `why`."""
        nodes = (node if node.phase.is_settled else node.stop(why, wait_for) for node in self.nodes)
        return replace(self, nodes=tuple(nodes))

    def _change(
        self,
        change: Callable[[RequestedNode], RequestedNode],
        request: DeleteRequest | None = None,
    ) -> Self:
        """Change the waiting nodes of `request`, or all waiting nodes."""
        names = frozenset(request.identifiers) if request else None

        def is_meant(node: RequestedNode) -> bool:
            return node.phase is Phase.WAITING and (names is None or node.name in names)

        nodes = (change(node) if is_meant(node) else node for node in self.nodes)
        return replace(self, nodes=tuple(nodes))


def _merged(nodes: Iterable[RequestedNode]) -> tuple[RequestedNode, ...]:
    merged: dict[object, RequestedNode] = {}
    for node in nodes:
        # Nodes that are not listed cannot be recognized as the same.
        is_listed = node.node is not None and not node.misses
        key: object = node.node if is_listed else (node.node_id, node.logical_id)
        twin = merged.get(key)
        merged[key] = node if twin is None else twin.merge(node)
    return tuple(merged.values())


def _chunks(ids: tuple[str, ...], size: int) -> Iterable[tuple[str, ...]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
