"""The process is killed before or after any call, or the deployment is canceled at any call.

The calls are those of a run without faults. The fault at each call gets a run of its own. Lambda
retries the event of a process that was killed.
"""

import pytest

from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.invariants import check
from tests.faults.sampling import sample
from tests.faults.scenarios import SCENARIOS, Scenario, calls_of
from tests.faults.simulation import Simulation

GROUP = "1 crash points"
MOMENTS = {"before": False, "after": True}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_stack_survives_a_kill_or_a_cancellation_at_any_call(
    scenario: Scenario, tally: Tally
) -> None:
    kinds = ("killed before", "killed after", "canceled at")
    for call, kind in sample(calls_of(scenario), kinds):
        with tally.fault(f"{kind} call {call.number}, {call.operation}"), Simulation() as sim:
            stack = scenario(sim)
            if kind == "canceled at":
                sim.injector.at(call, stack.cancel)
            else:
                sim.injector.kill(call.number, is_after_work=kind == "killed after")
            sim.run()
            if kind != "canceled at":
                assert "killed" in {i.end for i in sim.functions.invocations}
            assert not stack.is_stuck
            check(sim)


def test_a_stack_survives_kills_at_any_two_calls(tally: Tally) -> None:
    for call, (moment, is_after_work) in sample(calls_of(scenarios.an_acceptance), MOMENTS.items()):
        second, has_more_calls = call.number, True
        while has_more_calls:
            second += 1
            with (
                tally.fault(f"killed {moment} calls {call.number} and {second}"),
                Simulation() as sim,
            ):
                stack = scenarios.an_acceptance(sim)
                sim.injector.kill(call.number, is_after_work=is_after_work)
                fault = sim.injector.kill(second, is_after_work=is_after_work)
                sim.run()
                has_more_calls = bool(fault.hits)
                assert not stack.is_stuck
                check(sim, is_repeatable=False)


@pytest.mark.parametrize("scenario", [scenarios.a_creation, scenarios.a_chain])
def test_without_retries_a_kill_only_costs_the_timeout_of_the_stack(
    scenario: Scenario, tally: Tally
) -> None:
    """The construct turns Lambda's retries off, because a retry may be older than the template."""
    for call, (moment, is_after_work) in sample(calls_of(scenario), MOMENTS.items()):
        with (
            tally.fault(f"killed {moment} call {call.number}, {call.operation}"),
            Simulation() as sim,
        ):
            sim.functions.retries = 0
            stack = scenario(sim)
            sim.injector.kill(call.number, is_after_work=is_after_work)
            sim.run()
            assert not stack.is_stuck
            check(sim, is_answered=False, is_repeatable=False)
