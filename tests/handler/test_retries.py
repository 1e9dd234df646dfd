"""What is tried again and for how long, and the cluster after the last node."""

from typing import Any

import pytest

from sandbox.hyperpod import Cluster
from tests.handler.function import Function
from tests.handler.world import World


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8})


@pytest.mark.parametrize(
    "operation", ["DescribeCluster", "ListClusterNodes", "BatchDeleteClusterNodes"]
)
def test_an_answer_429_is_throttling_whatever_its_code(
    world: World, function: Function, cluster: Cluster, operation: str
) -> None:
    world.hp.fail_next(operation, "429", status=429, times=3)
    nodes = list(cluster.node_ids("workers"))
    answer = function.send("Create", NodeIds=nodes)
    assert answer["Status"] == "SUCCESS"
    # Nothing is taken apart to find nodes at fault.
    assert {request.node_ids for request in world.hp.delete_requests} == {tuple(nodes)}


# A request that is refused as a whole --------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [None, "1 validation error detected.", "NodeIdNotFound, InvalidNodeStatus or NodeIdInUse", ""],
)
@pytest.mark.parametrize("code", ["ValidationException", "SomeNewException"])
def test_one_busy_node_alone_in_its_set_is_tried_again_until_it_is_free(
    world: World, function: Function, cluster: Cluster, message: str | None, code: str
) -> None:
    world.hp.rules.all_failed_message = message
    world.hp.rules.all_failed_code = code
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node, until=world.clock.now() + 200)
    answer = function.send("Create", NodeIds=[node])
    assert answer["Status"] == "SUCCESS"
    assert node not in cluster.present
    assert world.deletes < 10


@pytest.mark.parametrize("message", [None, "1 validation error detected."])
def test_a_busy_node_that_is_never_free_fails_when_retry_for_is_over(
    world: World, function: Function, cluster: Cluster, message: str | None
) -> None:
    world.hp.rules.all_failed_message = message
    node, began = cluster.node_ids("workers")[0], world.clock.now()
    cluster.refuse(node)
    answer = function.send("Create", NodeIds=[node], RetryFor="120")
    assert answer["Status"] == "FAILED"
    assert f": {node}." in answer["Reason"]
    assert max(world.times("BatchDeleteClusterNodes")) == began + 120
    assert world.clock.now() < began + 180


@pytest.mark.parametrize("count", [2, 10, 99, 250])
def test_a_refused_request_is_split_once_to_find_the_nodes_at_fault(
    world: World, function: Function, count: int
) -> None:
    world.hp.rules.all_failed_message = "1 validation error detected."
    cluster = world.hp.create_cluster("ml-cluster", {"workers": count})
    nodes = cluster.node_ids("workers")
    for node in nodes:
        cluster.refuse(node, until=world.clock.now() + 200)
    answer = function.send("Create", NodeIds=[*nodes])
    assert answer["Data"]["RemovedCount"] == str(count)
    named = [r.node_ids for r in world.hp.delete_requests]
    # Each node by itself once, in the first round; then all of them together.
    assert all(sum(ids == (node,) for ids in named) == 1 for node in nodes)
    rounds = len({r.time for r in world.hp.delete_requests})
    batches = -(-count // 99)
    assert len(named) <= count + 11 * batches + (rounds - 1) * batches


@pytest.mark.parametrize("count", [2, 40, 99])
def test_one_node_at_fault_does_not_keep_the_others(
    world: World, function: Function, count: int
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": count})
    nodes = cluster.node_ids("workers")
    bad = nodes[count // 2]
    world.hp.fail_while(
        "BatchDeleteClusterNodes",
        lambda request: bad in request["NodeIds"],
        "ValidationException",
        message="1 validation error detected.",
    )
    answer = function.send("Create", NodeIds=[*nodes], OnPartialFailure="REPORT", RetryFor="60")
    assert answer["Data"]["FailedNodes"].count("i-") == 1
    assert bad in answer["Data"]["FailedNodes"]
    assert cluster.present == {bad}


def test_the_hand_over_knows_the_nodes_at_fault(world: World, function: Function) -> None:
    world.hp.rules.all_failed_message = "1 validation error detected."
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 20})
    nodes = cluster.node_ids("workers")
    for node in nodes:
        cluster.refuse(node, until=world.clock.now() + 300)
    function.send("Create", NodeIds=[*nodes], seconds=200.0)
    assert function.links > 1
    named = [r.node_ids for r in world.hp.delete_requests]
    assert all(named.count((node,)) == 1 for node in nodes)


# The cluster after the last node -------------------------------------------------------------


def busy_after(world: World, seconds: float) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8}, busy_after_leaving=seconds)


@pytest.mark.parametrize("seconds", [900.0, 200.0])
def test_removed_waits_until_the_cluster_is_no_longer_in_transition(
    world: World, function: Function, seconds: float
) -> None:
    cluster = busy_after(world, 400)
    nodes = [*cluster.node_ids("workers")[:2]]
    answer = function.send("Create", NodeIds=nodes, seconds=seconds)
    assert answer["Status"] == "SUCCESS"
    assert cluster.status == "InService"
    assert answer["Data"]["Warnings"] == ""


@pytest.mark.parametrize("seconds", [900.0, 200.0])
def test_a_cluster_that_stays_in_transition_is_waited_for_until_retry_for_and_told(
    world: World, function: Function, seconds: float
) -> None:
    cluster = busy_after(world, 9999)
    node = cluster.node_ids("workers")[0]
    answer = function.send("Create", NodeIds=[node], RetryFor="300", seconds=seconds)
    left = max(cluster.departures.values())
    assert left + 299 < world.clock.now() < left + 330
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "COMPLETE")
    assert "The cluster was still Updating" in answer["Data"]["Warnings"]


def test_a_cluster_that_is_in_transition_when_the_time_is_up_is_told_too(
    world: World, function: Function
) -> None:
    cluster = busy_after(world, 9999)
    answer = function.send(
        "Create", NodeIds=[cluster.node_ids("workers")[0]], RetryFor="600", ServiceTimeout="300"
    )
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "COMPLETE")
    assert "The cluster was still Updating" in answer["Data"]["Warnings"]


@pytest.mark.parametrize("status", [403, 503])
def test_a_cluster_that_cannot_be_looked_at_any_more_fails_no_removal_that_is_done(
    world: World, function: Function, status: int
) -> None:
    cluster = busy_after(world, 9999)
    node = cluster.node_ids("workers")[0]
    world.hp.fail_while("DescribeCluster", lambda _: node not in cluster.present, status=status)
    answer = function.send("Create", NodeIds=[node], RetryFor="60")
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "COMPLETE")


@pytest.mark.parametrize(
    "properties", [{"NodeIds": ["i-0123456789abcdef0"]}, {"WaitFor": "ACCEPTED"}]
)
def test_a_cluster_is_not_waited_for_without_a_request_or_for_accepted(
    world: World, function: Function, properties: dict[str, Any]
) -> None:
    cluster = busy_after(world, 9999)
    if "WaitFor" not in properties:
        cluster.set_status("Updating")
    properties = {"NodeIds": [cluster.node_ids("workers")[0]]} | properties
    began = world.clock.now()
    answer = function.send("Create", **properties)
    assert answer["Status"] == "SUCCESS"
    assert world.clock.now() < began + 30


def test_the_stack_is_watched_while_the_cluster_is_waited_for(
    world: World, function: Function
) -> None:
    cluster = busy_after(world, 9999)
    world.shows((0, "UPDATE_IN_PROGRESS"), (100, "UPDATE_ROLLBACK_IN_PROGRESS"))
    began = world.clock.now()
    function.send("Create", NodeIds=[cluster.node_ids("workers")[0]])
    assert world.clock.now() < began + 140
