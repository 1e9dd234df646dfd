"""How the nodes of a removal are watched: with few calls, and never at the price of the truth."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from sandbox.hyperpod import Cluster, ServiceError
from tests.aws_transport import Answer, Parameters
from tests.handler.function import HOOK
from tests.handler.world import World

SIZE = 1000
PAGES = 10


@pytest.fixture(autouse=True)
def cluster(world: World) -> Cluster:
    return world.make_cluster(SIZE, shutdown_seconds=(10, 60))


@pytest.fixture
def nodes(world: World) -> list[str]:
    return world.nodes[::125]


def deny(_: Parameters) -> None:
    raise ServiceError("AccessDeniedException", "not authorized to perform", status=400)


def removed(answer: Any) -> int:
    assert answer["Status"] == "SUCCESS"
    return int(answer["Data"]["RemovedCount"])


# Few of many ---------------------------------------------------------------------------------


def test_eight_of_a_thousand_take_a_listing_for_the_plan_and_one_for_the_end(
    world: World, nodes: list[str]
) -> None:
    assert removed(world.send("Create", NodeIds=nodes)) == 8
    assert world.hp.calls["ListClusterNodes"] == 2 * PAGES
    assert world.cluster.present.isdisjoint(nodes)


@pytest.mark.parametrize("seconds", [2, 5, 5.5, 13, 30, 120, 1200])
def test_the_answer_comes_soon_after_the_last_node_has_left(world: World, seconds: float) -> None:
    cluster = world.make_cluster(300, shutdown_seconds=seconds)
    began = world.clock.now()
    assert removed(world.send("Create", NodeIds=[world.nodes[0]])) == 1
    late = world.clock.now() - max(cluster.departures.values())
    assert late <= 1 + 0.05 * (world.clock.now() - began)


def test_nodes_that_are_refused_for_minutes_are_described_and_not_listed(
    world: World, nodes: list[str]
) -> None:
    for node in nodes:
        world.cluster.refuse(node, until=world.clock.now() + 100)
    assert removed(world.send("Create", NodeIds=nodes)) == 8
    assert world.hp.calls["ListClusterNodes"] <= 3 * PAGES


def test_half_of_a_cluster_is_not_listed_at_each_look(world: World) -> None:
    world.make_cluster(SIZE, shutdown_seconds=(5, 60))
    assert removed(world.send("Create", NodeIds=world.nodes[:500])) == 500
    assert world.hp.calls["ListClusterNodes"] <= 5 * PAGES


def test_until_the_first_request_is_accepted_guards_are_held_against_whole_listings(
    world: World, nodes: list[str]
) -> None:
    cluster_is_free = world.clock.now() + 60
    for node in nodes:
        world.cluster.refuse(node, until=cluster_is_free)
    answer = world.send("Create", NodeIds=nodes, MinRemaining={"workers": "900"})
    assert removed(answer) == 8
    listed = world.times("ListClusterNodes")
    for request in world.request_times:
        assert any(request - 5 < time <= request for time in listed)
        if request > cluster_is_free:
            break


def test_no_node_is_requested_again_without_a_look_at_it(world: World) -> None:
    cluster = world.make_cluster(300, shutdown_seconds=(100, 400))
    nodes = world.nodes[:6]
    for node in nodes[:2]:
        cluster.refuse(node, until=world.clock.now() + 300)
    seen: dict[str, float] = {}
    ages: list[float] = []

    def describe(request: Parameters) -> None:
        seen[request["NodeId"]] = world.clock.now()
        world.clock.sleep(3)

    def request_removals(request: Parameters) -> None:
        for node in request["NodeIds"]:
            looks = [*world.times("ListClusterNodes"), seen.get(node, 0.0)]
            ages.append(world.clock.now() - max(looks))

    world.before("DescribeClusterNode", describe)
    world.before("BatchDeleteClusterNodes", request_removals)
    assert removed(world.send("Create", NodeIds=list(nodes))) == 6
    assert max(ages) <= 6 * 3


def test_a_node_that_failed_to_leave_does_not_have_all_nodes_listed_at_each_look(
    world: World, nodes: list[str]
) -> None:
    world.cluster.fail_while_leaving(nodes[0])
    world.cluster.leave_after(nodes[1], 600)
    answer = world.send("Create", NodeIds=nodes, OnPartialFailure="REPORT")
    assert removed(answer) == 7
    assert world.hp.calls["ListClusterNodes"] <= (2 + 600 / 120 + 2) * PAGES


def test_a_node_that_failed_to_leave_and_left_all_the_same_is_told_as_gone(
    world: World, nodes: list[str]
) -> None:
    world.cluster.fail_while_leaving(nodes[0])
    world.cluster.leave_after(nodes[0], 20)
    world.cluster.leave_after(nodes[1], 110)

    def remove_again() -> None:
        request = {"ClusterName": "ml-cluster", "NodeIds": nodes[:1]}
        world.hp.call("BatchDeleteClusterNodes", request)

    world.clock.timer(60, remove_again)
    answer = world.send("Create", NodeIds=nodes, OnPartialFailure="REPORT")
    assert removed(answer) == 8


# The end -------------------------------------------------------------------------------------


def left_long_ago(world: World, cluster: Cluster, seconds: float) -> int:
    return sum(time < world.clock.now() - seconds for time in cluster.departures.values())


@pytest.mark.parametrize("size", [1000, 3000])
def test_when_the_time_is_up_what_has_left_is_told_as_gone(world: World, size: int) -> None:
    cluster = world.make_cluster(size, shutdown_seconds=(10, 600))
    nodes = world.nodes[:200]
    answer = world.send("Create", NodeIds=nodes, ServiceTimeout="315", OnPartialFailure="REPORT")
    assert removed(answer) >= left_long_ago(world, cluster, 20)


def test_when_the_stack_turns_back_what_has_left_is_told_as_gone(world: World) -> None:
    cluster = world.make_cluster(1000, shutdown_seconds=(10, 600))
    world.shows((0, "UPDATE_IN_PROGRESS"), (110, "UPDATE_ROLLBACK_IN_PROGRESS"))
    nodes = world.nodes[:200]
    answer = world.send("Create", NodeIds=nodes, OnPartialFailure="REPORT")
    assert removed(answer) == left_long_ago(world, cluster, 0)


# What a description may say ------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["ResourceNotFound", "ValidationException", "NotFound"])
def test_each_answer_that_was_met_for_a_node_that_is_gone_is_understood(
    world: World, cluster: Cluster, nodes: list[str], gone: str
) -> None:
    world.hp.rules.gone_node = gone  # type: ignore[assignment]
    assert removed(world.send("Create", NodeIds=nodes)) == 8
    assert world.hp.calls["ListClusterNodes"] == 2 * PAGES


def of_another_node(_: Parameters, answer: Answer) -> None:
    answer["NodeDetails"] = dict(answer["NodeDetails"], InstanceId="i-0123456789abcdef0")


def without_details(_: Parameters, answer: Answer) -> None:
    answer.clear()


def without_a_status(_: Parameters, answer: Answer) -> None:
    answer["NodeDetails"] = {"InstanceId": answer["NodeDetails"]["InstanceId"]}


@pytest.mark.parametrize("edit", [of_another_node, without_details, without_a_status])
def test_an_odd_description_is_no_reason_to_be_wrong(
    world: World, nodes: list[str], edit: Callable[[Parameters, Answer], None]
) -> None:
    world.after("DescribeClusterNode", edit)
    stays = nodes.pop()
    world.cluster.fail_while_leaving(stays)
    answer = world.send("Create", NodeIds=[*nodes, stays], OnPartialFailure="REPORT")
    assert removed(answer) == 7
    assert answer["Data"]["FailedNodes"] == stays


def test_a_node_of_which_a_description_says_for_ever_that_it_is_gone_is_not_told_so(
    world: World, nodes: list[str]
) -> None:
    def absent(_: Parameters) -> None:
        raise ServiceError("ResourceNotFound", "no such node", status=400)

    world.before("DescribeClusterNode", absent)
    assert removed(world.send("Create", NodeIds=nodes)) == 8
    assert world.clock.now() >= max(world.cluster.departures.values())
    assert len(world.cluster.departures) == 8


def test_a_node_that_is_described_for_ever_as_there_is_listed_in_the_end(
    world: World, nodes: list[str]
) -> None:
    shown: dict[str, Answer] = {}
    services = world.services

    def stale(sent: Any) -> Answer:
        request = sent.parameters
        if request["NodeId"] not in shown:
            shown[request["NodeId"]] = world.hp.call("DescribeClusterNode", request)
        return shown[request["NodeId"]]

    services["DescribeClusterNode"] = stale
    assert removed(world.send("Create", NodeIds=nodes)) == 8
    assert world.clock.now() - max(world.cluster.departures.values()) <= 150


def test_descriptions_that_fail_keep_no_busy_node_from_being_tried_again(
    world: World, nodes: list[str]
) -> None:
    def fail(_: Parameters) -> None:
        raise ServiceError("InternalFailure", "no", status=500)

    world.before("DescribeClusterNode", fail)
    began = world.clock.now()
    world.cluster.refuse(nodes[0], until=began + 20)
    assert removed(world.send("Create", NodeIds=nodes[:1])) == 1
    assert world.clock.now() <= began + 150


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure", "ValidationException"])
def test_descriptions_that_always_fail_cost_time_at_the_most(
    world: World, cluster: Cluster, nodes: list[str], code: str
) -> None:
    def fail(_: Parameters) -> None:
        raise ServiceError(code, "no", status=500 if code == "InternalFailure" else 400)

    world.before("DescribeClusterNode", fail)
    assert removed(world.send("Create", NodeIds=nodes)) == 8


def test_a_role_without_the_new_permission_goes_on_working(
    world: World, cluster: Cluster, nodes: list[str]
) -> None:
    world.before("DescribeClusterNode", deny)
    assert removed(world.send("Create", NodeIds=nodes)) == 8
    assert len(world.times("DescribeClusterNode")) == 1


# Throttling ----------------------------------------------------------------------------------


def test_where_looks_are_throttled_they_become_rare(
    world: World, cluster: Cluster, nodes: list[str]
) -> None:
    starts = world.clock.now() + 12

    def throttle(_: Parameters) -> None:
        if world.clock.now() > starts:
            raise ServiceError("ThrottlingException", "Rate exceeded", status=400)

    world.before("DescribeClusterNode", throttle)
    assert removed(world.send("Create", NodeIds=nodes)) == 8
    times = [time for time in world.times("DescribeClusterNode") if time > starts]
    assert min(after - time for time, after in pairwise(times)) >= 0.75


def test_where_no_description_is_ever_granted_nodes_that_have_left_are_told_as_gone(
    world: World,
) -> None:
    """Rates may be of single operations; a listing may be granted where a description is not."""
    world.make_cluster(3000, shutdown_seconds=(10, 60))
    world.hp.throttle(["DescribeClusterNode"], rate=0.0001, burst=1)
    nodes = world.nodes[:8]
    assert removed(world.send("Create", NodeIds=nodes, ServiceTimeout="300")) == 8


@pytest.mark.parametrize("rate", [0.2, 1, 5])
def test_a_removal_ends_with_whatever_rate_of_calls_it_is_granted(
    world: World, cluster: Cluster, nodes: list[str], rate: float
) -> None:
    looks = ("DescribeCluster", "DescribeClusterNode", "ListClusterNodes")
    world.hp.throttle(looks, rate=rate, burst=1)
    assert removed(world.send("Create", NodeIds=nodes)) == 8
    # No page that was granted is asked for again.
    granted = world.hp.calls["ListClusterNodes"] - world.hp.throttled["ListClusterNodes"]
    assert granted <= 4 * PAGES


# Host names for the hook ---------------------------------------------------------------------


def hide_hostnames(_: Parameters, answer: Answer) -> None:
    for summary in answer["ClusterNodeSummaries"]:
        summary.pop("PrivateDnsHostname", None)


def asked_hostnames(world: World) -> list[str]:
    return [node["PrivateDnsHostname"] for node in world.aws_lambda.asked[0]["Nodes"]]


def test_a_hook_is_told_the_host_names_that_listings_lack(
    world: World, cluster: Cluster, nodes: list[str]
) -> None:
    world.after("ListClusterNodes", hide_hostnames)
    veto = {"NodeId": nodes[0], "Reason": "a job runs"}
    world.aws_lambda.hook = lambda _: {"Decision": "PROCEED", "VetoedNodes": [veto]}
    answer = world.send(
        "Create", NodeIds=nodes, BeforeRemoval=HOOK, OnPartialFailure="REPORT", RetryFor="0"
    )
    assert all(name.startswith("ip-") for name in asked_hostnames(world))
    assert removed(answer) == 7
    assert answer["Data"]["FailedNodes"] == nodes[0]


def test_host_names_that_listings_have_are_not_asked_for(
    world: World, cluster: Cluster, nodes: list[str]
) -> None:
    seen: list[int] = []

    def hook(_: dict[str, Any]) -> dict[str, str]:
        seen.append(world.hp.calls["DescribeClusterNode"])
        return {"Decision": "PROCEED"}

    world.aws_lambda.hook = hook
    world.send("Create", NodeIds=nodes, BeforeRemoval=HOOK)
    assert seen == [0]


def test_a_hook_is_asked_without_host_names_where_they_cannot_be_had(
    world: World, cluster: Cluster, nodes: list[str]
) -> None:
    world.after("ListClusterNodes", hide_hostnames)
    world.before("DescribeClusterNode", deny)
    assert removed(world.send("Create", NodeIds=nodes, BeforeRemoval=HOOK)) == 8
    assert asked_hostnames(world) == [""] * 8
    assert len(world.times("DescribeClusterNode")) == 1


@pytest.mark.parametrize("latency", [0.1, 20])
@pytest.mark.parametrize("timeout", ["90", "3600"])
def test_host_names_leave_most_of_its_time_to_the_hook(
    world: World, latency: float, timeout: str
) -> None:
    def describe(_: Parameters) -> None:
        world.clock.sleep(latency)
        if latency > 1:
            raise ServiceError("InternalFailure", "no", status=500)

    world.after("ListClusterNodes", hide_hostnames)
    world.before("DescribeClusterNode", describe)
    nodes = world.nodes
    world.send("Create", NodeIds=nodes, BeforeRemoval=HOOK, ServiceTimeout=timeout)
    (wait,) = world.aws_lambda.waits
    assert wait >= {"90": 45 / 4, "3600": 600}[timeout]


def test_host_names_that_are_throttled_once_do_not_end_descriptions(
    world: World, nodes: list[str]
) -> None:
    ends = world.clock.now() + 70

    def throttle(_: Parameters) -> None:
        if world.clock.now() < ends:
            raise ServiceError("ThrottlingException", "Rate exceeded", status=400)

    world.after("ListClusterNodes", hide_hostnames)
    world.before("DescribeClusterNode", throttle)
    world.cluster.leave_after(nodes[0], 300)
    assert removed(world.send("Create", NodeIds=nodes, BeforeRemoval=HOOK)) == 8
    assert world.hp.calls["ListClusterNodes"] <= 7 * PAGES


# Logical ids ---------------------------------------------------------------------------------


@pytest.fixture
def continuous(world: World) -> Cluster:
    return world.make_cluster(300, shutdown_seconds=60, continuous=True)


def test_a_logical_id_is_not_told_gone_for_a_replaced_instance_and_one_listing_that_lacks_it(
    world: World, continuous: Cluster
) -> None:
    name = continuous.logical_ids("workers")[5]

    def replace() -> None:
        continuous.replace_instance(name)
        continuous.hide(name)

    world.clock.timer(20, replace)
    assert removed(world.send("Create", NodeLogicalIds=[name])) == 1
    assert name not in continuous.logical_ids("workers")


def test_a_node_that_got_its_first_instance_is_not_told_gone_for_one_listing_that_lacks_it(
    world: World, continuous: Cluster
) -> None:
    name = continuous.add_pending("workers")
    continuous.refuse(name, until=world.clock.now() + 60)

    def start() -> None:
        continuous.replace_instance(name)
        continuous.hide(name)

    world.clock.timer(22, start)
    assert removed(world.send("Create", NodeLogicalIds=[name])) == 1
    assert name not in continuous.logical_ids("workers")


def test_an_instance_that_was_replaced_is_requested_anew_while_others_leave(world: World) -> None:
    cluster = world.make_cluster(3000, shutdown_seconds=60, continuous=True)
    replaced, straggler = world.logical_ids[:2]
    cluster.leave_after(straggler, 900)

    def replace() -> None:
        cluster.replace_instance(replaced)

    world.clock.timer(20, replace)
    began = world.clock.now()
    assert removed(world.send("Create", NodeLogicalIds=[replaced, straggler])) == 2
    assert world.request_times[1] <= began + 120
