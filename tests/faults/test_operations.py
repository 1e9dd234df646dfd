"""The operations of a stack, told late: lag, cancel and redeploy, copies and kept events."""

from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.hyperpod import ServiceError
from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.deployment import Stack
from tests.faults.invariants import check, named
from tests.faults.outside import PUT, Trouble
from tests.faults.scenarios import Scenario, properties
from tests.faults.stage import Stage

GROUP = "9 operations"


def ids(scenario: Scenario) -> str:
    return scenario.__name__


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


def lag(stage: Stage, *, forward: float = 0.0, backward: float = 0.0) -> None:
    for stack in stage.cloudformation._stacks.values():
        stack.lag_forward, stack.lag_backward = forward, backward


@pytest.mark.parametrize("tells", ["ids and times", "times", "ids"])
@pytest.mark.parametrize("scenario", LAGGING, ids=ids)
def test_a_status_that_lags_changes_no_end(scenario: Scenario, tells: str, tally: Tally) -> None:
    """Up to 4 s in which a rollback is not shown, up to 30 s in which an operation is not."""
    with Stage() as stage:
        ideal = scenario(stage)
        stage.run()
    for backward in (1.0, 2.0, 3.0, 4.0):
        for forward in (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0):
            with tally.fault(f"{forward} s and {backward} s"), Stage() as stage:
                stack = scenario(stage)
                stack.shows_operations = "ids" in tells
                stack.shows_update_time = "times" in tells
                lag(stage, forward=forward, backward=backward)
                stage.run()
                assert stack.status == ideal.status
                assert len(stage.clusters[0].nodes) == 6 - len(gone(stack))
                check(stage, is_repeatable=False)


def gone(stack: Stack) -> set[str]:
    """What the last request that went forward told to be removed."""
    forward = [request for request in stack.requests if request.is_forward]
    return {
        name
        for request in forward
        for reply in request.arrived[:1]
        for name in reply.content["Data"]["RemovedNodes"].split(",")
        if name
    }


# Cancel, fix the file, deploy again ----------------------------------------------------------


@pytest.mark.parametrize("tells", ["ids and times", "ids", "times"])
def test_a_node_that_was_taken_out_of_the_file_stays(tells: str, tally: Tally) -> None:
    """Canceled after each second from 1 to 90, and deployed again at once."""
    for second in range(1, 91):
        with tally.fault(f"{tells}, canceled after {second} s"), Stage() as stage:
            cluster = stage.cluster(shutdown_seconds=45)
            wrong, right, *_ = cluster.node_ids("workers")
            cluster.refuse(wrong, until=stage.timeline.now() + second + 3)
            stack = stage.deployed({})
            stack.shows_operations = "ids" in tells
            stack.shows_update_time = "times" in tells
            stack.update(properties(NodeIds=[wrong], RetryFor="600"))
            fixed = properties(NodeIds=[right])
            stage.timeline.after(second, lambda s=stack, p=fixed: s.cancel_and_redeploy(p))  # type: ignore[misc]
            stage.run()
            assert stack.status == "UPDATE_COMPLETE"
            assert wrong in cluster.present
            assert right not in cluster.present
            check(stage, is_repeatable=False)


# Copies, and events that Lambda kept ---------------------------------------------------------

GUARDS: Mapping[str, Mapping[str, Any]] = {
    "MinRemaining": {"MinRemaining": {"workers": "3"}},
    "MaxRemovals": {"MaxRemovals": "3"},
    "ProtectedGroups": {"ProtectedGroups": ["head"]},
    "ExpectedGroups": {"ExpectedGroups": ["workers"]},
    "MissingNodes": {"MissingNodes": "FAIL"},
}


def guarded(stage: Stage, guard: str, **more: Any) -> Stack:
    cluster = stage.hp.create_cluster("ml-cluster", {"workers": 6, "head": 1}, shutdown_seconds=90)
    stage.clusters.append(cluster)
    stack = stage.stack()
    stack.create(properties(NodeIds=list(cluster.node_ids("workers")[:3]), **GUARDS[guard], **more))
    return stack


@pytest.mark.parametrize("guard", GUARDS)
def test_a_copy_of_an_event_breaks_no_guard_that_held(guard: str, tally: Tally) -> None:
    for delay in (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 85.0):
        for latency in (0.0, 0.4):
            with tally.fault(f"{guard}, {delay} s later"), Stage() as stage:
                stage.outside.latency = lambda call, seconds=latency: seconds  # type: ignore[misc]
                stage.cloudformation.deliveries = (0.0, delay)
                stack = guarded(stage, guard)
                stage.run()
                assert stack.status == "CREATE_COMPLETE"
                assert len(stage.clusters[0].nodes) == 4
                check(stage, is_repeatable=False)


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("timeout", ["60", "120", "3600"])
def test_an_event_that_was_kept_is_answered_in_time(guard: str, timeout: str, tally: Tally) -> None:
    for kept in range(0, 60, 3):
        with tally.fault(f"{guard}, kept for {kept} s"), Stage() as stage:
            stage.cloudformation.deliveries = (float(kept),)
            stack = guarded(stage, guard, ServiceTimeout=timeout)
            stage.run()
            (request, *_) = stack.requests
            assert request.answer, "CloudFormation waited in vain"
            reasons = ("StillPresent", "NotAttempted", "removed from ml-cluster")
            assert any(reason in request.answer["Reason"] for reason in reasons)
            check(stage, is_repeatable=False)


# Listings, neighbors, and an S3 that is out --------------------------------------------------


@pytest.mark.parametrize("guard", ["", *GUARDS])
def test_a_listing_that_lacks_a_node_once_changes_nothing(guard: str, tally: Tally) -> None:
    more = GUARDS.get(guard, {})
    with Stage() as stage:
        _hiding(stage, more, -1)
        listings = sum(call.operation == "ListClusterNodes" for call in stage.outside.calls)
    for number in range(listings):
        with tally.fault(f"{guard}, at listing {number}"), Stage() as stage:
            stack = _hiding(stage, more, number)
            assert stack.status == "CREATE_COMPLETE"
            assert len(stage.clusters[0].nodes) == 5
            check(stage, is_repeatable=False)


def _hiding(stage: Stage, more: Mapping[str, Any], number: int) -> Stack:
    cluster = stage.hp.create_cluster("ml-cluster", {"workers": 6, "head": 1}, shutdown_seconds=20)
    stage.clusters.append(cluster)
    nodes = cluster.node_ids("workers")[:2]
    seen = 0

    def hide(*_: object) -> None:
        nonlocal seen
        if seen == number and nodes[0] in cluster.present:
            cluster.hide(nodes[0])
        seen += 1

    stage.outside.add(Trouble(hide, "ListClusterNodes"))
    stack = stage.stack()
    stack.create(properties(NodeIds=list(nodes), **more))
    stage.run()
    return stack


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("busy", [False, True])
def test_removals_side_by_side_each_end_as_they_should(
    count: int, busy: bool, tally: Tally
) -> None:
    """Of one cluster, at the same time or one after the other, with and without a common node."""
    for delay in (0.0, 0.3, 1.0, 5.0, 30.0, 70.0):
        for common in (False, True):
            with tally.fault(f"{count}, {delay} s apart"), Stage() as stage:
                cluster = stage.cluster(9, shutdown_seconds=45, busy_while_leaving=busy)
                nodes = cluster.node_ids("workers")
                stage.outside.latency = lambda call: 0.2
                stacks = [stage.stack(f"stack-{number}") for number in range(count)]
                for number, stack in enumerate(stacks):
                    own = [nodes[2 * number], nodes[2 * number + 1]]
                    wanted = properties(NodeIds=[*own, *([nodes[8]] if common else [])])
                    stage.timeline.after(
                        delay * number,
                        lambda s=stack, p=wanted: s.create(p | {"RetryFor": "600"}),  # type: ignore[misc]
                    )
                stage.run()
                assert {stack.status for stack in stacks} == {"CREATE_COMPLETE"}
                everyone = set().union(*(named(stack.request) for stack in stacks))
                assert not everyone & cluster.present
                stage.outside.latency = lambda call: 0.0
                check(stage, is_repeatable=False)


@pytest.mark.parametrize("minutes", [2, 5, 10, 12])
@pytest.mark.parametrize("scenario", [scenarios.a_creation, scenarios.a_deletion], ids=ids)
def test_a_response_url_that_is_out_for_minutes_gets_its_reply(
    scenario: Scenario, minutes: int, tally: Tally
) -> None:
    for status in (403, 500, 503):
        with tally.fault(f"{status} for {minutes} min"), Stage() as stage:
            stack = scenario(stage)
            end = stage.timeline.now() + 60 * minutes
            stage.outside.fail(
                PUT,
                lambda status=status: ServiceError("Out", "", status),  # type: ignore[misc]
                times=1e9,
                when=lambda call, end=end: call.time < end,  # type: ignore[misc]
            )
            stage.run()
            assert not stack.is_stuck
            check(stage, is_repeatable=False)
