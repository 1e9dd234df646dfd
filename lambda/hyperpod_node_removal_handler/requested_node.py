"""One requested node, from the template's id to its end."""

import re
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, Self

from hyperpod_node_removal_handler.cluster import Node, Refusal
from hyperpod_node_removal_handler.contract import FailureCode

_FAILURE: Final = "Failure"
# A node in one of these is busy with something that ends.
_TRANSITIONAL: Final = frozenset({"Pending", "SystemUpdating", "DeepHealthCheckInProgress"})

_NOT_FOUND: Final = frozenset({"NodeIdNotFound", "NodeLogicalIdNotFound"})
# The sister APIs (replace, reboot) define the first two as "wait for the other operation, then
# retry".
_TRANSIENT: Final = frozenset({"InvalidNodeStatus", "NodeIdInUse", "InternalError"})
# Assumption: where a request is refused as a whole, its message may name the node's own code. The
# code of the refusal itself says nothing.
_CODE_IN_MESSAGE: Final = rf"\b(?:{'|'.join(sorted(_NOT_FOUND | _TRANSIENT))})\b"


class Phase(Enum):
    """Where a requested node stands."""

    UNCERTAIN = auto()
    """Not listed yet, missing from a listing that cannot settle it, or denied by the service."""
    ABSENT = auto()
    """Not in the cluster, and not through this removal."""
    REMOVED = auto()
    """Left the cluster during this removal."""
    LEAVING = auto()
    """Accepted or shutting down, still listed."""
    WAITING = auto()
    """To be asked for, for the first time or again."""
    FAILED = auto()
    """Will not be asked for again."""

    @property
    def is_settled(self) -> bool:
        """Whether the removal has nothing more to do for such a node."""
        return self in {Phase.ABSENT, Phase.REMOVED, Phase.FAILED}


@dataclass(frozen=True, slots=True)
class RequestedNode:
    """A node the template names, by its instance id, its logical id, or both."""

    node_id: str = ""
    logical_id: str = ""
    node: Node | None = None
    """As last listed. None: never seen."""
    is_listed: bool = False
    """Whether the last listing had it."""
    is_missed: bool = False
    """Whether the last listing did not have it."""
    is_gone: bool = False
    """Not listed, beyond doubt."""
    is_denied: bool = False
    """The service said that it does not exist, and no listing has been taken since."""
    accepted: Node | None = None
    """As it was listed when the service accepted its removal."""
    attempts: int = 0
    """How often it was asked for."""
    refusal: Refusal | None = None
    """Why the service did not accept it, the last time."""
    obstacle: Refusal | None = None
    """Why it could not be asked for, the last time: not a word about this node itself."""
    is_final: bool = False
    """It has failed: the refusal stands."""
    cleared: str = ""
    """The node that the hook agreed to remove, by its instance id, or its logical id as long as it
    has no instance."""

    @property
    def name(self) -> str:
        """The id by which the template names it."""
        return self.node_id or self.logical_id

    @property
    def is_asked_by_logical_id(self) -> bool:
        """Whether the service is to be asked by its logical id.

        The instance id is preferred, since more of them fit a request, as long as it is the
        template's own and still that of the listed instance.
        """
        return not self.node_id or (
            bool(self.logical_id)
            and self.node is not None
            and self.node.instance_id != self.node_id
        )

    @property
    def identifier(self) -> str:
        """The id by which the service is asked."""
        return self.logical_id if self.is_asked_by_logical_id else self.node_id

    @property
    def is_accepted(self) -> bool:
        """Whether the service accepted the removal of the instance that is listed now.

        Auto-recovery keeps the logical id and changes the instance; the new one has to be asked
        for anew.
        """
        return (
            self.accepted is not None
            and self.node is not None
            and self.accepted.instance_id == self.node.instance_id
        )

    @property
    def is_leaving(self) -> bool:
        """Whether it was on its way out when it was last seen."""
        return self.is_accepted or (self.node is not None and self.node.is_shutting_down)

    @property
    def is_unanswered(self) -> bool:
        """Whether it was asked for and the last answer was lost: perhaps it was accepted."""
        return self.node is not None and self.attempts > 0 and self.refusal is None

    @property
    def may_have_been_asked_for(self) -> bool:
        """Whether a request for it was sent that a busy cluster has not refused for sure."""
        is_unsent = self.obstacle is None or self.obstacle.code == FailureCode.CLUSTER_BUSY
        return self.attempts > 0 or not is_unsent

    @property
    def phase(self) -> Phase:
        """Where the node stands. Being gone outweighs every earlier word about it."""
        if self.is_gone:
            return Phase.REMOVED if self.is_leaving or self.is_unanswered else Phase.ABSENT
        if self.is_final:
            return Phase.FAILED
        if not self.is_listed or self.is_denied:
            return Phase.UNCERTAIN
        return Phase.LEAVING if self.is_leaving else Phase.WAITING

    @property
    def why_waiting(self) -> Refusal | None:
        """What keeps it from being accepted. None: it has not been tried."""
        return self.refusal or self.obstacle

    # What a listing says ---------------------------------------------------------------------

    def seen_as(self, node: Node, *, is_controller: bool, needs_clearance: bool = False) -> Self:
        """The listing shows it as `node`. If it `needs_clearance`, a node that the hook was not
        asked about is not asked for."""
        seen = replace(
            self, node=node, is_listed=True, is_missed=False, is_gone=False, is_denied=False
        )
        if is_controller:
            return seen.failed(
                Refusal(
                    FailureCode.CONTROLLER_NODE,
                    f"group {node.group} runs the Slurm controller, which cannot be removed",
                )
            )
        if self.is_leaving and self._has_turned_to_failure(node):
            return seen.failed(
                Refusal(FailureCode.REMOVAL_FAILED, node.message or "the node turned to Failure")
            )
        if needs_clearance and seen.phase is Phase.WAITING and seen.cleared != node.name:
            return seen.failed(
                Refusal(FailureCode.VETOED, f"the hook was not asked about {node.name}")
            )
        return seen

    def missed(self, *, is_certain: bool) -> Self:
        """The listing does not show it.

        A listing of one page is of one moment and settles it (`is_certain`). In a longer one a
        node can slip between two pages, so its absence has to be seen twice in a row.
        """
        return replace(self, is_listed=False, is_missed=True, is_gone=is_certain or self.is_missed)

    def _has_turned_to_failure(self, node: Node) -> bool:
        """Whether a removal that was under way has failed.

        A node may well be in Failure when its removal is asked for: that is often why. Only a
        change to it counts.
        """
        if node.status != _FAILURE or self.node is None:
            return False
        return self.node.status != _FAILURE and self.node.instance_id == node.instance_id

    # What the service says -------------------------------------------------------------------

    def asked(self) -> Self:
        """It was asked for once more."""
        return replace(self, attempts=self.attempts + 1)

    def accepted_now(self) -> Self:
        """The service accepted its removal."""
        return replace(self, accepted=self.node, refusal=None, obstacle=None)

    def refused(self, refusal: Refusal) -> Self:
        """The service refused it, with a code of its own."""
        if refusal.code in _NOT_FOUND:
            # The next listing decides: a node that is still in it has not gone.
            return replace(self, is_denied=True, refusal=refusal, obstacle=None)
        if refusal.code in _TRANSIENT:
            return replace(self, refusal=refusal, obstacle=None)
        return self.failed(refusal)

    def refused_as_a_whole(self, refusal: Refusal) -> Self:
        """A request for it alone, or for it and others refused before, was refused."""
        if self.refusal is not None:
            return self
        if code := re.search(_CODE_IN_MESSAGE, refusal.message):
            return self.refused(replace(refusal, code=code[0]))
        if self.node is not None and self.node.status in _TRANSITIONAL:
            return replace(self, refusal=refusal, obstacle=None)
        return self.failed(refusal)

    def ruled(self, veto: str | None) -> Self:
        """The hook was asked about it, and vetoed it, or did not."""
        if veto is not None:
            return self.failed(Refusal(FailureCode.VETOED, veto))
        return replace(self, cleared=self.node.name if self.node else "")

    def put_off(self, obstacle: Refusal) -> Self:
        """It could not be asked for, or the answer was lost, through no fault of its own."""
        return replace(self, obstacle=obstacle)

    def failed(self, refusal: Refusal) -> Self:
        """It will not be asked for again."""
        return replace(self, refusal=refusal, is_final=True)

    def stopped(self, why: str) -> Self:
        """The removal ended before this node did."""
        if self.is_leaving and self.node is not None:
            message = f"accepted, still {self.node.status or 'listed'}: {why}"
            return self.failed(Refusal(FailureCode.STILL_PRESENT, message))
        return self.failed(self.why_waiting or Refusal(FailureCode.NOT_ATTEMPTED, why))

    def merged_with(self, other: Self) -> Self:
        """The same node under its other id."""
        return replace(
            self,
            node_id=self.node_id or other.node_id,
            logical_id=self.logical_id or other.logical_id,
            cleared=self.cleared or other.cleared,
            # What is final for one of them is final for the node.
            refusal=other.refusal if other.is_final else self.refusal,
            is_final=self.is_final or other.is_final,
        )
