"""What is requested: which nodes, in how many requests, and what a refused request costs."""

import json
from collections.abc import Iterable

import pytest

from sandbox.hyperpod import Cluster
from tests.handler.function import HOOK
from tests.handler.world import World

ABSENT = "i-0123456789abcdef0"
REFUSED = "1 validation error detected."


def requested(world: World) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the instance ids and the logical ids of each request."""
    return [(request.node_ids, request.logical_ids) for request in world.hp.delete_requests]


@pytest.fixture
def logical(world: World) -> Cluster:
    return world.make_cluster(8, continuous=True)


# Which ---------------------------------------------------------------------------------------


def test_only_what_is_listed_and_not_leaving_is_requested(world: World) -> None:
    leaving, running, *_ = world.nodes
    world.remove([leaving], seconds=1)
    answer = world.send("Create", NodeIds=[ABSENT, leaving, running])
    assert requested(world)[1:] == [((running,), ())]
    assert answer["Data"]["AlreadyAbsentNodes"] == ABSENT
    assert answer["Data"]["RemovedNodes"] == f"{leaving},{running}"


def test_a_second_run_of_the_same_set_deletes_nothing(world: World) -> None:
    nodes = world.nodes[:3]
    world.send("Create", NodeIds=nodes)
    answer = world.send("Create", NodeIds=nodes)
    assert world.deletes == 1
    assert answer["Data"]["AlreadyAbsentNodes"] == ",".join(nodes)
    assert answer["Data"]["Warnings"] == ""


def test_a_slurm_controller_is_never_requested(world: World) -> None:
    cluster = world.make_cluster({"head": 1, "workers": 2}, "head")
    (controller,), worker = cluster.node_ids("head"), world.nodes[0]
    answer = world.send("Create", NodeIds=[controller, worker])
    assert f"ControllerNode: {controller}." in answer["Reason"]
    assert answer["Data"]["RemovedNodes"] == worker
    assert world.hp.requested_nodes == {worker}


def test_a_node_named_by_both_its_ids_is_requested_once(world: World, logical: Cluster) -> None:
    node = logical.node(world.nodes[0])
    answer = world.send("Create", NodeIds=[node.instance_id], NodeLogicalIds=[node.logical_id])
    assert requested(world) == [((node.instance_id,), ())]
    assert answer["Data"]["RequestedCount"] == "1"
    assert answer["Data"]["RemovedNodes"] == node.instance_id


@pytest.mark.parametrize("by_both_ids", [True, False])
def test_a_logical_node_keeps_being_removed_through_auto_recovery(
    world: World, logical: Cluster, by_both_ids: bool
) -> None:
    """Its instance is replaced before the first request, or after it."""
    logical_id, replaced = world.logical_ids[0], list[str]()

    def recover(*_: object) -> None:
        if not replaced:
            replaced.append(logical.replace_instance(logical_id))

    if by_both_ids:
        world.before("BatchDeleteClusterNodes", recover)
    else:
        world.after("BatchDeleteClusterNodes", recover)
    ids = world.nodes[:1] if by_both_ids else []
    world.succeeds("Create", NodeIds=ids, NodeLogicalIds=[logical_id])
    assert replaced
    assert logical_id not in world.logical_ids
    if not by_both_ids:
        assert requested(world) == [((), (logical_id,))] * 2, "once for each instance"


def test_a_node_is_reported_by_the_id_that_is_still_its_own(world: World, logical: Cluster) -> None:
    """Its instance was replaced after the request, so the instance id is that of no node."""
    node = logical.node(world.nodes[0])
    logical_id = str(node.logical_id)
    world.after("BatchDeleteClusterNodes", lambda *_: logical.replace_instance(logical_id))
    world.set_hook()
    both = {"NodeIds": [node.instance_id], "NodeLogicalIds": [logical_id]}
    answer = world.send("Create", **both, BeforeRemoval=HOOK)
    assert f"Vetoed: {logical_id}." in answer["Reason"]
    assert answer["Data"]["FailedNodes"] == logical_id
    assert node.instance_id not in logical.present


def test_a_removal_that_was_accepted_is_reported_although_the_instance_was_replaced(
    world: World, logical: Cluster
) -> None:
    logical_id, old = world.logical_ids[0], world.nodes[0]

    def recover(*_: object) -> None:
        logical.replace_instance(logical_id)
        world.cloudformation.statuses = ["UPDATE_FAILED"]

    world.after("BatchDeleteClusterNodes", recover)
    answer = world.send("Update", NodeLogicalIds=[logical_id])
    assert f"StillPresent: {logical_id}." in answer["Reason"]
    new = logical.node(logical_id).instance_id
    assert f"accepted, then {old} was replaced by {new}: " in world.log.text


def test_the_successor_of_an_instance_is_left_alone(world: World, logical: Cluster) -> None:
    stale = world.nodes[0]
    fresh = logical.replace_instance(stale)
    assert world.send("Create", NodeIds=[stale])["Data"]["AlreadyAbsentNodes"] == stale
    assert fresh in logical.present
    assert world.deletes == 0


def test_a_node_without_instance_is_removed_by_logical_id(world: World, logical: Cluster) -> None:
    logical_id = logical.add_pending("workers")
    world.send("Create", NodeLogicalIds=[logical_id], RetryFor="30")
    assert requested(world)[0] == ((), (logical_id,))


# How many ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "deletes"),
    [(1, 1), (99, 1), (100, 2), (198, 2), (199, 3), pytest.param(3000, 31, marks=pytest.mark.slow)],
)
def test_requests_are_as_few_as_can_be(world: World, count: int, deletes: int) -> None:
    cluster = world.make_cluster(count, shutdown_seconds=(30, 300))
    assert world.send("Create", NodeIds=world.nodes)["Data"]["RemovedCount"] == str(count)
    assert world.deletes == deletes
    assert cluster.present == frozenset()


def test_requests_hold_99_ids_and_50_with_a_logical_id(world: World) -> None:
    cluster = world.make_cluster({"a": 200, "b": 60}, continuous=True)
    ids, logical_ids = list(cluster.node_ids("a")), list(cluster.logical_ids("b"))
    world.succeeds("Create", NodeIds=ids, NodeLogicalIds=logical_ids)
    sizes = [(len(node_ids), len(logical_ids)) for node_ids, logical_ids in requested(world)]
    assert sizes == [(0, 50), (40, 10), (99, 0), (61, 0)]
    assert cluster.present == frozenset()


@pytest.mark.parametrize("trouble", ["lost 1", "lost 2", "lost 3", "refused nodes"])
def test_requests_do_not_multiply_where_one_was_lost_or_refused(world: World, trouble: str) -> None:
    world.make_cluster(250)
    if trouble == "refused nodes":
        for node in world.nodes[::100]:
            world.cluster.refuse(node, times=1)
    else:
        lose(world, {int(trouble[-1])}, after_work=False)
    assert world.send("Create", NodeIds=world.nodes)["Data"]["RemovedCount"] == "250"
    assert world.deletes == 4


# Lost answers --------------------------------------------------------------------------------


def lose(world: World, batches: Iterable[int], *, after_work: bool) -> None:
    """Lose the answers of these requests, counted from 1, which were carried out or not."""
    numbers = set(batches)
    is_lost = lambda _: world.deletes in numbers  # noqa: E731
    world.hp.fail_while("BatchDeleteClusterNodes", is_lost, status=503, after_work=after_work)


@pytest.mark.parametrize("batches", [{1}, {2}, {3}, {1, 2, 3}])
def test_after_a_lost_answer_what_left_is_removed_with_lines_for_the_template(
    world: World, batches: set[int]
) -> None:
    cluster = world.make_cluster({"a": 150, "b": 100})
    nodes = [*cluster.node_ids("a"), *cluster.node_ids("b")][1:]
    lose(world, batches, after_work=True)
    data = world.succeeds("Create", NodeIds=nodes)
    assert data["RemovedCount"] == "249"
    assert data["AlreadyAbsentCount"] == "0"
    assert json.loads(data["InstanceGroupTargetCounts"]) == {"a": 1, "b": 0}
    assert world.deletes == 3
    assert "a: InstanceCount 150 -> 1: update the" in world.log.text
    assert "b: InstanceCount 100 -> 0: update the" in world.log.text


def test_a_node_that_left_before_it_was_seen_leaving_counts_as_removed(world: World) -> None:
    nodes = world.nodes[:2]
    world.hp.fail_next("BatchDeleteClusterNodes", status=500, after_work=True)
    world.before("ListClusterNodes", lambda _: world.clock.sleep(70 if world.deletes else 0))
    assert world.send("Create", NodeIds=nodes)["Data"]["RemovedNodes"] == ",".join(nodes)


# A request that is refused as a whole --------------------------------------------------------


@pytest.mark.parametrize("message", [None, REFUSED])
def test_a_400_gives_every_node_an_outcome_of_its_own(world: World, message: str | None) -> None:
    world.hp.rules.all_failed_message = message
    in_use, patched, *_ = world.nodes
    world.cluster.refuse(in_use, "NodeIdInUse")
    world.cluster.set_node_status(patched, "SystemUpdating", until=world.clock.now() + 100)
    answer = world.send("Create", NodeIds=[in_use, patched], RetryFor="300")
    assert answer["Data"]["RemovedNodes"] == patched
    assert f"NodeIdInUse: {in_use}." in answer["Reason"]


@pytest.mark.parametrize("message", [None, REFUSED, "NodeIdNotFound or InvalidNodeStatus", ""])
@pytest.mark.parametrize("code", ["ValidationException", "SomeNewException"])
def test_one_busy_node_alone_in_its_set_is_retried_until_it_is_free(
    world: World, message: str | None, code: str
) -> None:
    world.hp.rules.all_failed_message = message
    world.hp.rules.all_failed_code = code
    node = world.nodes[0]
    world.cluster.refuse(node, until=world.clock.now() + 200)
    world.succeeds("Create", NodeIds=[node])
    assert node not in world.cluster.present
    assert world.deletes < 10


@pytest.mark.parametrize("message", [None, REFUSED, "NodeIdNotFound or InvalidNodeStatus"])
def test_a_node_that_is_never_free_fails_after_retry_for(world: World, message: str | None) -> None:
    world.hp.rules.all_failed_message = message
    node, began = world.nodes[0], world.clock.now()
    world.cluster.refuse(node)
    answer = world.send("Create", NodeIds=[node], RetryFor="120")
    assert answer["Status"] == "FAILED"
    assert f": {node}." in answer["Reason"]
    assert answer["Data"]["FailedNodes"] == node
    assert max(world.request_times) == began + 120
    assert world.clock.now() < began + 180


@pytest.mark.parametrize("count", [2, 10, 99, 250])
def test_a_refused_request_is_split_once_to_find_nodes_at_fault(world: World, count: int) -> None:
    world.hp.rules.all_failed_message = REFUSED
    world.make_cluster(count)
    nodes = world.nodes
    for node in nodes:
        world.cluster.refuse(node, until=world.clock.now() + 200)
    assert world.send("Create", NodeIds=nodes)["Data"]["RemovedCount"] == str(count)
    named = [node_ids for node_ids, _ in requested(world)]
    # Each node by itself once, in the first round; then all of them together.
    assert all(named.count((node,)) == 1 for node in nodes)
    rounds, batches = len(set(world.request_times)), -(-count // 99)
    assert len(named) <= count + 11 * batches + (rounds - 1) * batches


def test_nodes_that_are_all_refused_take_one_request_each_time(world: World) -> None:
    world.make_cluster(99)
    nodes = world.nodes
    for node in nodes:
        world.cluster.refuse(node, "NodeIdInUse")
    answer = world.send("Create", NodeIds=nodes, RetryFor="600")
    assert answer["Data"]["FailedCount"] == "99"
    assert f"NodeIdInUse: {nodes[0]}" in answer["Reason"]
    first_round = 1 + 10 + 99
    assert first_round < world.deletes <= first_round + 20


@pytest.mark.parametrize("count", [2, 40, 99])
@pytest.mark.parametrize("retry_for", ["0", "60"])
def test_one_node_at_fault_does_not_keep_others(world: World, count: int, retry_for: str) -> None:
    world.make_cluster(count)
    nodes, bad = world.nodes, world.nodes[count // 2]
    world.hp.fail_while(
        "BatchDeleteClusterNodes",
        lambda request: bad in request["NodeIds"],
        "ValidationException",
        message=REFUSED,
    )
    answer = world.send("Create", NodeIds=nodes, RetryFor=retry_for)
    assert f"ValidationException: {bad}." in answer["Reason"]
    assert answer["Data"]["FailedNodes"] == bad
    assert world.cluster.present == {bad}
    assert retry_for != "0" or world.deletes <= 21


def test_the_hand_over_knows_the_nodes_at_fault(world: World) -> None:
    world.hp.rules.all_failed_message = REFUSED
    world.make_cluster(20)
    nodes = world.nodes
    for node in nodes:
        world.cluster.refuse(node, until=world.clock.now() + 300)
    world.send("Create", NodeIds=nodes, seconds=200.0)
    assert world.invocations > 1
    named = [node_ids for node_ids, _ in requested(world)]
    assert all(named.count((node,)) == 1 for node in nodes)


# Others at work ------------------------------------------------------------------------------


def test_a_cluster_deleted_half_way_takes_its_nodes_with_it(world: World) -> None:
    nodes = world.nodes[:2]
    world.after("BatchDeleteClusterNodes", lambda *_: world.cluster.delete())
    assert world.succeeds("Create", NodeIds=nodes)["RemovedNodes"] == ",".join(nodes)
