"""How much time and how many calls a removal may take, derived from the bound."""

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
"""Seconds up to which a removal may take TIMES_OF_BOUND times the calls of the bound."""
LONG: Final = 600.0
"""Seconds from which it may take half the calls of the script that lists."""
SOON_GOAL: Final = f"calls: at most {TIMES_OF_BOUND} times the bound, up to two minutes"
LONG_GOAL: Final = "calls: at most half the list script's, from ten minutes on"
PAGES_GOAL: Final = "calls: at most the list script's, for clusters of more than one page"
CALL_GOALS: Final = (SOON_GOAL, LONG_GOAL, PAGES_GOAL)

_ORDERS: Final = 100
"""Orders in which nodes may be described: see `calls_for_time`."""


@dataclass(frozen=True)
class CallLimit:
    """The calls that one goal allows in one round."""

    goal: str
    most: float
    made: int
    bound: int
    needed: int
    """Calls that the time goal takes: see `calls_for_time`."""

    @property
    def is_kept(self) -> bool:
        """Whether no more calls were made."""
        return self.made <= self.most

    @property
    def obstacle(self) -> str:
        """Why no removal can keep it and meet the time goal, in numbers; empty if one can."""
        if self.bound > self.most:
            return f"the bound is {self.bound:,}"
        return f"the time goal takes {self.needed:,}" if self.needed > self.most else ""


def is_in_time(bound: PeerResult, ours: PeerResult) -> bool:
    """Return whether the time goal is met, counted from this bound."""
    return ours.seconds <= bound.seconds * (1 + SHARE) + SLACK


def calls_for_time(case: Case, bound: PeerResult, safe: PeerResult) -> int:
    """Return the calls that a removal needs to be sure to meet the time goal and keep the rules.

    Nobody knows when the last node leaves. If it leaves right after a check, the next check must
    come within the time that the goal allows, less what the rules take of it; if they take all of
    it, the goal counts from the safe bound. A check describes a node that is in the cluster. One
    that was in it at the last check is the best guess; once it has left, others are tried in any
    order, or the cluster is listed if that takes fewer calls. In nine of ten orders, no more calls
    are needed than the result.
    """
    spare = safe.seconds - bound.seconds
    confirmed = bound.seconds - bound.last_left
    time, checks = bound.last_request, list[float]()
    while time < bound.last_left:
        time += SLACK + SHARE * (time + confirmed) - (spare if spare < SLACK else 0.0)
        checks.append(time - bound.last_request)
    scenario, draw = Scenario(case), random.Random(0)
    leaves = [scenario.leaves_after[node] for node in scenario.sets[0] if node not in bound.refused]
    counts = [
        _descriptions(draw.sample(leaves, len(leaves)), checks[:-1], case.pages)
        for _ in range(_ORDERS)
    ]
    return safe.call_count + math.ceil(quantiles(counts, n=10)[-1])


def _descriptions(leaves: list[float], checks: list[float], pages: int) -> int:
    """Count the calls of the checks, each of the first node in this order that has not left."""
    count, first = 0, 0
    for check in checks:
        before = first
        while first < len(leaves) and leaves[first] <= check:
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
