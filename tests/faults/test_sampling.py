"""The rule by which `make test` chooses its faults."""

import pytest

from tests.faults import sampling, scenarios
from tests.faults.sampling import WRITES, sample


@pytest.fixture(autouse=True)
def _no_complete_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "IS_COMPLETE", False)


@pytest.mark.parametrize("lengths", [(2, 2), (18, 8), (3, 4, 7), (5, 3, 20), (4, 8, 3, 2)])
def test_each_value_is_in_the_sample(lengths: tuple[int, ...]) -> None:
    chosen = sample(*map(range, lengths))
    for position, length in enumerate(lengths):
        assert {combination[position] for combination in chosen} == set(range(length))


def test_writes_meet_each_fault_and_so_do_the_looks_of_an_operation_in_turn() -> None:
    calls, faults = scenarios.calls_of(scenarios.a_chain), range(14)
    chosen = sample(calls, faults)
    for call in calls:
        if call.operation in WRITES:
            assert [fault for one, fault in chosen if one is call] == list(faults)
    for operation in ("ListClusterNodes", "DescribeStacks"):
        assert {fault for call, fault in chosen if call.operation == operation} == set(faults)
