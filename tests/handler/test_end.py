"""The end of a removal: the cluster after the last node, and calls that return after the reply."""

from typing import Any

import pytest

from sandbox.hyperpod import Cluster, ServiceError
from tests.handler.function import HOOK
from tests.handler.world import World

# The cluster after the last node -------------------------------------------------------------


def busy_after(world: World, seconds: float) -> Cluster:
    return world.make_cluster(8, busy_after_leaving=seconds)


@pytest.mark.parametrize("seconds", [900.0, 200.0])
def test_removed_waits_until_the_cluster_has_settled(world: World, seconds: float) -> None:
    cluster = busy_after(world, 400)
    data = world.succeeds("Create", NodeIds=world.nodes[:2], seconds=seconds)
    assert cluster.status == "InService"
    assert data["Warnings"] == ""


@pytest.mark.parametrize("seconds", [900.0, 200.0])
def test_a_cluster_that_stays_in_transition_is_waited_for_until_retry_for_and_reported(
    world: World, seconds: float
) -> None:
    cluster = busy_after(world, 9999)
    answer = world.send("Create", NodeIds=world.nodes[:1], RetryFor="300", seconds=seconds)
    left = max(cluster.departures.values())
    assert left + 299 < world.clock.now() < left + 330
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "COMPLETE")
    assert "The cluster was still Updating" in answer["Data"]["Warnings"]


def test_a_cluster_that_is_in_transition_when_the_time_is_up_is_reported_too(world: World) -> None:
    busy_after(world, 9999)
    more = {"RetryFor": "600", "ServiceTimeout": "300"}
    answer = world.send("Create", NodeIds=world.nodes[:1], **more)
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "COMPLETE")
    assert "The cluster was still Updating" in answer["Data"]["Warnings"]


@pytest.mark.parametrize("status", [403, 503])
def test_a_cluster_that_cannot_be_described_fails_no_finished_removal(
    world: World, status: int
) -> None:
    cluster, node = busy_after(world, 9999), world.nodes[0]
    world.hp.fail_while("DescribeCluster", lambda _: node not in cluster.present, status=status)
    assert world.succeeds("Create", NodeIds=[node], RetryFor="60")["Outcome"] == "COMPLETE"


@pytest.mark.parametrize(
    "properties", [{"NodeIds": ["i-0123456789abcdef0"]}, {"WaitFor": "ACCEPTED"}]
)
def test_a_cluster_is_not_waited_for_without_a_request_or_for_accepted(
    world: World, properties: dict[str, Any]
) -> None:
    cluster = busy_after(world, 9999)
    if "WaitFor" not in properties:
        cluster.set_status("Updating")
    began = world.clock.now()
    world.succeeds("Create", **{"NodeIds": world.nodes[:1], **properties})
    assert world.clock.now() < began + 30


def test_the_stack_is_watched_while_the_cluster_is_waited_for(world: World) -> None:
    busy_after(world, 9999)
    world.shows((0, "UPDATE_IN_PROGRESS"), (100, "UPDATE_ROLLBACK_IN_PROGRESS"))
    began = world.clock.now()
    world.send("Create", NodeIds=world.nodes[:1])
    assert world.clock.now() < began + 140


# A call that returns too late ----------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    ["DescribeStacks", "DescribeCluster", "ListClusterNodes", "BatchDeleteClusterNodes"],
)
@pytest.mark.parametrize("outcome", [None, 403, 503, 400])
def test_a_call_that_returns_after_the_reply_leads_to_nothing_more(
    world: World, operation: str, outcome: int | None
) -> None:
    def hang(_: object) -> None:
        if world.hp.calls["DescribeCluster"] or operation == "DescribeCluster":
            world.clock.sleep(max(0.0, 1_000_000 + 295 - world.clock.now()))
            if outcome:
                raise ServiceError("SomeCode", "late", outcome)

    world.before(operation, hang)
    answer = world.send("Create", NodeIds=world.nodes[:2], ServiceTimeout="300")
    assert answer["Status"] == "FAILED"
    assert "did not return before the function ran out of time" in answer["Reason"]
    assert [time for time in world.request_times if time >= 1_000_290] == []
    assert "nexpected" not in world.log.text
    assert answer["Data"]["RemovedCount"] == "0"


def test_a_hook_that_answers_after_the_reply_leads_to_nothing_more(world: World) -> None:
    world.set_hook(seconds=294)
    world.fails("Create", NodeIds=world.nodes[:1], BeforeRemoval=HOOK, ServiceTimeout="300")
    assert world.deletes == 0
    assert "nexpected" not in world.log.text
