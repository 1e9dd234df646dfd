"""From the start of a process to its first request, and the memory of a whole removal."""

import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench import endpoint, processes
from bench.processes import Usage
from bench.reporting import Chapter, Verdict, table
from bench.scenario import CLUSTER, Case, Scenario
from hyperpod_node_removal._function import MEMORY_MEGABYTES
from sandbox.hyperpod import HyperPod

START_GOAL: Final = 1.0
MEMORY_GOAL: Final = 0.8
NODES: Final = 99
"""Nodes of the removal whose peak memory is measured."""
_LEAVES_WITHIN: Final = 1.5


@dataclass(frozen=True)
class Starts:
    """Processes of one function."""

    start: Usage | None
    """To the first request, in instructions. None: there is no valgrind here."""
    whole: Usage
    """A whole removal."""


def measure() -> dict[str, Starts]:
    """Run the product and the naive handler."""
    functions = {"this product": processes.ours(), "crhelper, naive": processes.naive()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sdk = processes.link_sdk(folder / "sdk")
        can_count = shutil.which("valgrind") is not None
        return {
            name: Starts(
                _one(function, sdk, folder, 10, is_start=True) if can_count else None,
                _one(function, sdk, folder, NODES, is_start=False),
            )
            for name, function in functions.items()
        }


def _one(
    function: processes.Function, sdk: Path, folder: Path, nodes: int, *, is_start: bool
) -> Usage:
    hyperpod = HyperPod()
    cluster = hyperpod.create_cluster(CLUSTER, {"workers": nodes}, shutdown_seconds=_LEAVES_WITHIN)
    event = Scenario(Case(1, 1)).event(NodeIds=list(cluster.node_ids("workers")))
    with endpoint.serve(hyperpod, folder) as aws:
        usage = processes.run(
            function, sdk, aws, event, stops_at_first_request=is_start, is_counted=is_start
        )
        assert is_start or b'"SUCCESS"' in aws.replies[0].replace(b": ", b":")
    return usage


def chapter(found: dict[str, Starts]) -> Chapter:
    """Section 4."""
    ours, naive = found.values()
    peak, beside = ours.whole.peak_megabytes, naive.whole.peak_megabytes
    return Chapter(
        title="Start and memory",
        what=(
            "Whole processes: the deployed asset, or the handler that a good engineer writes in an"
            " afternoon with crhelper, beside the SDK as it is installed and nothing else. A start goes"
            " from the beginning of the interpreter to the first request over HTTPS, and is counted in"
            " instructions (valgrind, hash seed fixed), on which nothing else on the machine has a part;"
            f" why it is not leaner is in ADR 15. Memory is the peak of a removal of {NODES} nodes; the"
            f" function has {MEMORY_MEGABYTES} MB, for the CPU that comes with it, and"
            " `scripts/measure_function.py` tells what larger sets take."
        ),
        verdicts=[
            _start_verdict(ours.start, naive.start),
            Verdict(
                f"peak memory: at most {MEMORY_GOAL} of the naive handler's",
                peak <= MEMORY_GOAL * beside,
                f"{peak / beside:.2f}: {peak:.0f} of {beside:.0f} MB",
            ),
        ],
        tables=[
            table(
                ["function", "start, million instructions", "peak MB", "CPU s of the removal"],
                (
                    [
                        name,
                        f"{one.start.instructions / 1e6:,.0f}" if one.start else "-",
                        f"{one.whole.peak_megabytes:.0f}",
                        f"{one.whole.cpu_seconds:.2f}",
                    ]
                    for name, one in found.items()
                ),
            )
        ],
        rows=[{"function": name, **asdict(one)} for name, one in found.items()],
    )


def _start_verdict(ours: Usage | None, naive: Usage | None) -> Verdict:
    goal = f"start: at most {START_GOAL} of the naive handler's instructions"
    if ours is None or naive is None:
        return Verdict(goal, None, "valgrind is not installed")
    ratio = ours.instructions / naive.instructions
    return Verdict(goal, ratio <= START_GOAL, f"{ratio:.2f}")
