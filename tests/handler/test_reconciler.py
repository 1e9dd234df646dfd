"""A removal from the first listing to its end, against the model of a cluster."""

import pytest

from hyperpod_node_removal_contract import WaitFor
from hyperpod_node_removal_handler.outcome import Result
from hyperpod_node_removal_handler.requested_node import Phase
from sandbox.hyperpod import Cluster
from tests.aws_transport import Answer, Parameters
from tests.handler.world import World, codes, names


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8})


@pytest.fixture
def logical(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8}, continuous=True)


def settled(result: Result) -> bool:
    return result.removal.has_reached(WaitFor.REMOVED) and not result.interruption


# Converge ------------------------------------------------------------------------------------


def test_success_means_that_every_requested_node_has_left(world: World, cluster: Cluster) -> None:
    first, second, *others = cluster.node_ids("workers")
    result = world.remove([first, second])
    assert names(result, Phase.REMOVED) == {first, second}
    assert cluster.present == set(others)
    assert result.elapsed >= 60
    assert result.target_counts == {"workers": 6}


def test_only_what_is_listed_and_not_leaving_is_asked_for(world: World, cluster: Cluster) -> None:
    absent = "i-0123456789abcdef0"
    leaving, running, *_ = cluster.node_ids("workers")
    world.remove([leaving], seconds=1.0)
    before = len(world.hp.delete_requests)
    result = world.remove([absent, leaving, running])
    assert [r.node_ids for r in world.hp.delete_requests[before:]] == [(running,)]
    assert names(result, Phase.ABSENT) == {absent}
    assert names(result, Phase.REMOVED) == {leaving, running}


def test_a_second_run_of_the_same_set_deletes_nothing(world: World, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")[:3]
    world.remove(nodes)
    deletes = world.deletes
    result = world.remove(nodes)
    assert world.deletes == deletes
    assert names(result, Phase.ABSENT) == set(nodes)


def test_a_node_that_slips_between_two_pages_is_not_taken_for_gone(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 150})
    node = cluster.node_ids("workers")[120]
    listings = 0

    def slip(request: Parameters, answer: Answer) -> None:
        nonlocal listings
        if "NextToken" not in request:
            listings += 1
        if listings == 1:
            answer["ClusterNodeSummaries"] = [
                shown for shown in answer["ClusterNodeSummaries"] if shown["InstanceId"] != node
            ]

    world.after("ListClusterNodes", slip)
    result = world.remove([node])
    assert names(result, Phase.REMOVED) == {node}
    assert node not in cluster.present


# Requests ------------------------------------------------------------------------------------


def test_a_node_named_by_both_its_ids_is_asked_for_once(world: World, logical: Cluster) -> None:
    node = logical.node(logical.node_ids("workers")[0])
    assert node.instance_id
    assert node.logical_id
    result = world.remove([node.instance_id], [node.logical_id])
    assert [(r.node_ids, r.logical_ids) for r in world.hp.delete_requests] == [
        ((node.instance_id,), ())
    ]
    assert len(result.removal.nodes) == 1
    assert names(result, Phase.REMOVED) == {node.instance_id}


def test_requests_hold_99_ids_and_50_with_a_logical_id(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"a": 200, "b": 60}, continuous=True)
    result = world.remove(cluster.node_ids("a"), cluster.logical_ids("b"))
    sizes = [(len(r.node_ids), len(r.logical_ids)) for r in world.hp.delete_requests]
    assert sizes == [(0, 50), (40, 10), (99, 0), (61, 0)]
    assert settled(result)
    assert cluster.present == frozenset()


@pytest.mark.slow
def test_three_thousand_nodes_take_31_deletes(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 3000}, shutdown_seconds=(30, 300))
    result = world.remove(cluster.node_ids("workers"))
    assert world.deletes == 31
    assert settled(result)
    assert cluster.present == frozenset()


# Refusals ------------------------------------------------------------------------------------


def test_a_node_that_goes_before_it_is_asked_for_is_absent(world: World, logical: Cluster) -> None:
    vanishing, known, *_ = logical.node_ids("workers")

    def vanish(_: Parameters) -> None:
        if not world.deletes:
            logical.replace_instance(vanishing)

    world.before("BatchDeleteClusterNodes", vanish)
    result = world.remove([vanishing, known])
    assert names(result, Phase.ABSENT) == {vanishing}
    assert names(result, Phase.REMOVED) == {known}


@pytest.mark.parametrize("code", ["NodeIdNotFound", "NodeLogicalIdNotFound"])
@pytest.mark.parametrize("retry_for", [0, 300])
def test_a_not_found_is_not_believed_of_a_node_that_is_listed(
    world: World, cluster: Cluster, code: str, retry_for: int
) -> None:
    listed, good, *_ = cluster.node_ids("workers")
    cluster.refuse(listed, code)
    result = world.remove([listed, good], retry_for=retry_for)
    assert codes(result) == {listed: code}
    assert listed in cluster.present


def test_a_message_that_names_every_code_does_not_make_a_node_absent(
    world: World, cluster: Cluster
) -> None:
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node)
    world.hp.rules.all_failed_message = "NodeIdNotFound, InvalidNodeStatus or NodeIdInUse"
    result = world.remove([node], retry_for=60)
    assert set(codes(result)) == {node}


def test_a_node_named_by_both_ids_is_removed_through_auto_recovery(
    world: World, logical: Cluster
) -> None:
    node = logical.node(logical.node_ids("workers")[0])
    assert node.instance_id
    assert node.logical_id

    def recover(_: Parameters) -> None:
        if not world.deletes:
            logical.replace_instance(str(node.logical_id))

    world.before("BatchDeleteClusterNodes", recover)
    result = world.remove([node.instance_id], [node.logical_id])
    assert settled(result)
    assert node.logical_id not in logical.logical_ids("workers")


def test_a_node_whose_acceptance_was_lost_counts_as_removed(world: World, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")[:2]
    world.hp.fail_next("BatchDeleteClusterNodes", status=500, after_work=True)

    def be_late(_: Parameters) -> None:
        if world.deletes:
            world.clock.sleep(70)

    world.before("ListClusterNodes", be_late)
    result = world.remove(nodes)
    assert names(result, Phase.REMOVED) == set(nodes)


@pytest.mark.parametrize("code", ["InvalidNodeStatus", "NodeIdInUse", "InternalError"])
def test_a_transient_refusal_is_retried_until_it_passes(
    world: World, cluster: Cluster, code: str
) -> None:
    nodes = cluster.node_ids("workers")[:2]
    cluster.refuse(nodes[0], code, until=world.clock.now() + 100)
    result = world.remove(nodes)
    assert names(result, Phase.REMOVED) == set(nodes)


@pytest.mark.parametrize("code", ["InvalidNodeStatus", "NodeIdInUse", "InternalError"])
def test_a_transient_refusal_that_stays_is_a_failure_after_retry_for(
    world: World, cluster: Cluster, code: str
) -> None:
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad, code, "busy with something")
    result = world.remove([bad, good], retry_for=300)
    assert codes(result) == {bad: code}
    (node,) = [node for node in result.removal.nodes if node.name == bad]
    assert node.attempts > 1
    assert node.refusal
    assert node.refusal.message == "busy with something"
    times = [r.time for r in world.hp.delete_requests]
    assert 299 <= times[-1] - times[0] <= 301


def test_with_no_time_for_retries_a_node_is_asked_for_once(world: World, cluster: Cluster) -> None:
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    result = world.remove([bad, good], retry_for=0)
    assert codes(result) == {bad: "NodeIdInUse"}
    assert world.deletes == 1


def test_an_unknown_code_is_a_failure_under_its_own_name(world: World, cluster: Cluster) -> None:
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad, "NodeOnTheMoon", "cannot reach it")
    result = world.remove([bad, good])
    assert codes(result) == {bad: "NodeOnTheMoon"}
    assert world.deletes == 1


def test_throttling_is_waited_out(world: World, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")[:2]
    for operation in ("DescribeCluster", "ListClusterNodes", "BatchDeleteClusterNodes"):
        world.hp.fail_next(operation, times=4)
    result = world.remove(nodes)
    assert names(result, Phase.REMOVED) == set(nodes)


def test_throttling_without_end_is_a_failure(world: World, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")[:2]
    world.hp.fail_while("BatchDeleteClusterNodes", lambda _: True)
    result = world.remove(nodes, retry_for=60)
    assert codes(result) == dict.fromkeys(nodes, "ThrottlingException")


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_a_busy_cluster_is_waited_for(world: World, cluster: Cluster, code: str) -> None:
    world.hp.rules.busy_code = code
    nodes = cluster.node_ids("workers")[:2]
    cluster.set_status("Updating", until=world.clock.now() + 240)
    result = world.remove(nodes)
    assert names(result, Phase.REMOVED) == set(nodes)
    assert world.deletes == 1, "a cluster that is known to be busy is not asked"


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_a_cluster_that_becomes_busy_is_waited_for(
    world: World, cluster: Cluster, code: str
) -> None:
    world.hp.rules.busy_code = code
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad, times=1)

    def become_busy(_: Parameters, __: Answer) -> None:
        if world.deletes == 1:
            cluster.set_status("Updating", until=world.clock.now() + 100)

    world.after("BatchDeleteClusterNodes", become_busy)
    result = world.remove([bad, good])
    assert names(result, Phase.REMOVED) == {bad, good}


def test_a_cluster_that_stays_busy_is_a_failure(world: World, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")[:2]
    cluster.set_status("Updating")
    result = world.remove(nodes, retry_for=60)
    assert codes(result) == dict.fromkeys(nodes, "ClusterBusy")
    assert world.hp.requested_nodes == set()


# A 400 for the whole request -----------------------------------------------------------------


@pytest.mark.parametrize("message", [None, "1 validation error detected."])
def test_a_400_gives_every_node_an_outcome_of_its_own(
    world: World, cluster: Cluster, message: str | None
) -> None:
    world.hp.rules.all_failed_message = message
    in_use, patched, *_ = cluster.node_ids("workers")
    cluster.refuse(in_use, "NodeIdInUse")
    cluster.set_node_status(patched, "SystemUpdating", until=world.clock.now() + 100)
    result = world.remove([in_use, patched], retry_for=300)
    assert names(result, Phase.REMOVED) == {patched}
    assert codes(result) == {in_use: "NodeIdInUse"}


def test_a_400_because_of_one_node_spares_the_others(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 99})
    *good, poison = cluster.node_ids("workers")
    world.hp.fail_while(
        "BatchDeleteClusterNodes",
        lambda request: poison in request["NodeIds"],
        "ValidationException",
        message="1 validation error detected.",
    )
    result = world.remove([*good, poison], retry_for=0)
    assert names(result, Phase.REMOVED) == set(good)
    assert codes(result) == {poison: "ValidationException"}
    assert world.deletes <= 21


def test_asking_again_for_nodes_that_are_all_refused_takes_one_call_a_time(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 99})
    for node in cluster.node_ids("workers"):
        cluster.refuse(node, "NodeIdInUse")
    result = world.remove(cluster.node_ids("workers"), retry_for=600)
    assert set(codes(result).values()) == {"NodeIdInUse"}
    first_round = 1 + 10 + 99
    assert first_round < world.deletes <= first_round + 20


# The cluster as a whole ----------------------------------------------------------------------


def test_a_cluster_that_does_not_exist_is_one_sentence(world: World) -> None:
    report = world.report(["i-0123456789abcdef0"], cluster="no-such-cluster")
    assert report.status == "FAILED"
    assert "Cluster 'no-such-cluster' was not found" in report.reason
    assert "account and the region" in report.reason
    assert world.deletes == 0


@pytest.mark.parametrize(
    "operation", ["DescribeCluster", "ListClusterNodes", "BatchDeleteClusterNodes"]
)
def test_access_denied_names_the_call_and_the_permissions(
    world: World, cluster: Cluster, operation: str
) -> None:
    world.hp.fail_while(
        operation,
        lambda _: True,
        "AccessDeniedException",
        message=f"User: x is not authorized to perform: sagemaker:{operation} on resource: y"
        f" because no identity-based policy allows the sagemaker:{operation} action",
    )
    report = world.report(cluster.node_ids("workers")[:2])
    assert report.status == "FAILED"
    assert f"may not call {operation}: its role needs sagemaker:{operation}" in report.reason
    assert ("eks:DescribeCluster" in report.reason) is (operation == "BatchDeleteClusterNodes")
    assert len(cluster.present) == 8


@pytest.mark.parametrize(
    "operation", ["DescribeCluster", "ListClusterNodes", "BatchDeleteClusterNodes"]
)
def test_a_permission_that_spreads_late_is_waited_for(
    world: World, cluster: Cluster, operation: str
) -> None:
    nodes = cluster.node_ids("workers")[:2]
    granted = world.clock.now() + 20
    world.hp.fail_while(operation, lambda _: world.clock.now() < granted, "AccessDeniedException")
    result = world.remove(nodes)
    assert names(result, Phase.REMOVED) == set(nodes)


def test_a_cluster_deleted_half_way_takes_its_nodes_with_it(world: World, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")[:2]
    world.after("BatchDeleteClusterNodes", lambda *_: cluster.delete())
    result = world.remove(nodes)
    assert settled(result)
    assert names(result, Phase.REMOVED) == set(nodes)


@pytest.mark.parametrize("operation", ["ListClusterNodes", "BatchDeleteClusterNodes"])
def test_not_found_of_something_else_is_not_a_deleted_cluster(
    world: World, cluster: Cluster, operation: str
) -> None:
    nodes = cluster.node_ids("workers")[:2]
    world.hp.fail_while(
        operation, lambda _: True, "ResourceNotFoundException", message="No EKS cluster found."
    )
    report = world.report(nodes)
    assert report.status == "FAILED"
    assert "No EKS cluster found" in report.reason
    assert set(nodes) <= cluster.present


@pytest.mark.parametrize("code", ["UnrecognizedClientException", "InvalidClientTokenId"])
def test_credentials_that_become_known_late_are_waited_for(
    world: World, cluster: Cluster, code: str
) -> None:
    nodes = cluster.node_ids("workers")[:2]
    known = world.clock.now() + 20
    world.hp.fail_while(
        "BatchDeleteClusterNodes", lambda _: world.clock.now() < known, code, status=403
    )
    result = world.remove(nodes)
    assert names(result, Phase.REMOVED) == set(nodes)
    assert world.deletes < 10


def test_throttling_does_not_starve_the_end_of_the_template(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 300})
    nodes = cluster.node_ids("workers")
    world.hp.fail_while("BatchDeleteClusterNodes", lambda _: True)
    result = world.remove(nodes, retry_for=600)
    attempts = [node.attempts for node in result.removal.nodes]
    assert max(attempts) - min(attempts) <= 1


# Nodes ---------------------------------------------------------------------------------------


def test_a_slurm_controller_is_never_asked_for(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"head": 1, "workers": 2}, "head")
    (controller,) = cluster.node_ids("head")
    worker = cluster.node_ids("workers")[0]
    result = world.remove([controller, worker])
    assert codes(result) == {controller: "ControllerNode"}
    assert names(result, Phase.REMOVED) == {worker}
    assert world.hp.requested_nodes == {worker}


def test_a_removal_that_turns_to_failure_is_a_failure(world: World, cluster: Cluster) -> None:
    bad, good, *_ = cluster.node_ids("workers")
    cluster.fail_while_leaving(bad, "The instance did not stop.")
    result = world.remove([bad, good])
    assert codes(result) == {bad: "RemovalFailed"}
    (node,) = [node for node in result.removal.nodes if node.name == bad]
    assert node.refusal
    assert node.refusal.message == "The instance did not stop."


def test_a_node_that_was_in_failure_before_is_removed(world: World, cluster: Cluster) -> None:
    bad = cluster.node_ids("workers")[0]
    cluster.set_node_status(bad, "Failure")
    result = world.remove([bad])
    assert names(result, Phase.REMOVED) == {bad}


def test_a_node_that_has_not_left_in_time_is_a_failure_with_its_status(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 2}, shutdown_seconds=3000)
    slow = cluster.node_ids("workers")[0]
    start = world.clock.now()
    result = world.remove([slow], seconds=825)
    assert codes(result) == {slow: "StillPresent"}
    (node,) = result.removal.nodes
    assert node.refusal
    assert "ShuttingDown" in node.refusal.message
    assert world.clock.now() - start == pytest.approx(825, abs=1)


def test_a_logical_node_keeps_being_removed_through_auto_recovery(
    world: World, logical: Cluster
) -> None:
    logical_id = logical.logical_ids("workers")[0]
    replaced: list[str] = []

    def recover(_: Parameters, __: Answer) -> None:
        if not replaced:
            replaced.append(logical.replace_instance(logical_id))

    world.after("BatchDeleteClusterNodes", recover)
    result = world.remove([], [logical_id])
    assert settled(result)
    assert logical_id not in logical.logical_ids("workers")
    asked = [r.logical_ids for r in world.hp.delete_requests]
    assert asked == [(logical_id,), (logical_id,)], "once for each instance"


def test_the_successor_of_an_instance_is_left_alone(world: World, logical: Cluster) -> None:
    stale = logical.node_ids("workers")[0]
    fresh = logical.replace_instance(stale)
    result = world.remove([stale])
    assert names(result, Phase.ABSENT) == {stale}
    assert fresh in logical.present
    assert world.deletes == 0


def test_a_node_without_an_instance_is_removed_by_its_logical_id(
    world: World, logical: Cluster
) -> None:
    logical_id = logical.add_pending("workers")
    world.remove([], [logical_id], retry_for=30)
    assert world.hp.delete_requests[0].logical_ids == (logical_id,)


# The stack -----------------------------------------------------------------------------------


def test_nothing_more_is_asked_once_the_stack_goes_back(world: World, cluster: Cluster) -> None:
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    forward = "UPDATE_IN_PROGRESS"
    world.cloudformation.statuses = [forward, forward, "UPDATE_ROLLBACK_IN_PROGRESS"]
    result = world.remove([bad, good])
    assert world.deletes == 1
    assert "is rolling back" in result.interruption
    assert bad in codes(result)
