"""What is made of a stack whose answers lag behind, in either direction."""

from typing import Any

import pytest

from sandbox.hyperpod import Cluster
from tests.handler.function import Function
from tests.handler.world import Shown, World

UPDATE = "UPDATE_STACK"


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8})


def update(identity: str = "", updated_at: float | None = None, **others: str) -> Shown:
    """Show a stack whose update goes forward."""
    ids = {UPDATE: identity} if identity else {}
    return Shown("UPDATE_IN_PROGRESS", ids | others, updated_at)


def rolled_back(answer: Any) -> bool:
    return (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "ROLLED_BACK")


AT_FIRST = [
    "",
    "REVIEW_IN_PROGRESS",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_COMPLETE",
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_FAILED",
]


@pytest.mark.parametrize("lag", [1, 4, 11, 30, 55])
@pytest.mark.parametrize("status", AT_FIRST)
@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_a_status_of_before_the_operation_is_waited_out(
    world: World, function: Function, cluster: Cluster, kind: str, status: str, lag: int
) -> None:
    before = Shown(status, {UPDATE: "op-0"}, world.clock.now() - 999)
    world.shows((0, before), (lag, update("op-1", world.clock.now() - 1)))
    nodes = [*cluster.node_ids("workers")[:2]]
    answer = function.send(kind, NodeIds=nodes)
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "COMPLETE")
    assert min(world.times("BatchDeleteClusterNodes")) >= world.journal[0][1] + lag


@pytest.mark.parametrize("status", AT_FIRST)
@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_a_status_that_stays_for_a_minute_is_no_lag(
    world: World, function: Function, cluster: Cluster, kind: str, status: str
) -> None:
    world.shows((0, Shown(status)))
    answer = function.send(kind, NodeIds=[*cluster.node_ids("workers")[:2]])
    assert world.deletes == 0
    if status in {"ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"}:
        assert rolled_back(answer)
    else:
        assert answer["Status"] == "FAILED"
        assert (status or "not visible") in answer["Reason"]
        assert "Nothing was removed." in answer["Reason"]


@pytest.mark.parametrize("kind", ["Create", "Update"])
@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS"])
def test_a_stack_that_is_going_back_or_being_deleted_succeeds_untouched(
    world: World, function: Function, cluster: Cluster, kind: str, status: str
) -> None:
    world.shows((0, Shown(status)))
    assert rolled_back(function.send(kind, NodeIds=[cluster.node_ids("workers")[0]]))
    assert world.deletes == 0


@pytest.mark.parametrize("lag", [1, 2, 3, 4])
@pytest.mark.parametrize("has_identity", [True, False])
def test_the_update_of_a_rollback_removes_nothing_where_the_status_lags_behind(
    world: World, function: Function, cluster: Cluster, lag: int, has_identity: bool
) -> None:
    shown = update("op-1", world.clock.now() - 60) if has_identity else update()
    back = Shown("UPDATE_ROLLBACK_IN_PROGRESS", shown.ids, shown.updated_at)
    world.shows((0, shown), (lag, back))
    assert rolled_back(function.send("Update", NodeIds=[*cluster.node_ids("workers")[:2]]))
    assert world.deletes == 0


def test_the_update_of_a_rollback_removes_nothing_when_a_stale_look_comes_after_the_right_one(
    world: World, function: Function, cluster: Cluster
) -> None:
    shown = update("op-1", world.clock.now() - 60)
    back = Shown("UPDATE_ROLLBACK_IN_PROGRESS", shown.ids, shown.updated_at)
    world.shows((0, back), (1, shown), (50, back))
    assert rolled_back(function.send("Update", NodeIds=[cluster.node_ids("workers")[0]]))
    assert world.deletes == 0


@pytest.mark.parametrize("kind", ["Create", "Update"])
@pytest.mark.parametrize("has_ids", [True, False])
def test_an_operation_that_is_newer_than_the_rollback_seen_first_goes_forward(
    world: World, function: Function, cluster: Cluster, kind: str, has_ids: bool
) -> None:
    now = world.clock.now()
    old, new = ({UPDATE: "op-0"}, {UPDATE: "op-1"}) if has_ids else ({}, {})
    world.shows(
        (0, Shown("UPDATE_ROLLBACK_IN_PROGRESS", old, now - 60)),
        (3, Shown("UPDATE_IN_PROGRESS", new, now - 1)),
    )
    node = cluster.node_ids("workers")[0]
    assert function.send(kind, NodeIds=[node])["Data"]["Outcome"] == "COMPLETE"
    assert node not in cluster.present


@pytest.mark.parametrize("status", ["REVIEW_IN_PROGRESS", ""])
def test_a_stack_that_is_seen_as_before_its_creation_again_is_lag(
    world: World, function: Function, cluster: Cluster, status: str
) -> None:
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node, until=world.clock.now() + 60)
    world.shows((0, "CREATE_IN_PROGRESS"), (31, status), (55, "CREATE_IN_PROGRESS"))
    assert function.send("Create", NodeIds=[node])["Status"] == "SUCCESS"
