"""The model of HyperPod, through a real boto3 client over HTTP."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from sandbox.hyperpod import Cluster, HyperPod


@dataclass
class World:
    """The service, a clock to turn, and a client."""

    now: float = 0.0
    hp: HyperPod = field(init=False)
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.hp = HyperPod(clock=lambda: self.now)

    def create(self, groups: Mapping[str, int], **settings: Any) -> Cluster:
        return self.hp.create_cluster("ml-cluster", groups, **settings)

    def delete(self, *node_ids: str, cluster: str = "ml-cluster", logical: Any = ()) -> Any:
        ids = {"NodeIds": list(node_ids)} if node_ids else {}
        logical_ids = {"NodeLogicalIds": list(logical)} if logical else {}
        return self.client.batch_delete_cluster_nodes(ClusterName=cluster, **ids, **logical_ids)

    def listed(self, cluster: str = "ml-cluster", **more: Any) -> list[Any]:
        pages = self.client.get_paginator("list_cluster_nodes").paginate(
            ClusterName=cluster, **more
        )
        return [node for page in pages for node in page["ClusterNodeSummaries"]]

    def page(self, **more: Any) -> Any:
        return self.client.list_cluster_nodes(ClusterName="ml-cluster", **more)

    def described(self) -> Any:
        return self.client.describe_cluster(ClusterName="ml-cluster")

    def group(self, name: str) -> Any:
        groups = self.described()["InstanceGroups"]
        return next(group for group in groups if group["InstanceGroupName"] == name)

    def node(self, **ids: str) -> Any:
        return self.client.describe_cluster_node(ClusterName="ml-cluster", **ids)["NodeDetails"]

    def status(self, node_id: str, cluster: str = "ml-cluster") -> str | None:
        """Return the node's status in the next listing; None if it is not listed."""
        listed = {n["InstanceId"]: n["InstanceStatus"]["Status"] for n in self.listed(cluster)}
        return listed.get(node_id)


def new_client(**settings: Any) -> Any:
    return boto3.client(
        "sagemaker",
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 1}),
        **settings,
    )


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with world.hp.serve() as url:
        world.client = new_client(endpoint_url=url)
        yield world
        world.client.close()


def error_of(call: Callable[[], Any]) -> tuple[str, str, int]:
    """Return code, message and HTTP status of the error that a call raises."""
    with pytest.raises(ClientError) as raised:
        call()
    response = raised.value.response
    error = response["Error"]
    return error["Code"], error["Message"], response["ResponseMetadata"]["HTTPStatusCode"]


# Deleting nodes -----------------------------------------------------------------------------------


def test_a_node_shuts_down_then_leaves_and_counts_follow(world: World) -> None:
    cluster = world.create({"workers": 3}, shutdown_seconds=60.0)
    first, *others = cluster.node_ids("workers")

    response = world.delete(first)
    assert response["Successful"] == [first]
    assert "Failed" not in response
    statuses = {n["InstanceId"]: n["InstanceStatus"]["Status"] for n in world.listed()}
    assert statuses == {first: "ShuttingDown", **dict.fromkeys(others, "Running")}
    counts = world.group("workers")
    assert (counts["TargetCount"], counts["CurrentCount"]) == (2, 3)

    world.now = 60.0
    assert [n["InstanceId"] for n in world.listed()] == others
    assert world.group("workers")["CurrentCount"] == 3, "the count falls later than the list"

    world.now = 90.0
    assert world.group("workers")["CurrentCount"] == 2
    assert cluster.present == frozenset(others)
    assert cluster.target_counts == {"workers": 2}


def test_a_node_can_turn_to_failure_and_be_deleted_again(world: World) -> None:
    cluster = world.create({"workers": 2}, shutdown_seconds=10.0)
    node = cluster.node_ids("workers")[0]
    cluster.fail_while_leaving(node, message="It would not go.")

    world.delete(node)
    world.now = 10.0
    status = world.node(NodeId=node)["InstanceStatus"]
    assert status == {"Status": "Failure", "Message": "It would not go."}

    world.delete(node)
    world.now = 20.0
    assert node not in cluster.present
    assert cluster.target_counts == {"workers": 1}, "one node, one step down"


def test_some_nodes_fail_and_the_others_are_accepted(world: World) -> None:
    cluster = world.create({"controller": 1, "workers": 4}, controller_group="controller")
    good, used, patched, once = cluster.node_ids("workers")
    (controller,) = cluster.node_ids("controller")
    absent = "i-" + "0" * 17
    cluster.refuse(used)
    cluster.set_node_status(patched, "SystemUpdating", until=100.0)
    cluster.refuse(once, "InternalError", "Try again.", times=1)

    response = world.delete(good, used, patched, once, controller, absent)
    assert response["Successful"] == [good]
    assert {f["NodeId"]: f["Code"] for f in response["Failed"]} == {
        used: "NodeIdInUse",
        patched: "InvalidNodeStatus",
        once: "InternalError",
        controller: "InvalidNodeStatus",
        absent: "NodeIdNotFound",
    }
    assert "Try again." in [f["Message"] for f in response["Failed"]]

    world.now = 100.0
    cluster.allow(used)
    assert world.delete(used, patched, once)["Successful"] == [used, patched, once]
    assert world.hp.requested_nodes == {good, used, patched, once, controller, absent}
    assert [len(r.node_ids) for r in world.hp.delete_requests] == [6, 3]
    assert [r.time for r in world.hp.delete_requests] == [0.0, 100.0]


@pytest.mark.parametrize("message", [None, "Validation failed."])
def test_a_request_without_a_valid_node_is_a_400(world: World, message: str | None) -> None:
    cluster = world.create({"workers": 2})
    node, other = cluster.node_ids("workers")
    cluster.refuse(node)
    cluster.refuse(other, "InternalError", times=1)
    world.hp.rules.all_failed_message = message

    assert len(world.delete(node, other)["Failed"]) == 2, "InternalError is not about the request"
    code, text, status = error_of(lambda: world.delete(node, "i-00000000"))
    assert (code, status) == ("ValidationException", 400)
    expected = f"No node passed validation. {node}: NodeIdInUse, i-00000000: NodeIdNotFound"
    assert text == (message or expected)


def test_limits_of_one_request(world: World) -> None:
    cluster = world.create({"workers": 120}, continuous=True, orchestrator="Eks")
    ids, logical = cluster.node_ids("workers"), cluster.logical_ids("workers")
    for node_ids, more in [(ids[:100], ()), (ids[:50], logical[50:51]), ((), logical[:51])]:
        code, _, _ = error_of(lambda n=node_ids, m=more: world.delete(*n, logical=m))  # type: ignore[misc]
        assert code == "ValidationException"
    assert cluster.target_counts == {"workers": 120}

    assert len(world.delete(*ids[:99])["Successful"]) == 99
    response = world.delete(ids[99], logical=logical[100:119])
    assert response["Successful"] == [ids[99]]
    assert response["SuccessfulNodeLogicalIds"] == list(logical[100:119])


def test_malformed_requests_are_rejected(world: World) -> None:
    cluster = world.create({"workers": 1})
    (node,) = cluster.node_ids("workers")
    assert "hyperpod-" in error_of(lambda: world.delete(node, f"hyperpod-{node}"))[1]
    assert "At least one" in error_of(world.delete)[1]
    for name in ("ml_cluster", "-ml", "arn:aws:sagemaker:us-east-1:1:cluster/x"):
        assert error_of(lambda n=name: world.listed(n))[0] == "ValidationException"  # type: ignore[misc]
    error = error_of(world.client.list_clusters)
    assert error == ("UnknownOperationException", "ListClusters is not modeled.", 404)
    token = "listing-7-after-1"
    assert "NextToken is not valid" in error_of(lambda: world.page(NextToken=token))[1]
    assert cluster.node(node).status == "Running"


def test_logical_ids_outlive_instances(world: World) -> None:
    cluster = world.create({"workers": 2}, continuous=True)
    pending = cluster.add_pending("workers")
    logical = cluster.logical_ids("workers")[0]
    old = cluster.node_ids("workers")[0]
    new = cluster.replace_instance(logical)

    assert new != old
    assert cluster.node(logical).instance_id == new
    with pytest.raises(KeyError):
        cluster.node(old)
    assert {n["InstanceId"] for n in world.listed()} == cluster.present
    with_logical_ids = {n.get("NodeLogicalId") for n in world.listed(IncludeNodeLogicalIds=True)}
    assert with_logical_ids == {*cluster.logical_ids("workers")}
    assert pending in with_logical_ids

    response = world.delete(logical=[logical, pending, "gone-0"])
    assert response["SuccessfulNodeLogicalIds"] == [logical, pending]
    assert [f["Code"] for f in response["FailedNodeLogicalIds"]] == ["NodeLogicalIdNotFound"]
    assert new in world.hp.requested_nodes
    assert cluster.target_counts == {"workers": 1}


def test_a_node_in_a_request_by_both_ids_leaves_once(world: World) -> None:
    cluster = world.create({"workers": 2}, continuous=True)
    world.delete(cluster.node_ids("workers")[0], logical=[cluster.logical_ids("workers")[0]])
    assert cluster.target_counts == {"workers": 1}


def test_a_moved_node_detaches_then_leaves(world: World) -> None:
    cluster = world.create({"workers": 3})
    moved, kept, other = cluster.node_ids("workers")
    cluster.detach(moved, 30.0)
    cluster.detach(kept, 30.0)
    assert world.status(moved) == "DetachInProgress"
    assert cluster.target_counts == {"workers": 1}
    cluster.set_node_status(kept, "Running")
    world.now = 30.0
    assert cluster.present == {kept, other}


@pytest.mark.parametrize("status", ["DetachInProgress", "AttachInProgress", "Hibernating"])
def test_a_node_in_an_unknown_status_is_shown_and_not_deleted(world: World, status: str) -> None:
    cluster = world.create({"workers": 2})
    node, other = cluster.node_ids("workers")
    cluster.set_node_status(node, status, until=30.0)
    assert world.status(node) == cluster.node(node).status == status

    (failed,) = world.delete(node, other)["Failed"]
    assert failed["Code"] == "InvalidNodeStatus"
    assert status in failed["Message"]
    world.now = 30.0
    assert world.delete(node)["Successful"] == [node]


def test_a_node_may_take_its_own_time_to_leave(world: World) -> None:
    cluster = world.create({"workers": 2}, shutdown_seconds=10.0)
    quick, slow = cluster.node_ids("workers")
    cluster.leave_after(slow, 1200.0)
    world.delete(quick, slow)
    world.now = 1199.0
    assert cluster.present == {slow}
    world.now = 1200.0
    assert cluster.departures == {quick: 10.0, slow: 1200.0}


def test_the_same_seed_makes_the_same_cluster() -> None:
    def departures(seed: int) -> list[object]:
        world = World()
        cluster = world.create({"workers": 5}, shutdown_seconds=(10.0, 90.0), seed=seed)
        request = {"ClusterName": "ml-cluster", "NodeIds": list(cluster.node_ids("workers"))}
        world.hp.call("BatchDeleteClusterNodes", request)
        world.now = 90.0
        assert not cluster.present
        return [cluster.arn, cluster.departures]

    assert departures(7) == departures(7)
    assert departures(7) != departures(8)


# Busy clusters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_a_busy_cluster_rejects_and_settles(world: World, code: str) -> None:
    cluster = world.create({"workers": 2})
    world.hp.rules.busy_code = code
    cluster.set_status("Updating", until=30.0)
    node, other = cluster.node_ids("workers")
    assert error_of(lambda: world.delete(node))[0] == code
    assert world.described()["ClusterStatus"] == "Updating"

    world.now = 30.0
    assert world.delete(node)["Successful"] == [node]
    cluster.set_group_status("workers", "Creating", until=60.0)
    assert "workers is Creating" in error_of(lambda: world.delete(other))[1]
    world.now = 60.0
    assert world.delete(other)["Successful"] == [other]


def test_a_cluster_may_be_busy_while_nodes_leave(world: World) -> None:
    cluster = world.create({"workers": 2}, shutdown_seconds=10.0, busy_while_leaving=True)
    node, other = cluster.node_ids("workers")
    world.delete(node)
    assert cluster.status == "Updating"
    assert "Updating" in error_of(lambda: world.delete(other))[1]
    world.now = 10.0
    assert cluster.status == "InService"


def test_a_cluster_may_stay_busy_after_the_last_node_has_left(world: World) -> None:
    cluster = world.create({"workers": 3}, shutdown_seconds=10.0, busy_after_leaving=40.0)
    node, another, stubborn = cluster.node_ids("workers")
    world.delete(node)
    world.now = 5.0
    world.delete(another)
    world.now = 15.0
    assert cluster.status == "Updating"
    assert "Updating" in error_of(lambda: world.delete(stubborn))[1]
    world.now = 54.0
    assert cluster.status == "Updating"
    world.now = 55.0
    assert cluster.status == "InService"
    cluster.fail_while_leaving(stubborn)
    world.delete(stubborn)
    world.now = 70.0
    assert cluster.status == "InService", "a removal that failed keeps nothing busy"


# Reading ------------------------------------------------------------------------------------------


def test_what_describe_cluster_returns(world: World) -> None:
    cluster = world.create(
        {"controller": 1, "workers": 8},
        controller_group="controller",
        continuous=True,
    )
    described = world.client.describe_cluster(ClusterName=cluster.arn)
    assert described["ClusterName"] == "ml-cluster"
    assert described["ClusterArn"] == cluster.arn
    assert described["NodeProvisioningMode"] == "Continuous"
    assert world.group("controller")["SlurmConfig"] == {"NodeType": "Controller"}
    assert world.group("workers")["SlurmConfig"] == {"NodeType": "Compute"}
    assert world.group("workers")["Status"] == "InService"
    name, _, cluster_id = cluster.arn.partition("cluster/")
    assert len(cluster_id) == 12
    assert "ml-cluster" not in name


def test_restricted_groups_are_in_a_list_of_their_own(world: World) -> None:
    cluster = world.create(
        {"head": 1, "workers": 2, "nova": 3},
        controller_group="head",
        restricted=["nova"],
    )
    cluster.leave_out("nova", "TargetCount")
    described = world.described()
    assert [g["InstanceGroupName"] for g in described["InstanceGroups"]] == ["head", "workers"]
    (restricted,) = described["RestrictedInstanceGroups"]
    assert restricted["InstanceGroupName"] == "nova"
    assert restricted["CurrentCount"] == 3
    assert not {"TargetCount", "SlurmConfig"} & restricted.keys()
    assert len(world.listed()) == 6
    assert world.delete(cluster.node_ids("nova")[0])["Successful"]


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_cluster_may_have_restricted_groups_only(world: World, is_empty: bool) -> None:
    world.hp.rules.empty_instance_groups = is_empty
    world.client.create_cluster(ClusterName="ml-cluster", RestrictedInstanceGroups=[group_of(4)])
    described = world.described()
    assert described.get("InstanceGroups") == ([] if is_empty else None)
    assert described["RestrictedInstanceGroups"][0]["TargetCount"] == 4


def test_a_node_is_described_by_either_id_and_not_by_both(world: World) -> None:
    cluster = world.create({"workers": 1}, continuous=True)
    (node,), (logical_id,) = cluster.node_ids("workers"), cluster.logical_ids("workers")
    pending = cluster.add_pending("workers")
    details = world.node(NodeId=node)
    assert details == world.node(NodeLogicalId=logical_id)
    assert details["InstanceStatus"]["Status"] == "Running"
    assert details["PrivateDnsHostname"]
    assert "InstanceId" not in world.node(NodeLogicalId=pending)
    for ids in ({}, {"NodeId": node, "NodeLogicalId": logical_id}, {"NodeId": logical_id}):
        assert error_of(lambda ids=ids: world.node(**ids))[0] == "ValidationException"  # type: ignore[misc]
    assert error_of(lambda: world.node(NodeLogicalId=node))[0] == "ResourceNotFound"


def test_each_response_that_was_seen_for_a_node_that_is_gone(world: World) -> None:
    world.create({"workers": 1})
    world.hp.rules.gone_node = "ResourceNotFound"
    with pytest.raises(world.client.exceptions.ResourceNotFound, match="Node i-00000000 not found"):
        world.node(NodeId="i-00000000")
    world.hp.rules.gone_node = "ValidationException"
    assert error_of(lambda: world.node(NodeLogicalId="workers-0"))[0] == "ValidationException"
    world.hp.rules.gone_node = "NotFound"
    assert world.node(NodeLogicalId="workers-0") == {
        "NodeLogicalId": "workers-0",
        "InstanceStatus": {"Status": "NotFound"},
    }


def test_lists_have_pages_that_survive_departures(world: World) -> None:
    cluster = world.create({"a": 130, "b": 120}, shutdown_seconds=5.0)
    first = world.client.list_cluster_nodes(ClusterName=cluster.arn)
    assert len(first["ClusterNodeSummaries"]) == 100

    world.delete(*cluster.node_ids("a")[:50])
    world.now = 5.0
    second = world.client.list_cluster_nodes(ClusterName=cluster.arn, NextToken=first["NextToken"])
    listed = {n["InstanceId"] for page in (first, second) for n in page["ClusterNodeSummaries"]}
    assert len(listed) == 200, "no node is skipped"
    assert len(world.listed()) == 200
    assert len(world.listed(InstanceGroupNameContains="b", MaxResults=7)) == 120
    assert world.hp.calls["ListClusterNodes"] >= 4


def test_listings_may_lack_a_node_for_a_while(world: World) -> None:
    cluster = world.create({"workers": 130})
    ids = cluster.node_ids("workers")
    cluster.hide(ids[0])
    cluster.hide(ids[120], listings=2)

    interrupted = world.page()
    other = {n["InstanceId"] for n in world.listed()}
    rest = world.page(NextToken=interrupted["NextToken"])
    first = {n["InstanceId"] for page in (interrupted, rest) for n in page["ClusterNodeSummaries"]}
    assert set(ids) - first == {ids[0], ids[120]}, "a listing is one, whatever comes between"
    assert set(ids) - other == {ids[120]}
    assert {n["InstanceId"] for n in world.listed()} == set(ids)
    assert ids[120] in cluster.present


def test_one_listing_may_show_a_wrong_status(world: World) -> None:
    cluster = world.create({"workers": 2})
    node, other = cluster.node_ids("workers")
    world.delete(node)
    cluster.show_once(node)
    cluster.show_once(other, "SystemUpdating")
    cluster.hide(other)
    assert world.node(NodeId=node)["InstanceStatus"]["Status"] == "ShuttingDown"
    shown = [(world.status(node), world.status(other)) for _ in range(2)]
    assert shown == [("Failure", None), ("ShuttingDown", "Running")]


# Faults -------------------------------------------------------------------------------------------


def test_a_missing_or_deleted_cluster_is_resource_not_found(world: World) -> None:
    cluster = world.create({"workers": 1})
    assert error_of(lambda: world.listed("other"))[0] == "ResourceNotFound"
    cluster.delete()
    with pytest.raises(world.client.exceptions.ResourceNotFound):
        world.delete("i-00000000")


@pytest.mark.parametrize(
    ("given", "code", "status"),
    [
        ({}, "ThrottlingException", 400),
        ({"status": 403}, "AccessDeniedException", 403),
        ({"status": 404}, "ResourceNotFound", 404),
        ({"status": 500}, "InternalFailure", 500),
        ({"status": 503}, "ServiceUnavailable", 503),
        ({"code": "AccessDeniedException", "message": "No."}, "AccessDeniedException", 400),
    ],
)
def test_errors_on_demand(world: World, given: Any, code: str, status: int) -> None:
    cluster = world.create({"workers": 1})
    world.hp.fail_next("ListClusterNodes", **given, times=2)
    world.hp.fail_while("DescribeCluster", lambda _: True, **given)
    errors = {error_of(call) for call in (world.listed, world.listed, world.described)}
    ((shown_code, message, shown_status),) = errors
    assert (shown_code, shown_status) == (code, status)
    assert (message == "No.") == ("message" in given)
    assert ("Rate exceeded" in message) == (code == "ThrottlingException")
    assert len(world.listed()) == len(cluster.present)
    assert world.hp.calls == {"ListClusterNodes": 3, "DescribeCluster": 1}


def test_an_error_may_come_after_the_work(world: World) -> None:
    cluster = world.create({"workers": 2})
    node, other = cluster.node_ids("workers")
    world.hp.fail_while(
        "BatchDeleteClusterNodes",
        lambda request: node in request["NodeIds"],
        code="InternalFailure",
        status=500,
        after_work=True,
    )
    assert error_of(lambda: world.delete(node))[0] == "InternalFailure"
    assert cluster.node(node).status == "ShuttingDown"
    assert world.delete(other)["Successful"] == [other]


def test_calls_beyond_the_accounts_rate_are_throttled(world: World) -> None:
    reads = ["ListClusterNodes", "DescribeCluster", "DescribeClusterNode"]
    cluster = world.create({"workers": 2})
    world.hp.create_cluster("ml-other", {"workers": 1})
    world.hp.throttle(reads, rate=2.0, burst=3)

    def accepted() -> int:
        count = 0
        for _ in range(5):
            for name in ("ml-cluster", "ml-other"):
                try:
                    world.client.describe_cluster(ClusterName=name)
                    count += 1
                except ClientError:
                    continue
        return count

    assert accepted() == 3, "the clusters share one bucket"
    world.now = 1.0
    assert accepted() == 2, "rejected calls cost nothing"
    world.now = 60.0
    assert accepted() == 3, "no more than a burst is saved up"
    assert error_of(world.listed) == ("ThrottlingException", "Rate exceeded", 400)
    assert world.hp.throttled == {"DescribeCluster": 7 + 8 + 7, "ListClusterNodes": 1}
    assert world.delete(cluster.node_ids("workers")[0])["Successful"], "deletes are not limited"


# Clusters created and updated through the API -----------------------------------------------------


def group_of(count: int) -> dict[str, Any]:
    return {
        "InstanceGroupName": "workers",
        "InstanceType": "ml.p5.48xlarge",
        "InstanceCount": count,
        "ExecutionRole": "arn:aws:iam::123456789012:role/HyperPodInstances",
    }


def created(world: World, count: int = 8, **more: Any) -> None:
    world.client.create_cluster(ClusterName="ml-cluster", InstanceGroups=[group_of(count)], **more)


def update(world: World, count: int) -> None:
    world.client.update_cluster(ClusterName="ml-cluster", InstanceGroups=[group_of(count)])


def test_a_cluster_created_and_deleted_through_the_api(world: World) -> None:
    created(
        world,
        NodeProvisioningMode="Continuous",
        NodeRecovery="None",
        AutoScaling={"Mode": "Enable", "AutoScalerType": "Karpenter"},
    )
    described = world.described()
    assert described["NodeRecovery"] == "None"
    assert described["AutoScaling"]["Mode"] == "Enable"
    assert world.group("workers")["TargetCount"] == 8
    assert len(world.hp.cluster("ml-cluster").logical_ids("workers")) == 8
    assert error_of(lambda: created(world))[0] == "ResourceInUse"

    world.client.delete_cluster(ClusterName="ml-cluster")
    assert error_of(world.listed)[0] == "ResourceNotFound"
    with pytest.raises(KeyError):
        world.hp.cluster("ml-cluster")


def test_a_lowered_count_removes_nodes_that_the_service_chooses(world: World) -> None:
    created(world)
    cluster = world.hp.cluster("ml-cluster")
    oldest_to_newest = cluster.node_ids("workers")
    update(world, 5)
    assert world.group("workers")["TargetCount"] == 5
    world.now = 60.0
    gone = set(oldest_to_newest) - cluster.present
    assert len(gone) == 3
    assert gone not in (set(oldest_to_newest[:3]), set(oldest_to_newest[-3:])), "in no known order"


def test_a_count_that_is_met_changes_nothing_and_a_higher_one_adds_nodes(world: World) -> None:
    created(world)
    cluster = world.hp.cluster("ml-cluster")
    before = cluster.present
    update(world, 8)
    assert cluster.present == before
    world.delete(*sorted(before)[:2])
    world.now = 60.0
    update(world, 8)
    assert len(cluster.present - before) == 2, "a template whose count was not lowered"


def test_moto_agrees_on_what_is_created_listed_and_deleted(world: World) -> None:
    """moto implements the same API reference independently."""
    scripts = {"SourceS3Uri": "s3://sagemaker-lifecycle", "OnCreate": "on_create.sh"}
    group = {**group_of(3), "LifeCycleConfig": scripts, "ThreadsPerCore": 1}

    def lifecycle(client: Any) -> tuple[Any, set[str]]:
        client.create_cluster(ClusterName="ml-cluster", InstanceGroups=[group])
        cluster = client.describe_cluster(ClusterName="ml-cluster")
        nodes = client.list_cluster_nodes(ClusterName="ml-cluster")["ClusterNodeSummaries"]
        (shown,) = cluster["InstanceGroups"]
        values = (
            [cluster[name] for name in ("ClusterName", "ClusterStatus")],
            [shown[name] for name in ("InstanceGroupName", "InstanceType", "TargetCount")],
            [shown["CurrentCount"], len({node["InstanceId"] for node in nodes})],
            [[n["InstanceGroupName"], n["InstanceStatus"]["Status"]] for n in nodes],
        )
        client.delete_cluster(ClusterName="ml-cluster")
        error_of(lambda: client.describe_cluster(ClusterName="ml-cluster"))
        return values, set(nodes[0])

    with mock_aws():
        expected, keys = lifecycle(new_client())
    values, own_keys = lifecycle(world.client)
    assert values == expected
    assert keys <= own_keys
