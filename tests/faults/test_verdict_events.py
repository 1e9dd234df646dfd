"""Faults between the reply and the signal that shows a success in the stack's events."""

from collections.abc import Callable

import pytest

from sandbox.hyperpod import ServiceError
from tests.faults.cloudformation import Stack
from tests.faults.invariants import check
from tests.faults.scenarios import an_update_with_a_verdict, properties
from tests.faults.simulation import Simulation

SIGNAL = "SignalResource"
THROTTLED = ("Throttling", 400)
DENIED = ("AccessDenied", 403)
BROKEN = ("InternalFailure", 500)


def deploy(*arrange: Callable[[Simulation], object]) -> tuple[Simulation, Stack]:
    with Simulation() as sim:
        stack = an_update_with_a_verdict(sim)
        for one in arrange:
            one(sim)
        sim.run()
        check(sim)
        return sim, stack


def is_requested_once(sim: Simulation) -> bool:
    """Return whether the removed node was requested exactly once."""
    done = [one for one in sim.deletions if one.is_done]
    (request,) = {id(one.request): one.request for one in done}.values()
    good = request.event["ResourceProperties"]["NodeIds"][-1]
    return sum(good in one.identifiers for one in done) == 1


def refuse(times: int, code: str, status: int) -> Callable[[Simulation], object]:
    error = lambda: ServiceError(code, status=status)  # noqa: E731
    return lambda sim: sim.injector.fail(SIGNAL, error, times=times)


@pytest.mark.parametrize("error", [THROTTLED, BROKEN, DENIED])
@pytest.mark.parametrize("times", [1, 3, 9])
def test_a_refused_signal_is_retried(times: int, error: tuple[str, int]) -> None:
    sim, stack = deploy(refuse(times, *error))
    assert stack.status == "UPDATE_COMPLETE"
    assert [text[:19] for text, _ in stack.signals] == ["1 of 2 not removed:"]
    assert is_requested_once(sim)


@pytest.mark.parametrize("error", [THROTTLED, BROKEN, DENIED])
def test_a_signal_that_is_always_refused_fails_the_stack_and_removes_no_more_nodes(
    error: tuple[str, int],
) -> None:
    sim, stack = deploy(refuse(10_000, *error))
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.signals == []
    assert is_requested_once(sim)


def test_a_signal_whose_response_is_lost_counts_once() -> None:
    _, stack = deploy(
        lambda sim: sim.injector.fail(
            SIGNAL, lambda: ServiceError("InternalFailure", status=500), times=1, is_after_work=True
        )
    )
    assert stack.status == "UPDATE_COMPLETE"
    assert len(stack.signals) == 1


@pytest.mark.parametrize("seconds", [0.0, 10.0, 60.0, 200.0])
def test_a_wait_condition_that_begins_late_is_signaled(seconds: float) -> None:
    def later(sim: Simulation) -> None:
        for request in sim.cloudformation.requests:
            request.stack.condition_delay = seconds

    _, stack = deploy(later)
    assert stack.status == "UPDATE_COMPLETE"
    assert len(stack.signals) == 1


@pytest.mark.parametrize("seconds", [50.0, 75.0, 100.0])
def test_the_next_invocation_signals_after_a_hand_over(seconds: float) -> None:
    """Invocations are too short for the reply and the signal."""

    def shorten(sim: Simulation) -> None:
        sim.functions.seconds = seconds

    sim, stack = deploy(shorten)
    assert stack.status == "UPDATE_COMPLETE"
    assert len(stack.signals) == 1
    assert is_requested_once(sim)


@pytest.mark.parametrize("after", [0.0, 1.0, 3.0, 30.0])
def test_a_stack_that_is_canceled_while_it_waits_can_be_deployed_again(after: float) -> None:
    """The wait conditions of both deployments have the same name."""
    with Simulation() as sim:
        stack = an_update_with_a_verdict(sim)
        stack.condition_delay = 5.0
        given = dict(stack.request.event["ResourceProperties"])
        given.pop("ServiceToken")

        def cancel() -> None:
            if stack.condition:
                stack.cancel_and_redeploy(given)
            else:
                sim.timeline.after(0.5, cancel)

        sim.injector.fail(SIGNAL, lambda: ServiceError("Throttling", status=400), times=3)
        sim.timeline.after(after, cancel)
        sim.run()
        check(sim, is_repeatable=False)
        assert stack.status == "UPDATE_COMPLETE"
        assert [request for _, request in stack.signals] == [stack.request]


def test_a_duplicate_event_counts_as_one_signal() -> None:
    with Simulation() as sim:
        sim.cloudformation.deliveries = (0.0, 0.5)
        stack = an_update_with_a_verdict(sim)
        sim.run()
        check(sim, is_repeatable=False)
        assert stack.status == "UPDATE_COMPLETE"
        assert len(stack.signals) == 1


def test_an_unchanged_set_is_deployed_without_a_signal() -> None:
    with Simulation() as sim:
        stack = an_update_with_a_verdict(sim)
        sim.run()
        given = {"OnPartialFailure": "REPORT", "VerdictCondition": "Verdict1"}
        nodes = stack.request.event["ResourceProperties"]["NodeIds"]
        stack.update(properties(NodeIds=nodes, **given) | {"RetryFor": "30"})
        sim.run()
        check(sim, is_repeatable=False)
        assert stack.status == "UPDATE_COMPLETE"
        assert len(stack.signals) == 1
