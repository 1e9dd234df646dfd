"""What a removal costs, on paper: measured durations times published prices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.runs import AWS_CUSTOM_RESOURCE, NAIVE, OURS, POLLER, PROVIDER, Peer
from bench.scene import Told
from bench.sections.removals import Runs
from bench.spread import Spread
from bench.telling import Chapter, Verdict, table
from hyperpod_node_removal._provider import MEMORY_MEGABYTES

PRICES: Final = (
    "AWS Lambda and AWS Step Functions pricing pages, us-east-1, first tier, without free tier, as"
    " published in 2025"
)
ARM_GB_SECOND: Final = 0.0000133334
X86_GB_SECOND: Final = 0.0000166667
REQUEST: Final = 0.20 / 1_000_000
TRANSITION: Final = 25.0 / 1_000_000
"""US dollars of a state transition of a standard workflow."""
_DEFAULT_MEMORY: Final = 128
"""Megabytes of a function whose template says nothing."""
_CENT: Final = 0.01


@dataclass(frozen=True)
class Row:
    """One peer's removal."""

    peer: str
    seconds: float
    invocations: float
    transitions: float
    memory: int
    gb_second: float

    @property
    def dollars(self) -> float:
        """US dollars."""
        duration = self.seconds * self.memory / 1024 * self.gb_second
        return duration + self.invocations * REQUEST + self.transitions * TRANSITION

    @property
    def arithmetic(self) -> str:
        """How it comes about."""
        text = f"{self.seconds:.1f} s x {self.memory} MB + {self.invocations:.0f} requests"
        return f"{text} + {self.transitions:.0f} transitions" if self.transitions else text


_PRICED: Final[tuple[tuple[Peer, int, float], ...]] = (
    (OURS, MEMORY_MEGABYTES, ARM_GB_SECOND),
    (NAIVE, _DEFAULT_MEMORY, X86_GB_SECOND),
    (POLLER, _DEFAULT_MEMORY, X86_GB_SECOND),
    (AWS_CUSTOM_RESOURCE, _DEFAULT_MEMORY, X86_GB_SECOND),
    (PROVIDER, _DEFAULT_MEMORY, X86_GB_SECOND),
)


def rows(runs: Runs, nodes: int, within: float) -> list[Row]:
    """A row for each peer that told of this case."""
    return [
        Row(
            peer.name,
            Spread.of([one.busy_seconds for one in told]).middle,
            Spread.of([one.invocations for one in told]).middle,
            _transitions(told) if peer is PROVIDER else 0.0,
            memory,
            gb_second,
        )
        for peer, memory, gb_second in _PRICED
        if (told := runs.get((nodes, within, peer.name)))
    ]


def _transitions(told: Sequence[Told]) -> float:
    """The start, and each try of is-complete: a retry is a transition too."""
    return Spread.of([one.invocations / 2 for one in told]).middle + 1


def chapter(runs: Runs) -> Chapter:
    """Section 7."""
    cases = [(99, 60.0), (3000, 1200.0)]
    found = {case: rows(runs, *case) for case in cases}
    dearest = max(row.dollars for case in cases for row in found[case] if row.peer == OURS.name)
    return Chapter(
        title="Cost",
        what=(
            f"On paper: seconds of Lambda of section 1 times prices ({PRICES}):"
            f" {ARM_GB_SECOND:.10f} US dollars for a GB-second on arm64, {X86_GB_SECOND:.10f} on x86,"
            " 0.20 for a million requests, 25.00 for a million state transitions. Memory and"
            f" architecture as each peer's template has them: {MEMORY_MEGABYTES} MB of arm64 here, Lambda's"
            " default of 128 MB of x86 for the others. Rules of EventBridge, calls of SageMaker and"
            " CloudFormation cost nothing; starts and logs are left out for all."
        ),
        verdicts=[
            Verdict(
                "a removal costs less than a cent (no goal was set)",
                dearest < _CENT,
                f"at most {dearest * 100:.2f} cents",
            )
        ],
        tables=[
            f"{nodes:,} nodes that leave within {within:g} s:\n\n"
            + table(
                ["peer", "arithmetic", "US dollars"],
                ([row.peer, row.arithmetic, f"{row.dollars:.6f}"] for row in found[nodes, within]),
            )
            for nodes, within in cases
            if found[nodes, within]
        ]
        + [_waiting()],
        data={
            f"{nodes} nodes within {within:g} s": {
                row.peer: round(row.dollars, 8) for row in found[nodes, within]
            }
            for nodes, within in cases
        },
    )


def _waiting() -> str:
    hour = 3600 * MEMORY_MEGABYTES / 1024 * ARM_GB_SECOND
    return f"What is paid for is the waiting: {hour:.4f} US dollars for an hour of it, at these prices."
