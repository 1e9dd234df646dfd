"""The hook: what it is asked and when, its vetoes, and what happens while it runs."""

import json
import logging
from typing import Any

import pytest

from hyperpod_node_removal_contract import BEFORE_REMOVAL_MAX
from tests.handler.function import HOOK, PROCEED, Raised
from tests.handler.world import STACK_ID, World

MISSING = "i-0123456789abcdef0"


@pytest.fixture(autouse=True)
def _eks(world: World) -> None:
    world.make_cluster(8, orchestrator="Eks")


# The event -----------------------------------------------------------------------------------


def test_the_hook_is_asked_once_about_all_planned_nodes_before_the_first_goes(world: World) -> None:
    nodes = world.nodes[:3]
    world.aws_lambda.hook = lambda _: PROCEED if world.deletes == 0 else {"Decision": "VETO"}
    data = world.succeeds("Create", NodeIds=nodes, BeforeRemoval=HOOK)
    assert data["RemovedNodes"] == ",".join(nodes)
    (event,) = world.events
    assert event.pop("Deadline") == "1970-01-12T13:58:40Z", "12 minutes later"
    hostnames = [node.pop("PrivateDnsHostname") for node in event["Nodes"]]
    assert all(name.startswith("ip-10-") for name in hostnames)
    assert event == {
        "Version": "1",
        "ClusterName": "ml-cluster",
        "ClusterArn": world.cluster.arn,
        "EksClusterArn": "arn:aws:eks:us-east-1:123456789012:cluster/ml-cluster",
        "StackId": STACK_ID,
        "LogicalResourceId": "Removal4F2A91C0",
        "RequestId": "0d4c4f8a-3f9b-4a7c-9a41-5a6f0f5d1e11",
        "Nodes": [
            {
                "NodeId": node,
                "NodeLogicalId": "",
                "InstanceGroupName": "workers",
                "InstanceType": "ml.p5.48xlarge",
                "Status": "Running",
            }
            for node in nodes
        ],
    }


def test_it_is_asked_about_what_would_be_removed_only(world: World) -> None:
    cluster = world.make_cluster(
        {"head": 1, "workers": 4}, "head", continuous=True, shutdown_seconds=10_000
    )
    (controller,) = cluster.node_ids("head")
    leaving, other, *_ = world.nodes
    pending = cluster.add_pending("workers")
    world.remove([leaving], seconds=1)
    given = {"NodeIds": [controller, leaving, other, MISSING], "NodeLogicalIds": [pending]}
    world.send("Create", **given, BeforeRemoval=HOOK, WaitFor="ACCEPTED")
    (event,) = world.events
    ids = [(node["NodeId"], node["NodeLogicalId"]) for node in event["Nodes"]]
    assert ids == [(other, cluster.node(other).logical_id), ("", pending)]


@pytest.mark.parametrize(
    ("request_type", "properties", "status"),
    [
        ("Update", {"DryRun": "true"}, "UPDATE_IN_PROGRESS"),
        ("Update", {"NodeIds": [MISSING]}, "UPDATE_IN_PROGRESS"),
        ("Update", {"NodeIds": []}, "UPDATE_IN_PROGRESS"),
        ("Update", {"MaxRemovals": "1"}, "UPDATE_IN_PROGRESS"),
        ("Update", {}, "UPDATE_ROLLBACK_IN_PROGRESS"),
        ("Delete", {}, "UPDATE_IN_PROGRESS"),
    ],
)
def test_it_is_not_asked_if_nothing_would_be_removed(
    world: World, request_type: str, properties: dict[str, Any], status: str
) -> None:
    world.cloudformation.statuses = [status]
    world.send(request_type, **{"NodeIds": world.nodes[:2], "BeforeRemoval": HOOK, **properties})
    assert world.events == []
    assert world.deletes == 0
    message = f"Dry run: {HOOK} is not invoked."
    assert (message in world.log.messages) is ("DryRun" in properties)


@pytest.mark.parametrize(
    "given", ["drain", "arn:aws:lambda:us-east-1:123456789012:layer:x", "a\n", {"a": 1}]
)
def test_what_is_no_function_is_refused(world: World, given: Any) -> None:
    assert "BeforeRemoval: " in world.fails("Create", NodeIds=[MISSING], BeforeRemoval=given)
    assert world.calls == 0


# Vetoes --------------------------------------------------------------------------------------


def test_a_veto_of_the_plan_removes_nothing(world: World) -> None:
    world.set_hook({"Decision": "VETO", "Reason": "Job 7 is running."})
    nodes = world.nodes[:2]
    answer = world.send("Update", NodeIds=nodes, BeforeRemoval=HOOK, OnPartialFailure="REPORT")
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(
        'Nothing was removed from ml-cluster: the hook drain:live vetoed the removal: "Job 7 is'
        f' running.". Vetoed: {nodes[0]}, {nodes[1]}. Redeploy once the hook approves the'
        " nodes."
    )
    assert answer["Data"]["FailedCount"] == "2"
    assert world.deletes == 0


def test_a_veto_of_single_nodes_removes_the_others(world: World) -> None:
    vetoed, other, *_ = world.nodes
    veto = {"NodeId": vetoed, "Reason": "pod ml/trainer-0 cannot be evicted"}
    world.set_hook({"Decision": "PROCEED", "VetoedNodes": [veto]})
    answer = world.send(
        "Update", NodeIds=[vetoed, other], BeforeRemoval=HOOK, MinRemaining={"workers": "6"}
    )
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(
        f"1 of 2 nodes not removed from ml-cluster (1 removed). Vetoed: {vetoed}."
        f' {vetoed}: "pod ml/trainer-0 cannot be evicted".'
    )
    assert answer["Data"]["RemovedNodes"] == other
    assert world.hp.requested_nodes == {other}
    start = f"{vetoed}: not removed: Vetoed: pod ml"
    assert sum(message.startswith(start) for message in world.log.messages) == 1


def test_a_veto_of_every_node_removes_nothing(world: World) -> None:
    nodes = world.nodes[:2]
    world.set_hook({"Decision": "PROCEED", "VetoedNodes": [{"NodeId": node} for node in nodes]})
    reason = world.fails("Update", NodeIds=nodes, BeforeRemoval=HOOK)
    assert "no reason was given" in reason
    assert world.deletes == 0


HOSTILE = "\x1b[2J\r\n::error::\u202e" + "x" * 100_000


@pytest.mark.parametrize(
    "hook",
    [
        {"Decision": "VETO", "Reason": HOSTILE},
        {"Decision": "PROCEED", "VetoedNodes": [{"NodeId": "", "Reason": HOSTILE}]},
        {HOSTILE: 1},
        Raised(json.dumps({"errorType": HOSTILE, "errorMessage": HOSTILE}).encode()),
    ],
    ids=["veto", "vetoed node", "key", "error"],
)
def test_hostile_words_are_made_harmless(world: World, hook: Any) -> None:
    world.log.set_level(logging.DEBUG)
    nodes = world.nodes[:2]
    if isinstance(hook, dict) and "VetoedNodes" in hook:
        hook = hook | {"VetoedNodes": [{"NodeId": nodes[0], "Reason": HOSTILE}]}
    world.set_hook(hook)
    reason = world.fails("Update", NodeIds=nodes, BeforeRemoval=HOOK)
    assert reason.isprintable()
    assert len(reason) <= 900
    assert "CloudWatch Log Stream: " in reason
    messages = world.log.messages
    assert all(message.isascii() and message.isprintable() for message in messages)
    assert max(map(len, messages)) < 1500


# Time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout", "seconds", "most"),
    [
        ("3600", 900.0, BEFORE_REMOVAL_MAX),
        ("300", 900.0, 255),
        ("60", 900.0, 15),
        ("3600", 100.0, 75),
    ],
    ids=["the most", "until the deadline", "a short timeout", "until the invocation ends"],
)
def test_how_long_the_hook_may_take(
    world: World, timeout: str, seconds: float, most: float
) -> None:
    nodes = world.nodes[:1]
    world.send("Create", seconds=seconds, NodeIds=nodes, BeforeRemoval=HOOK, ServiceTimeout=timeout)
    assert world.aws_lambda.waits == [pytest.approx(most, abs=1)]


def test_a_hook_that_takes_12_minutes_leaves_time_for_the_removal(world: World) -> None:
    cluster = world.make_cluster(8, shutdown_seconds=600)
    busy, vetoed, *_ = nodes = world.nodes[:4]
    cluster.refuse(busy, until=world.clock.now() + 1200)
    veto = {"NodeId": vetoed, "Reason": "in use"}
    world.set_hook({"Decision": "PROCEED", "VetoedNodes": [veto]}, seconds=719)
    answer = world.send(
        "Update", NodeIds=nodes, BeforeRemoval=HOOK, RetryFor="600", ServiceTimeout="3600"
    )
    assert answer["Data"]["FailedNodes"] == vetoed
    assert answer["Data"]["RemovedCount"] == "3", "the time for retries begins after the hook"
    assert world.invocations > 1
    assert len(world.events) == 1, "a successor does not ask again"
    assert vetoed in cluster.present


# While it ran --------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [PROCEED, {"Decision": "VETO"}, None])
def test_a_stack_that_rolled_back_meanwhile_keeps_its_nodes(world: World, answer: Any) -> None:
    """It may be the rollback's own request, which must not fail."""
    world.set_hook(answer, meanwhile=lambda: world.shows((0, "UPDATE_ROLLBACK_IN_PROGRESS")))
    reply = world.send("Update", NodeIds=world.nodes[:2], BeforeRemoval=HOOK)
    assert reply["Status"] == "SUCCESS"
    assert reply["Data"]["Outcome"] == "ROLLED_BACK"
    assert world.deletes == 0


def test_a_deployment_that_another_one_replaced_meanwhile_removes_nothing(world: World) -> None:
    """The stack goes forward when the hook answers, but not for this set any more."""

    def redeploy() -> None:
        world.cloudformation.statuses = ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_IN_PROGRESS"]
        world.clock.sleep(60)

    world.set_hook(meanwhile=redeploy)
    reply = world.send("Update", NodeIds=world.nodes[:2], BeforeRemoval=HOOK)
    assert world.cloudformation.statuses == ["UPDATE_IN_PROGRESS"]
    assert reply["Data"]["Outcome"] == "ROLLED_BACK"
    assert world.deletes == 0


@pytest.mark.parametrize("is_removed", [True, False], ids=["removed", "failed after 200 s"])
def test_guards_that_another_node_broke_meanwhile_refuse_the_set_and_release_it(
    world: World, is_removed: bool
) -> None:
    first, second, third, *_ = world.nodes

    def lose() -> None:
        if is_removed:
            world.remove([third])
        else:
            world.clock.sleep(200)
            world.cluster.set_node_status(third, "Failure")

    world.set_hook({"Version": "2", "Decision": "PROCEED"}, meanwhile=lose)
    reason = world.fails(
        "Update", NodeIds=[first, second], BeforeRemoval=HOOK, MinRemaining={"workers": "6"}
    )
    sentence = "removing 2 of 7 nodes of group workers leaves 5, fewer than 6 (MinRemaining)"
    assert sentence in reason
    assert world.hp.requested_nodes.isdisjoint({first, second})
    assert world.released == [first, second]


def test_a_node_that_went_meanwhile_is_no_missing_node(world: World) -> None:
    first, second, *_ = world.nodes
    world.set_hook(meanwhile=lambda: world.remove([first]))
    data = world.succeeds(
        "Update", NodeIds=[first, second], BeforeRemoval=HOOK, MissingNodes="FAIL"
    )
    assert data["RemovedNodes"] == second


@pytest.mark.parametrize("seconds", [900.0, 120.0])
@pytest.mark.parametrize("is_replaced_before_the_answer", [True, False])
def test_an_instance_that_the_hook_has_not_seen_is_not_removed(
    world: World, is_replaced_before_the_answer: bool, seconds: float
) -> None:
    """Auto-recovery keeps the logical id and changes the instance, in this invocation or later."""
    cluster = world.make_cluster(4, continuous=True, shutdown_seconds=200)
    logical_id, other, *_ = world.logical_ids
    fresh: list[str] = []

    def recover(_: object = None) -> None:
        is_time = is_replaced_before_the_answer or (world.deletes and world.clock.now() > 1_000_080)
        if is_time and not fresh:
            fresh.append(cluster.replace_instance(logical_id))

    if is_replaced_before_the_answer:
        world.set_hook(meanwhile=recover)
    else:
        world.before("ListClusterNodes", recover)
    ids = [logical_id, other]
    answer = world.send("Update", seconds=seconds, NodeLogicalIds=ids, BeforeRemoval=HOOK)
    assert answer["Status"] == "FAILED"
    assert f"Vetoed: {logical_id}" in answer["Reason"]
    assert f"the hook was not asked about {fresh[0]}" in answer["Reason"]
    assert answer["Data"]["RemovedNodes"] == other
    assert fresh[0] in cluster.present


def test_a_node_that_turns_up_after_a_plan_without_nodes_was_not_approved(world: World) -> None:
    leaving, late, *_ = world.nodes
    request = {"ClusterName": "ml-cluster", "NodeIds": [leaving]}
    world.hp.call("BatchDeleteClusterNodes", request)
    world.cluster.hide(late, listings=2)
    reason = world.fails("Update", NodeIds=[leaving, late], BeforeRemoval=HOOK)
    assert f"Vetoed: {late}" in reason
    assert world.events == []
    assert late in world.cluster.present


# A hand-over before anything was asked -------------------------------------------------------


@pytest.mark.parametrize(
    "properties", [{"DryRun": "true"}, {"MaxRemovals": "1"}, {"BeforeRemoval": HOOK}]
)
def test_what_is_handed_over_before_the_plan_is_planned_by_the_successor(
    world: World, properties: dict[str, str]
) -> None:
    world.fail_for(1000, "DescribeCluster", status=500)
    world.set_hook({"Decision": "VETO"})
    more = {"RetryFor": "3600", "ServiceTimeout": "3600", **properties}
    world.send("Create", NodeIds=world.nodes[:2], **more)
    assert world.invocations == 2
    assert world.deletes == 0


def test_a_hook_that_comes_late_in_an_invocation_gets_the_next_one(world: World) -> None:
    world.fail_for(600, "DescribeCluster", status=500)
    nodes = world.nodes[:2]
    answer = world.send(
        "Create", NodeIds=nodes, RetryFor="700", ServiceTimeout="3600", BeforeRemoval=HOOK
    )
    assert answer["Data"]["RemovedNodes"] == ",".join(nodes)
    assert world.invocations == 2
    assert world.aws_lambda.waits == [pytest.approx(BEFORE_REMOVAL_MAX, abs=1)]
