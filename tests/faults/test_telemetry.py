"""The event bus fails or hangs, or the process is killed at its call. No reply changes."""

import pytest

from hyperpod_node_removal_contract.telemetry import EVENT_BUS_VARIABLE, METRICS_VARIABLE
from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.errors import AFTER, BEFORE, PERMANENT
from tests.faults.invariants import check
from tests.faults.sampling import sample
from tests.faults.scenarios import Scenario, calls_of
from tests.faults.simulation import Simulation

GROUP = "8 the event bus"
SCENARIOS = (
    scenarios.a_creation,
    scenarios.a_creation_that_fails,
    scenarios.an_update_that_fails,
    scenarios.a_chain,
)
EVENTS: dict[Scenario, int] = {scenarios.an_update_that_fails: 2}
"""The number of events of a scenario, if it is not 1."""

Replies = list[tuple[float, str]]


@pytest.fixture(autouse=True)
def _enable_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EVENT_BUS_VARIABLE, "operations")
    monkeypatch.setenv(METRICS_VARIABLE, "true")


def replies_of(sim: Simulation) -> Replies:
    """Return the status of each reply, and its seconds after the start of the invocation."""
    first = [request.arrived[0] for request in sim.cloudformation.requests]
    return [
        (
            round(reply.time - (reply.invocation.deadline - sim.functions.seconds), 6),
            reply.content["Status"],
        )
        for reply in first
    ]


def replies_without_faults(scenario: Scenario) -> Replies:
    with Simulation() as sim:
        scenario(sim)
        sim.run()
        assert len(sim.events) == EVENTS.get(scenario, 1)
        check(sim)
        return replies_of(sim)


def test_a_lost_event_changes_no_reply(tally: Tally) -> None:
    replies = {scenario: replies_without_faults(scenario) for scenario in SCENARIOS}
    for scenario, (error, make) in sample(SCENARIOS, PERMANENT.items()):
        with tally.fault(f"{error} permanently"), Simulation() as sim:
            scenario(sim)
            before = len(sim.events)
            sim.injector.fail("PutEvents", make, times=1e9)
            sim.run()
            assert len(sim.events) == before
            assert replies_of(sim) == replies[scenario]
            check(sim)


@pytest.mark.parametrize(
    ("error", "is_after_work"),
    [(name, False) for name in BEFORE] + [(name, True) for name in AFTER],
)
def test_an_event_is_sent_again_after_a_transient_error(
    error: str, is_after_work: bool, tally: Tally
) -> None:
    """It arrives twice if only the response was lost."""
    with tally.fault(error), Simulation() as sim:
        scenarios.a_creation(sim)
        make = (AFTER if is_after_work else BEFORE)[error]
        sim.injector.fail("PutEvents", make, is_after_work=is_after_work)
        sim.run()
        assert len(sim.events) == (2 if is_after_work else 1)
        assert sim.events[0] == sim.events[-1]
        check(sim)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_bus_that_hangs_changes_no_reply(scenario: Scenario, tally: Tally) -> None:
    expected = replies_without_faults(scenario)
    with tally.fault("no answer in 2,000 s"), Simulation() as sim:
        # As with the construct, an invocation that timed out is not retried.
        sim.functions.retries = 0
        sim.injector.latency = lambda call: 2000.0 if call.operation == "PutEvents" else 0.0
        scenario(sim)
        sim.run()
        assert replies_of(sim) == expected
        check(sim)


@pytest.mark.parametrize("is_after_work", [False, True])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_process_that_is_killed_at_the_event_has_already_replied(
    scenario: Scenario, is_after_work: bool, tally: Tally
) -> None:
    expected = replies_without_faults(scenario)
    numbers = [call.number for call in calls_of(scenario) if call.operation == "PutEvents"]
    assert numbers
    for number in numbers:
        with tally.fault(f"killed at call {number}"), Simulation() as sim:
            sim.functions.retries = 0
            scenario(sim)
            sim.injector.kill(number, is_after_work=is_after_work)
            sim.run()
            assert replies_of(sim) == expected
            check(sim)
