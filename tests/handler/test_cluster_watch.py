"""How the nodes of a removal are watched: with few calls, and without false reports."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from sandbox.hyperpod import Cluster
from tests.aws_transport import Answer, Parameters, Sent
from tests.handler.function import HOOK
from tests.handler.world import World

SIZE = 500
PAGES = 5


@pytest.fixture(autouse=True)
def _large(world: World) -> None:
    world.make_cluster(SIZE, shutdown_seconds=(10, 60))


def four(world: World) -> list[str]:
    """Return four nodes, on different pages of a listing."""
    return world.nodes[:: SIZE // 4]


def remove(world: World, nodes: list[str], **properties: Any) -> int:
    """Remove nodes, and return how many are reported as removed."""
    answer = world.send("Create", NodeIds=nodes, OnPartialFailure="REPORT", **properties)
    assert answer["Status"] == "SUCCESS"
    return int(answer["Data"]["RemovedCount"])


def fail_descriptions(
    world: World, code: str, status: int = 400, when: Callable[[], bool] = lambda: True
) -> None:
    world.hp.fail_while("DescribeClusterNode", lambda _: when(), code, status=status)


# Few of many ---------------------------------------------------------------------------------


def test_the_plan_and_the_end_take_one_listing_each(world: World) -> None:
    nodes = four(world)
    assert remove(world, nodes) == 4
    assert world.hp.calls["ListClusterNodes"] == 2 * PAGES
    assert world.cluster.present.isdisjoint(nodes)


@pytest.mark.parametrize("seconds", [2, 5, 5.5, 13, 30, 120, 1200])
def test_the_answer_comes_soon_after_the_last_node_has_left(world: World, seconds: float) -> None:
    cluster = world.make_cluster(300, shutdown_seconds=seconds)
    began = world.clock.now()
    assert remove(world, world.nodes[:1]) == 1
    late = world.clock.now() - max(cluster.departures.values())
    assert late <= 1 + 0.05 * (world.clock.now() - began)


def test_nodes_that_are_refused_for_minutes_are_described_and_not_listed(world: World) -> None:
    for node in four(world):
        world.cluster.refuse(node, until=world.clock.now() + 100)
    assert remove(world, four(world)) == 4
    assert world.hp.calls["ListClusterNodes"] <= 3 * PAGES


def test_half_of_a_cluster_is_not_listed_at_each_look(world: World) -> None:
    world.make_cluster(SIZE, shutdown_seconds=(5, 60))
    assert remove(world, world.nodes[: SIZE // 2]) == SIZE // 2
    assert world.hp.calls["ListClusterNodes"] <= 5 * PAGES


def test_until_a_request_is_accepted_guards_are_checked_against_whole_listings(
    world: World,
) -> None:
    is_free = world.clock.now() + 60
    for node in four(world):
        world.cluster.refuse(node, until=is_free)
    assert remove(world, four(world), MinRemaining={"workers": "400"}) == 4
    listed, times = world.times("ListClusterNodes"), world.request_times
    first_accepted = next(time for time in times if time > is_free)
    for request in times[: times.index(first_accepted) + 1]:
        assert any(request - 5 < time <= request for time in listed)


def test_no_node_is_requested_again_without_a_look_at_it(world: World) -> None:
    world.make_cluster(300, shutdown_seconds=(100, 400))
    for node in world.nodes[:2]:
        world.cluster.refuse(node, until=world.clock.now() + 300)
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
    assert remove(world, world.nodes[:6]) == 6
    assert max(ages) <= 6 * 3


def test_a_node_that_failed_to_leave_does_not_cause_a_listing_at_each_look(world: World) -> None:
    failing, slow, *_ = nodes = four(world)
    world.cluster.fail_while_leaving(failing)
    world.cluster.leave_after(slow, 600)
    assert remove(world, nodes) == 3
    assert world.hp.calls["ListClusterNodes"] <= (2 + 600 / 120 + 2) * PAGES


def test_a_node_that_failed_to_leave_and_left_anyway_is_reported_as_gone(world: World) -> None:
    failing, slow, *_ = nodes = four(world)
    world.cluster.fail_while_leaving(failing)
    world.cluster.leave_after(failing, 20)
    world.cluster.leave_after(slow, 110)
    again = {"ClusterName": "ml-cluster", "NodeIds": [failing]}
    world.clock.timer(60, lambda: world.hp.call("BatchDeleteClusterNodes", again))
    assert remove(world, nodes) == 4


# The end -------------------------------------------------------------------------------------


def left(world: World, seconds: float) -> int:
    """Return how many nodes left more than `seconds` ago."""
    times = world.cluster.departures.values()
    return sum(time < world.clock.now() - seconds for time in times)


@pytest.mark.parametrize("size", [1000, 3000])
def test_when_the_time_is_up_what_has_left_is_reported_as_gone(world: World, size: int) -> None:
    world.make_cluster(size, shutdown_seconds=(10, 600))
    assert remove(world, world.nodes[:200], ServiceTimeout="315") >= left(world, 20)


def test_when_the_stack_rolls_back_what_has_left_is_reported_as_gone(world: World) -> None:
    world.make_cluster(1000, shutdown_seconds=(10, 600))
    world.shows((0, "UPDATE_IN_PROGRESS"), (110, "UPDATE_ROLLBACK_IN_PROGRESS"))
    assert remove(world, world.nodes[:200]) == left(world, 0)


# Odd descriptions ----------------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["ResourceNotFound", "ValidationException", "NotFound"])
def test_each_known_answer_for_a_node_that_is_gone_is_understood(world: World, gone: str) -> None:
    world.hp.rules.gone_node = gone  # type: ignore[assignment]
    assert remove(world, four(world)) == 4
    assert world.hp.calls["ListClusterNodes"] == 2 * PAGES


ODD: dict[str, Callable[[Answer], Answer]] = {
    "of another node": lambda details: {**details, "InstanceId": "i-0123456789abcdef0"},
    "without details": lambda details: {},
    "without a status": lambda details: {"InstanceId": details["InstanceId"]},
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_description_does_not_change_the_result(world: World, odd: str) -> None:
    def edit(_: Parameters, answer: Answer) -> None:
        if details := ODD[odd](answer.pop("NodeDetails")):
            answer["NodeDetails"] = details

    world.after("DescribeClusterNode", edit)
    *_, stays = nodes = four(world)
    world.cluster.fail_while_leaving(stays)
    assert remove(world, nodes) == 3
    assert stays in world.cluster.present
    assert f"{stays}: not removed: RemovalFailed" in world.log.text


def test_a_node_that_is_always_described_as_gone_is_not_reported_so(world: World) -> None:
    fail_descriptions(world, "ResourceNotFound")
    assert remove(world, four(world)) == 4
    assert world.clock.now() >= max(world.cluster.departures.values())
    assert len(world.cluster.departures) == 4


def test_a_node_that_is_always_described_as_present_is_listed_in_the_end(world: World) -> None:
    shown: dict[str, Answer] = {}

    def stale(sent: Sent) -> Answer:
        node = sent.parameters["NodeId"]
        if node not in shown:
            shown[node] = world.hp.call("DescribeClusterNode", sent.parameters)
        return shown[node]

    world.services["DescribeClusterNode"] = stale
    assert remove(world, four(world)) == 4
    assert world.clock.now() - max(world.cluster.departures.values()) <= 150


def test_descriptions_that_fail_keep_no_busy_node_from_being_retried(world: World) -> None:
    fail_descriptions(world, "InternalFailure", 500)
    began, node = world.clock.now(), world.nodes[0]
    world.cluster.refuse(node, until=began + 20)
    assert remove(world, [node]) == 1
    assert world.clock.now() <= began + 150


@pytest.mark.parametrize(
    ("code", "status"),
    [("ThrottlingException", 400), ("InternalFailure", 500), ("ValidationException", 400)],
)
def test_descriptions_that_always_fail_only_cost_time(world: World, code: str, status: int) -> None:
    fail_descriptions(world, code, status)
    assert remove(world, four(world)) == 4


def test_a_role_without_the_permission_to_describe_nodes_is_enough(world: World) -> None:
    fail_descriptions(world, "AccessDeniedException")
    assert remove(world, four(world)) == 4
    assert len(world.times("DescribeClusterNode")) == 1


# Throttling ----------------------------------------------------------------------------------


def test_where_looks_are_throttled_they_become_rare(world: World) -> None:
    starts = world.clock.now() + 12
    fail_descriptions(world, "ThrottlingException", when=lambda: world.clock.now() > starts)
    assert remove(world, four(world)) == 4
    times = [time for time in world.times("DescribeClusterNode") if time > starts]
    assert min(after - time for time, after in pairwise(times)) >= 0.75


def test_without_any_description_nodes_that_have_left_are_reported_as_gone(world: World) -> None:
    """Each operation may have its own rate: a listing may be allowed where a description is not."""
    world.make_cluster(3000, shutdown_seconds=(10, 60))
    world.hp.throttle(["DescribeClusterNode"], rate=0.0001, burst=1)
    assert remove(world, world.nodes[:4], ServiceTimeout="300") == 4


@pytest.mark.parametrize("rate", [0.2, 1, 5])
def test_a_removal_ends_at_whatever_rate_of_calls_is_granted(world: World, rate: float) -> None:
    looks = ("DescribeCluster", "DescribeClusterNode", "ListClusterNodes")
    world.hp.throttle(looks, rate=rate, burst=1)
    assert remove(world, four(world)) == 4
    # No page that was returned is requested again.
    granted = world.hp.calls["ListClusterNodes"] - world.hp.throttled["ListClusterNodes"]
    assert granted <= 4 * PAGES


# Host names for the hook ---------------------------------------------------------------------


def host_names(world: World) -> list[str]:
    """Return the host names that the hook was given."""
    return [node["PrivateDnsHostname"] for node in world.events[0]["Nodes"]]


def test_a_hook_is_given_the_host_names_that_listings_lack(world: World) -> None:
    world.hide_host_names()
    vetoed, *_ = nodes = four(world)
    veto = {"NodeId": vetoed, "Reason": "a job runs"}
    world.set_hook({"Decision": "PROCEED", "VetoedNodes": [veto]})
    assert remove(world, nodes, BeforeRemoval=HOOK, RetryFor="0") == 3
    assert all(name.startswith("ip-") for name in host_names(world))
    assert vetoed in world.cluster.present


def test_nodes_are_not_described_for_host_names_that_listings_have(world: World) -> None:
    seen: list[int] = []
    world.set_hook(meanwhile=lambda: seen.append(world.hp.calls["DescribeClusterNode"]))
    remove(world, four(world), BeforeRemoval=HOOK)
    assert seen == [0]


def test_a_hook_is_invoked_without_host_names_if_they_are_not_available(world: World) -> None:
    world.hide_host_names()
    fail_descriptions(world, "AccessDeniedException")
    assert remove(world, four(world), BeforeRemoval=HOOK) == 4
    assert host_names(world) == [""] * 4
    assert len(world.times("DescribeClusterNode")) == 1


@pytest.mark.parametrize("latency", [0.2, 20])
@pytest.mark.parametrize(("timeout", "least"), [("90", 45 / 4), ("3600", 600)])
def test_host_names_leave_most_of_its_time_to_the_hook(
    world: World, latency: float, timeout: str, least: float
) -> None:
    world.hide_host_names()
    world.before("DescribeClusterNode", lambda _: world.clock.sleep(latency))
    if latency > 1:
        fail_descriptions(world, "InternalFailure", 500)
    world.send("Create", NodeIds=world.nodes, BeforeRemoval=HOOK, ServiceTimeout=timeout)
    (wait,) = world.aws_lambda.waits
    assert wait >= least


def test_host_names_that_are_throttled_once_do_not_end_descriptions(world: World) -> None:
    world.hide_host_names()
    world.fail_for(70, "DescribeClusterNode", "ThrottlingException")
    world.cluster.leave_after(four(world)[0], 300)
    assert remove(world, four(world), BeforeRemoval=HOOK) == 4
    assert world.hp.calls["ListClusterNodes"] <= 7 * PAGES


# Logical ids ---------------------------------------------------------------------------------


def replace_after(world: World, cluster: Cluster, name: str, seconds: float) -> None:
    """Give a logical id another instance, and leave it out of the listing that follows."""

    def replace() -> None:
        cluster.replace_instance(name)
        cluster.hide(name)

    world.clock.timer(seconds, replace)


@pytest.mark.parametrize("is_first", [False, True], ids=["another instance", "its first instance"])
def test_a_logical_id_with_a_new_instance_is_not_gone_for_one_listing_that_lacks_it(
    world: World, is_first: bool
) -> None:
    cluster = world.make_cluster(300, shutdown_seconds=60, continuous=True)
    name = cluster.add_pending("workers") if is_first else world.logical_ids[5]
    if is_first:
        cluster.refuse(name, until=world.clock.now() + 60)
    replace_after(world, cluster, name, 22 if is_first else 20)
    assert remove(world, [], NodeLogicalIds=[name]) == 1
    assert name not in world.logical_ids


def test_an_instance_that_was_replaced_is_requested_anew_while_others_leave(world: World) -> None:
    cluster = world.make_cluster(3000, shutdown_seconds=60, continuous=True)
    replaced, straggler = world.logical_ids[:2]
    cluster.leave_after(straggler, 900)
    world.clock.timer(20, lambda: cluster.replace_instance(replaced))
    began = world.clock.now()
    assert remove(world, [], NodeLogicalIds=[replaced, straggler]) == 2
    assert world.request_times[1] <= began + 120
