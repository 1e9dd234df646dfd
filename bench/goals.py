"""What a removal may take, in time and in calls: made of the bound, not of the product's pace."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import quantiles
from typing import Final

from bench.scenario import Case, PeerResult, Scenario

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

_ORDERS: Final = 100
"""Orders in which nodes may be described, of which nine of ten count: see `calls_for_time`."""


@dataclass(frozen=True)
class CallLimit:
    """The calls that one goal allows in one round."""

    goal: str
    most: float
    made: int
    bound: int
    needed: int
    """Calls that the time goal and the rules take: see `calls_for_time`."""

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


def is_in_time(bound: PeerResult, ours: PeerResult) -> bool:
    """Return whether the time goal is met, counted from this bound."""
    return ours.seconds <= bound.seconds * (1 + SHARE) + SLACK


def calls_for_time(case: Case, bound: PeerResult, safe: PeerResult) -> int:
    """Return the calls without which nobody who keeps the rules can be sure to meet the time goal.

    Nobody knows when the last node leaves. If it leaves right after a look, the next look has to
    come within the time that the goal allows for it, less what the rules take of that; where they
    take all of it, the goal counts from the safe bound. Each look takes a description of a node
    that is in the cluster. One that was in it at the last look is the best guess; once it has left,
    others are tried in any order, or the cluster is listed if that takes fewer calls. The order
    decides how many calls that takes: no more than the result in nine of ten orders.
    """
    spare = safe.seconds - bound.seconds
    confirmed = bound.seconds - bound.last_left
    time, looks = bound.last_request, list[float]()
    while time < bound.last_left:
        time += SLACK + SHARE * (time + confirmed) - (spare if spare < SLACK else 0.0)
        looks.append(time - bound.last_request)
    scenario, draw = Scenario(case), random.Random(0)
    leaves = [scenario.leaves_after[node] for node in scenario.sets[0] if node not in bound.refused]
    counts = [
        _descriptions(draw.sample(leaves, len(leaves)), looks[:-1], case.pages)
        for _ in range(_ORDERS)
    ]
    return safe.call_count + math.ceil(quantiles(counts, n=10)[-1])


def _descriptions(leaves: list[float], looks: list[float], pages: int) -> int:
    """Count the calls of the looks, each of the first node in this order that has not left."""
    count, first = 0, 0
    for look in looks:
        before = first
        while first < len(leaves) and leaves[first] <= look:
            first += 1
        count += min(first - before + 1, pages)
    return count


def call_limits(
    case: Case, *, bound: PeerResult, safe: PeerResult, ours: PeerResult, lists: PeerResult
) -> Iterator[CallLimit]:
    """Yield the limits that apply to a round."""
    counts = (ours.call_count, bound.call_count, calls_for_time(case, bound, safe))
    if bound.seconds <= SOON:
        yield CallLimit(SOON_GOAL, TIMES_OF_BOUND * bound.call_count, *counts)
    if bound.seconds >= LONG:
        yield CallLimit(LONG_GOAL, lists.call_count / 2, *counts)
    if case.pages > 1:
        yield CallLimit(PAGES_GOAL, lists.call_count, *counts)
