"""The APIs of SageMaker, CloudFormation, and Lambda fail, once at any call or permanently."""

import math
from itertools import product

import pytest

from sandbox.hyperpod import ServiceError
from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.errors import AFTER, BEFORE, PERMANENT
from tests.faults.fault_injection import INVOKE_HOOK, OPERATIONS, PUT, is_call
from tests.faults.invariants import check
from tests.faults.sampling import sample
from tests.faults.scenarios import Scenario, calls_of
from tests.faults.simulation import Simulation

GROUP = "2 calls to AWS"
ONCE = [(name, False) for name in BEFORE] + [(name, True) for name in AFTER]


@pytest.mark.parametrize(
    ("scenario", "stride"),
    [
        (scenarios.a_creation, 1),
        (scenarios.a_removal_from_many, 4),
        (scenarios.an_update_that_fails, 2),
        (scenarios.a_chain, 4),
    ],
)
def test_a_transient_error_at_any_call_does_not_change_the_result(
    scenario: Scenario, stride: int, tally: Tally
) -> None:
    calls = [call for call in calls_of(scenario) if call.operation != PUT]
    with Simulation() as sim:
        stack = scenario(sim)
        sim.run()
        clean = stack.status
    for call, (error, is_after_work) in sample(calls, ONCE, stride=stride):
        with tally.fault(f"{error} at call {call.number}, {call.operation}"), Simulation() as sim:
            stack = scenario(sim)
            sim.injector.fail(
                call.operation,
                (AFTER if is_after_work else BEFORE)[error],
                when=is_call(call.number),
                is_after_work=is_after_work,
            )
            sim.run()
            assert stack.status == clean
            check(sim)


@pytest.mark.parametrize("error", AFTER)
def test_a_removal_whose_response_is_lost_succeeds(error: str, tally: Tally) -> None:
    """Also without retries, and if the nodes leave before the next look at the cluster."""
    for retry_for, shutdown_seconds in product(("0", "60"), (0.0, 60.0)):
        with tally.fault(f"{error}, {retry_for}, {shutdown_seconds}"), Simulation() as sim:
            nodes = sim.cluster(shutdown_seconds=shutdown_seconds).node_ids("workers")[:2]
            stack = sim.stack()
            stack.create(scenarios.properties(NodeIds=list(nodes), RetryFor=retry_for))
            sim.injector.fail("BatchDeleteClusterNodes", AFTER[error], is_after_work=True)
            sim.run()
            check(sim)
            assert stack.status == "CREATE_COMPLETE"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_permanent_error_gets_a_reply(operation: str, tally: Tally) -> None:
    only = {"Invoke": scenarios.a_chain, "DescribeClusterNode": scenarios.a_removal_from_many}
    common = (scenarios.a_creation, scenarios.an_update, scenarios.a_chain)
    chosen = (only[operation],) if operation in only else common
    for scenario, (error, make), skip in sample(chosen, PERMANENT.items(), (0, 1, 3)):
        with tally.fault(f"{error} from {operation} after {skip} calls"), Simulation() as sim:
            stack = scenario(sim)
            sim.injector.fail(operation, make, times=1e9, skip=skip)
            sim.run()
            check(sim)
            # Only a rollback that cannot look at the stack has to fail.
            assert not stack.is_stuck or operation == "DescribeStacks"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_removal_waits_20_seconds_until_a_permission_takes_effect(
    operation: str, tally: Tally
) -> None:
    many = operation == "DescribeClusterNode"
    scenario = scenarios.a_removal_from_many if many else scenarios.a_creation
    scenario = scenarios.a_chain if operation == "Invoke" else scenario
    begin = 165 if operation == "Invoke" else 0
    with tally.fault(operation), Simulation() as sim:
        stack = scenario(sim)
        granted = sim.timeline.now() + begin + 20
        sim.injector.fail(
            operation,
            lambda: ServiceError("AccessDeniedException", "not authorized"),
            times=1e9,
            when=lambda call: call.time < granted,
        )
        sim.run()
        check(sim)
        assert stack.status == "CREATE_COMPLETE"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_removal_continues_after_expired_credentials_are_replaced(
    operation: str, tally: Tally
) -> None:
    """All calls fail for 25 seconds, beginning with any call of a chain."""
    calls = [call for call in calls_of(scenarios.a_chain) if call.operation == operation]
    for (call,) in sample(calls):
        with tally.fault(f"from call {call.number} on"), Simulation() as sim:
            stack = scenarios.a_chain(sim)
            sim.injector.fail(
                "",
                BEFORE["expired credentials"],
                times=1e9,
                when=lambda c, t=call.time: c.operation != PUT and t <= c.time < t + 25,  # type: ignore[misc]
            )
            sim.run()
            check(sim)
            assert stack.status == "CREATE_COMPLETE"


def test_a_stack_that_cannot_be_described_for_minutes_does_not_get_stuck(
    sim: Simulation, tally: Tally
) -> None:
    with tally.fault("DescribeStacks throttled for ten minutes of a rollback"):
        stack = scenarios.an_update_that_fails(sim)
        sim.timeline.run(sim.timeline.now() + 55)
        assert stack.request.answer is not None or stack.status == "UPDATE_IN_PROGRESS"
        begin = sim.timeline.now()
        sim.injector.fail(
            "DescribeStacks",
            BEFORE["throttled"],
            times=1e9,
            when=lambda call: call.time < begin + 600,
        )
        sim.run()
        check(sim)
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"


def test_a_denied_delete_is_not_retried_after_a_rollback(sim: Simulation, tally: Tally) -> None:
    """The stack rolls back while a delete waits for its permission."""
    with tally.fault("denied for 40 s, rolled back after 10 s"):
        nodes = sim.cluster().node_ids("workers")[:2]
        stack = sim.deployed_stack({})
        stack.update(scenarios.properties(NodeIds=list(nodes)))
        granted = sim.timeline.now() + 40
        sim.injector.fail(
            "BatchDeleteClusterNodes",
            PERMANENT["access denied"],
            times=1e9,
            when=lambda call: call.time < granted,
        )
        sim.timeline.after(10, stack.cancel)
        sim.run()
        assert sim.hp.requested_nodes == set()
        check(sim)


@pytest.mark.parametrize("is_after_work", [False, True])
def test_no_node_is_removed_if_the_hook_cannot_be_invoked(
    is_after_work: bool, tally: Tally
) -> None:
    for name, error in (AFTER if is_after_work else PERMANENT).items():
        with tally.fault(f"{name} at the hook"), Simulation() as sim:
            stack = scenarios.an_update_with_a_hook(sim)
            fault = sim.injector.fail(
                INVOKE_HOOK, error, times=math.inf, is_after_work=is_after_work
            )
            sim.run()
            assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
            assert sim.deletions == []
            assert fault.hits == 1 or name in {"throttled", "access denied"}
            check(sim, is_repeatable=False)


def test_a_throttled_invocation_of_the_hook_is_retried(sim: Simulation, tally: Tally) -> None:
    with tally.fault("throttled at the hook"):
        scenarios.an_update_with_a_hook(sim)
        sim.injector.fail(INVOKE_HOOK, BEFORE["throttled"], times=3)
        sim.run()
        assert len(sim.approvals) == 1
        assert sim.deletions
        check(sim)
