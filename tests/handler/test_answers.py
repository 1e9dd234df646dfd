"""How many requests there are, what is made of lost answers, and the groups of a cluster."""

import json
import logging
from collections.abc import Iterable

import pytest

from hyperpod_node_removal_handler import aws
from tests.handler.function import Function
from tests.handler.world import World

# Lost answers --------------------------------------------------------------------------------


def lose(world: World, batches: Iterable[int], *, after_work: bool) -> None:
    """Lose the answers of these requests for removal, counted from 1."""
    numbers = set(batches)
    world.hp.fail_while(
        "BatchDeleteClusterNodes",
        lambda _: world.deletes in numbers,
        status=503,
        after_work=after_work,
    )


@pytest.mark.parametrize("batches", [{1}, {2}, {3}, {1, 2, 3}])
def test_after_a_lost_answer_what_left_is_removed_with_lines_for_the_template(
    world: World, function: Function, batches: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cluster = world.hp.create_cluster("ml-cluster", {"a": 150, "b": 100})
    nodes = [*cluster.node_ids("a"), *cluster.node_ids("b")][1:]
    lose(world, batches, after_work=True)
    answer = function.send("Create", NodeIds=nodes)
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RemovedCount"] == "249"
    assert answer["Data"]["AlreadyAbsentCount"] == "0"
    assert json.loads(answer["Data"]["InstanceGroupTargetCounts"]) == {"a": 1, "b": 0}
    assert world.deletes == 3
    assert "a: InstanceCount 150 -> 1: update the" in caplog.text
    assert "b: InstanceCount 100 -> 0: update the" in caplog.text


@pytest.mark.parametrize(("count", "deletes"), [(1, 1), (99, 1), (100, 2), (198, 2), (199, 3)])
def test_deletes_are_as_few_as_can_be(
    world: World, function: Function, count: int, deletes: int
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": count})
    function.send("Create", NodeIds=[*cluster.node_ids("workers")])
    assert world.deletes == deletes


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_deletes_do_not_multiply_where_a_request_was_lost(
    world: World, function: Function, lost: int
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 250})
    lose(world, {lost}, after_work=False)
    answer = function.send("Create", NodeIds=[*cluster.node_ids("workers")])
    assert answer["Data"]["RemovedCount"] == "250"
    assert world.deletes == 4


def test_deletes_do_not_multiply_where_nodes_were_refused(world: World, function: Function) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 250})
    nodes = cluster.node_ids("workers")
    for node in nodes[::100]:
        cluster.refuse(node, times=1)
    answer = function.send("Create", NodeIds=[*nodes])
    assert answer["Data"]["RemovedCount"] == "250"
    assert world.deletes == 4


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://user:s3cret@127.0.0.1:1",
        "http://user:s3cret#1@127.0.0.1:1",
        "http://user:s3cret/1@127.0.0.1:1",
        "http://user:s3cret@127.0.0.1:1",
    ],
)
def test_an_error_of_the_sdk_tells_no_password_of_a_proxy(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(aws.TransientError) as caught, aws.map_errors("Invoke"):
        aws.waiting_client(1).invoke(FunctionName="drain", Payload=b"{}")
    assert "s3cret" not in str(caught.value)
    assert "HTTPS_PROXY" in str(caught.value)


# Groups --------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_empty_list", [True, False])
def test_a_cluster_of_restricted_groups_alone_is_read(
    world: World, function: Function, has_empty_list: bool
) -> None:
    world.hp.rules.empty_instance_groups = has_empty_list
    cluster = world.hp.create_cluster("ml-cluster", {"nova": 4}, restricted={"nova"})
    node = cluster.node_ids("nova")[0]
    answer = function.send("Create", NodeIds=[node], MinRemaining={"nova": "3"})
    assert answer["Status"] == "SUCCESS"
    assert json.loads(answer["Data"]["InstanceGroupTargetCounts"]) == {"nova": 3}


def test_guards_may_name_groups_of_either_list(world: World, function: Function) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"nova": 4, "workers": 4}, restricted={"nova"})
    nodes = [cluster.node_ids("nova")[0], cluster.node_ids("workers")[0]]
    answer = function.send(
        "Create", NodeIds=nodes, ExpectedGroups=["nova", "workers"], MinRemaining={"nova": "4"}
    )
    assert "removing 1 of 4 nodes of group nova leaves 3" in answer["Reason"]


def test_a_count_that_is_missing_is_left_out_and_not_0(world: World, function: Function) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"a": 4, "b": 4}, restricted={"b"})
    cluster.leave_out("a", "TargetCount")
    cluster.leave_out("b", "CurrentCount", "Status", "InstanceType")
    nodes = [cluster.node_ids("a")[0], cluster.node_ids("b")[0]]
    answer = function.send("Create", NodeIds=nodes)
    assert answer["Status"] == "SUCCESS"
    assert json.loads(answer["Data"]["InstanceGroupTargetCounts"]) == {"b": 3}
