"""CloudFormation: duplicate events, reused request ids, cancellations, rollbacks, two stacks."""

from functools import partial

import pytest

from tests.aws_transport import Answer
from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.errors import PERMANENT
from tests.faults.fault_injection import Call, Fault
from tests.faults.invariants import check
from tests.faults.sampling import sample
from tests.faults.scenarios import SCENARIOS, properties
from tests.faults.simulation import Simulation

GROUP = "5 deployments"


def test_an_event_that_is_delivered_twice_causes_one_removal(tally: Tally) -> None:
    """At the same time, a moment later, and after the end of the first removal."""
    delays = (0.0, 0.5, 1.0, 3.0, 20.0, 60.0, 300.0, 1200.0)
    for scenario, delay in sample(SCENARIOS, delays):
        with tally.fault(f"{scenario.__name__}, {delay} s later"), Simulation() as sim:
            sim.cloudformation.deliveries = (0.0, delay)
            stack = scenario(sim)
            sim.run()
            assert not stack.is_stuck
            check(sim)


@pytest.mark.parametrize("request_id", ["the same", "another"])
def test_a_repeated_deployment_succeeds(request_id: str, sim: Simulation, tally: Tally) -> None:
    with tally.fault(f"{request_id} request id"):
        cluster = sim.cluster()
        bad, good, *_ = cluster.node_ids("workers")
        cluster.refuse(bad)
        stack = sim.deployed_stack({})
        again = properties(NodeIds=[bad, good])
        stack.update(again)
        sim.run()
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
        cluster.allow(bad)
        if request_id == "the same":
            stack.request_id -= 2
        stack.update(again)
        sim.run()
        assert stack.status == "UPDATE_COMPLETE"
        check(sim)


def test_an_update_during_a_hand_over_is_not_mistaken_for_the_previous_one(tally: Tally) -> None:
    """A deployment of other nodes begins while the invocations of a canceled one continue.

    A node of the canceled deployment gets a new instance.
    """
    begins, pauses = range(10, 500, 35), (80.0, 200.0, 400.0)
    for begin, pause, is_waiting in sample(begins, pauses, (False, True)):
        with tally.fault(f"canceled after {begin} s, next after {pause} s"), Simulation() as sim:
            sim.functions.seconds = 200.0
            cluster = sim.cluster(continuous=True, shutdown_seconds=900)
            bad, other, *_ = cluster.node_ids("workers")
            leaving, *_ = cluster.logical_ids("workers")[4:]
            cluster.refuse(bad, until=sim.timeline.now() + begin + pause)
            stack = sim.deployed_stack({})
            waiting = [bad] if is_waiting else []
            stack.update(properties(NodeIds=waiting, NodeLogicalIds=[leaving], RetryFor="2000"))
            sim.timeline.after(begin, stack.cancel)
            after = begin + pause
            sim.timeline.after(after, partial(stack.update, properties(NodeIds=[other])))
            sim.timeline.after(after + 20, partial(cluster.replace_instance, leaving))
            sim.run()
            assert bad in cluster.present
            assert leaving in cluster.logical_ids("workers")
            assert other not in cluster.present
            assert stack.status == "UPDATE_COMPLETE"
            check(sim, is_repeatable=False)


def test_a_failed_rollback_can_be_continued(tally: Tally) -> None:
    """The rollback fails up to three times."""
    for failures in (1, 2, 3):
        for error in ("access denied", "refused"):
            with tally.fault(f"{error}, {failures} times"), Simulation() as sim:
                stack = scenarios.an_update_that_fails(sim)
                fault = sim.injector.fail(
                    "DescribeStacks",
                    PERMANENT[error],
                    times=1e9,
                    when=lambda call, s=stack: "ROLLBACK" in s.status,  # type: ignore[misc]
                )
                sim.run()
                for attempt in range(1, failures + 1):
                    assert stack.status == "UPDATE_ROLLBACK_FAILED"
                    stack.roll_back(properties())
                    if attempt == failures:
                        fault.times = 0
                    sim.run()
                assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
                check(sim)


def test_two_stacks_with_common_nodes_both_get_the_right_status(tally: Tally) -> None:
    kinds, delays, latencies = (
        ("good", "bad", "accepted"),
        (0.0, 0.5, 1.5, 4.0, 30.0, 60.0, 90.0),
        (0.0, 0.7),
    )
    for kind, delay, latency in sample(kinds, delays, latencies):
        with tally.fault(f"{kind}, {delay} s later"), Simulation() as sim:
            cluster = sim.cluster(8, shutdown_seconds=60)
            nodes = cluster.node_ids("workers")
            if kind == "bad":
                cluster.refuse(nodes[3])
            sim.injector.latency = latency
            one, two = sim.stack("one"), sim.stack("two")
            one.create(properties(NodeIds=list(nodes[:3])))
            more = {"WaitFor": "ACCEPTED"} if kind == "accepted" else {}
            theirs = properties(NodeIds=list(nodes[1:4]), **more)
            sim.timeline.after(delay, partial(two.create, theirs))
            sim.run()
            assert one.status == "CREATE_COMPLETE"
            assert two.status == ("ROLLBACK_COMPLETE" if kind == "bad" else "CREATE_COMPLETE")
            check(sim)


def test_a_creation_without_a_reply_rolls_back_and_removes_nothing(
    sim: Simulation, tally: Tally
) -> None:
    """The function is killed three times; CloudFormation generates the id of the Delete."""
    with tally.fault("killed three times"):
        stack = scenarios.a_creation(sim)

        def kill(call: Call, answer: Answer | None) -> None:
            sim.injector.kill(call.number + 1, is_after_work=False)

        sim.injector.add(
            Fault(kill, "DescribeStacks", lambda c: c.invocation.event["RequestType"] == "Create")
        )
        sim.run()
        assert stack.status == "ROLLBACK_COMPLETE"
        check(sim, is_answered=False)
        assert sim.hp.requested_nodes == set()
