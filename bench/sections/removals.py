"""Removals in virtual time: how long until it is told, and after which calls."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import product
from typing import Any, Final

from bench.runs import AWS_CUSTOM_RESOURCE, FLOOR, NAIVE, OURS, PEERS, POLLER, PROVIDER, Peer
from bench.scene import LATENCY, Case, Told
from bench.spread import Spread
from bench.telling import Chapter, Verdict, table
from hyperpod_node_removal_handler.timing import FORWARD_LAG, POLL_PAUSES, STACK_POLL, Backoff

SIZES: Final = (1, 10, 99, 1000, 3000)
LEAVES_WITHIN: Final = (5.0, 60.0, 1200.0)
"""Seconds: at once, as the guide has it, and the slowest that was heard of."""
GOAL: Final = 1.05
_BATCH: Final = 99
_PAGE: Final = 100

Runs = dict[tuple[int, float, str], list[Told]]
"""What each peer told, round by round, for a number of nodes and a time within which they leave."""


def measure(
    seeds: int,
    sizes: Sequence[int] = SIZES,
    leaves_within: Sequence[float] = LEAVES_WITHIN,
    peers: Sequence[Peer] = PEERS,
    *,
    processes: int = 2,
) -> Runs:
    """Every peer on the same scenes; a round is a seed."""
    cases = [
        (peer.name, Case(nodes, within, seed=seed))
        for nodes, within, seed, peer in product(sizes, leaves_within, range(seeds), peers)
    ]
    # The long ones first, so that no processor is idle in the end.
    cases.sort(key=lambda item: -item[1].nodes * item[1].leaves_within)
    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            told = list(pool.map(_run, cases))
    else:
        told = [_run(case) for case in cases]
    found: Runs = {}
    in_order = sorted(zip(cases, told, strict=True), key=lambda item: item[0][1].seed)
    for (name, case), what in in_order:
        found.setdefault((case.nodes, case.leaves_within, name), []).append(what)
    return found


def _run(item: tuple[str, Case]) -> Told:
    name, case = item
    (peer,) = (peer for peer in PEERS if peer.name == name)
    return peer.run(case)


def _cases(runs: Runs) -> list[tuple[int, float]]:
    return sorted({(nodes, within) for nodes, within, _ in runs})


def plain(runs: Runs) -> list[dict[str, Any]]:
    """For JSON: what was told, without texts."""
    return [
        {
            "nodes": nodes,
            "leaves_within": within,
            "peer": name,
            "rounds": [
                {
                    key: round(value, 3) if isinstance(value, float) else value
                    for key, value in asdict(told).items()
                    if key not in {"body", "reason", "failing"}
                }
                for told in rounds
            ],
        }
        for (nodes, within, name), rounds in sorted(runs.items())
    ]


# Time ----------------------------------------------------------------------------------------


def time_chapter(runs: Runs) -> Chapter:
    """Section 1."""
    ratios = {
        (nodes, within): Spread.of_ratios(
            [told.seconds for told in runs[nodes, within, OURS.name]],
            [told.seconds for told in runs[nodes, within, FLOOR.name]],
        )
        for nodes, within in _cases(runs)
    }
    return Chapter(
        title="Time to done",
        what=(
            "From the request to the answer, in virtual time: calls take a seeded log-normal latency"
            f" with a median of {LATENCY:g} s, nodes leave at a seeded moment between a tenth of the"
            " time given and all of it. Both are the same for every peer in a round. Left out for all:"
            " the start of a process (section 3) and CloudFormation's own pace. The script polls every"
            " 5 s, the naive handler every 10 s. Simulated: EventBridge's rule behind crhelper's poller"
            " (every 2 minutes, the README's default), calls between the Provider framework's functions"
            " (one latency) and its state machine (every 5 s, its default, for an hour)."
            "\n\nWhat this product does and the script does not: it asks CloudFormation whether the stack"
            " goes forward, in the beginning and before every request, describes the cluster and lists it"
            " for the plan, looks twice where a listing does not show a node, and describes the cluster"
            " twice in the end: is it at rest, and what are the new counts. That is about six calls and"
            " one more for each request, and a listing of 3,750 nodes takes 38: where nodes leave within"
            " seconds, it is most of the time. It is not taken out: the plan is what guards are held"
            " against, a node must not be called gone because one listing lacks it, and none be removed"
            " for a stack that has turned back. Batches are requested one after the other, since nothing"
            " says that a cluster takes several at a time. The stack is being created. In an update,"
            f" nothing is requested until {FORWARD_LAG:g} s after CloudFormation sent the request, since"
            " its status may lag (docs/adr/0013): where the plan takes less, that much comes on top."
        ),
        verdicts=[
            Verdict(
                f"{within:g} s: at most {GOAL} of the script, in the middle of the rounds",
                all(ratios[case].middle <= GOAL for case in ratios if case[1] == within),
                "; ".join(
                    f"n = {case[0]:,}: {ratios[case].text()}"
                    for case in ratios
                    if case[1] == within
                ),
            )
            for within in sorted({within for _, within in ratios})
        ],
        tables=[
            "Seconds to the answer, ratio to the script, with least and most of the rounds:\n\n"
            + _time_table(runs),
            "Seconds between the moment the last node had left and the answer (median): what could"
            " still be gained by anyone.\n\n" + _lag_table(runs),
        ],
        data={
            f"{nodes} nodes within {within:g} s": asdict(ratio)
            for (nodes, within), ratio in ratios.items()
        },
        plots=["time-to-done"],
    )


def _time_table(runs: Runs) -> str:
    names = [peer.name for peer in PEERS]
    rows = []
    for nodes, within in _cases(runs):
        floor = [told.seconds for told in runs[nodes, within, FLOOR.name]]
        cells = [
            _time_cell(runs[nodes, within, name], floor)
            for name in names
            if (nodes, within, name) in runs
        ]
        rows.append([f"{nodes:,}", f"{within:g} s", *cells])
    return table(["nodes", "leave within", *names], rows)


def _time_cell(told: Sequence[Told], floor: Sequence[float]) -> str:
    seconds = Spread.of([one.seconds for one in told])
    worst = max(told, key=lambda one: one.still_there)
    if worst.status == "SUCCESS" and worst.still_there:
        return f"{seconds.middle:.1f} s, {worst.still_there:,} still there"
    if worst.status != "SUCCESS":
        return f"{worst.status or 'no answer'} after {seconds.middle:.1f} s"
    ratio = Spread.of_ratios([one.seconds for one in told], floor)
    return f"{seconds.middle:.1f} s, {ratio.text()}"


def _lag_table(runs: Runs) -> str:
    peers = [OURS, FLOOR, NAIVE, PROVIDER]
    names = [peer.name for peer in peers if any(key[2] == peer.name for key in runs)]
    rows = []
    for nodes, within in _cases(runs):
        lags = []
        for name in names:
            told = runs[nodes, within, name]
            lag = Spread.of([one.seconds - one.last_left for one in told])
            lags.append(f"{lag.middle:.1f}" if all(one.is_done for one in told) else "-")
        rows.append([f"{nodes:,}", f"{within:g} s", *lags])
    return table(["nodes", "leave within", *names], rows)


# Calls ---------------------------------------------------------------------------------------


def fewest_deletes(nodes: int) -> int:
    """Requests that it takes to name so many nodes."""
    return -(-nodes // _BATCH)


def pages(case: Case) -> int:
    """Calls that it takes to list the cluster before the removal."""
    return -(-(case.nodes + case.staying) // _PAGE)


def explained_looks(told: Told) -> int:
    """Looks at the cluster that the pace of the product allows in the time it took.

    In each invocation one in the beginning, then one after each pause, which by chance may be the
    shortest every time, and one more in the end: before it hands over or, since an absence is seen
    twice, when the last node was missed.
    """
    pauses = Backoff(*POLL_PAUSES, jitter=min)
    looks, elapsed = 2, 0.0
    while elapsed < told.seconds / told.invocations:
        looks += 1
        elapsed += pauses.pause()
    return looks * told.invocations


def explained_stack_looks(told: Told) -> int:
    """Looks at the stack that it takes: one in the beginning of each invocation, one right before
    each delete, and one for each `STACK_POLL` that passes."""
    deletes = told.calls["BatchDeleteClusterNodes"]
    return told.invocations + deletes + int(told.seconds / STACK_POLL)


def calls_chapter(runs: Runs) -> Chapter:
    """Section 2."""
    ours = {case: runs[(*case, OURS.name)] for case in _cases(runs)}
    deletes_met = all(
        one.calls.get("BatchDeleteClusterNodes") == fewest_deletes(nodes)
        for (nodes, _), told in ours.items()
        for one in told
    )
    over = [
        one.calls.get("ListClusterNodes", 0) / (explained_looks(one) * pages(Case(nodes)))
        for (nodes, _), told in ours.items()
        for one in told
    ]
    stack_over = [
        one.calls.get("DescribeStacks", 0) / explained_stack_looks(one)
        for told in ours.values()
        for one in told
    ]
    names = [OURS, FLOOR, NAIVE, POLLER, AWS_CUSTOM_RESOURCE, PROVIDER]
    return Chapter(
        title="Calls",
        what=(
            "Requests of the runs above, by kind. No removal can take fewer deletes than"
            " ceil(n / 99), nor fewer lists than the pages of one listing. Beyond that, the pace"
            " explains the lists: a look in the beginning of each invocation, then pauses of 1 s that grow"
            " by 5 % up to 30 s (each 20 % more or less by chance), and a look that confirms an absence."
            " The stack is looked at in the beginning of each invocation, right before each delete, and"
            f" every {STACK_POLL:g} s."
        ),
        verdicts=[
            Verdict("deletes are ceil(n / 99)", deletes_met, "in every round of every case"),
            Verdict(
                "lists are at most the pages of the looks that the pace explains",
                max(over) <= 1.0,
                f"{min(over):.2f} to {max(over):.2f} of them",
            ),
            Verdict(
                "looks at the stack are at most those that the rules explain",
                max(stack_over) <= 1.0,
                f"{min(stack_over):.2f} to {max(stack_over):.2f} of them",
            ),
        ],
        tables=[
            "BatchDeleteClusterNodes / ListClusterNodes (median of the rounds):\n\n"
            + table(
                ["nodes", "leave within", "fewest", *(peer.name for peer in names)],
                (_calls_row(runs, case, names) for case in _cases(runs)),
            ),
            "Other calls of this product (median): DescribeCluster, DescribeStacks, Invoke of itself,"
            " PUT of the reply.\n\n"
            + table(
                ["nodes", "leave within", "DescribeCluster", "DescribeStacks", "Invoke", "PUT"],
                (
                    [
                        f"{nodes:,}",
                        f"{within:g} s",
                        *(
                            _median_calls(told, name)
                            for name in ("DescribeCluster", "DescribeStacks", "Invoke", "PUT")
                        ),
                    ]
                    for (nodes, within), told in ours.items()
                ),
            ),
        ],
        data=plain(runs),
    )


def _calls_row(runs: Runs, case: tuple[int, float], peers: Iterable[Peer]) -> list[object]:
    nodes, within = case
    cells = []
    for peer in peers:
        told = runs.get((nodes, within, peer.name), [])
        deletes, lists = (
            _median_calls(told, name) for name in ("BatchDeleteClusterNodes", "ListClusterNodes")
        )
        cells.append(f"{deletes} / {lists}")
    fewest = f"{fewest_deletes(nodes)} / {pages(Case(nodes))}"
    return [f"{nodes:,}", f"{within:g} s", fewest, *cells]


def _median_calls(told: Sequence[Told], name: str) -> str:
    if not told:
        return "-"
    return f"{Spread.of([one.calls.get(name, 0) for one in told]).middle:,.0f}"
