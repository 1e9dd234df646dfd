"""The tally of the fault suite: the numbers of faults that were tried and survived."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.faults.simulation import Simulation

_PROPERTY = "faults"


@dataclass
class Tally:
    """Counts the faults of one test."""

    tried: int = 0
    survived: int = 0

    @contextlib.contextmanager
    def fault(self, what: str) -> Iterator[None]:
        """Count a fault. It is survived if the block does not raise."""
        self.tried += 1
        try:
            yield
        except BaseException as error:
            error.add_note(f"fault: {what}")
            raise
        self.survived += 1


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The tally of a test, which is added to the `GROUP` of its module."""
    tally = Tally()
    yield tally
    counts = [request.module.GROUP, tally.tried, tally.survived]
    request.node.user_properties.append((_PROPERTY, counts))


@pytest.fixture
def sim() -> Iterator[Simulation]:
    with Simulation() as sim:
        yield sim


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table. With xdist, the counts come from the workers in the reports."""
    counts: dict[str, list[int]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "teardown":
                for name, value in report.user_properties:
                    if name == _PROPERTY:
                        group, tried, survived = value
                        row = counts.setdefault(group, [0, 0])
                        row[0] += tried
                        row[1] += survived
    if not counts:
        return
    total = [sum(row[column] for row in counts.values()) for column in (0, 1)]
    write = terminalreporter.write_line
    terminalreporter.section("faults")
    write(f"{'':32}{'tried':>8}{'survived':>10}")
    for group, (tried, survived) in [*sorted(counts.items()), ("all", total)]:
        write(f"{group:32}{tried:>8}{survived:>10}", red=tried != survived)
