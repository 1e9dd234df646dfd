"""What is made of listings, and of the statuses of nodes."""

import json
from collections.abc import Iterable

import pytest

from tests.handler.function import HOOK
from tests.handler.world import World


@pytest.fixture(autouse=True)
def _slow_shutdown(world: World) -> None:
    """Have many looks, any of which may show something odd."""
    world.shutdown_seconds = 60


def hide_at(world: World, node: str, listings: Iterable[int]) -> None:
    """Leave a node out of these listings, counted from 0, while it is in the cluster."""
    count = iter(range(10_000))
    hidden = set(listings)

    def edit(request: dict[str, object], answer: dict[str, list[dict[str, str]]]) -> None:
        if next(count) in hidden:
            shown = answer["ClusterNodeSummaries"]
            answer["ClusterNodeSummaries"] = [one for one in shown if one["InstanceId"] != node]

    world.after("ListClusterNodes", edit)


# Absence -------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", range(12))
@pytest.mark.parametrize("missing", ["ACCEPT", "FAIL"])
@pytest.mark.parametrize("size", [8, 150], ids=["one page", "two pages"])
def test_a_listing_that_lacks_a_node_once_changes_nothing(
    world: World, look: int, missing: str, size: int
) -> None:
    world.make_cluster(size)
    nodes = world.nodes[-3:]
    hide_at(world, nodes[1], [look])
    assert world.succeeds("Create", NodeIds=nodes, MissingNodes=missing)["RemovedCount"] == "3"
    assert world.cluster.present.isdisjoint(nodes)
    assert world.deletes == 1


@pytest.mark.parametrize("look", range(8))
def test_a_node_that_stays_is_not_reported_as_gone_after_one_look(world: World, look: int) -> None:
    stays = world.nodes[0]
    world.cluster.refuse(stays, "SomeNewCode")
    hide_at(world, stays, range(look, 40, 2))
    answer = world.send("Create", NodeIds=[stays], OnPartialFailure="REPORT", RetryFor="30")
    assert answer["Data"]["AlreadyAbsentCount"] == answer["Data"]["RemovedCount"] == "0"


@pytest.mark.parametrize("count", [8, 150])
def test_a_dry_run_and_the_end_of_a_removal_look_twice(world: World, count: int) -> None:
    world.make_cluster(count)
    world.send("Create", NodeIds=["i-0123456789abcdef0"], DryRun="true")
    assert world.hp.calls["ListClusterNodes"] == 2 * -(-count // 100)


def test_a_failure_has_to_be_seen_twice(world: World) -> None:
    nodes = world.nodes[:2]

    def show_failure(*_: object) -> None:
        for node in nodes:
            world.cluster.show_once(node)

    world.after("BatchDeleteClusterNodes", show_failure)
    assert world.succeeds("Create", NodeIds=nodes)["RemovedCount"] == "2"


def test_a_failure_that_lasts_is_logged_with_what_the_service_says(world: World) -> None:
    node = world.nodes[0]
    world.cluster.fail_while_leaving(node, "The disk is stuck.")
    assert f"RemovalFailed: {node}" in world.fails("Create", NodeIds=[node])
    assert f"{node}: not removed: RemovalFailed: The disk is stuck." in world.log.text


def test_a_node_that_was_in_failure_before_is_removed(world: World) -> None:
    node = world.nodes[0]
    world.cluster.set_node_status(node, "Failure")
    assert world.send("Create", NodeIds=[node])["Data"]["RemovedNodes"] == node


def test_two_listings_that_lack_one_node_each_break_no_limit(world: World) -> None:
    first, second = nodes = world.nodes[:2]
    hide_at(world, first, [0])
    hide_at(world, second, [1])
    assert "(MaxRemovals)" in world.fails("Create", NodeIds=nodes, MaxRemovals="1")
    assert world.deletes == 0


def test_the_hook_is_asked_about_a_node_that_the_second_listing_lacked(world: World) -> None:
    first, second = nodes = world.nodes[:2]
    hide_at(world, first, [0])
    hide_at(world, second, [1])
    world.succeeds("Create", NodeIds=nodes, BeforeRemoval=HOOK)
    assert {one["NodeId"] for one in world.events[0]["Nodes"]} == set(nodes)


def test_listings_that_never_agree_are_an_error_with_a_sentence(world: World) -> None:
    first, second = nodes = world.nodes[:2]
    hide_at(world, first, range(0, 100, 2))
    hide_at(world, second, range(1, 100, 2))
    reason = world.fails("Create", NodeIds=nodes, MaxRemovals="1")
    assert "did not agree on which nodes are in the cluster" in reason
    assert world.deletes == 0


# Pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["repeats_next_token", "never_stops_paging"])
def test_a_listing_that_does_not_end_is_an_error_with_a_sentence(world: World, rule: str) -> None:
    setattr(world.hp.rules, rule, True)
    assert "the listing did not end after" in world.fails("Create", NodeIds=[world.nodes[0]])
    assert world.hp.calls["ListClusterNodes"] <= 1000
    assert world.deletes == 0


# Statuses ------------------------------------------------------------------------------------


def test_a_node_in_an_unknown_status_is_requested_and_its_refusal_retried(world: World) -> None:
    node = world.nodes[0]
    world.cluster.set_node_status(node, "Reticulating", until=world.clock.now() + 100)
    world.succeeds("Create", NodeIds=[node])
    assert world.deletes > 1
    assert node not in world.cluster.present


@pytest.mark.parametrize("status", ["AttachInProgress", "SystemUpdating", "Reticulating"])
@pytest.mark.parametrize("code", ["InvalidNodeStatus", "NodeIsReticulating"])
def test_a_refusal_of_a_node_in_a_passing_status_is_retried_whatever_its_code(
    world: World, status: str, code: str
) -> None:
    node, other, *_ = world.nodes
    soon = world.clock.now() + 100
    world.cluster.set_node_status(node, status, until=soon)
    world.cluster.refuse(node, code, until=soon)
    world.succeeds("Create", NodeIds=[node, other])
    assert world.cluster.present.isdisjoint({node, other})


@pytest.mark.parametrize("seconds", [0.5, 3, 30, 200])
@pytest.mark.parametrize("is_alone", [True, False])
def test_a_node_that_was_moved_to_another_cluster_has_failed_and_not_gone(
    world: World, seconds: float, is_alone: bool
) -> None:
    moved, other, *_ = world.nodes
    nodes = [moved] if is_alone else [moved, other]

    def detach(_: object) -> None:
        if world.hp.calls["ListClusterNodes"] == 0:
            world.cluster.detach(moved, seconds)

    world.before("ListClusterNodes", detach)
    answer = world.send("Create", NodeIds=nodes)
    assert answer["Status"] == "FAILED"
    assert f"MovedToAnotherCluster: {moved}" in answer["Reason"]
    assert answer["Data"]["AlreadyAbsentCount"] == "0"
    assert answer["Data"]["RemovedCount"] == str(len(nodes) - 1)


def test_a_node_that_is_moved_after_an_invocation_was_handed_over_has_failed(world: World) -> None:
    moved, other, *_ = world.nodes
    world.cluster.detach(moved, 250)
    world.cluster.refuse(other)
    answer = world.send("Create", NodeIds=[moved, other], seconds=200.0)
    assert world.invocations > 1
    assert f"MovedToAnotherCluster: {moved}" in answer["Reason"]


# Groups --------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_empty_list", [True, False])
def test_a_cluster_of_restricted_groups_alone_is_read(world: World, has_empty_list: bool) -> None:
    world.hp.rules.empty_instance_groups = has_empty_list
    cluster = world.make_cluster({"nova": 4}, restricted={"nova"})
    node = cluster.node_ids("nova")[0]
    data = world.succeeds("Create", NodeIds=[node], MinRemaining={"nova": "3"})
    assert json.loads(data["InstanceGroupTargetCounts"]) == {"nova": 3}


def test_guards_may_name_groups_of_either_list(world: World) -> None:
    cluster = world.make_cluster({"nova": 4, "workers": 4}, restricted={"nova"})
    nodes = [cluster.node_ids("nova")[0], world.nodes[0]]
    answer = world.send(
        "Create", NodeIds=nodes, ExpectedGroups=["nova", "workers"], MinRemaining={"nova": "4"}
    )
    assert "removing 1 of 4 nodes of group nova leaves 3" in answer["Reason"]


def test_a_count_that_is_missing_is_left_out_and_not_0(world: World) -> None:
    cluster = world.make_cluster({"a": 4, "b": 4}, restricted={"b"})
    cluster.leave_out("a", "TargetCount")
    cluster.leave_out("b", "CurrentCount", "Status", "InstanceType")
    nodes = [cluster.node_ids("a")[0], cluster.node_ids("b")[0]]
    data = world.succeeds("Create", NodeIds=nodes)
    assert json.loads(data["InstanceGroupTargetCounts"]) == {"b": 3}
