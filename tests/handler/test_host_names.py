"""Host names among the ids: refused always, with the instances of that name where known."""

from typing import Any

import pytest

from tests.handler.world import World

REFUSED = "is a host name; use the node's instance id, which aws sagemaker"


@pytest.fixture(autouse=True)
def _large(world: World) -> None:
    world.make_cluster(250)


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
    reason = world.fails(request_type, **properties)
    assert reason.startswith(f"{name}: '{full}' {REFUSED}")
    label = full.partition(".")[0]
    assert f" The cluster's listing shows {label}: {one}, {short}: {two}. " in reason
    assert "Nothing was removed." in reason
    assert world.deletes == 0


def test_a_host_that_the_listing_does_not_show_is_refused_without_more(world: World) -> None:
    reason = world.fails("Create", NodeIds=["ip-10-99-99-99"])
    assert REFUSED in reason
    assert "listing shows" not in reason
    assert world.hp.calls["ListClusterNodes"] == 3, "the pages of one listing"


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ThrottlingException", "ResourceNotFound", None]
)
def test_it_is_refused_although_the_listing_is_of_no_help(world: World, code: str | None) -> None:
    (host,) = hosts(world, world.nodes[0])
    if code:
        world.hp.fail_while("ListClusterNodes", lambda _: True, code)
    else:
        world.hide_host_names()
    reason = world.fails("Create", NodeLogicalIds=[host])
    assert REFUSED in reason
    assert "listing shows" not in reason
    assert "Nothing was removed." in reason
    assert world.deletes == 0


@pytest.mark.parametrize("properties", [{"ClusterName": ["?"]}, {"ClusterName": ""}])
def test_without_a_cluster_nothing_is_listed(world: World, properties: dict[str, Any]) -> None:
    world.fails("Create", NodeIds=["ip-10-0-0-1"], **properties)
    assert world.calls == 0
