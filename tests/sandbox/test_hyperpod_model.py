"""The model of HyperPod, seen through a real boto3 client."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.hyperpod import HyperPod

NO_RETRIES = Config(retries={"total_max_attempts": 1})


@dataclass
class World:
    """The service, a clock to turn, and a client."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)
    hp: HyperPod = field(init=False)
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.hp = HyperPod(clock=lambda: self.now, sleep=self.slept.append)

    def delete(self, *node_ids: str, cluster: str = "ml-cluster", logical: Any = ()) -> Any:
        ids = {"NodeIds": list(node_ids)} if node_ids else {}
        logical_ids = {"NodeLogicalIds": list(logical)} if logical else {}
        return self.client.batch_delete_cluster_nodes(ClusterName=cluster, **ids, **logical_ids)

    def listed(self, cluster: str = "ml-cluster", **more: Any) -> list[Any]:
        pages = self.client.get_paginator("list_cluster_nodes").paginate(
            ClusterName=cluster, **more
        )
        return [node for page in pages for node in page["ClusterNodeSummaries"]]

    def group(self, name: str) -> Any:
        groups = self.client.describe_cluster(ClusterName="ml-cluster")["InstanceGroups"]
        return next(group for group in groups if group["InstanceGroupName"] == name)


@pytest.fixture(params=["in process", "over HTTP"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World()
    if request.param == "in process":
        with world.hp.mock():
            world.client = boto3.client("sagemaker", config=NO_RETRIES)
            yield world
    else:
        with world.hp.serve() as url:
            world.client = boto3.client(
                "sagemaker",
                region_name="us-east-1",
                endpoint_url=url,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
                config=NO_RETRIES,
            )
            yield world
            world.client.close()


def error_of(raised: pytest.ExceptionInfo[ClientError]) -> tuple[str, str, int]:
    response = raised.value.response
    error = response["Error"]
    return error["Code"], error["Message"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_node_shuts_down_then_leaves_and_counts_follow(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 3}, shutdown_seconds=60.0)
    first, *others = cluster.node_ids("workers")

    answer = world.delete(first)
    assert answer["Successful"] == [first]
    assert "Failed" not in answer
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
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 2}, shutdown_seconds=10.0)
    node = cluster.node_ids("workers")[0]
    cluster.fail_while_leaving(node, message="It would not go.")

    world.delete(node)
    world.now = 10.0
    described = world.client.describe_cluster_node(ClusterName="ml-cluster", NodeId=node)
    status = described["NodeDetails"]["InstanceStatus"]
    assert status == {"Status": "Failure", "Message": "It would not go."}

    world.delete(node)
    world.now = 20.0
    assert node not in cluster.present
    assert cluster.target_counts == {"workers": 1}, "one node, one step down"


def test_some_nodes_fail_and_the_others_are_accepted(world: World) -> None:
    cluster = world.hp.create_cluster(
        "ml-cluster", {"controller": 1, "workers": 4}, controller_group="controller"
    )
    good, used, patched, mended = cluster.node_ids("workers")
    (controller,) = cluster.node_ids("controller")
    absent = "i-" + "0" * 17
    cluster.refuse(used)
    cluster.set_node_status(patched, "SystemUpdating", until=100.0)
    cluster.refuse(mended, "InternalError", "Try again.", times=1)

    answer = world.delete(good, used, patched, mended, controller, absent)
    assert answer["Successful"] == [good]
    assert {f["NodeId"]: f["Code"] for f in answer["Failed"]} == {
        used: "NodeIdInUse",
        patched: "InvalidNodeStatus",
        mended: "InternalError",
        controller: "InvalidNodeStatus",
        absent: "NodeIdNotFound",
    }
    assert "Try again." in [f["Message"] for f in answer["Failed"]]

    world.now = 100.0
    cluster.allow(used)
    assert world.delete(used, patched, mended)["Successful"] == [used, patched, mended]
    assert world.hp.requested_nodes == {good, used, patched, mended, controller, absent}
    assert [len(r.node_ids) for r in world.hp.delete_requests] == [6, 3]
    assert [r.time for r in world.hp.delete_requests] == [0.0, 100.0]


@pytest.mark.parametrize("message", [None, "Validation failed."])
def test_a_request_without_a_valid_node_is_a_400(world: World, message: str | None) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 2})
    node, other = cluster.node_ids("workers")
    cluster.refuse(node)
    cluster.refuse(other, "InternalError", times=1)
    world.hp.rules.all_failed_message = message

    assert len(world.delete(node, other)["Failed"]) == 2, "InternalError is not about the request"
    with pytest.raises(ClientError) as raised:
        world.delete(node, "i-00000000")
    code, text, status = error_of(raised)
    assert (code, status) == ("ValidationException", 400)
    if message is None:
        assert f"{node}: NodeIdInUse" in text
        assert "i-00000000: NodeIdNotFound" in text
    else:
        assert text == message


def test_limits_of_one_request(world: World) -> None:
    cluster = world.hp.create_cluster(
        "ml-cluster", {"workers": 120}, continuous=True, orchestrator="Eks"
    )
    ids, logical = cluster.node_ids("workers"), cluster.logical_ids("workers")
    for node_ids, logical_ids in [(ids[:100], ()), (ids[:50], logical[50:51]), ((), logical[:51])]:
        with pytest.raises(ClientError) as raised:
            world.delete(*node_ids, logical=logical_ids)
        assert error_of(raised)[0] == "ValidationException"
    assert cluster.target_counts == {"workers": 120}

    assert len(world.delete(*ids[:99])["Successful"]) == 99
    answer = world.delete(ids[99], logical=logical[100:119])
    assert answer["Successful"] == [ids[99]]
    assert answer["SuccessfulNodeLogicalIds"] == list(logical[100:119])


def test_a_request_of_a_malformed_id_or_of_none_is_refused(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 1})
    (node,) = cluster.node_ids("workers")
    with pytest.raises(ClientError, match="hyperpod-"):
        world.delete(node, f"hyperpod-{node}")
    with pytest.raises(ClientError, match="At least one"):
        world.delete()
    assert cluster.node(node).status == "Running"


def test_lists_come_in_pages_that_survive_departures(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"a": 130, "b": 120}, shutdown_seconds=5.0)
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


def test_logical_ids_outlive_instances(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 2}, continuous=True)
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

    answer = world.delete(logical=[logical, pending, "gone-0"])
    assert answer["SuccessfulNodeLogicalIds"] == [logical, pending]
    assert [f["Code"] for f in answer["FailedNodeLogicalIds"]] == ["NodeLogicalIdNotFound"]
    assert new in world.hp.requested_nodes
    assert cluster.target_counts == {"workers": 1}


def test_a_node_named_by_both_ids_leaves_once(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 2}, continuous=True)
    world.delete(cluster.node_ids("workers")[0], logical=[cluster.logical_ids("workers")[0]])
    assert cluster.target_counts == {"workers": 1}


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_a_busy_cluster_refuses_and_settles(world: World, code: str) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 2})
    world.hp.rules.busy_code = code
    cluster.set_status("Updating", until=30.0)
    node, other = cluster.node_ids("workers")

    with pytest.raises(ClientError) as raised:
        world.delete(node)
    assert error_of(raised)[0] == code
    described = world.client.describe_cluster(ClusterName="ml-cluster")
    assert described["ClusterStatus"] == "Updating"

    world.now = 30.0
    assert world.delete(node)["Successful"] == [node]
    cluster.set_group_status("workers", "Creating", until=60.0)
    with pytest.raises(ClientError, match="workers is Creating"):
        world.delete(other)
    world.now = 60.0
    assert world.delete(other)["Successful"] == [other]


def test_a_cluster_may_be_busy_while_nodes_leave(world: World) -> None:
    cluster = world.hp.create_cluster(
        "ml-cluster", {"workers": 2}, shutdown_seconds=10.0, busy_while_leaving=True
    )
    node, other = cluster.node_ids("workers")
    world.delete(node)
    assert cluster.status == "Updating"
    with pytest.raises(ClientError, match="Updating"):
        world.delete(other)
    world.now = 10.0
    assert cluster.status == "InService"


def test_a_missing_cluster_is_resource_not_found(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 1})
    with pytest.raises(ClientError) as raised:
        world.listed("other")
    assert error_of(raised)[0] == "ResourceNotFound"
    cluster.delete()
    with pytest.raises(world.client.exceptions.ResourceNotFound):
        world.delete("i-00000000")


def test_what_describe_cluster_says(world: World) -> None:
    cluster = world.hp.create_cluster(
        "ml-cluster",
        {"controller": 1, "workers": 8},
        controller_group="controller",
        min_counts={"workers": 4},
        continuous=True,
    )
    described = world.client.describe_cluster(ClusterName=cluster.arn)
    assert described["ClusterName"] == "ml-cluster"
    assert described["ClusterArn"] == cluster.arn
    assert described["NodeProvisioningMode"] == "Continuous"
    assert world.group("controller")["SlurmConfig"] == {"NodeType": "Controller"}
    assert world.group("workers")["SlurmConfig"] == {"NodeType": "Compute"}
    assert world.group("workers")["MinCount"] == 4
    assert world.group("workers")["Status"] == "InService"
    name, _, cluster_id = cluster.arn.partition("cluster/")
    assert len(cluster_id) == 12
    assert "ml-cluster" not in name


@pytest.mark.parametrize(
    ("code", "status"),
    [("ThrottlingException", 400), ("AccessDeniedException", 400), ("InternalFailure", 500)],
)
def test_errors_on_demand(world: World, code: str, status: int) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 1})
    world.hp.fail_next("ListClusterNodes", code=code, status=status, message="No.", times=2)
    for _ in range(2):
        with pytest.raises(ClientError) as raised:
            world.listed()
        assert error_of(raised) == (code, "No.", status)
    assert len(world.listed()) == len(cluster.present)
    assert world.hp.calls == {"ListClusterNodes": 3}


def test_an_error_may_come_after_the_work(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 2})
    node, other = cluster.node_ids("workers")
    world.hp.fail_while(
        "BatchDeleteClusterNodes",
        lambda request: node in request["NodeIds"],
        code="InternalFailure",
        status=500,
        after_work=True,
    )
    with pytest.raises(ClientError, match="InternalFailure"):
        world.delete(node)
    assert cluster.node(node).status == "ShuttingDown"
    assert world.delete(other)["Successful"] == [other]


def test_latency_is_slept(world: World) -> None:
    world.hp.create_cluster("ml-cluster", {"workers": 1})
    world.hp.latency = 0.25
    world.listed()
    assert world.slept == [0.25]


def test_the_same_seed_makes_the_same_cluster() -> None:
    def departures(seed: int) -> list[object]:
        world = World()
        cluster = world.hp.create_cluster(
            "ml-cluster", {"workers": 5}, shutdown_seconds=(10.0, 90.0), seed=seed
        )
        seen: list[object] = [cluster.arn]
        request = {"ClusterName": "ml-cluster", "NodeIds": list(cluster.node_ids("workers"))}
        world.hp.call("BatchDeleteClusterNodes", request)
        for seconds in range(10, 90, 10):
            world.now = float(seconds)
            seen.append(cluster.node_ids("workers"))
        world.now = 90.0
        assert not cluster.present
        return seen

    assert departures(7) == departures(7)
    assert departures(7) != departures(8)


# Clusters made and updated through the API -----------------------------------------------------


def group_of(count: int) -> dict[str, Any]:
    return {
        "InstanceGroupName": "workers",
        "InstanceType": "ml.p5.48xlarge",
        "InstanceCount": count,
        "ExecutionRole": "arn:aws:iam::123456789012:role/HyperPodInstances",
    }


def created(world: World, count: int = 8, **more: Any) -> None:
    world.client.create_cluster(ClusterName="ml-cluster", InstanceGroups=[group_of(count)], **more)


def test_a_cluster_made_through_the_api_is_what_was_asked_for(world: World) -> None:
    created(
        world,
        NodeProvisioningMode="Continuous",
        NodeRecovery="None",
        AutoScaling={"Mode": "Enable", "AutoScalerType": "Karpenter"},
    )
    told = world.client.describe_cluster(ClusterName="ml-cluster")
    assert told["NodeRecovery"] == "None"
    assert told["AutoScaling"]["Mode"] == "Enable"
    assert world.group("workers")["TargetCount"] == 8
    assert len(world.hp.cluster("ml-cluster").logical_ids("workers")) == 8
    with pytest.raises(ClientError, match="ResourceInUse"):
        created(world)


def test_a_lowered_count_removes_nodes_of_the_services_choice(world: World) -> None:
    created(world)
    cluster = world.hp.cluster("ml-cluster")
    oldest_to_newest = cluster.node_ids("workers")
    world.client.update_cluster(ClusterName="ml-cluster", InstanceGroups=[group_of(5)])
    assert world.group("workers")["TargetCount"] == 5
    world.now = 60.0
    gone = set(oldest_to_newest) - cluster.present
    assert len(gone) == 3
    assert gone not in (set(oldest_to_newest[:3]), set(oldest_to_newest[-3:])), (
        "no order to rely on"
    )


def test_a_count_that_is_met_changes_nothing_and_a_higher_one_adds_nodes(world: World) -> None:
    created(world)
    cluster = world.hp.cluster("ml-cluster")
    before = cluster.present
    world.client.update_cluster(ClusterName="ml-cluster", InstanceGroups=[group_of(8)])
    assert cluster.present == before
    world.delete(*sorted(before)[:2])
    world.now = 60.0
    world.client.update_cluster(ClusterName="ml-cluster", InstanceGroups=[group_of(8)])
    assert len(cluster.present - before) == 2, "a template that was not brought in line"


def test_a_deleted_cluster_is_gone(world: World) -> None:
    created(world)
    world.client.delete_cluster(ClusterName="ml-cluster")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        world.listed()
    with pytest.raises(KeyError):
        world.hp.cluster("ml-cluster")
