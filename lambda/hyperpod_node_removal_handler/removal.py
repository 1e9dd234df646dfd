"""The removal as pure decisions: what to ask for, what counts as done, what to try again.

A `Removal` is a value. In each round it is told what AWS said (`observed`, `answered`, `rejected`,
...) and becomes the next one. Nothing here does I/O, waits, or knows the time.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final, Self

from hyperpod_node_removal_handler.cluster import DeleteReply, Listing, Node, Refusal
from hyperpod_node_removal_handler.contract import (
    MAX_IDS_PER_REQUEST,
    MAX_IDS_PER_REQUEST_WITH_LOGICAL_IDS,
    FailureCode,
    RemovalStage,
)
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode

_NO_ANSWER: Final = Refusal(FailureCode.NO_ANSWER, "the service's answer did not mention the node")
_ON_ITS_WAY: Final = Refusal(FailureCode.NO_ANSWER, "it was asked for, and no answer came in time")
SPLIT_INTO: Final = 10
"""Parts of a request that was refused as a whole. Halves would need twice as many calls where
every node is at fault, which is what such a refusal means; single nodes at once would need one for
each where one malformed id is."""


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """The identifiers of one BatchDeleteClusterNodes call."""

    node_ids: tuple[str, ...] = ()
    node_logical_ids: tuple[str, ...] = ()

    @property
    def identifiers(self) -> tuple[str, ...]:
        """All of them."""
        return self.node_ids + self.node_logical_ids

    def parts(self) -> "tuple[DeleteRequest, ...]":
        """Smaller requests that together ask for the same; in the end one node each."""
        size = -(-len(self.identifiers) // SPLIT_INTO)
        return tuple(
            chain(
                (DeleteRequest(node_ids=ids) for ids in _chunks(self.node_ids, size)),
                (
                    DeleteRequest(node_logical_ids=ids)
                    for ids in _chunks(self.node_logical_ids, size)
                ),
            )
        )


@dataclass(frozen=True, slots=True)
class Removal:
    """All requested nodes of one resource."""

    nodes: tuple[RequestedNode, ...]
    controller_groups: frozenset[str] = field(default=frozenset())
    """Instance groups that run the Slurm controller."""
    needs_clearance: bool = False
    """Whether only those nodes may be asked for that the hook agreed to."""

    @classmethod
    def of(cls, node_ids: Iterable[str], node_logical_ids: Iterable[str]) -> Self:
        """A removal that has not begun."""
        return cls(
            nodes=tuple(
                chain(
                    (RequestedNode(node_id=node_id) for node_id in node_ids),
                    (RequestedNode(logical_id=logical_id) for logical_id in node_logical_ids),
                )
            )
        )

    def with_controllers(self, groups: Iterable[str]) -> Self:
        """The same, with the instance groups whose nodes are never asked for."""
        return replace(self, controller_groups=frozenset(groups))

    def has_reached(self, stage: RemovalStage) -> bool:
        """Whether every node is gone, has failed for good or, for `ACCEPTED`, is leaving."""
        return all(
            node.phase.is_settled
            or (stage is RemovalStage.ACCEPTED and node.phase is Phase.LEAVING)
            for node in self.nodes
        )

    @property
    def is_settled(self) -> bool:
        """Whether every node is gone or has failed for good."""
        return self.has_reached(RemovalStage.REMOVED)

    @property
    def has_begun(self) -> bool:
        """Whether any node may have been asked for."""
        return any(node.may_have_been_asked_for for node in self.nodes)

    @property
    def lowered_by_group(self) -> Mapping[str, int]:
        """By how much this removal lowers the target count of each instance group."""
        return Counter(
            node.node.group
            for node in self.nodes
            if node.node and (node.accepted or (node.phase is Phase.REMOVED and node.attempts > 0))
        )

    def count(self, *phases: Phase) -> int:
        """How many nodes are in one of `phases`."""
        return sum(node.phase in phases for node in self.nodes)

    def observed(self, listing: Listing) -> Self:
        """What the cluster shows now. A node named by both its ids becomes one."""
        by_instance_id = {node.instance_id: node for node in listing.nodes if node.instance_id}
        by_logical_id = {node.logical_id: node for node in listing.nodes if node.logical_id}

        def look(requested: RequestedNode) -> RequestedNode:
            node = by_logical_id.get(requested.logical_id) or by_instance_id.get(requested.node_id)
            if node is None:
                return requested.missed(is_certain=listing.pages == 1)
            return requested.seen_as(
                node,
                is_controller=node.group in self.controller_groups,
                needs_clearance=self.needs_clearance,
            )

        return replace(self, nodes=_merged(look(node) for node in self.nodes))

    def requests(self) -> tuple[DeleteRequest, ...]:
        """The fewest calls that ask for every waiting node, those asked least often first.

        Otherwise throttling would starve the nodes at the end of the template. A request that
        holds a logical id is full at 50, so those are filled up with instance ids before requests
        of 99 instance ids are made.
        """
        waiting = sorted(
            (node for node in self.nodes if node.phase is Phase.WAITING),
            key=lambda node: node.attempts,
        )
        logical_ids = tuple(node.identifier for node in waiting if node.is_asked_by_logical_id)
        node_ids = tuple(node.identifier for node in waiting if not node.is_asked_by_logical_id)
        requests = []
        for ids in _chunks(logical_ids, MAX_IDS_PER_REQUEST_WITH_LOGICAL_IDS):
            room = MAX_IDS_PER_REQUEST_WITH_LOGICAL_IDS - len(ids)
            requests.append(DeleteRequest(node_ids[:room], ids))
            node_ids = node_ids[room:]
        requests += [DeleteRequest(ids) for ids in _chunks(node_ids, MAX_IDS_PER_REQUEST)]
        return tuple(requests)

    def asking(self, request: DeleteRequest) -> Self:
        """The request is on its way: all that is known of it, should no answer come in time."""
        return self.put_off(request, _ON_ITS_WAY)

    def put_off(self, request: DeleteRequest, obstacle: Refusal) -> Self:
        """The request came to nothing, for no fault of a node that is known so far."""
        return self._with(request, lambda node: node.put_off(obstacle))

    def answered(self, request: DeleteRequest, reply: DeleteReply) -> Self:
        """The service took the request and says of each node whether it accepts its removal."""

        def apply(node: RequestedNode) -> RequestedNode:
            asked = node.asked()
            if refusal := reply.refused.get(node.identifier):
                return asked.refused(refusal)
            if node.identifier in reply.accepted:
                return asked.accepted_now()
            return asked.put_off(_NO_ANSWER)  # The next listing tells.

        return self._with(request, apply)

    def is_explained(self, request: DeleteRequest) -> bool:
        """Whether a refusal of the whole request says nothing new.

        The API refuses a request as a whole if every node in it fails validation. For one node
        there is nothing to take apart, and neither is there if each was refused by itself before.
        """
        asked = frozenset(request.identifiers)
        return len(asked) == 1 or all(
            node.refusal is not None
            for node in self.nodes
            if node.identifier in asked and node.phase is Phase.WAITING
        )

    def rejected(self, request: DeleteRequest, refusal: Refusal) -> Self:
        """The request was refused as a whole, and `is_explained`."""
        return self._with(request, lambda node: node.asked().refused_as_a_whole(refusal))

    def postponed(self, request: DeleteRequest, refusal: Refusal) -> Self:
        """The request did not get through: throttled, or the answer was lost."""
        return self._with(request, lambda node: node.asked().put_off(refusal))

    def held_up(self, refusal: Refusal) -> Self:
        """Nothing can be asked for at the moment: the cluster is busy."""
        return self._each({Phase.WAITING}, lambda node: node.put_off(refusal))

    def given_up(self) -> Self:
        """The time for trying again is over: what was refused has failed."""
        return self._each(
            {Phase.WAITING},
            lambda node: node.failed(node.why_waiting) if node.why_waiting else node,
        )

    def refused(self, refusal: Refusal) -> Self:
        """The whole set is refused: nothing of it will be asked for."""
        return self._each({Phase.WAITING}, lambda node: node.failed(refusal))

    def ruled(self, veto_of: Callable[[Node], str | None]) -> Self:
        """The hook has been asked about the waiting nodes: which of them it vetoed, and why."""
        ruled = self._each(
            {Phase.WAITING}, lambda node: node.ruled(veto_of(node.node) if node.node else None)
        )
        return replace(ruled, needs_clearance=True)

    def stopped(self, why: str, stage: RemovalStage) -> Self:
        """The removal ends here. What has not reached `stage` has failed, because `why`."""
        unfinished = {Phase.UNCERTAIN, Phase.WAITING}
        if stage is RemovalStage.REMOVED:
            unfinished |= {Phase.LEAVING}
        return self._each(unfinished, lambda node: node.stopped(why))

    def cluster_gone(self) -> Self:
        """The cluster was deleted meanwhile, and its nodes with it."""
        return replace(self, nodes=tuple(node.missed(is_certain=True) for node in self.nodes))

    def _with(
        self, request: DeleteRequest, change: Callable[[RequestedNode], RequestedNode]
    ) -> Self:
        asked = frozenset(request.identifiers)
        return replace(
            self,
            nodes=tuple(
                change(node) if node.identifier in asked and node.phase is Phase.WAITING else node
                for node in self.nodes
            ),
        )

    def _each(
        self, phases: Collection[Phase], change: Callable[[RequestedNode], RequestedNode]
    ) -> Self:
        return replace(
            self,
            nodes=tuple(change(node) if node.phase in phases else node for node in self.nodes),
        )


def _merged(nodes: Iterable[RequestedNode]) -> tuple[RequestedNode, ...]:
    merged: dict[object, RequestedNode] = {}
    for node in nodes:
        # What is not listed cannot be told to be the same, and stays by itself.
        key: object = node.node if node.is_listed else (node.node_id, node.logical_id)
        twin = merged.get(key)
        merged[key] = node if twin is None else twin.merged_with(node)
    return tuple(merged.values())


def _chunks(ids: tuple[str, ...], size: int) -> Iterable[tuple[str, ...]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
