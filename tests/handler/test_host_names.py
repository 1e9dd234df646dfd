"""Host names among the ids: refused always, with the instances of that name where known."""

from typing import Any

import pytest

from sandbox.hyperpod import Cluster, ServiceError
from tests.aws_transport import Answer, Parameters
from tests.handler.world import World

REFUSED = "is a host name; use the node's instance id, which aws sagemaker"


@pytest.fixture(autouse=True)
def cluster(world: World) -> Cluster:
    return world.make_cluster(250)


def hosts(world: World, *nodes: str) -> list[str]:
    """The host names of nodes, as a listing has them."""
    pages = [world.hp.call("ListClusterNodes", {"ClusterName": "ml-cluster"})]
    while token := pages[-1].get("NextToken"):
        parameters = {"ClusterName": "ml-cluster", "NextToken": token}
        pages.append(world.hp.call("ListClusterNodes", parameters))
    names = {
        summary["InstanceId"]: str(summary["PrivateDnsHostname"])
        for page in pages
        for summary in page["ClusterNodeSummaries"]
    }
    return [names[node] for node in nodes]


@pytest.mark.parametrize("name", ["NodeIds", "NodeLogicalIds"])
@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_the_instances_of_the_hosts_are_named(world: World, request_type: str, name: str) -> None:
    one, two = world.nodes[1], world.nodes[-1]
    full, other = hosts(world, one, two)
    short = other.partition(".")[0]
    properties: dict[str, Any] = {name: [full, short, "ip-10-99-99-99"]}
    answer = world.send(request_type, **properties)
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(f"{name}: '{full}' {REFUSED}")
    label = full.partition(".")[0]
    assert f" The cluster's listing shows {label}: {one}, {short}: {two}. " in answer["Reason"]
    assert "Nothing was removed." in answer["Reason"]
    assert world.deletes == 0


def test_a_host_that_the_listing_does_not_show_is_refused_without_more(
    world: World, cluster: Cluster
) -> None:
    answer = world.send("Create", NodeIds=["ip-10-99-99-99"])
    assert answer["Status"] == "FAILED"
    assert REFUSED in answer["Reason"]
    assert "listing shows" not in answer["Reason"]
    assert world.hp.calls["ListClusterNodes"] == 3, "the pages of one listing"


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ThrottlingException", "ResourceNotFound"]
)
def test_it_is_refused_although_the_listing_fails(world: World, code: str) -> None:
    def fail(_: Parameters) -> None:
        raise ServiceError(code)

    (host,) = hosts(world, world.nodes[0])
    world.before("ListClusterNodes", fail)
    answer = world.send("Create", NodeLogicalIds=[host])
    assert answer["Status"] == "FAILED"
    assert REFUSED in answer["Reason"]
    assert "Nothing was removed." in answer["Reason"]
    assert world.deletes == 0


def test_a_listing_without_host_names_names_nothing(world: World) -> None:
    """A public AWS text says that only DescribeClusterNode has them."""

    def forget(_: Parameters, answer: Answer) -> None:
        for summary in answer["ClusterNodeSummaries"]:
            summary.pop("PrivateDnsHostname", None)

    (host,) = hosts(world, world.nodes[0])
    world.after("ListClusterNodes", forget)
    answer = world.send("Create", NodeIds=[host])
    assert answer["Status"] == "FAILED"
    assert REFUSED in answer["Reason"]


@pytest.mark.parametrize("properties", [{"ClusterName": ["?"]}, {"ClusterName": ""}])
def test_without_a_cluster_nothing_is_listed(world: World, properties: dict[str, Any]) -> None:
    answer = world.send("Create", NodeIds=["ip-10-0-0-1"], **properties)
    assert answer["Status"] == "FAILED"
    assert world.calls == 0
