"""The hook: what it is asked, and what becomes of each of its answers."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal_contract import BEFORE_REMOVAL_MAX
from hyperpod_node_removal_handler.before_removal import (
    ANSWER_MAX,
    Decision,
    HookError,
    Verdict,
    verdict,
)
from hyperpod_node_removal_handler.cluster import Node
from sandbox.hyperpod import Cluster, ServiceError
from tests.aws_transport import Parameters
from tests.handler.function import HOOK, Function, Raised
from tests.handler.world import STACK_ID, World

FIRST = Node("i-0123456789abcdef0", "", "workers", "Running")
SECOND = Node("i-0123456789abcdef1", "workers-1", "workers", "Running")
PENDING = Node("", "workers-2", "workers", "Pending")
SHOWN = (FIRST, SECOND, PENDING)

NOT_ALLOWED = (
    "User: x is not authorized to perform: lambda:InvokeFunction on resource: y because no"
    " identity-based policy allows the lambda:InvokeFunction action"
)


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8}, orchestrator="Eks")


def answering(answer: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda event: answer


# The event -----------------------------------------------------------------------------------


def test_the_hook_is_asked_once_about_all_planned_nodes_before_the_first_goes(
    function: Function, world: World, cluster: Cluster
) -> None:
    nodes = cluster.node_ids("workers")[:3]
    function.aws_lambda.hook = lambda event: (
        {"Decision": "PROCEED"} if world.deletes == 0 else {"Decision": "VETO"}
    )
    start = world.clock.now()
    answer = function.send("Create", NodeIds=list(nodes), BeforeRemoval=HOOK)
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RemovedNodes"] == ",".join(nodes)
    (asked,) = function.aws_lambda.asked
    deadline = asked.pop("Deadline")
    assert start == 1_000_000.0
    assert deadline == "1970-01-12T13:58:40Z", "12 minutes later"
    hostnames = [node.pop("PrivateDnsHostname") for node in asked["Nodes"]]
    assert all(name.startswith("ip-10-") for name in hostnames)
    assert asked == {
        "Version": "1",
        "ClusterName": "ml-cluster",
        "ClusterArn": cluster.arn,
        "EksClusterArn": "arn:aws:eks:us-east-1:123456789012:cluster/ml-cluster",
        "StackId": STACK_ID,
        "LogicalResourceId": "Removal4F2A91C0",
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


def test_it_is_asked_about_what_would_be_removed_only(function: Function, world: World) -> None:
    cluster = world.hp.create_cluster(
        "ml-cluster",
        {"head": 1, "workers": 4},
        controller_group="head",
        continuous=True,
        shutdown_seconds=10_000,
    )
    (controller,) = cluster.node_ids("head")
    leaving, other, *_ = cluster.node_ids("workers")
    pending = cluster.add_pending("workers")
    world.remove([leaving], seconds=1.0)
    given = [controller, leaving, other, "i-0123456789abcdef0"]
    function.send(
        "Create",
        NodeIds=given,
        NodeLogicalIds=[pending],
        BeforeRemoval=HOOK,
        WaitFor="ACCEPTED",
    )
    (asked,) = function.aws_lambda.asked
    ids = [(node["NodeId"], node["NodeLogicalId"]) for node in asked["Nodes"]]
    assert ids == [(other, cluster.node(other).logical_id), ("", pending)]


@pytest.mark.parametrize(
    ("properties", "status"),
    [
        ({"DryRun": "true"}, "UPDATE_IN_PROGRESS"),
        ({"NodeIds": ["i-0123456789abcdef0"]}, "UPDATE_IN_PROGRESS"),
        ({"NodeIds": []}, "UPDATE_IN_PROGRESS"),
        ({"MaxRemovals": "1"}, "UPDATE_IN_PROGRESS"),
        ({}, "UPDATE_ROLLBACK_IN_PROGRESS"),
    ],
)
def test_it_is_not_asked_if_nothing_would_be_removed(
    function: Function, world: World, cluster: Cluster, properties: dict[str, Any], status: str
) -> None:
    world.cloudformation.statuses = [status]
    nodes = list(cluster.node_ids("workers")[:2])
    function.send("Update", **{"NodeIds": nodes, "BeforeRemoval": HOOK, **properties})
    assert function.aws_lambda.asked == []
    assert world.deletes == 0


def test_it_is_not_asked_on_delete(function: Function, cluster: Cluster) -> None:
    function.send("Delete", NodeIds=list(cluster.node_ids("workers")), BeforeRemoval=HOOK)
    assert function.aws_lambda.asked == []


def test_a_dry_run_says_that_it_was_not_asked(
    function: Function, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    nodes = list(cluster.node_ids("workers")[:2])
    function.send("Create", NodeIds=nodes, BeforeRemoval=HOOK, DryRun="true")
    assert f"Dry run: {HOOK} is not invoked." in caplog.messages


@pytest.mark.parametrize(
    "given", ["drain", "arn:aws:lambda:us-east-1:123456789012:layer:x", "a\n", {"a": 1}]
)
def test_what_is_no_function_is_refused(function: Function, given: Any) -> None:
    answer = function.send("Create", NodeIds=["i-0123456789abcdef0"], BeforeRemoval=given)
    assert answer["Status"] == "FAILED"
    assert "BeforeRemoval: " in answer["Reason"]
    assert function.calls == 0


# Vetoes --------------------------------------------------------------------------------------


def test_a_veto_of_the_plan_removes_nothing(
    function: Function, world: World, cluster: Cluster
) -> None:
    function.aws_lambda.hook = answering({"Decision": "VETO", "Reason": "Job 7 is running."})
    nodes = cluster.node_ids("workers")[:2]
    answer = function.send(
        "Update", NodeIds=list(nodes), BeforeRemoval=HOOK, OnPartialFailure="REPORT"
    )
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(
        'Nothing was removed from ml-cluster: the hook drain:live vetoed the removal: "Job 7 is'
        f' running.". Vetoed: {nodes[0]}, {nodes[1]}. Redeploy once the hook approves the'
        " nodes."
    )
    assert answer["Data"]["FailedCount"] == "2"
    assert world.deletes == 0


def test_a_veto_of_single_nodes_removes_the_others(
    function: Function, world: World, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    vetoed, other, *_ = cluster.node_ids("workers")
    function.aws_lambda.hook = answering(
        {
            "Decision": "PROCEED",
            "VetoedNodes": [{"NodeId": vetoed, "Reason": "pod ml/trainer-0 cannot be evicted"}],
        }
    )
    answer = function.send(
        "Update", NodeIds=[vetoed, other], BeforeRemoval=HOOK, MinRemaining={"workers": "6"}
    )
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(
        f"1 of 2 nodes not removed from ml-cluster (1 removed). Vetoed: {vetoed}."
        f' {vetoed}: "pod ml/trainer-0 cannot be evicted".'
    )
    assert answer["Data"]["RemovedNodes"] == other
    assert {node for r in world.hp.delete_requests for node in r.node_ids} == {other}
    lines = [m for m in caplog.messages if m.startswith(f"{vetoed}: not removed: Vetoed: pod ml")]
    assert len(lines) == 1


def test_a_veto_of_every_node_removes_nothing(
    function: Function, world: World, cluster: Cluster
) -> None:
    nodes = cluster.node_ids("workers")[:2]
    function.aws_lambda.hook = answering(
        {"Decision": "PROCEED", "VetoedNodes": [{"NodeId": node} for node in nodes]}
    )
    answer = function.send("Update", NodeIds=list(nodes), BeforeRemoval=HOOK)
    assert answer["Status"] == "FAILED"
    assert "no reason was given" in answer["Reason"]
    assert world.deletes == 0


def test_hostile_words_are_made_harmless(
    function: Function, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reason = "\x1b[2J\r\n::error::\u202e" + "x" * 100_000
    nodes = cluster.node_ids("workers")[:2]
    for hook in (
        {"Decision": "VETO", "Reason": reason},
        {"Decision": "PROCEED", "VetoedNodes": [{"NodeId": nodes[0], "Reason": reason}]},
        {reason: 1},
        Raised(json.dumps({"errorType": reason, "errorMessage": reason}).encode()),
    ):
        function.aws_lambda.hook = answering(hook)
        answer = function.send("Update", NodeIds=list(nodes), BeforeRemoval=HOOK)
        assert answer["Status"] == "FAILED"
        assert answer["Reason"].isprintable()
        assert len(answer["Reason"]) <= 900
        assert "CloudWatch Log Stream: " in answer["Reason"]
    assert all(message.isascii() and message.isprintable() for message in caplog.messages)
    assert max(map(len, caplog.messages)) < 1500


# No clear yes --------------------------------------------------------------------------------

READ_TIMEOUT = ReadTimeoutError(endpoint_url="https://lambda")


@pytest.mark.parametrize(
    ("hook", "errors", "sentence"),
    [
        (None, [], "the hook drain:live returned 'null'; allowed: {"),
        (b"", [], "returned 'nothing'; allowed: {"),
        ({}, [], "returned '{}'; allowed: {"),
        (b"PROCEED", [], "returned something that is not JSON"),
        (b'\xef\xbb\xbf{"Decision": "PROCEED"}', [], "returned something that is not JSON"),
        (b'{"Decision": "PROCEED"}' * 2, [], "returned something that is not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, [], "returned something that is not JSON"),
        (b'{"Decision": 1' + b"0" * 9_999 + b"}", [], "returned something that is not JSON"),
        (b'{"Decision": NaN}', [], "returned Decision 'nan'; allowed: PROCEED or VETO"),
        (b'{"Decision": "PROCEED\\ud800"}', [], "returned Decision 'PROCEED\\ud800'; allowed: P"),
        (
            b'{"Decision": "VETO", "Decision": "PROCEED"}',
            [],
            "returned the key 'Decision' more than once",
        ),
        (
            b'{"VetoedNodes": [{"NodeId": "i-0"}], "Decision": "PROCEED", "VetoedNodes": []}',
            [],
            "returned the key 'VetoedNodes' more than once",
        ),
        ({"Decision": "proceed"}, [], "returned Decision 'proceed'; allowed: PROCEED or VETO"),
        (
            {"Decision": "PROCEED", "Vetoed": []},
            [],
            "returned the unknown key 'Vetoed'; allowed: Decision,",
        ),
        (
            {"Decision": "PROCEED", "VetoedNodes": [{"NodeId": "i-0"}]},
            [],
            "vetoed 'i-0', which is not a node that it was asked about",
        ),
        (
            Raised(b'{"errorMessage": "\'x\'", "errorType": "KeyError", "stackTrace": ["f"]}'),
            [],
            "the hook drain:live failed: KeyError: 'x'.",
        ),
        (Raised(b"Task timed out"), [], "failed: Task timed out."),
        (None, [READ_TIMEOUT], "did not respond within 720 s and may still be running (ReadTime"),
        (
            None,
            [ConnectionClosedError(endpoint_url="https://lambda")],
            "may still be running (ConnectionClosedError)",
        ),
        (None, [ServiceError("ServiceException", status=500)], "(ServiceException)"),
        (
            None,
            [ServiceError("ResourceNotFoundException", "Function not found", 404)],
            "could not be invoked (ResourceNotFoundException: Function not found)",
        ),
        (
            None,
            [ServiceError("AccessDeniedException", NOT_ALLOWED, 403)] * 99,
            "the function's role needs lambda:InvokeFunction on it (AccessDeniedException: User: x",
        ),
        (
            None,
            [ServiceError("TooManyRequestsException", "slow", 429)] * 99,
            "could not be invoked (TooManyRequestsException: slow)",
        ),
    ],
)
def test_whatever_is_not_a_clear_yes_means_that_nothing_is_removed(
    function: Function,
    world: World,
    cluster: Cluster,
    hook: Any,
    errors: list[Exception],
    sentence: str,
) -> None:
    function.aws_lambda.hook = answering(hook)
    function.aws_lambda.hook_errors = list(errors)
    node = cluster.node_ids("workers")[0]
    answer = function.send("Update", NodeIds=[node], BeforeRemoval=HOOK, OnPartialFailure="REPORT")
    assert answer["Status"] == "FAILED"
    assert sentence in answer["Reason"]
    assert answer["Reason"].startswith("Nothing was removed from ml-cluster: the hook drain:live ")
    assert f"HookFailed: {node}. Fix the hook (see its log) and redeploy." in answer["Reason"]
    assert world.deletes == 0
    assert len(function.aws_lambda.asked) == (0 if errors else 1), "asked once, at the most"


@pytest.mark.parametrize("code", ["TooManyRequestsException", "AccessDeniedException"])
def test_a_question_that_surely_was_not_heard_is_put_again(
    function: Function, cluster: Cluster, code: str
) -> None:
    function.aws_lambda.hook_errors = [ServiceError(code)] * 3
    node = cluster.node_ids("workers")[0]
    answer = function.send("Update", NodeIds=[node], BeforeRemoval=HOOK)
    assert answer["Data"]["RemovedNodes"] == node
    assert len(function.aws_lambda.asked) == 1


# Time ----------------------------------------------------------------------------------------


def taking(world: World, seconds: float, answer: Any = None) -> Callable[[dict[str, Any]], Any]:
    def hook(event: dict[str, Any]) -> Any:
        world.clock.sleep(seconds)
        return answer or {"Decision": "PROCEED"}

    return hook


@pytest.mark.parametrize(
    ("timeout", "seconds", "most"),
    [
        ("3600", 900.0, BEFORE_REMOVAL_MAX),
        ("300", 900.0, 255),
        ("60", 900.0, 15),
        ("3600", 100, 75),
    ],
)
def test_how_long_a_hook_is_waited_for(
    function: Function, cluster: Cluster, timeout: str, seconds: float, most: float
) -> None:
    """12 minutes, or until shortly before the deadline, or until the invocation hands over."""
    function.send(
        "Create",
        seconds=seconds,
        NodeIds=[cluster.node_ids("workers")[0]],
        BeforeRemoval=HOOK,
        ServiceTimeout=timeout,
    )
    assert function.aws_lambda.waits == [pytest.approx(most, abs=1)]


def test_a_hook_that_takes_12_minutes_leaves_time_for_the_removal(
    function: Function, world: World
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 8}, shutdown_seconds=600)
    busy, vetoed, *_ = nodes = cluster.node_ids("workers")[:4]
    start = world.clock.now()
    cluster.refuse(busy, until=start + 1200)
    function.aws_lambda.hook = taking(
        world, 719, {"Decision": "PROCEED", "VetoedNodes": [{"NodeId": vetoed, "Reason": "in use"}]}
    )
    answer = function.send(
        "Update", NodeIds=list(nodes), BeforeRemoval=HOOK, RetryFor="600", ServiceTimeout="3600"
    )
    assert answer["Data"]["FailedNodes"] == vetoed
    assert answer["Data"]["RemovedCount"] == "3", "the time for retries begins after the hook"
    assert function.links > 1
    assert len(function.aws_lambda.asked) == 1, "a successor does not ask again"
    assert vetoed in cluster.present


@pytest.mark.slow
def test_3000_nodes_are_vetoed_and_handed_over(function: Function, world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 3000}, shutdown_seconds=1500)
    nodes = cluster.node_ids("workers")
    vetoed = [{"NodeId": node, "Reason": f"{node}: {'x' * 300}"} for node in nodes[:400]]
    function.aws_lambda.hook = answering({"Decision": "PROCEED", "VetoedNodes": vetoed})
    sizes = []

    def measure(request: Parameters) -> None:
        if request["InvocationType"] == "Event":
            sizes.append(len(request["Payload"]))

    world.before("Invoke", measure)
    answer = function.send("Create", NodeIds=list(nodes), BeforeRemoval=HOOK)
    assert answer["Data"]["FailedCount"] == "400"
    assert answer["Data"]["RemovedCount"] == "2600"
    assert 0 < max(sizes) < 256 * 1024


# While it ran --------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [{"Decision": "PROCEED"}, {"Decision": "VETO"}, None])
def test_a_stack_that_turned_back_meanwhile_keeps_its_nodes_and_succeeds(
    function: Function, world: World, cluster: Cluster, answer: Any
) -> None:
    """It may be the rollback's own request, which must not fail."""

    def hook(event: dict[str, Any]) -> Any:
        world.cloudformation.statuses = ["UPDATE_ROLLBACK_IN_PROGRESS"]
        return answer

    function.aws_lambda.hook = hook
    nodes = list(cluster.node_ids("workers")[:2])
    reply = function.send("Update", NodeIds=nodes, BeforeRemoval=HOOK)
    assert reply["Status"] == "SUCCESS"
    assert reply["Data"]["Outcome"] == "ROLLED_BACK"
    assert world.deletes == 0


def test_a_deployment_that_was_followed_by_another_one_meanwhile_removes_nothing(
    function: Function, world: World, cluster: Cluster
) -> None:
    """The stack goes forward when the hook answers, but not for this set any more."""

    def hook(event: dict[str, Any]) -> Any:
        world.cloudformation.statuses = ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_IN_PROGRESS"]
        world.clock.sleep(60)
        return {"Decision": "PROCEED"}

    function.aws_lambda.hook = hook
    nodes = list(cluster.node_ids("workers")[:2])
    reply = function.send("Update", NodeIds=nodes, BeforeRemoval=HOOK)
    assert world.cloudformation.statuses == ["UPDATE_IN_PROGRESS"]
    assert reply["Data"]["Outcome"] == "ROLLED_BACK"
    assert world.deletes == 0


def test_the_guards_are_held_again_after_the_hook(
    function: Function, world: World, cluster: Cluster
) -> None:
    first, second, third, *_ = cluster.node_ids("workers")

    def hook(event: dict[str, Any]) -> Any:
        world.remove([third])
        return {"Decision": "PROCEED"}

    function.aws_lambda.hook = hook
    answer = function.send(
        "Update", NodeIds=[first, second], BeforeRemoval=HOOK, MinRemaining={"workers": "6"}
    )
    assert answer["Status"] == "FAILED"
    assert "removing 2 of 7 nodes of group workers leaves 5, fewer than 6" in answer["Reason"]
    assert {first, second} <= cluster.present


def test_a_node_that_went_meanwhile_is_no_missing_node(
    function: Function, world: World, cluster: Cluster
) -> None:
    first, second, *_ = cluster.node_ids("workers")

    def hook(event: dict[str, Any]) -> Any:
        world.remove([first])
        return {"Decision": "PROCEED"}

    function.aws_lambda.hook = hook
    answer = function.send(
        "Update", NodeIds=[first, second], BeforeRemoval=HOOK, MissingNodes="FAIL"
    )
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RemovedNodes"] == second


@pytest.mark.parametrize("seconds", [900.0, 120.0])
@pytest.mark.parametrize("is_replaced_before_the_answer", [True, False])
def test_an_instance_that_the_hook_has_not_seen_is_not_removed(
    function: Function, world: World, *, is_replaced_before_the_answer: bool, seconds: float
) -> None:
    """Auto-recovery keeps the logical id and changes the instance, in this invocation or later."""
    cluster = world.hp.create_cluster(
        "ml-cluster", {"workers": 4}, continuous=True, shutdown_seconds=200
    )
    logical_id, other, *_ = cluster.logical_ids("workers")
    fresh: list[str] = []
    if is_replaced_before_the_answer:

        def hook(event: dict[str, Any]) -> Any:
            fresh.append(cluster.replace_instance(logical_id))
            return {"Decision": "PROCEED"}

        function.aws_lambda.hook = hook
    else:

        def recover(_: Parameters) -> None:
            if world.deletes and not fresh and world.clock.now() > 1_000_080:
                fresh.append(cluster.replace_instance(logical_id))

        world.before("ListClusterNodes", recover)
    answer = function.send(
        "Update", seconds=seconds, NodeLogicalIds=[logical_id, other], BeforeRemoval=HOOK
    )
    assert answer["Status"] == "FAILED"
    assert f"Vetoed: {logical_id}" in answer["Reason"]
    assert f"the hook was not asked about {fresh[0]}" in answer["Reason"]
    assert answer["Data"]["RemovedNodes"] == other
    assert fresh[0] in cluster.present


# A hand-over before anything was asked -------------------------------------------------------


@pytest.mark.parametrize(
    "properties", [{"DryRun": "true"}, {"MaxRemovals": "1"}, {"BeforeRemoval": HOOK}]
)
def test_what_is_handed_over_before_the_plan_is_planned_by_the_successor(
    function: Function, world: World, cluster: Cluster, properties: Any
) -> None:
    start = world.clock.now()
    world.hp.fail_while("DescribeCluster", lambda _: world.clock.now() - start < 1000, status=500)
    function.aws_lambda.hook = answering({"Decision": "VETO"})
    function.send(
        "Create",
        NodeIds=list(cluster.node_ids("workers")[:2]),
        RetryFor="3600",
        ServiceTimeout="3600",
        **properties,
    )
    assert function.links == 2
    assert world.deletes == 0


def test_a_hook_that_comes_late_in_an_invocation_gets_the_next_one(
    function: Function, world: World, cluster: Cluster
) -> None:
    start = world.clock.now()
    world.hp.fail_while("DescribeCluster", lambda _: world.clock.now() - start < 600, status=500)
    nodes = cluster.node_ids("workers")[:2]
    answer = function.send(
        "Create", NodeIds=list(nodes), RetryFor="700", ServiceTimeout="3600", BeforeRemoval=HOOK
    )
    assert answer["Data"]["RemovedNodes"] == ",".join(nodes)
    assert function.links == 2
    assert function.aws_lambda.waits == [pytest.approx(BEFORE_REMOVAL_MAX, abs=1)]


# The answer, as pure decisions ---------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)
reasons = st.text(max_size=400)
by_id = st.sampled_from(
    [
        {"NodeId": FIRST.instance_id},
        {"NodeId": SECOND.instance_id},
        {"NodeLogicalId": SECOND.logical_id},
        {"NodeId": SECOND.instance_id, "NodeLogicalId": SECOND.logical_id},
        {"NodeId": "", "NodeLogicalId": PENDING.logical_id},
    ]
)
almost = st.fixed_dictionaries(
    {"Decision": st.sampled_from([*Decision, "proceed", None]) | json_values},
    optional={"Reason": reasons | json_values, "VetoedNodes": st.lists(json_values | by_id)},
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_nonsense_is_never_an_agreement(answer: bytes) -> None:
    with pytest.raises(HookError):
        verdict(answer, SHOWN)


@given(almost.map(lambda value: json.dumps(value).encode()))
def test_an_answer_is_understood_or_refused_with_words_that_can_be_printed(answer: bytes) -> None:
    words = ""
    try:
        given = verdict(answer, SHOWN)
    except HookError as error:
        words = str(error)
    else:
        assert json.loads(answer)["Decision"] == given.decision
    assert words.isascii()
    assert words.isprintable()
    assert len(words) < 400


@given(
    st.sampled_from([Decision.PROCEED, Decision.VETO]), reasons, st.lists(st.tuples(by_id, reasons))
)
def test_a_node_may_go_only_if_neither_it_nor_the_plan_is_vetoed(
    decision: Decision, reason: str, vetoes: list[tuple[dict[str, str], str]]
) -> None:
    answer = {
        "Decision": decision,
        "Reason": reason,
        "VetoedNodes": [{**node, "Reason": why} for node, why in vetoes],
    }
    given = verdict(json.dumps(answer).encode(), SHOWN)
    named = {value for node, _ in vetoes for value in node.values() if value}
    for node in SHOWN:
        why = given.veto_of(node)
        is_vetoed = decision is Decision.VETO or bool(named & {node.instance_id, node.logical_id})
        assert (why is not None) is is_vetoed
        if why is not None:
            assert why
            assert why.isprintable()
            assert len(why) <= 300


@pytest.mark.parametrize(
    "entry",
    [
        "i-0123456789abcdef0",
        {},
        {"Reason": "x"},
        {"NodeId": 5},
        {"NodeId": ["i-0123456789abcdef0"]},
        {"NodeId": "hyperpod-i-0123456789abcdef0"},
        {"NodeId": "workers-1"},
        {"NodeId": FIRST.instance_id, "NodeLogicalId": SECOND.logical_id},
        {"NodeId": FIRST.instance_id, "Reason": 5},
        {"NodeId": FIRST.instance_id, "reason": "x"},
    ],
)
def test_a_veto_that_names_no_node_is_refused(entry: object) -> None:
    answer = {"Decision": "PROCEED", "VetoedNodes": [entry]}
    with pytest.raises(HookError):
        verdict(json.dumps(answer).encode(), SHOWN)


@pytest.mark.parametrize(
    "answer",
    [b"[" * 100_000, b'{"Decision":' + b"1" * 10_000 + b"}", b'{"Decision": "PROCEED"', b"\xff"],
)
def test_broken_json_is_refused(answer: bytes) -> None:
    with pytest.raises(HookError):
        verdict(answer, SHOWN)


def test_an_answer_of_megabytes_is_refused() -> None:
    answer = b'{"Decision": "PROCEED", "Reason": "' + b"x" * ANSWER_MAX + b'"}'
    with pytest.raises(HookError, match="more than 2097152 bytes"):
        verdict(answer, SHOWN)


def test_the_plain_yes_is_one() -> None:
    assert verdict(b'{"Decision": "PROCEED"}', SHOWN) == Verdict(Decision.PROCEED)
