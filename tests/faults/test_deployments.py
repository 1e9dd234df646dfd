"""CloudFormation: deliveries twice, request ids used again, cancels, rollbacks, two stacks."""

import pytest

from tests.aws_transport import Answer
from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.errors import EVER
from tests.faults.invariants import check
from tests.faults.outside import Call, Trouble
from tests.faults.scenarios import SCENARIOS, Scenario, calls_of, properties
from tests.faults.stage import Stage

GROUP = "5 deployments"


def ids(scenario: Scenario) -> str:
    return scenario.__name__


@pytest.mark.parametrize("scenario", SCENARIOS, ids=ids)
def test_an_event_that_is_delivered_twice_is_one_removal(scenario: Scenario, tally: Tally) -> None:
    """At the same time, a moment later, and when the first is over."""
    for delay in (0.0, 0.5, 1.0, 3.0, 20.0, 60.0, 300.0, 1200.0):
        with tally.fault(f"{delay} s later"), Stage() as stage:
            stage.cloudformation.deliveries = (0.0, delay)
            stack = scenario(stage)
            stage.run()
            assert not stack.is_stuck
            stage.cloudformation.deliveries = (0.0,)
            check(stage)


@pytest.mark.parametrize("request_id", ["the same", "another"])
def test_a_deployment_that_is_tried_again_works(
    request_id: str, stage: Stage, tally: Tally
) -> None:
    with tally.fault(f"{request_id} request id"):
        cluster = stage.cluster()
        bad, good, *_ = cluster.node_ids("workers")
        cluster.refuse(bad)
        stack = stage.deployed({})
        again = properties(NodeIds=[bad, good])
        stack.update(again)
        stage.run()
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
        cluster.allow(bad)
        if request_id == "the same":
            stack.request_id -= 2
        stack.update(again)
        stage.run()
        assert stack.status == "UPDATE_COMPLETE"
        check(stage)


@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if "deletion" not in s.__name__], ids=ids
)
def test_a_cancel_at_any_call_stops_the_asking(scenario: Scenario, tally: Tally) -> None:
    for call in calls_of(scenario):
        with tally.fault(f"at call {call.number}, {call.operation}"), Stage() as stage:
            stack = scenario(stage)

            def cancel(_: Call, __: Answer | None, stack: object = stack) -> None:
                stack.cancel()  # type: ignore[attr-defined]

            stage.outside.add(
                Trouble(cancel, "", lambda c, n=call.number: c.number == n, times=1)  # type: ignore[misc]
            )
            stage.run()
            assert not stack.is_stuck
            check(stage)


@pytest.mark.parametrize("is_waiting", [False, True])
@pytest.mark.parametrize("pause", [80.0, 200.0, 400.0])
def test_an_update_during_a_hand_over_is_not_taken_for_the_one_before(
    pause: float, is_waiting: bool, tally: Tally
) -> None:
    """A deployment is cancelled and rolled back; the next one begins, and its set is another, while
    the chain of the first is still under way, and a node of its set comes back as a new instance.
    """
    for begin in range(10, 500, 35):
        with tally.fault(f"cancelled after {begin} s, next after {pause} s"), Stage() as stage:
            stage.functions.seconds = 200.0
            cluster = stage.cluster(continuous=True, shutdown_seconds=900)
            bad, other, *_ = cluster.node_ids("workers")
            leaving, *_ = cluster.logical_ids("workers")[4:]
            cluster.refuse(bad, until=stage.timeline.now() + begin + pause)
            stack = stage.deployed({})
            waiting = [bad] if is_waiting else []
            stack.update(properties(NodeIds=waiting, NodeLogicalIds=[leaving], RetryFor="2000"))
            stage.timeline.after(begin, stack.cancel)
            after = begin + pause

            def next_deployment(stage: Stage = stage, other: str = other) -> None:
                stage.cloudformation.requests[0].stack.update(properties(NodeIds=[other]))

            stage.timeline.after(after, next_deployment)
            stage.timeline.after(after + 20, lambda c=cluster, n=leaving: c.replace_instance(n))  # type: ignore[misc]
            stage.run()
            assert bad in cluster.present
            assert leaving in cluster.logical_ids("workers")
            assert other not in cluster.present
            assert stack.status == "UPDATE_COMPLETE"
            check(stage, is_repeatable=False)


def test_a_rollback_that_failed_is_continued(tally: Tally) -> None:
    """And rolled back again, and once more, whatever fails on the way."""
    for failures in (1, 2, 3):
        for error in ("access denied", "refused"):
            with tally.fault(f"{error}, {failures} times"), Stage() as stage:
                stack = scenarios.an_update_that_fails(stage)
                trouble = stage.outside.fail(
                    "DescribeStacks",
                    EVER[error],
                    times=1e9,
                    when=lambda call, s=stack: "ROLLBACK" in s.status,  # type: ignore[misc]
                )
                stage.run()
                for _ in range(failures):
                    assert stack.status == "UPDATE_ROLLBACK_FAILED"
                    stack.roll_back(properties())
                    if _ == failures - 1:
                        trouble.times = 0
                    stage.run()
                assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
                check(stage)


@pytest.mark.parametrize("second", ["good", "bad", "accepted"])
def test_two_stacks_whose_sets_overlap_both_end_as_they_should(second: str, tally: Tally) -> None:
    for delay in (0.0, 0.5, 1.5, 4.0, 30.0, 60.0, 90.0):
        for latency in (0.0, 0.7):
            with tally.fault(f"{second}, {delay} s later"), Stage() as stage:
                cluster = stage.cluster(8, shutdown_seconds=60)
                nodes = cluster.node_ids("workers")
                if second == "bad":
                    cluster.refuse(nodes[3])
                stage.outside.latency = lambda call, seconds=latency: seconds  # type: ignore[misc]
                one, two = stage.stack("one"), stage.stack("two")
                one.create(properties(NodeIds=list(nodes[:3])))
                more = {"WaitFor": "ACCEPTED"} if second == "accepted" else {}
                theirs = properties(NodeIds=list(nodes[1:4]), **more)
                stage.timeline.after(delay, lambda stack=two, p=theirs: stack.create(p))  # type: ignore[misc]
                stage.run()
                assert one.status == "CREATE_COMPLETE"
                assert two.status == ("ROLLBACK_COMPLETE" if second == "bad" else "CREATE_COMPLETE")
                stage.outside.latency = lambda call: 0.0
                check(stage)


def test_a_creation_that_nobody_answers_is_rolled_back_without_a_delete(
    stage: Stage, tally: Tally
) -> None:
    """The function is killed three times; CloudFormation makes up the id of the Delete."""
    with tally.fault("killed three times"):
        stack = scenarios.a_creation(stage)

        def kill(call: Call, answer: Answer | None) -> None:
            stage.outside.kill(call.number + 1, is_after_work=False)

        stage.outside.add(
            Trouble(kill, "DescribeStacks", lambda c: c.invocation.event["RequestType"] == "Create")
        )
        stage.run()
        assert stack.status == "ROLLBACK_COMPLETE"
        check(stage, is_answered=False)
        assert stage.hp.requested_nodes == set()
