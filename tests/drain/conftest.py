"""A real Slurm for the tests that need one. Where there is none, that is said at the end."""

from collections.abc import Iterator

import pytest

from sandbox import slurm as sandbox_slurm
from sandbox.slurm import Slurm

NAMES = tuple(f"ip-10-1-0-{number}" for number in range(1, 4))


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    """Slurm with three idle nodes. It starts in a second, so each test has its own."""
    if not sandbox_slurm.is_prepared():
        pytest.skip(sandbox_slurm.MISSING)
    with sandbox_slurm.slurm(NAMES) as slurm:
        yield slurm


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", ())
        if sandbox_slurm.MISSING in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.section("SLURM IS NOT TESTED", red=True, bold=True)
        terminalreporter.line(f"{len(skipped)} tests were skipped: {sandbox_slurm.MISSING}.")
