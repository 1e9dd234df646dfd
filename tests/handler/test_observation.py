"""What is made of listings, and of the statuses of nodes."""

from collections.abc import Iterable

import pytest

from sandbox.hyperpod import Cluster
from tests.handler.function import Function
from tests.handler.world import World


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8})


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
def test_a_listing_that_lacks_a_node_once_changes_nothing(
    world: World, function: Function, cluster: Cluster, look: int, missing: str
) -> None:
    nodes = [*cluster.node_ids("workers")[:3]]
    hide_at(world, nodes[1], [look])
    answer = function.send("Create", NodeIds=nodes, MissingNodes=missing)
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RemovedCount"] == "3"
    assert cluster.present.isdisjoint(nodes)
    assert world.deletes == 1


@pytest.mark.parametrize("look", range(8))
def test_a_node_that_stays_is_never_told_as_gone_after_one_look(
    world: World, function: Function, cluster: Cluster, look: int
) -> None:
    stays = cluster.node_ids("workers")[0]
    cluster.refuse(stays, "SomeNewCode")
    hide_at(world, stays, range(look, 40, 2))
    answer = function.send("Create", NodeIds=[stays], OnPartialFailure="REPORT", RetryFor="30")
    assert answer["Data"]["AlreadyAbsentCount"] == answer["Data"]["RemovedCount"] == "0"


@pytest.mark.parametrize("count", [8, 150])
def test_a_dry_run_and_the_end_of_a_removal_look_twice(
    world: World, function: Function, count: int
) -> None:
    world.hp.create_cluster("ml-cluster", {"workers": count})
    function.send("Create", NodeIds=["i-0123456789abcdef0"], DryRun="true")
    assert world.hp.calls["ListClusterNodes"] == 2 * -(-count // 100)


def test_a_failure_has_to_be_seen_twice(world: World, function: Function, cluster: Cluster) -> None:
    nodes = [*cluster.node_ids("workers")[:2]]

    def show_failure(*_: object) -> None:
        for node in nodes:
            cluster.show_once(node)

    world.after("BatchDeleteClusterNodes", show_failure)
    answer = function.send("Create", NodeIds=nodes)
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RemovedCount"] == "2"


def test_a_failure_that_lasts_is_told_with_what_the_service_says(
    world: World, function: Function, cluster: Cluster
) -> None:
    node = cluster.node_ids("workers")[0]
    cluster.fail_while_leaving(node, "The disk is stuck.")
    answer = function.send("Create", NodeIds=[node])
    assert answer["Status"] == "FAILED"
    assert f"RemovalFailed: {node}" in answer["Reason"]


def test_two_listings_that_lack_one_node_each_break_no_limit(
    world: World, function: Function, cluster: Cluster
) -> None:
    first, second = nodes = [*cluster.node_ids("workers")[:2]]
    hide_at(world, first, [0])
    hide_at(world, second, [1])
    answer = function.send("Create", NodeIds=nodes, MaxRemovals="1")
    assert answer["Status"] == "FAILED"
    assert "(MaxRemovals)" in answer["Reason"]
    assert world.deletes == 0


def test_the_hook_is_asked_about_a_node_that_the_second_listing_lacked(
    world: World, function: Function, cluster: Cluster
) -> None:
    first, second = nodes = [*cluster.node_ids("workers")[:2]]
    hide_at(world, first, [0])
    hide_at(world, second, [1])
    hook = "arn:aws:lambda:us-east-1:123456789012:function:drain:live"
    answer = function.send("Create", NodeIds=nodes, BeforeRemoval=hook)
    assert answer["Status"] == "SUCCESS"
    assert {one["NodeId"] for one in function.aws_lambda.asked[0]["Nodes"]} == set(nodes)


def test_listings_that_never_agree_are_an_error_with_a_sentence(
    world: World, function: Function, cluster: Cluster
) -> None:
    first, second = nodes = [*cluster.node_ids("workers")[:2]]
    hide_at(world, first, range(0, 100, 2))
    hide_at(world, second, range(1, 100, 2))
    answer = function.send("Create", NodeIds=nodes, MaxRemovals="1")
    assert answer["Status"] == "FAILED"
    assert "did not agree on which nodes are in the cluster" in answer["Reason"]
    assert world.deletes == 0


# Pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["repeats_next_token", "never_stops_paging"])
def test_a_listing_that_does_not_end_is_an_error_with_a_sentence(
    world: World, function: Function, cluster: Cluster, rule: str
) -> None:
    setattr(world.hp.rules, rule, True)
    answer = function.send("Create", NodeIds=[cluster.node_ids("workers")[0]])
    assert answer["Status"] == "FAILED"
    assert "the listing did not end after" in answer["Reason"]
    assert world.hp.calls["ListClusterNodes"] <= 1000
    assert world.deletes == 0


# Statuses ------------------------------------------------------------------------------------


def test_a_node_in_an_unknown_status_is_asked_for_and_its_refusal_tried_again(
    world: World, function: Function, cluster: Cluster
) -> None:
    node = cluster.node_ids("workers")[0]
    cluster.set_node_status(node, "Reticulating", until=world.clock.now() + 100)
    answer = function.send("Create", NodeIds=[node])
    assert answer["Status"] == "SUCCESS"
    assert world.deletes > 1
    assert node not in cluster.present


@pytest.mark.parametrize("status", ["AttachInProgress", "SystemUpdating", "Reticulating"])
@pytest.mark.parametrize("code", ["InvalidNodeStatus", "NodeIsReticulating"])
def test_a_refusal_of_a_node_in_a_passing_status_is_tried_again_whatever_its_code(
    world: World, function: Function, cluster: Cluster, status: str, code: str
) -> None:
    node, other, *_ = cluster.node_ids("workers")
    soon = world.clock.now() + 100
    cluster.set_node_status(node, status, until=soon)
    cluster.refuse(node, code, until=soon)
    answer = function.send("Create", NodeIds=[node, other])
    assert answer["Status"] == "SUCCESS"
    assert cluster.present.isdisjoint({node, other})


@pytest.mark.parametrize("seconds", [0.5, 3, 30, 200])
@pytest.mark.parametrize("is_alone", [True, False])
def test_a_node_that_was_moved_to_another_cluster_has_failed_and_not_gone(
    world: World, function: Function, cluster: Cluster, seconds: float, is_alone: bool
) -> None:
    elsewhere = world.hp.create_cluster("other", {"workers": 1}, seed=1)
    moved, other, *_ = cluster.node_ids("workers")
    nodes = [moved] if is_alone else [moved, other]

    def detach(_: object) -> None:
        if world.hp.calls["ListClusterNodes"] == 0:
            cluster.detach(moved, seconds, to=elsewhere)

    world.before("ListClusterNodes", detach)
    answer = function.send("Create", NodeIds=nodes)
    assert answer["Status"] == "FAILED"
    assert f"MovedToAnotherCluster: {moved}" in answer["Reason"]
    assert answer["Data"]["AlreadyAbsentCount"] == "0"
    assert answer["Data"]["RemovedCount"] == str(len(nodes) - 1)
    assert moved in elsewhere.present


def test_a_node_that_is_moved_after_an_invocation_was_handed_over_has_failed(
    world: World, function: Function, cluster: Cluster
) -> None:
    moved, other, *_ = cluster.node_ids("workers")
    cluster.detach(moved, 250)
    cluster.refuse(other)
    answer = function.send("Create", NodeIds=[moved, other], seconds=200.0)
    assert function.links > 1
    assert f"MovedToAnotherCluster: {moved}" in answer["Reason"]


def test_a_node_that_detaches_counts_as_leaving_for_min_remaining(
    world: World, function: Function, cluster: Cluster
) -> None:
    detaching, node, *_ = cluster.node_ids("workers")
    cluster.detach(detaching, 900)
    answer = function.send("Create", NodeIds=[node], MinRemaining={"workers": "7"})
    assert answer["Status"] == "FAILED"
    assert "leaves 6, fewer than 7 (MinRemaining)" in answer["Reason"]
    assert world.deletes == 0
