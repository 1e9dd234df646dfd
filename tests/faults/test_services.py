"""SageMaker, CloudFormation's and Lambda's APIs fail, once at any call or for ever."""

import math

import pytest

from sandbox.hyperpod import ServiceError
from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.errors import AFTER, BEFORE, EVER
from tests.faults.invariants import check
from tests.faults.outside import ASK, PUT
from tests.faults.scenarios import Scenario, calls_of
from tests.faults.stage import Stage

GROUP = "2 calls to AWS"
OPERATIONS = (
    "DescribeCluster",
    "DescribeClusterNode",
    "ListClusterNodes",
    "BatchDeleteClusterNodes",
    "DescribeStacks",
    "Invoke",
)
ONCE = [(name, False) for name in BEFORE] + [(name, True) for name in AFTER]


@pytest.mark.parametrize(
    ("scenario", "stride"),
    [
        (scenarios.a_creation, 1),
        (scenarios.a_removal_from_many, 4),
        (scenarios.an_update_that_fails, 2),
        (scenarios.a_chain, 4),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_any_error_at_any_call_is_waited_out(scenario: Scenario, stride: int, tally: Tally) -> None:
    """Each call meets every error, or every second or fourth, the next call the next ones."""
    calls = [call for call in calls_of(scenario) if call.operation != PUT]
    with Stage() as stage:
        stack = scenario(stage)
        stage.run()
        clean = stack.status
    for call in calls:
        for error, is_after_work in ONCE[call.number % stride :: stride]:
            with tally.fault(f"{error} at call {call.number}, {call.operation}"), Stage() as stage:
                stack = scenario(stage)
                stage.outside.fail(
                    call.operation,
                    (AFTER if is_after_work else BEFORE)[error],
                    when=lambda c, number=call.number: c.number == number,  # type: ignore[misc]
                    is_after_work=is_after_work,
                )
                stage.run()
                assert stack.status == clean
                check(stage)


@pytest.mark.parametrize("retry_for", ["0", "60"])
@pytest.mark.parametrize("error", AFTER)
def test_a_removal_whose_answer_is_lost_is_no_failure(
    stage: Stage, tally: Tally, error: str, retry_for: str
) -> None:
    """Even where nothing is to be tried again: the next look at the cluster tells."""
    with tally.fault(error):
        nodes = stage.cluster().node_ids("workers")[:2]
        stack = stage.stack()
        stack.create(scenarios.properties(NodeIds=list(nodes), RetryFor=retry_for))
        stage.outside.fail("BatchDeleteClusterNodes", AFTER[error], is_after_work=True)
        stage.run()
        check(stage)
        assert stack.status == "CREATE_COMPLETE"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_error_that_stays_ends_in_a_reply(operation: str, tally: Tally) -> None:
    only = {"Invoke": scenarios.a_chain, "DescribeClusterNode": scenarios.a_removal_from_many}
    scenarios_of = (scenarios.a_creation, scenarios.an_update, scenarios.a_chain)
    for scenario in (only[operation],) if operation in only else scenarios_of:
        for error, make in EVER.items():
            for skip in (0, 1, 3):
                with tally.fault(f"{error} from {operation}, but for {skip}"), Stage() as stage:
                    stack = scenario(stage)
                    stage.outside.fail(operation, make, times=1e9, skip=skip)
                    stage.run()
                    check(stage)
                    # A rollback that cannot look at the stack is the one thing that has to fail.
                    assert not stack.is_stuck or operation == "DescribeStacks"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_permission_that_spreads_within_20_seconds_is_waited_for(
    operation: str, tally: Tally
) -> None:
    many = operation == "DescribeClusterNode"
    scenario = scenarios.a_removal_from_many if many else scenarios.a_creation
    scenario = scenarios.a_chain if operation == "Invoke" else scenario
    begin = 165 if operation == "Invoke" else 0
    with tally.fault(operation), Stage() as stage:
        stack = scenario(stage)
        granted = stage.timeline.now() + begin + 20
        stage.outside.fail(
            operation,
            lambda: ServiceError("AccessDeniedException", "not authorized"),
            times=1e9,
            when=lambda call: call.time < granted,
        )
        stage.run()
        check(stage)
        assert stack.status == "CREATE_COMPLETE"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_credentials_that_have_expired_are_waited_for(operation: str, tally: Tally) -> None:
    """For 25 seconds, all calls from one moment on: every such moment of a chain."""
    for call in [call for call in calls_of(scenarios.a_chain) if call.operation == operation]:
        with tally.fault(f"from call {call.number} on"), Stage() as stage:
            stack = scenarios.a_chain(stage)
            stage.outside.fail(
                "",
                BEFORE["expired credentials"],
                times=1e9,
                when=lambda c, t=call.time: c.operation != PUT and t <= c.time < t + 25,  # type: ignore[misc]
            )
            stage.run()
            check(stage)
            assert stack.status == "CREATE_COMPLETE"


def test_a_stack_that_cannot_be_looked_at_for_minutes_does_not_get_stuck(
    stage: Stage, tally: Tally
) -> None:
    with tally.fault("DescribeStacks throttled for ten minutes of a rollback"):
        stack = scenarios.an_update_that_fails(stage)
        stage.timeline.run(stage.timeline.now() + 55)
        assert stack.request.answer is not None or stack.status == "UPDATE_IN_PROGRESS"
        begin = stage.timeline.now()
        stage.outside.fail(
            "DescribeStacks",
            BEFORE["throttled"],
            times=1e9,
            when=lambda call: call.time < begin + 600,
        )
        stage.run()
        check(stage)
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"


def test_access_that_is_denied_in_the_middle_does_not_outlast_the_stack(
    stage: Stage, tally: Tally
) -> None:
    """While a delete waits for its permission the stack may turn back."""
    with tally.fault("denied for 40 s, rolled back after 10 s"):
        nodes = stage.cluster().node_ids("workers")[:2]
        stack = stage.deployed({})
        stack.update(scenarios.properties(NodeIds=list(nodes)))
        granted = stage.timeline.now() + 40
        stage.outside.fail(
            "BatchDeleteClusterNodes",
            EVER["access denied"],
            times=1e9,
            when=lambda call: call.time < granted,
        )
        stage.timeline.after(10, stack.cancel)
        stage.run()
        assert stage.hp.requested_nodes == set()
        check(stage)


@pytest.mark.parametrize("is_after_work", [False, True])
def test_a_question_to_the_hook_that_goes_wrong_removes_nothing(
    is_after_work: bool, tally: Tally
) -> None:
    for name, error in (AFTER if is_after_work else EVER).items():
        with tally.fault(f"{name} at the hook"), Stage() as stage:
            stack = scenarios.an_update_with_a_hook(stage)
            asked = stage.outside.fail(ASK, error, times=math.inf, is_after_work=is_after_work)
            stage.run()
            assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
            assert stage.deletions == []
            assert asked.met == 1 or name in {"throttled", "access denied"}
            check(stage, is_repeatable=False)


def test_a_throttled_question_is_put_again(stage: Stage, tally: Tally) -> None:
    with tally.fault("throttled at the hook"):
        scenarios.an_update_with_a_hook(stage)
        stage.outside.fail(ASK, BEFORE["throttled"], times=3)
        stage.run()
        assert len(stage.agreements) == 1
        assert stage.deletions
        check(stage)
