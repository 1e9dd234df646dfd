"""The table of measured shapes, from few nodes of many to ten removals at once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from bench.scenario import RETRY_FOR, Case

SWEEP: Final = (2.0, 3.3, 5.0, 5.5, 9.0, 17.0, 30.0)
"""Seconds within which nodes leave, one round each: a single one could be in step with a pause."""


@dataclass(frozen=True)
class Shape:
    """A kind of removal: a row of the tables."""

    name: str
    rounds: tuple[Case, ...]
    leaves: str
    """How its nodes leave, in words."""

    @property
    def is_limited(self) -> bool:
        """Whether its calls have a rate."""
        return any(case.rate for case in self.rounds)


def shapes() -> Iterator[Shape]:
    """Yield all of them, in the order of the tables."""
    yield _swept("1 of 40", Case(1, 40))
    yield _swept("8 of 40", Case(8, 40))
    for of, nodes in product((1000, 3000, 6000), (1, 8, 50)):
        yield _swept(f"{nodes} of {of:,}", Case(nodes, of))
    for nodes, of in ((99, 130), (3000, 3750)):
        yield _swept(f"{nodes:,} of {of:,}", Case(nodes, of))
        for within in (60.0, 1200.0):
            yield _shape(f"{nodes:,} of {of:,}", Case(nodes, of, within), f"within {within:g} s")
    for nodes in (8, 100):
        case = Case(nodes, 3000, leaves_within=5.5, straggler=1200.0)
        yield _shape(f"{nodes} of 3,000", case, "within 5.5 s, one after 1,200 s")
    for refused, is_guarded in ((8, False), (2, False), (8, True)):
        name = f"8 of 3,000, {'guarded, ' if is_guarded else ''}{refused} refused"
        case = Case(8, 3000, leaves_within=30.0, refused=refused, is_guarded=is_guarded)
        yield _shape(name, case, f"within 30 s; refused for {RETRY_FOR:g} s")
    for rate in (10.0, 5.0, 2.0, 1.0):
        case = Case(8, 3000, leaves_within=30.0, rate=rate)
        calls = f"{rate:g} call{'s' if rate > 1 else ''} a second"
        yield _shape(f"8 of 3,000, {calls}", case, "within 30 s")
    case = Case(8, 3000, leaves_within=60.0, rate=2.0, removals=10)
    yield _shape("ten at once, each 8 of 3,000, 2 calls a second", case, "within 60 s")


def quick() -> Iterator[Shape]:
    """Yield one round of a small shape of each kind."""
    for limited in LIMITED_CASES:
        yield Shape(limited.name, (limited.case,), f"within {limited.case.leaves_within:g} s")


def _swept(name: str, case: Case) -> Shape:
    rounds = (replace(case, leaves_within=t, seed=i) for i, t in enumerate(SWEEP))
    return Shape(name, tuple(rounds), f"within {SWEEP[0]:g} to {SWEEP[-1]:g} s")


def _shape(name: str, case: Case, leaves: str) -> Shape:
    return Shape(name, (case, replace(case, seed=1)), leaves)


@dataclass(frozen=True)
class LimitedCase:
    """A case whose calls and seconds a test limits. They are exact, since time is virtual: lower
    the limits whenever the product gets better."""

    name: str
    case: Case
    max_calls: int
    max_seconds: float


LIMITED_CASES: Final = (
    LimitedCase("1 of 3,000", Case(1, 3000, leaves_within=5.0), 70, 12.0),
    LimitedCase("8 of 1,000", Case(8, 1000, leaves_within=17.0), 46, 19.4),
    LimitedCase("8 of 300, one after 1,200 s", Case(8, 300, 5.5, straggler=1200.0), 172, 1214.0),
    LimitedCase("8 of 1,000, all refused", Case(8, 1000, refused=8), 208, 604.6),
    LimitedCase("8 of 1,000, 2 refused", Case(8, 1000, refused=2), 168, 603.1),
    LimitedCase("8 of 1,000, 2 calls a second", Case(8, 1000, rate=2.0), 64, 66.6),
    LimitedCase("8 of 1,000, 1 call a second", Case(8, 1000, rate=1.0), 60, 94.4),
    LimitedCase(
        "ten at once, each 8 of 3,000, 2 calls a second",
        Case(8, 3000, rate=2.0, removals=10),
        1051,
        732.1,
    ),
)
