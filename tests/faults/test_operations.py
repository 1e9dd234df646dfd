"""The operations of a stack: status lag, cancel and redeploy, duplicate and delayed events."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from sandbox.hyperpod import ServiceError
from tests.faults import scenarios
from tests.faults.cloudformation import Stack
from tests.faults.conftest import Tally
from tests.faults.fault_injection import PUT, Fault
from tests.faults.invariants import check, ids_of
from tests.faults.sampling import sample
from tests.faults.scenarios import Scenario, properties
from tests.faults.simulation import Simulation

GROUP = "9 operations"


# A status that lags --------------------------------------------------------------------------

LAGGING: tuple[Scenario, ...] = (
    scenarios.a_creation,
    scenarios.a_creation_that_fails,
    scenarios.an_update,
    scenarios.an_update_that_fails,
    scenarios.an_update_that_is_refused,
    scenarios.an_update_with_a_hook,
    scenarios.a_chain,
)


def lag(sim: Simulation, *, forward: float = 0.0, backward: float = 0.0) -> None:
    for stack in sim.cloudformation._stacks.values():
        stack.lag_forward, stack.lag_backward = forward, backward


SHOWN = ("ids and times", "times", "ids")
"""The details of a stack's operations that DescribeStacks shows."""


@pytest.mark.parametrize("scenario", LAGGING)
def test_a_lagging_status_does_not_change_the_result(scenario: Scenario, tally: Tally) -> None:
    """A rollback is not shown for up to 4 s, and any other operation for up to 30 s."""
    with Simulation() as sim:
        ideal = scenario(sim)
        sim.run()
    backwards, forwards = (1.0, 2.0, 3.0, 4.0), (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
    for shown, backward, forward in sample(SHOWN, backwards, forwards):
        with tally.fault(f"{shown}, {forward} s and {backward} s"), Simulation() as sim:
            stack = scenario(sim)
            show(stack, shown)
            lag(sim, forward=forward, backward=backward)
            sim.run()
            assert stack.status == ideal.status
            assert len(sim.clusters[0].nodes) == 6 - len(removed_nodes(stack))
            check(sim, is_repeatable=False)


def show(stack: Stack, shown: str) -> None:
    stack.shows_operations = "ids" in shown
    stack.shows_update_time = "times" in shown


def removed_nodes(stack: Stack) -> set[str]:
    """Return the nodes that creations and updates reported as removed."""
    forward = [request for request in stack.requests if request.is_forward]
    return {
        name
        for request in forward
        for reply in request.arrived[:1]
        for name in reply.content["Data"]["RemovedNodes"].split(",")
        if name
    }


# Cancel, fix the file, deploy again ----------------------------------------------------------


def test_a_node_that_was_removed_from_the_file_stays_in_the_cluster(tally: Tally) -> None:
    """The deployment is canceled after 1 to 90 seconds, and the fixed file is deployed at once."""
    for shown, second in sample(SHOWN, range(1, 91)):
        with tally.fault(f"{shown}, canceled after {second} s"), Simulation() as sim:
            cluster = sim.cluster(shutdown_seconds=45)
            wrong, right, *_ = cluster.node_ids("workers")
            cluster.refuse(wrong, until=sim.timeline.now() + second + 3)
            stack = sim.deployed_stack({})
            show(stack, shown)
            stack.update(properties(NodeIds=[wrong], RetryFor="600"))
            fixed = properties(NodeIds=[right])
            sim.timeline.after(second, partial(stack.cancel_and_redeploy, fixed))
            sim.run()
            assert stack.status == "UPDATE_COMPLETE"
            assert wrong in cluster.present
            assert right not in cluster.present
            check(sim, is_repeatable=False)


# Duplicate and delayed events ----------------------------------------------------------------

GUARDS: Mapping[str, Mapping[str, Any]] = {
    "MinRemaining": {"MinRemaining": {"workers": "3"}},
    "MaxRemovals": {"MaxRemovals": "3"},
    "ProtectedGroups": {"ProtectedGroups": ["head"]},
    "ExpectedGroups": {"ExpectedGroups": ["workers"]},
    "MissingNodes": {"MissingNodes": "FAIL"},
}


def guarded(sim: Simulation, guard: str, **more: Any) -> Stack:
    cluster = sim.cluster(head=1, shutdown_seconds=90)
    stack = sim.stack()
    stack.create(properties(NodeIds=list(cluster.node_ids("workers")[:3]), **GUARDS[guard], **more))
    return stack


def test_a_duplicate_event_does_not_violate_a_guard_that_passed(tally: Tally) -> None:
    delays = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 85.0)
    for guard, delay, latency in sample(GUARDS, delays, (0.0, 0.4)):
        with tally.fault(f"{guard}, {delay} s later"), Simulation() as sim:
            sim.injector.latency = latency
            sim.cloudformation.deliveries = (0.0, delay)
            stack = guarded(sim, guard)
            sim.run()
            assert stack.status == "CREATE_COMPLETE"
            assert len(sim.clusters[0].nodes) == 4
            check(sim, is_repeatable=False)


def test_a_delayed_event_gets_a_reply_in_time(tally: Tally) -> None:
    for guard, timeout, delay in sample(GUARDS, ("60", "120", "3600"), range(0, 60, 3)):
        with tally.fault(f"{guard}, {timeout} s, delayed by {delay} s"), Simulation() as sim:
            sim.cloudformation.deliveries = (float(delay),)
            stack = guarded(sim, guard, ServiceTimeout=timeout)
            sim.run()
            (request, *_) = stack.requests
            assert request.answer, "CloudFormation timed out"
            reasons = ("StillPresent", "NotAttempted", "removed from ml-cluster")
            assert any(reason in request.answer["Reason"] for reason in reasons)
            check(sim, is_repeatable=False)


# Listings, concurrent removals, and an S3 outage ---------------------------------------------


@pytest.mark.parametrize("guard", ["", *GUARDS])
def test_a_node_that_is_missing_from_one_listing_does_not_change_the_result(
    guard: str, tally: Tally
) -> None:
    more = GUARDS.get(guard, {})
    with Simulation() as sim:
        create_with_a_hidden_node(sim, more, -1)
        listings = sum(call.operation == "ListClusterNodes" for call in sim.injector.calls)
    for (number,) in sample(range(listings)):
        with tally.fault(f"{guard}, at listing {number}"), Simulation() as sim:
            stack = create_with_a_hidden_node(sim, more, number)
            assert stack.status == "CREATE_COMPLETE"
            assert len(sim.clusters[0].nodes) == 5
            check(sim, is_repeatable=False)


def create_with_a_hidden_node(sim: Simulation, more: Mapping[str, Any], number: int) -> Stack:
    cluster = sim.cluster(head=1, shutdown_seconds=20)
    nodes = cluster.node_ids("workers")[:2]
    seen = 0

    def hide(*_: object) -> None:
        nonlocal seen
        if seen == number and nodes[0] in cluster.present:
            cluster.hide(nodes[0])
        seen += 1

    sim.injector.add(Fault(hide, "ListClusterNodes"))
    stack = sim.stack()
    stack.create(properties(NodeIds=list(nodes), **more))
    sim.run()
    return stack


def test_concurrent_removals_from_one_cluster_all_succeed(tally: Tally) -> None:
    """They begin at the same time or one after the other, with and without a common node."""
    delays, bools = (0.0, 0.3, 1.0, 5.0, 30.0, 70.0), (False, True)
    for delay, count, is_busy, has_common in sample(delays, (2, 3), bools, bools):
        with tally.fault(f"{count}, {delay} s apart"), Simulation() as sim:
            cluster = sim.cluster(9, shutdown_seconds=45, busy_while_leaving=is_busy)
            nodes = cluster.node_ids("workers")
            sim.injector.latency = 0.2
            stacks = [sim.stack(f"stack-{number}") for number in range(count)]
            for number, stack in enumerate(stacks):
                own = [nodes[2 * number], nodes[2 * number + 1]]
                nodes_of = [*own, *([nodes[8]] if has_common else [])]
                wanted = properties(NodeIds=nodes_of, RetryFor="600")
                sim.timeline.after(delay * number, partial(stack.create, wanted))
            sim.run()
            assert {stack.status for stack in stacks} == {"CREATE_COMPLETE"}
            all_nodes = set().union(*(ids_of(stack.request) for stack in stacks))
            assert not all_nodes & cluster.present
            check(sim, is_repeatable=False)


def test_a_response_url_that_fails_for_minutes_gets_the_reply(tally: Tally) -> None:
    outages = sample((scenarios.a_creation, scenarios.a_deletion), (2, 5, 10, 12), (403, 500, 503))
    for scenario, minutes, status in outages:
        with tally.fault(f"{status} for {minutes} min"), Simulation() as sim:
            stack = scenario(sim)
            end = sim.timeline.now() + 60 * minutes
            sim.injector.fail(
                PUT,
                lambda status=status: ServiceError("Out", "", status),  # type: ignore[misc]
                times=1e9,
                when=lambda call, end=end: call.time < end,  # type: ignore[misc]
            )
            sim.run()
            assert not stack.is_stuck
            check(sim, is_repeatable=False)
