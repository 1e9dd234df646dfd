"""From the start of a process to its first request, and the memory of a whole removal."""

import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench import processes
from bench.processes import Usage
from bench.reporting import Chapter, Verdict, table
from hyperpod_node_removal._function import MEMORY_MEGABYTES
from sandbox.interpreters import link_sdk

START_GOAL: Final = 1.0
MEMORY_GOAL: Final = 0.8
NODES: Final = 99
"""Nodes of the removal whose peak memory is measured."""
_LEAVES_WITHIN: Final = 1.5


@dataclass(frozen=True)
class Starts:
    """Processes of one function."""

    start: Usage | None
    """To the first request, in instructions. None: valgrind is not installed."""
    whole: Usage
    """A whole removal."""


def measure() -> dict[str, Starts]:
    """Run the product and the naive handler."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        sdk = link_sdk(Path(name, "sdk"))
        naive = processes.naive(Path(name, "naive"))
        for peer, function in {"this product": processes.ours(), "crhelper, naive": naive}.items():
            start = None
            if shutil.which("valgrind"):
                start, _ = processes.remove(
                    function, sdk, 10, leaves_within=_LEAVES_WITHIN, is_start=True
                )
            whole, reply = processes.remove(function, sdk, NODES, leaves_within=_LEAVES_WITHIN)
            assert reply["Status"] == "SUCCESS"
            found[peer] = Starts(start, whole)
    return found


def chapter(found: dict[str, Starts]) -> Chapter:
    """Return section 4."""
    ours, naive = found.values()
    peak, other = ours.whole.peak_megabytes, naive.whole.peak_megabytes
    start_goal = f"start: at most {START_GOAL} of the naive handler's instructions"
    if ours.start is None or naive.start is None:
        start = Verdict(start_goal, None, "valgrind is not installed")
    else:
        ratio = ours.start.instructions / naive.start.instructions
        start = Verdict(start_goal, ratio <= START_GOAL, f"{ratio:.2f}")
    return Chapter(
        title="Start and memory",
        what=(
            "Whole processes: the deployed asset, or the handler that a good engineer writes in an"
            " afternoon with crhelper, with the SDK as it is installed and nothing else. A start is counted"
            " from the start of the interpreter to the first HTTPS request, in instructions (valgrind,"
            " fixed hash seed), which do not depend on other processes; ADR 15 says why there are not"
            f" fewer. Memory is the peak of a removal of {NODES} nodes; the function has"
            f" {MEMORY_MEGABYTES} MB because of the CPU that comes with it. `python -m bench.processes`"
            " shows what larger sets need."
        ),
        verdicts=[
            start,
            Verdict(
                f"peak memory: at most {MEMORY_GOAL} of the naive handler's",
                peak <= MEMORY_GOAL * other,
                f"{peak / other:.2f}: {peak:.0f} of {other:.0f} MB",
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
