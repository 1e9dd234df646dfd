"""What a removal may take, in time and in calls: made of the bound, not of the product's pace."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.scenario import LATENCY, PAGE, Case, PeerResult
from bench.shapes import Shape

SLACK: Final = 1.0
SHARE: Final = 0.05
TIME_GOAL: Final = f"time: at most the bound + {SLACK:g} s + {SHARE:.0%}"

TIMES_OF_BOUND: Final = 3
SOON: Final = 120.0
"""Seconds up to which a removal may take so many times the calls of the bound."""
LONG: Final = 600.0
"""Seconds from which on it may take half the calls of the script that lists."""
SOON_GOAL: Final = f"calls: at most {TIMES_OF_BOUND} times the bound, up to two minutes"
LONG_GOAL: Final = "calls: at most half the list script's, from ten minutes on"
PAGES_GOAL: Final = "calls: at most the list script's, for clusters of more than one page"
CALL_GOALS: Final = (SOON_GOAL, LONG_GOAL, PAGES_GOAL)


@dataclass(frozen=True)
class CallLimit:
    """The calls that one goal allows in one round."""

    goal: str
    most: float
    made: int
    bound: int
    needed: int
    """Calls that the time goal alone takes: see `calls_for_time`."""

    @property
    def is_kept(self) -> bool:
        """Whether no more were made."""
        return self.made <= self.most

    @property
    def obstacle(self) -> str:
        """Why nobody can keep it together with the time goal, in numbers; empty if one can."""
        if self.bound > self.most:
            return f"the bound is {self.bound:,}"
        return f"the time goal takes {self.needed:,}" if self.needed > self.most else ""


def latest(bound: PeerResult) -> float:
    """Seconds within which a removal is to be answered."""
    return bound.seconds * (1 + SHARE) + SLACK


def second_look(case: Case) -> int:
    """Calls that see a second time that each node is gone, which the bound does not make.

    A listing is not of one moment and may lack a node that is there (docs/adr/0014): each node is
    described once, or what is left of the cluster is listed once more, whichever is less.
    """
    return min(case.nodes, max(1, -(-(case.of - case.nodes) // PAGE)))


def is_explained(case: Case, bound: PeerResult, ours: PeerResult) -> bool:
    """Whether the time goal is met, or missed by no more than the second look."""
    return ours.seconds <= latest(bound) + second_look(case) * LATENCY


def calls_for_time(bound: PeerResult) -> int:
    """Calls without which nobody can be sure to meet the time goal.

    Nobody knows when the last node leaves. If it leaves right after a look, the next look has to
    come within the time that the goal allows for it, so looks from the last request until then
    cannot be further apart. Each takes one call at the least; the last one is the bound's listing.
    """
    confirmed = bound.seconds - bound.last_left
    time, looks = bound.last_request, 0
    while time < bound.last_left:
        time += SLACK + SHARE * (time + confirmed)
        looks += 1
    return bound.call_count + max(0, looks - 1)


def call_limits(
    shape: Shape, bound: PeerResult, ours: PeerResult, lists: PeerResult
) -> Iterator[CallLimit]:
    """The limits that apply to a round."""
    counts = (ours.call_count, bound.call_count, calls_for_time(bound))
    if bound.seconds <= SOON:
        yield CallLimit(SOON_GOAL, TIMES_OF_BOUND * bound.call_count, *counts)
    if bound.seconds >= LONG:
        yield CallLimit(LONG_GOAL, lists.call_count / 2, *counts)
    if shape.has_pages:
        yield CallLimit(PAGES_GOAL, lists.call_count, *counts)
