"""Removals in virtual time: how far from the bound, in seconds and in calls."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final

from bench import goals
from bench.reporting import Chapter, Spread, Verdict, table
from bench.runs import BOUND, DESCRIBES, FILTERS, LISTS, OURS, SAFE_BOUND, Peer
from bench.scenario import LATENCY, RETRY_FOR, Case, PeerResult
from bench.shapes import HELD, SWEEP, Shape

PEERS: Final = (BOUND, SAFE_BOUND, OURS, LISTS, DESCRIBES, FILTERS)
SCRIPTS: Final = (LISTS, DESCRIBES, FILTERS)
_DESCRIBED: Final = 99
"""Nodes up to which the script that describes each is run: 3,000 take it five minutes a look."""

Rounds = Mapping[str, Sequence[PeerResult]]
"""What each peer answered, round by round, by the peer's name."""
Runs = Mapping[Shape, Rounds]
Limits = Mapping[Shape, Sequence[goals.CallLimit]]
"""What applies to the calls of each shape without a rate, in all rounds."""


def measure(shapes: Sequence[Shape], processes: int) -> Runs:
    """Every peer on the same scenarios."""
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
    results: dict[Shape, dict[str, list[PeerResult]]] = {shape: {} for shape in shapes}
    for number, (shape, peer, _) in enumerate(runs):
        results[shape].setdefault(peer.name, []).append(found[number])
    return results


def _size(case: Case) -> float:
    longest = max(case.leaves_within, case.straggler, RETRY_FOR * bool(case.refused or case.rate))
    return case.of * case.removals * longest


def _run(run: tuple[Peer, Case]) -> PeerResult:
    peer, case = run
    return peer.run(case)


# Judging -------------------------------------------------------------------------------------


def _is_right(shape: Shape, results: Sequence[PeerResult]) -> bool:
    pairs = zip(shape.rounds, results, strict=True)
    return all(result.right == case.removals for case, result in pairs)


def _in_time(shape: Shape, rounds: Rounds) -> tuple[int, int]:
    """Count the rounds in which the product meets the time goal with a right answer, and those in
    which it meets the goal that counts from the safe bound."""
    peers = (rounds[peer.name] for peer in (BOUND, SAFE_BOUND, OURS))
    rows = [
        (bound, safe, ours)
        for case, bound, safe, ours in zip(shape.rounds, *peers, strict=True)
        if ours.right == case.removals
    ]
    met = sum(ours.seconds <= goals.latest(bound) for bound, _, ours in rows)
    return met, sum(goals.is_explained(safe, ours) for _, safe, ours in rows)


def _limits(shape: Shape, rounds: Rounds) -> list[goals.CallLimit]:
    """The limits of all rounds."""
    peers = (rounds[peer.name] for peer in (BOUND, SAFE_BOUND, OURS, LISTS))
    return [
        limit
        for case, bound, safe, ours, lists in zip(shape.rounds, *peers, strict=True)
        for limit in goals.call_limits(shape, case, bound=bound, safe=safe, ours=ours, lists=lists)
    ]


def _verdicts(runs: Runs, limits: Limits) -> Iterator[Verdict]:
    free = [shape for shape in runs if not shape.is_limited]
    counts = [(*_in_time(shape, runs[shape]), len(shape.rounds)) for shape in free]
    met = sum(in_time == every for in_time, _, every in counts)
    explained = sum(but_for == every for _, but_for, every in counts)
    over = [_over(runs[shape], OURS) for shape in free]
    yield Verdict(
        goals.TIME_GOAL,
        met == len(free),
        f"in every round of {met} of {len(free)} shapes, and counted from the safe bound of {explained};"
        " over the bound by"
        f" {min(one.middle for one in over):.1f} to {max(one.middle for one in over):.1f} s in the"
        " middle of the rounds",
    )
    for goal in goals.CALL_GOALS:
        by_shape = [
            rounds
            for shape in free
            if (rounds := [one for one in limits[shape] if one.goal == goal])
        ]
        kept = sum(all(limit.is_kept for limit in rounds) for rounds in by_shape)
        explained = sum(
            all(limit.is_kept or limit.obstacle for limit in rounds) for rounds in by_shape
        )
        result = f"in every round of {kept} of {len(by_shape)} shapes"
        if explained > kept:
            result += f"; in {explained - kept} more, the bound or the time goal takes more"
        yield Verdict(goal, kept == len(by_shape), result)
    limited = [shape for shape in runs if shape.is_limited]
    failed = [shape.name for shape in limited if not _is_right(shape, runs[shape][OURS.name])]
    beaten = [
        shape.name
        for shape in limited
        if shape.name in failed
        and any(_is_right(shape, runs[shape][peer.name]) for peer in SCRIPTS)
    ]
    yield Verdict(
        "few calls: never fails where a patient script succeeds",
        not beaten,
        f"succeeds in {len(limited) - len(failed)} of {len(limited)} shapes"
        + (f"; a script does in: {'; '.join(beaten)}" if beaten else ""),
    )


def _over(rounds: Rounds, peer: Peer) -> Spread:
    """Seconds over the bound, from the request on."""
    pairs = zip(rounds[peer.name], rounds[BOUND.name], strict=True)
    return Spread.of([one.seconds - bound.seconds for one, bound in pairs])


# The page ------------------------------------------------------------------------------------


def chapter(runs: Runs) -> Chapter:
    """Section 1."""
    limits = {shape: _limits(shape, runs[shape]) for shape in runs if not shape.is_limited}
    held = "; ".join(f"{one.name} ({one.calls:,}, {one.seconds:,.1f})" for one in HELD)
    return Chapter(
        title="How far from the bound",
        what=(
            "Seconds over the bound are those of the middle round and (of the worst). Of the calls, the"
            " round and the goal are shown that are furthest exceeded, or nearest, those first that could"
            " be met. Where a goal of calls is missed, it says whether anybody could meet it: *the bound"
            " is* more than it allows, or *the time goal takes* more of whoever keeps the rules, since nobody"
            " knows when the last node leaves, and looks further apart would come too late"
            " (`bench/goals.py`). Where calls have a rate (a bucket that holds one second's), the goal is"
            " to succeed.\n\n"
            "The bound is a removal by somebody who knows when each node leaves (`bench/runs/bound.py`):"
            " the pages of a plan, one look at the stack and one delete for each 99 nodes, the slowest"
            " node, and one listing that confirms it. The *safe bound* knows as much and keeps the rules of"
            " this product: each absence is seen twice, since a listing may lack a node that is there (ADR"
            " 14), by one more call for each node, or for each page if those are fewer; the cluster is"
            " described before and after, and listed every two minutes (ADR 16); the stack is looked at"
            " once more, and every half minute (ADR 13). Time counts from the request to the answer, and"
            " calls are those of AWS's APIs. They take a seeded log-normal latency with a median of"
            f" {LATENCY:g} s. Each node leaves at a seeded moment, from a tenth of the time given on; of"
            f" {SWEEP[0]:g} to {SWEEP[-1]:g} s each round has its own"
            f" ({', '.join(f'{seconds:g}' for seconds in SWEEP)} s), since a single one could be in step"
            " with a pause. The stack is being created.\n\n"
            "Held by `tests/bench/test_removals.py`, whatever the machine: that this product gets these"
            f" right, with at most so many calls and virtual seconds: {held}."
        ),
        verdicts=list(_verdicts(runs, limits)),
        tables=[
            table(
                [
                    *("nodes", "leave", "bound, s", "over it, s", "time goal met"),
                    *("calls, of at most", "call goals"),
                ],
                (_goal_row(shape, runs[shape], limits.get(shape, ())) for shape in runs),
            ),
            "Beside scripts, each in its patient form (`bench/peers/scripts.py`), seconds and calls of the"
            " middle round. They make no plan and look at no stack, so they may come in below the bound;"
            " all pause 5 s. One lists the whole cluster, one describes each node, one lists the"
            " instance group of the nodes, which holds no others: its best case.\n\n"
            + table(
                ["nodes", "leave", *(peer.name for peer in PEERS)],
                (
                    [shape.name, shape.leaves, *(_cell(shape, rounds, peer) for peer in PEERS)]
                    for shape, rounds in runs.items()
                ),
            ),
        ],
        rows=list(_rows(runs)),
    )


def _goal_row(shape: Shape, rounds: Rounds, limits: Sequence[goals.CallLimit]) -> list[object]:
    bound = Spread.of([one.seconds for one in rounds[BOUND.name]])
    over = _over(rounds, OURS)
    ends = dict.fromkeys(f"{seconds:,.0f}" for seconds in (bound.least, bound.most))
    head = [shape.name, shape.leaves, " to ".join(ends), f"{over.middle:+.1f} ({over.most:+.1f})"]
    if shape.is_limited:
        is_right = _is_right(shape, rounds[OURS.name])
        return [*head, "succeeds" if is_right else "**fails**", "", ""]
    (met, but_for), count = _in_time(shape, rounds), len(shape.rounds)
    told = f"{met} of {count}" if met == count else f"**{met} of {count}**"
    if met < but_for:
        told += f"; {but_for} from the safe bound"
    head.append(told)
    worst = max(limits, key=_distance, default=None)
    if worst is None:
        return [*head, "", "none"]
    verdict = "met" if worst.is_kept else "**missed**"
    if not worst.is_kept and worst.obstacle:
        verdict += f"; {worst.obstacle}"
    return [*head, f"{worst.made:,} of {worst.most:,.0f}", verdict]


def _distance(limit: goals.CallLimit) -> tuple[bool, float]:
    """How far a limit is exceeded; before all others, those that could have been kept."""
    return not limit.is_kept and not limit.obstacle, limit.made / limit.most


def _cell(shape: Shape, rounds: Rounds, peer: Peer) -> str:
    if peer.name not in rounds:
        return "-"
    results = rounds[peer.name]
    seconds = Spread.of([one.seconds for one in results]).middle
    calls = Spread.of([one.call_count for one in results]).middle
    text = f"{seconds:,.1f} s, {calls:,.0f} calls"
    if not _is_right(shape, results):
        right, every = min(one.right for one in results), shape.rounds[0].removals
        text += f", **{right} of {every} right**"
    return text


def _rows(runs: Runs) -> Iterator[dict[str, Any]]:
    for shape, rounds in runs.items():
        for name, results in rounds.items():
            operations = sorted({operation for one in results for operation in one.calls})
            yield {
                "shape": shape.name,
                "leaves": shape.leaves,
                "peer": name,
                "right": [one.right for one in results],
                "seconds": [round(one.seconds, 2) for one in results],
                "last_left": [round(one.last_left, 2) for one in results],
                "calls": {
                    operation: [one.calls.get(operation, 0) for one in results]
                    for operation in operations
                },
            }
