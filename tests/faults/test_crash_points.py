"""The process is killed before and after every single call, and the event is delivered again.

The calls are counted in a run in which nothing happens; then there is one run for each of them.
"""

import pytest

from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.invariants import check
from tests.faults.scenarios import SCENARIOS, Scenario, calls_of
from tests.faults.stage import Stage

GROUP = "1 crash points"
MOMENTS = {"before": False, "after": True}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_kill_at_any_call_is_survived(scenario: Scenario, tally: Tally) -> None:
    for call in calls_of(scenario):
        for moment, is_after_work in MOMENTS.items():
            what = f"killed {moment} call {call.number}, {call.operation}"
            with tally.fault(what), Stage() as stage:
                stack = scenario(stage)
                stage.outside.kill(call.number, is_after_work=is_after_work)
                stage.run()
                assert "killed" in {i.end for i in stage.functions.invocations}
                assert not stack.is_stuck
                check(stage)


@pytest.mark.parametrize("moment", MOMENTS)
def test_two_kills_at_any_two_calls_are_survived(moment: str, tally: Tally) -> None:
    is_after_work = MOMENTS[moment]
    for first in calls_of(scenarios.an_acceptance):
        second, is_there_a_call = first.number, True
        while is_there_a_call:
            second += 1
            with (
                tally.fault(f"killed {moment} calls {first.number} and {second}"),
                Stage() as stage,
            ):
                stack = scenarios.an_acceptance(stage)
                stage.outside.kill(first.number, is_after_work=is_after_work)
                trouble = stage.outside.kill(second, is_after_work=is_after_work)
                stage.run()
                is_there_a_call = bool(trouble.met)
                assert not stack.is_stuck
                check(stage, is_repeatable=False)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    "scenario", [scenarios.a_creation, scenarios.a_chain], ids=lambda scenario: scenario.__name__
)
def test_an_event_that_is_never_delivered_again_costs_the_timeout_and_no_more(
    scenario: Scenario, moment: str, tally: Tally
) -> None:
    """The construct asks Lambda not to try again: a retry may be older than the template."""
    for call in calls_of(scenario):
        with tally.fault(f"killed {moment} call {call.number}, {call.operation}"), Stage() as stage:
            stage.functions.retries = 0
            stack = scenario(stage)
            stage.outside.kill(call.number, is_after_work=MOMENTS[moment])
            stage.run()
            assert not stack.is_stuck
            check(stage, is_answered=False, is_repeatable=False)
