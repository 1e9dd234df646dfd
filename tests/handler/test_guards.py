"""When guards are checked, what they count, and what a second copy of a request makes of them."""

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.hyperpod import Cluster
from tests.handler.function import HOOK, Function
from tests.handler.world import World

TYPO = "i-0123456789abcdef0"


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8})


def spoil(world: World, cluster: Cluster, seconds: float) -> None:
    """Let another node fail after so many seconds, so that fewer remain than there were."""
    victim, at = cluster.node_ids("workers")[-1], world.clock.now() + seconds

    def fail(_: object) -> None:
        if world.clock.now() >= at:
            cluster.set_node_status(victim, "Failure")

    for operation in ("DescribeStacks", "DescribeCluster", "ListClusterNodes"):
        world.before(operation, fail)


def refused(answer: Any) -> bool:
    return answer["Status"] == "FAILED" and "(MinRemaining)" in answer["Reason"]


# When ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.5, 3, 5])
def test_a_guard_broken_between_the_plan_and_the_first_request_refuses_the_set(
    world: World, function: Function, cluster: Cluster, seconds: float
) -> None:
    spoil(world, cluster, seconds)
    node = cluster.node_ids("workers")[0]
    answer = function.send("Update", NodeIds=[node], MinRemaining={"workers": "7"})
    assert refused(answer)
    assert world.deletes == 0


def test_a_guard_broken_while_the_hook_ran_refuses_the_set(
    world: World, function: Function, cluster: Cluster
) -> None:
    def hook(_: object) -> dict[str, str]:
        world.clock.sleep(200)
        cluster.set_node_status(cluster.node_ids("workers")[-1], "Failure")
        return {"Decision": "PROCEED"}

    function.aws_lambda.hook = hook
    node = cluster.node_ids("workers")[0]
    answer = function.send(
        "Create", NodeIds=[node], MinRemaining={"workers": "7"}, BeforeRemoval=HOOK
    )
    assert refused(answer)
    assert world.deletes == 0


def refuse_all(cluster: Cluster, until: float) -> None:
    for node in cluster.node_ids("workers"):
        cluster.refuse(node, until=until)


Trouble = Callable[[World, Cluster], object]
NOT_BEGUN: dict[str, Trouble] = {
    "throttled": lambda world, _: world.hp.fail_next(
        "BatchDeleteClusterNodes", "ThrottlingException", times=3
    ),
    "conflict": lambda world, _: world.hp.fail_next(
        "BatchDeleteClusterNodes", "ConflictException", times=3
    ),
    "denied": lambda world, _: world.hp.fail_next("BatchDeleteClusterNodes", status=403, times=3),
    "busy cluster": lambda world, cluster: cluster.set_status(
        "Updating", until=world.clock.now() + 40
    ),
    "busy nodes": lambda world, cluster: refuse_all(cluster, world.clock.now() + 40),
}


@pytest.mark.parametrize("trouble", NOT_BEGUN.values(), ids=list(NOT_BEGUN))
@pytest.mark.parametrize("seconds", [900.0, 100.0])
def test_a_request_that_was_not_carried_out_has_not_begun_the_removal(
    world: World, function: Function, cluster: Cluster, trouble: Trouble, seconds: float
) -> None:
    nodes = [*cluster.node_ids("workers")[:2]]
    trouble(world, cluster)
    if seconds < 900:
        # What is known when one invocation hands over to the next is known to that, too.
        refuse_all(cluster, world.clock.now() + 120)
    spoil(world, cluster, 4 if seconds == 900 else 90)
    answer = function.send("Create", seconds=seconds, NodeIds=nodes, MinRemaining={"workers": "6"})
    assert refused(answer)
    assert len(cluster.present) == 8


def lost(world: World, _: Cluster) -> None:
    world.hp.fail_next("BatchDeleteClusterNodes", status=503)


def partly_accepted(_: World, cluster: Cluster) -> None:
    cluster.refuse(cluster.node_ids("workers")[0], times=2)


@pytest.mark.parametrize("trouble", [lost, partly_accepted])
def test_what_may_have_begun_is_brought_to_its_end(
    world: World, function: Function, cluster: Cluster, trouble: Trouble
) -> None:
    nodes = [*cluster.node_ids("workers")[:2]]
    trouble(world, cluster)
    spoil(world, cluster, 4)
    answer = function.send("Create", NodeIds=nodes, MinRemaining={"workers": "6"})
    assert answer["Status"] == "SUCCESS"
    assert cluster.present.isdisjoint(nodes)


@pytest.mark.parametrize("guards", [{}, {"MaxRemovals": "8"}])
def test_a_fresh_plan_serves_as_the_listing_before_the_first_request(
    world: World, function: Function, cluster: Cluster, guards: dict[str, Any]
) -> None:
    function.send("Create", NodeIds=[cluster.node_ids("workers")[0]], **guards)
    before = [name for name, _ in world.journal]
    before = before[: before.index("BatchDeleteClusterNodes")]
    assert before.count("ListClusterNodes") == 1


def test_without_guards_no_listing_is_too_old(
    world: World, function: Function, cluster: Cluster
) -> None:
    function.send("Update", NodeIds=[cluster.node_ids("workers")[0]])
    before = [name for name, _ in world.journal]
    before = before[: before.index("BatchDeleteClusterNodes")]
    assert before.count("ListClusterNodes") == 1


def test_a_look_at_the_stack_that_takes_long_is_followed_by_a_listing(
    world: World, function: Function, cluster: Cluster
) -> None:
    world.before("DescribeStacks", lambda _: world.clock.sleep(6 if world.hp.calls else 0))
    spoil(world, cluster, 5)
    node = cluster.node_ids("workers")[0]
    answer = function.send("Create", NodeIds=[node], MinRemaining={"workers": "7"})
    assert refused(answer)
    assert world.deletes == 0


# What they count -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["Failure", "ShuttingDown", "DetachInProgress"])
def test_a_node_that_failed_or_is_leaving_does_not_remain(
    world: World, function: Function, cluster: Cluster, status: str
) -> None:
    first, *_, last = cluster.node_ids("workers")
    cluster.set_node_status(last, status)
    answer = function.send("Create", NodeIds=[first], MinRemaining={"workers": "7"})
    assert refused(answer)
    assert "leaves 6, fewer than 7" in answer["Reason"]


@pytest.mark.parametrize("status", ["Pending", "SystemUpdating", "Reticulating"])
def test_a_node_in_any_other_status_remains(
    world: World, function: Function, cluster: Cluster, status: str
) -> None:
    first, *_, last = cluster.node_ids("workers")
    cluster.set_node_status(last, status)
    answer = function.send("Create", NodeIds=[first], MinRemaining={"workers": "7"})
    assert answer["Status"] == "SUCCESS"


def test_a_node_that_is_listed_on_two_pages_remains_once(
    world: World, function: Function, cluster: Cluster
) -> None:
    def repeat(_: object, answer: dict[str, list[object]]) -> None:
        answer["ClusterNodeSummaries"].append(answer["ClusterNodeSummaries"][-1])

    world.after("ListClusterNodes", repeat)
    node = cluster.node_ids("workers")[0]
    assert refused(function.send("Create", NodeIds=[node], MinRemaining={"workers": "8"}))
    assert world.deletes == 0


def test_a_node_without_an_instance_does_not_remain(world: World, function: Function) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 8}, continuous=True)
    cluster.add_pending("workers")
    node = cluster.node_ids("workers")[0]
    assert refused(function.send("Create", NodeIds=[node], MinRemaining={"workers": "8"}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MinRemaining", ""),
        ("MinRemaining", []),
        ("MinRemaining", {}),
        ("MinRemaining", {"workers": ""}),
        ("MaxRemovals", ""),
        ("MaxRemovals", " "),
    ],
)
@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_an_empty_guard_is_refused_and_not_ignored(
    world: World, function: Function, cluster: Cluster, kind: str, name: str, value: Any
) -> None:
    node = cluster.node_ids("workers")[0]
    answer = function.send(kind, NodeIds=[node], **{name: value})
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(f"{name}: ")
    assert "allowed: " in answer["Reason"]
    assert world.hp.calls.total() == 0


# Copies of a request -------------------------------------------------------------------------


def first_copy(world: World, nodes: list[str], *, seconds: float) -> None:
    """What another copy of the request had done so many seconds ago."""
    world.hp.call("BatchDeleteClusterNodes", {"ClusterName": "ml-cluster", "NodeIds": nodes})
    world.clock.sleep(seconds)


@pytest.mark.parametrize("seconds", [0, 1, 20, 45])
@pytest.mark.parametrize(
    "guards",
    [
        {"MissingNodes": "FAIL"},
        {"MaxRemovals": "2"},
        {"MinRemaining": {"workers": "6"}},
        {"MissingNodes": "FAIL", "MaxRemovals": "2", "MinRemaining": {"workers": "6"}},
    ],
)
def test_a_second_copy_agrees_with_the_first_and_requests_nothing(
    world: World, function: Function, cluster: Cluster, guards: dict[str, Any], seconds: int
) -> None:
    nodes = [*cluster.node_ids("workers")[:2]]
    # Each of them leaves 60 s after it was requested.
    first_copy(world, nodes[:1], seconds=30)
    first_copy(world, nodes[1:], seconds=seconds)
    assert (nodes[0] in cluster.present) == (seconds < 30)
    answer = function.send("Create", NodeIds=nodes, **guards)
    assert answer["Status"] == "SUCCESS"
    assert world.deletes == 2
    assert len(cluster.present) == 6


def test_a_second_copy_requests_no_more_than_the_guards_allow(
    world: World, function: Function, cluster: Cluster
) -> None:
    nodes = [*cluster.node_ids("workers")[:3]]
    first_copy(world, nodes[:1], seconds=1)
    cluster.set_node_status(cluster.node_ids("workers")[-1], "Failure")
    answer = function.send("Create", NodeIds=nodes, MinRemaining={"workers": "5"})
    assert refused(answer)
    assert world.deletes == 1


@pytest.mark.parametrize("seconds", [0, 50, 59])
def test_a_first_copy_that_lambda_kept_still_refuses_a_typo(
    world: World, function: Function, cluster: Cluster, seconds: int
) -> None:
    nodes = [cluster.node_ids("workers")[0], TYPO]
    url = f"{function.endpoint.url}&Expires={int(world.clock.now()) - seconds + 7200}"
    event = function.event(
        "Create",
        {"ClusterName": "ml-cluster", "NodeIds": nodes, "MissingNodes": "FAIL"},
        ResponseURL=url,
    )
    answer = function.reply_to(event)
    assert answer["Status"] == "FAILED"
    assert f"not in the cluster (MissingNodes): {TYPO}" in answer["Reason"]
    assert world.deletes == 0


def test_where_every_look_at_the_stack_takes_long_nodes_are_removed_all_the_same(
    world: World, function: Function, cluster: Cluster
) -> None:
    world.before("DescribeStacks", lambda _: world.clock.sleep(6))
    node = cluster.node_ids("workers")[0]
    answer = function.send("Create", NodeIds=[node], MinRemaining={"workers": "7"})
    assert answer["Data"]["RemovedNodes"] == node


def test_a_node_that_turns_up_once_the_removal_has_begun_does_not_slip_past_the_guards(
    world: World, function: Function, cluster: Cluster
) -> None:
    there, late, *_ = cluster.node_ids("workers")
    cluster.hide(late, listings=2)
    answer = function.send("Create", NodeIds=[there, late], MaxRemovals="1")
    assert answer["Status"] == "FAILED"
    assert f"Guarded: {late}" in answer["Reason"]
    assert late in cluster.present
    assert answer["Data"]["RemovedNodes"] == there
