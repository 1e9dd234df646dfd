"""Removals in virtual time: how far from the bound, in seconds and in calls."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any, Final

from bench import goals
from bench.peers import BOUND, DESCRIBES, FILTERS, LISTS, OURS, SAFE_BOUND, Peer
from bench.reporting import Chapter, Verdict, table
from bench.scenario import LATENCY, RETRY_FOR, Case, PeerResult
from bench.shapes import LIMITED_CASES, SWEEP, Shape

PEERS: Final = (BOUND, SAFE_BOUND, OURS, LISTS, DESCRIBES, FILTERS)
SCRIPTS: Final = (LISTS, DESCRIBES, FILTERS)
_DESCRIBED: Final = 99
"""Nodes up to which the script that describes each is run: 3,000 take five minutes each time."""


@dataclass(frozen=True)
class Measured:
    """The results of one shape: those of all rounds, by peer."""

    shape: Shape
    rounds: Mapping[Peer, Sequence[PeerResult]]

    def is_right(self, peer: Peer) -> bool:
        """Return whether the reply of a peer was right in every round."""
        pairs = zip(self.shape.rounds, self.rounds[peer], strict=True)
        return all(result.right == case.removals for case, result in pairs)

    @cached_property
    def over(self) -> list[float]:
        """Seconds of the product over the bound, from the request on."""
        pairs = zip(self.rounds[OURS], self.rounds[BOUND], strict=True)
        return [ours.seconds - bound.seconds for ours, bound in pairs]

    def in_time(self, bound: Peer) -> int:
        """Count the rounds in which the product meets the time goal with a right reply."""
        pairs = zip(self.shape.rounds, self.rounds[bound], self.rounds[OURS], strict=True)
        return sum(
            ours.right == case.removals and goals.is_in_time(result, ours)
            for case, result, ours in pairs
        )

    @cached_property
    def limits(self) -> list[goals.CallLimit]:
        """The limits of the calls of all rounds; none where calls have a rate."""
        if self.shape.is_limited:
            return []
        peers = (self.rounds[peer] for peer in (BOUND, SAFE_BOUND, OURS, LISTS))
        return [
            limit
            for case, bound, safe, ours, lists in zip(self.shape.rounds, *peers, strict=True)
            for limit in goals.call_limits(case, bound=bound, safe=safe, ours=ours, lists=lists)
        ]


def measure(shapes: Sequence[Shape], processes: int) -> list[Measured]:
    """Run every peer on the same scenarios."""
    runs = [
        (shape, peer, case)
        for shape in shapes
        for peer in PEERS
        for case in shape.rounds
        if peer is not DESCRIBES or case.nodes <= _DESCRIBED
    ]
    # The long ones first, so that no processor is idle in the end.
    order = sorted(range(len(runs)), key=lambda i: -_size(runs[i][2]))
    with ProcessPoolExecutor(processes) as pool:
        found = dict(zip(order, pool.map(_run, [runs[i][1:] for i in order]), strict=True))
    results: dict[Shape, dict[Peer, list[PeerResult]]] = {shape: {} for shape in shapes}
    for number, (shape, peer, _) in enumerate(runs):
        results[shape].setdefault(peer, []).append(found[number])
    return [Measured(shape, rounds) for shape, rounds in results.items()]


def _size(case: Case) -> float:
    longest = max(case.leaves_within, case.straggler, RETRY_FOR * bool(case.refused or case.rate))
    return case.of * case.removals * longest


def _run(run: tuple[Peer, Case]) -> PeerResult:
    peer, case = run
    return peer.run(case)


def _verdicts(measured: Sequence[Measured]) -> Iterator[Verdict]:
    free = [one for one in measured if not one.shape.is_limited]
    limited = [one for one in measured if one.shape.is_limited]
    met, explained = (
        sum(one.in_time(bound) == len(one.shape.rounds) for one in free)
        for bound in (BOUND, SAFE_BOUND)
    )
    over = [median(one.over) for one in free]
    yield Verdict(
        goals.TIME_GOAL,
        met == len(free),
        f"in every round of {met} of {len(free)} shapes, and counted from the safe bound of {explained};"
        f" over the bound by {min(over):.1f} to {max(over):.1f} s in the middle of the rounds",
    )
    for goal in goals.CALL_GOALS:
        limits = [[limit for limit in one.limits if limit.goal == goal] for one in free]
        limits = [rounds for rounds in limits if rounds]
        kept = sum(all(limit.is_kept for limit in rounds) for rounds in limits)
        explained = sum(
            all(limit.is_kept or limit.obstacle for limit in rounds) for rounds in limits
        )
        result = f"in every round of {kept} of {len(limits)} shapes"
        if explained > kept:
            result += f"; in {explained - kept} more, the bound or the time goal takes more"
        yield Verdict(goal, kept == len(limits), result)
    failed = [one for one in limited if not one.is_right(OURS)]
    beaten = [one.shape.name for one in failed if any(map(one.is_right, SCRIPTS))]
    yield Verdict(
        "few calls: never fails where a patient script succeeds",
        not beaten,
        f"succeeds in {len(limited) - len(failed)} of {len(limited)} shapes"
        + (f"; a script does in: {'; '.join(beaten)}" if beaten else ""),
    )


def chapter(measured: Sequence[Measured]) -> Chapter:
    """Return section 1."""
    limits = "; ".join(
        f"{one.name} ({one.max_calls:,}, {one.max_seconds:,.1f})" for one in LIMITED_CASES
    )
    return Chapter(
        title="How far from the bound",
        what=(
            "Seconds over the bound are those of the middle round and (of the worst). For calls, the table"
            " shows the round and the goal with the most calls in proportion to the limit; limits that"
            " could have been kept come first. If a goal is missed, the table says whether it could be"
            " met at all: *the bound is* more than the goal allows, or *the time goal takes* more calls"
            " from any removal that keeps the rules, because nobody knows when the last node leaves, and"
            " less frequent checks would notice it too late (`bench/goals.py`). Where calls have a rate (a"
            " bucket that holds one second's), the goal is to succeed.\n\n"
            "The bound is a removal that knows when each node leaves (`bench/peers/bound.py`): the pages"
            " of a plan, one check of the stack and one delete request for each 99 nodes, the slowest"
            " node, and one listing that confirms it. The *safe bound* knows as much and keeps the rules of"
            " this product: it sees each absence twice, since a listing may lack a node that exists (ADR"
            " 14), by one more call for each node, or for each page if those are fewer; it describes the"
            " cluster before and after, and lists it every two minutes (ADR 16); it checks the stack once"
            " more, and every half minute (ADR 13). Time counts from the request to the reply, and calls"
            " are those of AWS's APIs. They take a seeded log-normal latency with a median of"
            f" {LATENCY:g} s. Each node leaves at a seeded moment, after at least a tenth of the time"
            f" shown. Of {SWEEP[0]:g} to {SWEEP[-1]:g} s, each round has its own"
            f" ({', '.join(f'{seconds:g}' for seconds in SWEEP)} s), since a single one could be in step"
            " with a pause. The stack is being created.\n\n"
            "Asserted by `tests/bench/test_removals.py` on any machine: this product gets these right,"
            f" with at most so many calls and virtual seconds: {limits}."
        ),
        verdicts=list(_verdicts(measured)),
        tables=[
            table(
                [
                    *("nodes", "leave", "bound, s", "over it, s", "time goal met"),
                    *("calls, of at most", "call goals"),
                ],
                map(_goal_row, measured),
            ),
            "Compared with scripts that retry as long as the product does (`bench/peers/scripts.py`), in"
            " seconds and calls of the middle round. They make no plan and do not check the stack, so they"
            " may be below the bound; all pause 5 s. One lists the whole cluster, one describes each node, one lists the"
            " instance group of the nodes, which holds no others: its best case.\n\n"
            + table(
                ["nodes", "leave", *(peer.name for peer in PEERS)],
                (
                    [one.shape.name, one.shape.leaves, *(_cell(one, peer) for peer in PEERS)]
                    for one in measured
                ),
            ),
        ],
        rows=[_row(one, peer) for one in measured for peer in one.rounds],
    )


def _goal_row(measured: Measured) -> list[object]:
    shape, count = measured.shape, len(measured.shape.rounds)
    bounds = [one.seconds for one in measured.rounds[BOUND]]
    ends = dict.fromkeys(f"{seconds:,.0f}" for seconds in (min(bounds), max(bounds)))
    over = f"{median(measured.over):+.1f} ({max(measured.over):+.1f})"
    head = [shape.name, shape.leaves, " to ".join(ends), over]
    if shape.is_limited:
        return [*head, "succeeds" if measured.is_right(OURS) else "**fails**", "", ""]
    met, explained = measured.in_time(BOUND), measured.in_time(SAFE_BOUND)
    in_time = f"{met} of {count}" if met == count else f"**{met} of {count}**"
    if met < explained:
        in_time += f"; {explained} from the safe bound"
    worst = max(measured.limits, key=_distance, default=None)
    if worst is None:
        return [*head, in_time, "", "none"]
    verdict = "met" if worst.is_kept else "**missed**"
    if not worst.is_kept and worst.obstacle:
        verdict += f"; {worst.obstacle}"
    return [*head, in_time, f"{worst.made:,} of {worst.most:,.0f}", verdict]


def _distance(limit: goals.CallLimit) -> tuple[bool, float]:
    """Return a sort key: limits that could have been kept are the highest."""
    return not limit.is_kept and not limit.obstacle, limit.made / limit.most


def _cell(measured: Measured, peer: Peer) -> str:
    if peer not in measured.rounds:
        return "-"
    results = measured.rounds[peer]
    seconds = median(one.seconds for one in results)
    calls = median(one.call_count for one in results)
    text = f"{seconds:,.1f} s, {calls:,.0f} calls"
    if not measured.is_right(peer):
        right, every = min(one.right for one in results), measured.shape.rounds[0].removals
        text += f", **{right} of {every} right**"
    return text


def _row(measured: Measured, peer: Peer) -> dict[str, Any]:
    results = measured.rounds[peer]
    operations = sorted({operation for one in results for operation in one.calls})
    return {
        "shape": measured.shape.name,
        "leaves": measured.shape.leaves,
        "peer": peer.name,
        "right": [one.right for one in results],
        "seconds": [round(one.seconds, 2) for one in results],
        "last_left": [round(one.last_left, 2) for one in results],
        "calls": {name: [one.calls.get(name, 0) for one in results] for name in operations},
    }
