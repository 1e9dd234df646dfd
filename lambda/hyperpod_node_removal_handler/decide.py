"""What a removal does next: a pure decision, which the reconciler carries out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from hyperpod_node_removal_contract import WaitFor
from hyperpod_node_removal_handler import timing
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.request import RemovalRequest
from hyperpod_node_removal_handler.requested_node import Phase


class Step(Enum):
    """What to do next."""

    OBSERVE = auto()
    """List the nodes, and check the guards unless the removal has begun."""
    REQUEST = auto()
    """Request every waiting node."""
    GIVE_UP = auto()
    """Fail the nodes that were refused until the end of `RetryFor`."""
    WAIT = auto()
    """Wait until something may have changed, then list the nodes."""
    AWAIT_CLUSTER = auto()
    """All nodes have left: wait until the cluster is no longer in transition."""
    FINISH = auto()
    """Report: there is nothing left to do."""
    EXPIRE = auto()
    """Report: the time is up."""
    HAND_OVER = auto()
    """Let the next invocation go on."""


@dataclass
class Schedule:
    """When the reconciler does what, in seconds of the clock."""

    deadlines: timing.Deadlines
    request: RemovalRequest
    retry_until: float
    """When `RetryFor` is over: the last request is made then."""
    reached_at: float | None = None
    """When the last node was seen to have left."""
    is_cluster_settled: bool = False
    """Whether the cluster was seen out of transition after that."""
    next_request_at: float = -math.inf
    was_last_request: bool = False
    retries: Iterator[float] = field(default_factory=lambda: timing.pauses(*timing.RETRY_PAUSES))

    def requested(self, now: float) -> None:
        """Plan the next round of requests. The last one is at the very end of `RetryFor`."""
        self.was_last_request = now >= self.retry_until
        if self.was_last_request:
            self.next_request_at = now + timing.LAST_LOOK
        else:
            self.next_request_at = min(now + next(self.retries), self.retry_until)

    def awaits_cluster(self, removal: Removal, now: float) -> bool:
        """Return whether the cluster may still be changing after this removal's nodes have left.

        That is waited for until `RetryFor` after the last node left.
        """
        if self.request.wait_for is not WaitFor.REMOVED or self.is_cluster_settled:
            return False
        reached_at = now if self.reached_at is None else self.reached_at
        return now < reached_at + self.request.retry_for and bool(removal.lowered_by_group)


def decide(removal: Removal, schedule: Schedule, now: float, *, listed_at: float) -> Step:
    """Return what to do next. `listed_at` is when the nodes were listed."""
    has_reached = removal.has_reached(schedule.request.wait_for)
    if has_reached and not schedule.awaits_cluster(removal, now):
        return Step.FINISH
    if now >= schedule.deadlines.deadline:
        return Step.EXPIRE
    if now >= schedule.deadlines.hand_over_at:
        return Step.HAND_OVER
    if has_reached:
        return Step.AWAIT_CLUSTER
    if not removal.by_phase[Phase.WAITING] or now < schedule.next_request_at:
        return Step.WAIT
    return _request(removal, schedule, now, listed_at)


def _request(removal: Removal, schedule: Schedule, now: float, listed_at: float) -> Step:
    """Return what to do where nodes are due to be requested."""
    if schedule.was_last_request:
        return Step.GIVE_UP
    return Step.OBSERVE if needs_listing(removal, now, listed_at) else Step.REQUEST


def needs_listing(removal: Removal, now: float, listed_at: float) -> bool:
    """Return whether the guards must be checked again, against a listing, before a request.

    They apply until a request may have been carried out.
    """
    may_break = removal.is_guarded and not removal.has_begun
    return may_break and now - listed_at >= timing.LISTING_MAX_AGE


def ask_again_at(now: float, pause: float, deadlines: timing.Deadlines) -> float | None:
    """Return when a hook that is not ready is asked again. None: it was asked for the last time."""
    last = deadlines.deadline - timing.HOOK_RESERVE - timing.LAST_QUESTION
    return min(now + pause, last) if now < last else None


def wake_at(removal: Removal, schedule: Schedule, now: float, *, pause: float) -> float:
    """Return when the next request is due, or it is time for a look: whichever is first.

    `pause` is that between looks while nodes leave.
    """
    last_listings = schedule.deadlines.deadline - timing.LAST_LISTINGS
    times = [schedule.deadlines.end, *([last_listings] if now < last_listings else [])]
    if removal.by_phase[Phase.WAITING]:
        times.append(schedule.next_request_at)
    if any(not node.failures for node in removal.by_phase[Phase.LEAVING]):
        times.append(now + pause)
    elif any(node.is_unsettled_look for node in removal.nodes):
        times.append(now + timing.CONFIRM)
    return min(times)
