"""The event bus fails or hangs, or the process ends at it: CloudFormation must not notice."""

import pytest

from hyperpod_node_removal_contract.telemetry import EVENT_BUS_VARIABLE, METRICS_VARIABLE
from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.errors import AFTER, BEFORE, EVER
from tests.faults.invariants import check
from tests.faults.scenarios import Scenario, calls_of
from tests.faults.stage import Stage

GROUP = "8 the event bus"
SCENARIOS = (
    scenarios.a_creation,
    scenarios.a_creation_that_fails,
    scenarios.an_update_that_fails,
    scenarios.a_chain,
)
EVENTS: dict[Scenario, int] = {scenarios.an_update_that_fails: 2}
"""Events of a scenario, if it is not one."""

Replies = list[tuple[float, str]]


@pytest.fixture(autouse=True)
def _on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EVENT_BUS_VARIABLE, "operations")
    monkeypatch.setenv(METRICS_VARIABLE, "true")


def replies_of(stage: Stage) -> Replies:
    """How long into its invocation each request was answered, and how."""
    first = [request.arrived[0] for request in stage.cloudformation.requests]
    return [
        (
            round(reply.time - (reply.invocation.deadline - stage.functions.seconds), 6),
            reply.content["Status"],
        )
        for reply in first
    ]


def clean(scenario: Scenario) -> Replies:
    with Stage() as stage:
        scenario(stage)
        stage.run()
        assert len(stage.events) == EVENTS.get(scenario, 1)
        check(stage)
        return replies_of(stage)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_event_that_is_lost_changes_no_reply(scenario: Scenario, tally: Tally) -> None:
    undisturbed = clean(scenario)
    for error, make in EVER.items():
        with tally.fault(f"{error} for ever"), Stage() as stage:
            scenario(stage)
            before = len(stage.events)
            stage.outside.fail("PutEvents", make, times=1e9)
            stage.run()
            assert len(stage.events) == before
            assert replies_of(stage) == undisturbed
            check(stage)


@pytest.mark.parametrize(
    ("error", "is_after_work"),
    [(name, False) for name in BEFORE] + [(name, True) for name in AFTER],
)
def test_an_error_that_passes_costs_no_event(error: str, is_after_work: bool, tally: Tally) -> None:
    """It is sent again, and so may arrive twice."""
    with tally.fault(error), Stage() as stage:
        scenarios.a_creation(stage)
        make = (AFTER if is_after_work else BEFORE)[error]
        stage.outside.fail("PutEvents", make, is_after_work=is_after_work)
        stage.run()
        assert len(stage.events) == (2 if is_after_work else 1)
        assert stage.events[0] == stage.events[-1]
        check(stage)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_bus_that_hangs_changes_no_reply(scenario: Scenario, tally: Tally) -> None:
    """Longer than the function lives."""
    undisturbed = clean(scenario)
    with tally.fault("no answer in 2,000 s"), Stage() as stage:
        # As the construct has it: an event whose invocation timed out is not run again.
        stage.functions.retries = 0
        stage.outside.latency = lambda call: 2000.0 if call.operation == "PutEvents" else 0.0
        scenario(stage)
        stage.run()
        assert replies_of(stage) == undisturbed
        check(stage)


@pytest.mark.parametrize("is_after_work", [False, True])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_process_that_ends_at_the_event_has_replied(
    scenario: Scenario, is_after_work: bool, tally: Tally
) -> None:
    undisturbed = clean(scenario)
    numbers = [call.number for call in calls_of(scenario) if call.operation == "PutEvents"]
    assert numbers
    for number in numbers:
        with tally.fault(f"killed at call {number}"), Stage() as stage:
            stage.functions.retries = 0
            scenario(stage)
            stage.outside.kill(number, is_after_work=is_after_work)
            stage.run()
            assert replies_of(stage) == undisturbed
            check(stage)
