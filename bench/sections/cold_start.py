"""From the start of a process to its first request, and what memory to give the function."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench import endpoint, processes
from bench.processes import Function, Usage
from bench.scene import CLUSTER, Case, Scene
from bench.spread import Spread
from bench.telling import Chapter, Verdict, table
from hyperpod_node_removal._provider import MEMORY_MEGABYTES
from sandbox.hyperpod import HyperPod

START_GOAL: Final = 1.0
MEMORY_GOAL: Final = 0.8
SIZES: Final = (99, 1000, 3000)
"""Nodes of the removals whose peak memory is measured."""
MEMORIES: Final = (128, 192, 256, 512, 1024, 1769)
FULL_CORE: Final = 1769
"""Megabytes at which Lambda gives a function one whole core (Lambda developer guide)."""
_LEAVES_WITHIN: Final = 1.5


@dataclass(frozen=True)
class Starts:
    """Rounds of one process of each: to the first request, and of whole removals by size."""

    ours: Sequence[Usage]
    naive: Sequence[Usage]
    whole: Mapping[int, tuple[Usage, Usage]]


def measure(rounds: int, sizes: Sequence[int] = SIZES) -> Starts:
    """Start both in turn, so that whatever else the machine does is met by both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sdk = processes.link_sdk(folder / "sdk")
        functions = (processes.ours(), processes.naive())
        starts = [_pair(functions, sdk, folder, 10, is_whole=False) for _ in range(rounds)]
        whole = {size: _pair(functions, sdk, folder, size, is_whole=True) for size in sizes}
    return Starts([ours for ours, _ in starts], [naive for _, naive in starts], whole)


def _pair(
    functions: tuple[Function, Function], sdk: Path, folder: Path, nodes: int, *, is_whole: bool
) -> tuple[Usage, Usage]:
    ours, naive = (_one(function, sdk, folder, nodes, is_whole=is_whole) for function in functions)
    return ours, naive


def _one(function: Function, sdk: Path, folder: Path, nodes: int, *, is_whole: bool) -> Usage:
    hyperpod = HyperPod()
    cluster = hyperpod.create_cluster(CLUSTER, {"workers": nodes}, shutdown_seconds=_LEAVES_WITHIN)
    event = Scene(Case(1)).event(NodeIds=list(cluster.node_ids("workers")))
    with endpoint.serve(hyperpod, folder) as aws:
        usage = processes.run(function, sdk, aws, event, stops_at_first_request=not is_whole)
        assert not is_whole or b'"SUCCESS"' in aws.replies[0].replace(b": ", b":")
    return usage


def chapter(starts: Starts) -> Chapter:
    """Section 3."""
    cpu = Spread.of_ratios(
        [usage.cpu_seconds for usage in starts.ours], [usage.cpu_seconds for usage in starts.naive]
    )
    wall = Spread.of_ratios(
        [usage.wall_seconds for usage in starts.ours],
        [usage.wall_seconds for usage in starts.naive],
    )
    size, whole = min(starts.whole.items())
    memory = whole[0].peak_megabytes / whole[1].peak_megabytes
    start = Spread.of([usage.cpu_seconds for usage in starts.ours]).middle
    largest, (most, _) = max(starts.whole.items())
    return Chapter(
        title="Cold start and memory",
        what=(
            "Whole processes: the deployed asset, or the naive handler with crhelper beside it, with the"
            " SDK as it is installed (compiled) and nothing else to import; from the start of the"
            " interpreter until the first request is on its way over HTTPS, with all authorities that"
            " the SDK trusts loaded. Both in turn, round by round. The interpreter is this machine's,"
            f" not Lambda's. CPU time is what counts: at {MEMORY_MEGABYTES} MB a function gets"
            f" {MEMORY_MEGABYTES / FULL_CORE:.2f} of a core.\n\n"
            "Counted once in instructions, where nothing else on the machine plays a part (callgrind):"
            " 1,521 million, 0.97 of the naive handler's 1,568. The SDK is used as it is, and the source is"
            " deployed as it was reviewed; what that costs, and why, is in ADR 15."
        ),
        verdicts=[
            Verdict(f"CPU: at most {START_GOAL} of naive", cpu.middle <= START_GOAL, cpu.text()),
            Verdict(f"wall: at most {START_GOAL} of naive", wall.middle <= START_GOAL, wall.text()),
            Verdict(
                f"peak memory: at most {MEMORY_GOAL} of naive",
                memory <= MEMORY_GOAL,
                f"{memory:.2f} ({size} nodes)",
            ),
        ],
        tables=[
            table(
                ["to the first request", "CPU s", "wall s", "peak MB"],
                [
                    [
                        name,
                        *(
                            Spread.of(values).text(digits)
                            for values, digits in (
                                ([usage.cpu_seconds for usage in usages], 2),
                                ([usage.wall_seconds for usage in usages], 2),
                                ([usage.peak_megabytes for usage in usages], 0),
                            )
                        ),
                    ]
                    for name, usages in (
                        ("this product", starts.ours),
                        ("crhelper, naive", starts.naive),
                    )
                ],
            ),
            f"Whole removals of nodes that leave within {_LEAVES_WITHIN:g} s, one process each:\n\n"
            + table(
                ["nodes", "peak MB", "naive: peak MB", "CPU s", "naive: CPU s"],
                [
                    [
                        f"{nodes:,}",
                        f"{ours.peak_megabytes:.0f}",
                        f"{naive.peak_megabytes:.0f}",
                        f"{ours.cpu_seconds:.2f}",
                        f"{naive.cpu_seconds:.2f}",
                    ]
                    for nodes, (ours, naive) in starts.whole.items()
                ],
            ),
            _memory_table(start, largest, most),
        ],
        data={
            "ours": [asdict(usage) for usage in starts.ours],
            "naive": [asdict(usage) for usage in starts.naive],
            "whole": {
                str(nodes): [asdict(usage) for usage in pair]
                for nodes, pair in starts.whole.items()
            },
        },
        plots=["memory"],
    )


def start_seconds(cpu_seconds: float, memory: int) -> float:
    """Seconds of a start with a share of a core, which Lambda gives in proportion to memory."""
    return cpu_seconds * max(1.0, FULL_CORE / memory)


def _memory_table(start: float, largest: int, most: Usage) -> str:
    work = most.cpu_seconds - start
    rows = [
        [
            f"**{memory}**" if memory == MEMORY_MEGABYTES else str(memory),
            f"{memory / most.peak_megabytes:.1f}",
            f"{start_seconds(start, memory):.1f}",
            f"{start_seconds(work, memory):.1f}",
        ]
        for memory in MEMORIES
    ]
    return (
        f"The memory of the function is {MEMORY_MEGABYTES} MB. Modelled from the CPU seconds above with"
        f" the share of a core that Lambda documents ({FULL_CORE:,} MB for a whole one; that it lends"
        f" more to a start is not counted on). Peak memory is {most.peak_megabytes:.0f} MB with"
        f" {largest:,} nodes, so every size would do; below {MEMORY_MEGABYTES} MB the start, the work"
        " between two looks at a large cluster, and the report take long enough to notice, and"
        " a removal costs a fraction of a cent at any size (section 7).\n\n"
        + table(
            [
                "MB",
                f"times the peak of {largest:,} nodes",
                "start, s",
                f"work for {largest:,} nodes, s",
            ],
            rows,
        )
    )
