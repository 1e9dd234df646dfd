"""The model of CloudFormation: what DescribeStacks shows of operations, and when."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from sandbox.hyperpod import ServiceError
from tests.faults.cloudformation import Stack
from tests.faults.scenarios import properties
from tests.faults.simulation import Simulation


def shown(sim: Simulation, stack: Stack, seconds: int) -> list[dict[str, Any]]:
    """Return what DescribeStacks shows, once a second, without repetitions."""
    seen: list[dict[str, Any]] = []
    for _ in range(seconds):
        try:
            view = stack.describe()
        except ServiceError as error:
            view = {"StackStatus": error.code}
        if [view] != seen[-1:]:
            seen.append(view)
        sim.timeline.sleep(1.0)
    return seen


def statuses(views: list[dict[str, Any]]) -> list[str]:
    return [view["StackStatus"] for view in views]


def operation(view: dict[str, Any]) -> str:
    """Return the id of the update."""
    ids = {one["OperationType"]: one["OperationId"] for one in view["LastOperations"]}
    return str(ids["UPDATE_STACK"])


def test_a_cancel_and_a_redeployment_are_two_operations_with_a_rollback_between(
    sim: Simulation,
) -> None:
    first, second, *_ = sim.cluster(shutdown_seconds=300).node_ids("workers")
    stack = sim.deployed({})
    stack.update(properties(NodeIds=[first]))
    sim.timeline.after(30, lambda: stack.cancel_and_redeploy(properties(NodeIds=[second])))
    views = shown(sim, stack, 600)
    assert statuses(views) == [
        "UPDATE_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]
    cancelled, again = {operation(view) for view in views[:4]}, operation(views[4])
    assert len(cancelled) == 1
    assert again not in cancelled
    assert views[4]["LastUpdatedTime"] > views[3]["LastUpdatedTime"]
    _, there, back, new = stack.requests
    assert back.event["OldResourceProperties"]["NodeIds"] == [first]
    assert "NodeIds" not in back.event["ResourceProperties"]
    assert new.event["ResourceProperties"]["NodeIds"] == [second]
    assert not there.answer


def test_a_lag_shows_a_new_stack_late(sim: Simulation) -> None:
    stack = sim.stack()
    stack.lag_forward, stack.lag_backward = 4.0, 10.0
    stack.create(properties())
    views = shown(sim, stack, 20)
    assert statuses(views) == ["ValidationError", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
    assert [one["OperationType"] for one in views[-1]["LastOperations"]] == ["CREATE_STACK"]
    assert "LastUpdatedTime" not in views[-1]


def test_a_lag_shows_status_times_and_operations_of_one_moment(sim: Simulation) -> None:
    stack = sim.deployed({})
    old = stack.describe()
    sim.timeline.sleep(60)
    stack.lag_forward, stack.lag_backward = 2.0, 15.0
    stack.update(properties())
    views = shown(sim, stack, 60)
    assert views[0] == old
    for before, after in pairwise(views[1:]):
        assert after == {**before, "StackStatus": after["StackStatus"]}


def test_a_response_url_has_the_time_at_which_it_was_made(sim: Simulation) -> None:
    stack = sim.stack()
    stack.create(properties())
    assert "?X-Amz-Date=19700112T134640Z&" in stack.request.event["ResponseURL"]


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (lambda stack: setattr(stack, "shows_operations", False), "LastOperations"),
        (lambda stack: setattr(stack, "shows_update_time", False), "LastUpdatedTime"),
    ],
)
def test_a_partition_may_show_less(
    sim: Simulation, change: Callable[[Stack], None], missing: str
) -> None:
    stack = sim.deployed({})
    stack.update(properties())
    assert missing in stack.describe()
    change(stack)
    assert missing not in stack.describe()
