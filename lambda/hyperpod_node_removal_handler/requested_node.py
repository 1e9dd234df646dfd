"""One requested node: its phase, and the facts that are known about it.

Phases change only by the named transitions below::

    UNSEEN --observe--> WAITING --accept--> LEAVING --mark_missing, twice--> REMOVED
                           |                   |
                           +--reject, fail-----+--observe a failure, twice--> FAILED

A node that is missing from two listings in a row is gone, whatever was known before: REMOVED if it
was seen leaving or may have been requested, else ABSENT.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

from hyperpod_node_removal_contract import FailureCode, WaitFor
from hyperpod_node_removal_handler.cluster import Node, Refusal

LOOKS: Final = 2
"""Looks in a row in which an absence, or the failure of a removal, has to be seen. The pages of a
listing are read one after the other, and the service does not promise that it is complete."""

_FAILURE: Final = "Failure"
_AT_REST: Final = frozenset({"Running", _FAILURE})
"""Statuses that last. All others, including unknown ones, belong to an operation that will end."""

_NOT_FOUND: Final = frozenset({"NodeIdNotFound", "NodeLogicalIdNotFound"})
# The sister APIs (replace, reboot) define the first two as "wait for the other operation, then
# retry".
_TRANSIENT: Final = frozenset({"InvalidNodeStatus", "NodeIdInUse", "InternalError"})
# Assumption: where a request is refused as a whole, its message may name the node's own code. The
# code of the refusal itself says nothing.
_CODE_IN_MESSAGE: Final = rf"\b(?:{'|'.join(sorted(_NOT_FOUND | _TRANSIENT))})\b"


class Phase(StrEnum):
    """The phase of a requested node."""

    UNSEEN = "unseen"
    """Not listed yet, missing from one listing, or reported missing: another listing decides."""
    WAITING = "waiting"
    """To be requested, for the first time or again."""
    LEAVING = "leaving"
    """Accepted or shutting down, and still listed."""
    REMOVED = "removed"
    """Left the cluster during this removal."""
    ABSENT = "absent"
    """Not in the cluster, and not through this removal."""
    FAILED = "failed"
    """Will not be requested again."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be done for such a node."""
        return self in {Phase.ABSENT, Phase.REMOVED, Phase.FAILED}


@dataclass(frozen=True, slots=True)
class RequestedNode:
    """A node that the template names by its instance id, its logical id, or both."""

    node_id: str = ""
    logical_id: str = ""
    phase: Phase = Phase.UNSEEN
    node: Node | None = None
    """As last listed. None: never seen."""
    misses: int = 0
    """Listings in a row that lack it."""
    was_seen_leaving: bool = False
    """Whether it was seen leaving in a status other than Failure, so that a Failure is news."""
    failures: int = 0
    """Looks in a row at which its removal seemed to have failed."""
    may_have_been_requested: bool = False
    """Whether a request for it may have been carried out: accepted, or the answer was lost."""
    accepted: Node | None = None
    """As it was listed when the service accepted its removal."""
    attempts: int = 0
    """How many requests for it the service answered, or may have."""
    refusal: Refusal | None = None
    """Why the service did not accept it, the last time; of a failed node, why it failed."""
    deferral: Refusal | None = None
    """Why the last request for it had no effect, for a reason that is not the node's."""
    approved: str = ""
    """The node that the hook approved, by its instance id, or its logical id as long as it has no
    instance."""
    asked: Node | None = None
    """As a hook was asked about it that is notified of nodes that stay. None: it was not."""

    @property
    def name(self) -> str:
        """The id of the template by which it is requested and reported."""
        return self.logical_id if self.is_requested_by_logical_id else self.node_id

    @property
    def is_requested_by_logical_id(self) -> bool:
        """Whether it is requested by its logical id.

        The instance id is preferred, since more of them fit a request, as long as the template
        has it and it is still that of the listed instance.
        """
        return not self.node_id or (
            bool(self.logical_id)
            and self.node is not None
            and self.node.instance_id != self.node_id
        )

    @property
    def is_accepted(self) -> bool:
        """Whether the service accepted the removal of the instance that is listed now.

        Auto-recovery keeps the logical id and changes the instance; the new one has to be requested
        again.
        """
        return self.accepted is not None and _is_same_instance(self.accepted, self.node)

    @property
    def is_leaving(self) -> bool:
        """Whether it was leaving when it was last seen."""
        return self.is_accepted or self.was_seen_leaving

    @property
    def is_staying(self) -> bool:
        """Whether it is certain that no removal of it is under way."""
        if self.refusal and self.refusal.code == FailureCode.REMOVAL_FAILED:
            return True
        is_gone = self.phase in {Phase.ABSENT, Phase.REMOVED}
        return not (is_gone or self.is_leaving or self.may_have_been_requested)

    @property
    def is_unsettled_look(self) -> bool:
        """Whether one look more decides whether it is gone, or has failed."""
        return (
            self.phase is Phase.UNSEEN
            or 0 < self.misses < LOOKS
            or (self.failures > 0 and self.phase is Phase.LEAVING)
        )

    @property
    def why_waiting(self) -> Refusal | None:
        """What keeps it from being accepted. None: nothing has been tried."""
        return self.refusal or self.deferral

    # Observations ----------------------------------------------------------------------------

    def observe(self, node: Node) -> Self:
        """Apply a look that shows it as `node`."""
        is_same = _is_same_instance(node, self.node)
        seen = replace(
            self,
            node=node,
            misses=0,
            failures=self.failures if is_same else 0,
            was_seen_leaving=self.was_seen_leaving and is_same,
        )
        if self.phase is Phase.FAILED:
            return seen
        if seen.was_seen_leaving and node.status == _FAILURE:
            seen = replace(seen, phase=Phase.LEAVING, failures=seen.failures + 1)
            if seen.failures < LOOKS:
                return seen
            message = node.message or "the node's status changed to Failure"
            return seen.fail(Refusal(FailureCode.REMOVAL_FAILED, message))
        if seen.is_accepted or node.is_shutting_down:
            is_news = seen.was_seen_leaving or node.status != _FAILURE
            return replace(seen, phase=Phase.LEAVING, failures=0, was_seen_leaving=is_news)
        return replace(seen, phase=Phase.WAITING, failures=0, was_seen_leaving=False)

    def mark_missing(self) -> Self:
        """Apply a look that does not show it."""
        missed = replace(self, misses=self.misses + 1)
        if missed.misses >= LOOKS:
            return missed.mark_gone()
        if self.phase in {Phase.WAITING, Phase.LEAVING}:
            return replace(missed, phase=Phase.UNSEEN)
        return missed

    def mark_gone(self) -> Self:
        """Mark it as no longer in the cluster, which is certain."""
        if self.node is not None and self.node.is_detaching:
            message = (
                "the node left the cluster while it was being moved to another one"
                " (MoveClusterNodes)"
            )
            return self.fail(Refusal(FailureCode.MOVED, message))
        is_removed = self.is_leaving or self.may_have_been_requested
        return replace(self, phase=Phase.REMOVED if is_removed else Phase.ABSENT)

    # Responses -------------------------------------------------------------------------------

    def record_attempt(self) -> Self:
        """Count a request that was, or may have been, answered."""
        return replace(self, attempts=self.attempts + 1)

    def accept(self) -> Self:
        """Apply the acceptance of its removal."""
        return replace(
            self,
            phase=Phase.LEAVING,
            accepted=self.node,
            was_seen_leaving=self.node is not None and self.node.status != _FAILURE,
            may_have_been_requested=True,
            refusal=None,
            deferral=None,
        )

    def reject(self, refusal: Refusal) -> Self:
        """Apply a refusal of this node, with a code of the service."""
        rejected = replace(self, refusal=refusal, deferral=None)
        if refusal.code in _NOT_FOUND:
            # Listings decide: a node that they show is not gone.
            return replace(rejected, phase=Phase.UNSEEN)
        if refusal.code in _TRANSIENT or (self.node and self.node.status not in _AT_REST):
            return replace(rejected, phase=Phase.WAITING)
        return self.fail(refusal)

    def reject_with_batch(self, refusal: Refusal) -> Self:
        """Apply the refusal of a whole request for it alone, or for nodes refused before.

        What that means for a node is not documented, and the node was just listed: it is retried
        like one that is busy.
        """
        if self.refusal is not None:
            return replace(self, phase=Phase.WAITING)
        if code := re.search(_CODE_IN_MESSAGE, refusal.message):
            return self.reject(replace(refusal, code=code[0]))
        return replace(self, refusal=refusal, deferral=None)

    def defer(self, deferral: Refusal, *, may_have_been_requested: bool = False) -> Self:
        """Note that it could not be requested, or that the answer was lost."""
        return replace(
            self,
            deferral=deferral,
            may_have_been_requested=self.may_have_been_requested or may_have_been_requested,
        )

    # Endings ---------------------------------------------------------------------------------

    def apply_veto(self, veto: str | None) -> Self:
        """Apply the hook's verdict: a veto, or None for an approval."""
        if veto is not None:
            return self.fail(Refusal(FailureCode.VETOED, veto))
        return replace(self, approved=self.node.name if self.node else "")

    def fail(self, refusal: Refusal) -> Self:
        """Mark it as failed: it will not be requested again."""
        return replace(self, phase=Phase.FAILED, refusal=refusal)

    def stop(self, why: str, wait_for: WaitFor) -> Self:
        """End its removal, which is not complete. It fails unless it has reached `wait_for`."""
        if self.is_leaving and wait_for is WaitFor.ACCEPTED:
            return replace(self, phase=Phase.LEAVING)
        if self.is_leaving and self.node is not None:
            still = f"still {self.node.status or 'listed'}"
            seen = "missing from one look, which is not enough" if self.misses else still
            return self.fail(Refusal(FailureCode.STILL_PRESENT, f"accepted, {seen}: {why}"))
        if self.why_waiting:
            return self.fail(self.why_waiting)
        if self.accepted and self.node:
            new = f"accepted, then {self.accepted.name} was replaced by {self.node.name}: {why}"
            return self.fail(Refusal(FailureCode.STILL_PRESENT, new))
        return self.fail(Refusal(FailureCode.NOT_ATTEMPTED, why))

    def merge(self, other: Self) -> Self:
        """Merge two requested nodes that are the same node under its two ids."""
        final = next((one for one in (self, other) if one.phase is Phase.FAILED), None)
        under_way = next((one for one in (self, other) if one.phase is Phase.LEAVING), None)
        return replace(
            final or under_way or self,
            node_id=self.node_id or other.node_id,
            logical_id=self.logical_id or other.logical_id,
            may_have_been_requested=self.may_have_been_requested or other.may_have_been_requested,
            approved=self.approved or other.approved,
            asked=self.asked or other.asked,
        )


def _is_same_instance(one: Node, other: Node | None) -> bool:
    return other is not None and one.instance_id == other.instance_id
