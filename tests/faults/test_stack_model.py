"""The model of CloudFormation: what DescribeStacks shows of operations, and when."""

from itertools import pairwise
from typing import Any

import pytest

from sandbox.hyperpod import ServiceError
from tests.faults.cloudformation import Stack
from tests.faults.scenarios import properties
from tests.faults.simulation import Simulation


def observe(sim: Simulation, stack: Stack, seconds: int) -> list[dict[str, Any]]:
    """Call DescribeStacks once a second, and return the responses without repetitions."""
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


def test_a_canceled_update_rolls_back_before_the_redeployment(
    sim: Simulation,
) -> None:
    first, second, *_ = sim.cluster(shutdown_seconds=300).node_ids("workers")
    stack = sim.deployed_stack({})
    stack.update(properties(NodeIds=[first]))
    sim.timeline.after(30, lambda: stack.cancel_and_redeploy(properties(NodeIds=[second])))
    views = observe(sim, stack, 600)
    assert statuses(views) == [
        "UPDATE_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]
    canceled, again = {operation(view) for view in views[:4]}, operation(views[4])
    assert len(canceled) == 1
    assert again not in canceled
    assert views[4]["LastUpdatedTime"] > views[3]["LastUpdatedTime"]
    _, update, rollback, redeployment = stack.requests
    assert rollback.event["OldResourceProperties"]["NodeIds"] == [first]
    assert "NodeIds" not in rollback.event["ResourceProperties"]
    assert redeployment.event["ResourceProperties"]["NodeIds"] == [second]
    assert not update.answer


def test_a_lag_delays_the_visibility_of_a_new_stack(sim: Simulation) -> None:
    stack = sim.stack()
    stack.lag_forward, stack.lag_backward = 4.0, 10.0
    stack.create(properties())
    views = observe(sim, stack, 20)
    assert statuses(views) == ["ValidationError", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
    assert [one["OperationType"] for one in views[-1]["LastOperations"]] == ["CREATE_STACK"]
    assert "LastUpdatedTime" not in views[-1]


def test_a_lagging_status_has_the_times_and_operations_of_the_same_moment(sim: Simulation) -> None:
    stack = sim.deployed_stack({})
    old = stack.describe()
    sim.timeline.sleep(60)
    stack.lag_forward, stack.lag_backward = 2.0, 15.0
    stack.update(properties())
    views = observe(sim, stack, 60)
    assert views[0] == old
    for before, after in pairwise(views[1:]):
        assert after == {**before, "StackStatus": after["StackStatus"]}


def test_a_response_url_has_its_creation_time(sim: Simulation) -> None:
    stack = sim.stack()
    stack.create(properties())
    assert "?X-Amz-Date=19700112T134640Z&" in stack.request.event["ResponseURL"]


@pytest.mark.parametrize(
    ("setting", "member"),
    [("shows_operations", "LastOperations"), ("shows_update_time", "LastUpdatedTime")],
)
def test_operations_and_times_can_be_hidden_as_in_other_partitions(
    sim: Simulation, setting: str, member: str
) -> None:
    stack = sim.deployed_stack({})
    stack.update(properties())
    assert member in stack.describe()
    setattr(stack, setting, False)
    assert member not in stack.describe()
