"""Version 2 of the hook: "not yet", asked again over hand-overs, and the release of nodes."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from hyperpod_node_removal_handler import handover
from hyperpod_node_removal_handler.before_removal import HookError, verdict
from hyperpod_node_removal_handler.cluster import Node
from sandbox.hyperpod import Cluster, ServiceError
from tests.aws_transport import Parameters
from tests.handler.function import HOOK, Function, Raised
from tests.handler.world import World

FIRST = Node("i-0123456789abcdef0", "", "workers", "Running")
SECOND = Node("i-0123456789abcdef1", "workers-1", "workers", "Running")
YES = {"Version": "2", "Decision": "PROCEED"}


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8}, orchestrator="Eks")


def waiting(*nodes: str, seconds: int = 30) -> dict[str, Any]:
    entries = [{"NodeId": node, "Reason": "job 17 is running"} for node in nodes]
    return {"Version": "2", "Decision": "WAIT", "WaitingNodes": entries, "RetryAfter": seconds}


def until(world: World, seconds: float, *nodes: str, pause: int = 30) -> Callable[[Any], Any]:
    """A hook whose nodes are free so many seconds from now."""
    free_at = world.clock.now() + seconds
    return lambda event: YES if world.clock.now() >= free_at else waiting(*nodes, seconds=pause)


def released(function: Function) -> list[str]:
    return [node["NodeId"] for event in function.aws_lambda.released for node in event["Nodes"]]


# Not yet -------------------------------------------------------------------------------------


def test_a_hook_that_is_not_ready_is_asked_again_until_it_is(
    function: Function, world: World, cluster: Cluster
) -> None:
    node, other, *_ = cluster.node_ids("workers")
    function.aws_lambda.hook = until(world, 100, node)
    answer = function.send("Update", NodeIds=[node, other], BeforeRemoval=HOOK)
    assert answer["Data"]["RemovedNodes"] == f"{node},{other}"
    asked = function.aws_lambda.asked
    assert len(asked) == 5
    assert len({json.dumps({**event, "Deadline": ""}) for event in asked}) == 1, "the same nodes"
    assert function.aws_lambda.released == []


def test_it_is_asked_behind_a_look_at_the_stack_and_none_is_later_than_30_seconds(
    function: Function, world: World, cluster: Cluster
) -> None:
    node = cluster.node_ids("workers")[0]
    function.aws_lambda.hook = until(world, 1000, node, pause=300)
    looks: list[float] = []
    world.before("DescribeStacks", lambda _: looks.append(world.clock.now()))
    ages: list[float] = []

    def note(request: Parameters) -> None:
        if request["InvocationType"] == "RequestResponse":
            ages.append(world.clock.now() - looks[-1])

    world.before("Invoke", note)
    function.send("Update", NodeIds=[node], BeforeRemoval=HOOK, ServiceTimeout="3600")
    assert ages == [0.0] * 5
    assert all(later - earlier <= 31 for earlier, later in pairwise(looks))


def test_a_drain_outlasts_invocations(function: Function, world: World, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")[:2]
    function.aws_lambda.hook = until(world, 3000, nodes[0], pause=60)
    answer = function.send(
        "Create", NodeIds=list(nodes), BeforeRemoval=HOOK, ServiceTimeout="3600", RetryFor="60"
    )
    assert answer["Data"]["RemovedCount"] == "2"
    assert function.links == 5


def test_a_node_that_leaves_while_the_hook_waits_is_not_a_typing_error(
    function: Function, world: World, cluster: Cluster
) -> None:
    first, second, *_ = cluster.node_ids("workers")
    function.aws_lambda.hook = until(world, 1000, first, pause=60)

    def leave() -> None:
        world.remove([second])

    world.clock.timer(500, leave)
    answer = function.send(
        "Create",
        NodeIds=[first, second],
        BeforeRemoval=HOOK,
        ServiceTimeout="3600",
        MissingNodes="FAIL",
    )
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RemovedNodes"] == first


@pytest.mark.parametrize("timeout", ["300", "3600"])
def test_what_is_not_ready_in_time_is_vetoed_and_released_and_the_rest_removed(
    function: Function, world: World, cluster: Cluster, timeout: str
) -> None:
    busy, free, *_ = cluster.node_ids("workers")
    function.aws_lambda.hook = lambda event: waiting(busy)
    answer = function.send(
        "Update", NodeIds=[busy, free], BeforeRemoval=HOOK, ServiceTimeout=timeout
    )
    assert answer["Status"] == "FAILED"
    assert f'Vetoed: {busy}. {busy}: "not ready in time: job 17 is running"' in answer["Reason"]
    assert answer["Data"]["RemovedNodes"] == free
    assert busy in cluster.present
    assert released(function) == [busy]


def test_a_timeout_that_leaves_no_time_to_ask_again_takes_the_first_answer(
    function: Function, cluster: Cluster
) -> None:
    node = cluster.node_ids("workers")[0]
    function.aws_lambda.hook = lambda event: waiting(node)
    answer = function.send("Update", NodeIds=[node], BeforeRemoval=HOOK, ServiceTimeout="60")
    assert "not ready in time" in answer["Reason"]
    assert len(function.aws_lambda.asked) == 1


# Release -------------------------------------------------------------------------------------


def test_a_release_has_the_keys_of_the_question(
    function: Function, world: World, cluster: Cluster
) -> None:
    node = cluster.node_ids("workers")[0]
    function.aws_lambda.hook = lambda event: {"Version": "2", "Decision": "VETO"}
    function.send("Create", NodeIds=[node], BeforeRemoval=HOOK)
    (asked,), (release,) = function.aws_lambda.asked, function.aws_lambda.released
    assert release.pop("Action") == "RELEASE"
    assert release.pop("Version") == "2"
    assert release.pop("Deadline") == "1970-01-12T13:47:40Z", "a minute later"
    assert release == {k: v for k, v in asked.items() if k not in {"Version", "Deadline"}}


def test_a_guard_that_breaks_afterwards_releases_all(
    function: Function, world: World, cluster: Cluster
) -> None:
    first, second, third, *_ = cluster.node_ids("workers")

    def hook(event: dict[str, Any]) -> Any:
        world.remove([third])
        return YES

    function.aws_lambda.hook = hook
    answer = function.send(
        "Update", NodeIds=[first, second], BeforeRemoval=HOOK, MinRemaining={"workers": "6"}
    )
    assert answer["Status"] == "FAILED"
    assert released(function) == [first, second]


def test_only_the_nodes_whose_removal_failed_for_good_are_released(
    function: Function, world: World, cluster: Cluster
) -> None:
    refused, good, failing, vetoed, *_ = cluster.node_ids("workers")
    cluster.refuse(refused)
    cluster.fail_while_leaving(failing)
    function.aws_lambda.hook = lambda event: {**YES, "VetoedNodes": [{"NodeId": vetoed}]}
    answer = function.send(
        "Update", NodeIds=[refused, good, failing, vetoed], BeforeRemoval=HOOK, RetryFor="30"
    )
    assert answer["Data"]["RemovedNodes"] == good
    assert sorted(released(function)) == sorted([refused, failing, vetoed])


def test_a_node_that_may_still_leave_is_not_released(function: Function, world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 8}, shutdown_seconds=10_000)
    node = cluster.node_ids("workers")[0]
    function.aws_lambda.hook = lambda event: YES
    answer = function.send("Update", NodeIds=[node], BeforeRemoval=HOOK, ServiceTimeout="120")
    assert "StillPresent" in answer["Reason"]
    assert released(function) == []


@pytest.mark.parametrize("at", [10.0, 400.0, 1500.0])
def test_a_stack_that_turns_back_while_the_hook_waits_releases(
    function: Function, world: World, cluster: Cluster, at: float
) -> None:
    nodes = cluster.node_ids("workers")[:2]
    function.aws_lambda.hook = lambda event: waiting(*nodes, seconds=60)
    rolled_back = ["UPDATE_ROLLBACK_IN_PROGRESS"]
    world.clock.timer(at, lambda: setattr(world.cloudformation, "statuses", rolled_back))
    answer = function.send("Update", NodeIds=list(nodes), BeforeRemoval=HOOK, ServiceTimeout="3600")
    assert answer["Data"]["Outcome"] == "ROLLED_BACK"
    assert world.clock.now() <= 1_000_000 + at + 61
    assert world.deletes == 0
    assert released(function) == list(nodes)


def test_a_chain_whose_stack_turns_back_releases_what_was_not_requested(
    function: Function, world: World
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 8}, shutdown_seconds=2000)
    refused, leaving, *_ = cluster.node_ids("workers")
    cluster.refuse(refused)
    function.aws_lambda.hook = lambda event: YES
    rolled_back = ["UPDATE_ROLLBACK_IN_PROGRESS"]
    world.clock.timer(1000, lambda: setattr(world.cloudformation, "statuses", rolled_back))
    function.send(
        "Update",
        NodeIds=[refused, leaving],
        BeforeRemoval=HOOK,
        ServiceTimeout="3600",
        RetryFor="3000",
    )
    assert function.links == 2
    assert released(function) == [refused]


def test_a_hook_that_fails_after_it_had_drained_is_released(
    function: Function, world: World, cluster: Cluster
) -> None:
    node = cluster.node_ids("workers")[0]
    answers = [waiting(node), {"Decision": "perhaps"}]
    function.aws_lambda.hook = lambda event: answers.pop(0)
    answer = function.send("Update", NodeIds=[node], BeforeRemoval=HOOK)
    assert "HookFailed" in answer["Reason"]
    assert released(function) == [node]


@pytest.mark.parametrize(("errors", "most"), [(99, 10), (0, 1)])
def test_a_removal_that_cannot_be_handed_over_is_released(
    function: Function,
    world: World,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    errors: int,
    most: int,
) -> None:
    monkeypatch.setattr(handover, "MAX_INVOCATIONS", most)
    function.aws_lambda.errors = [
        ServiceError("AccessDeniedException", "no", status=403) for _ in range(errors)
    ]
    node = cluster.node_ids("workers")[0]
    function.aws_lambda.hook = lambda event: waiting(node, seconds=300)
    answer = function.send("Update", NodeIds=[node], BeforeRemoval=HOOK, ServiceTimeout="3600")
    assert "hand" in answer["Reason"]
    assert released(function) == [node]


@pytest.mark.parametrize("decision", ["PROCEED", "VETO"])
def test_a_hook_of_version_1_is_not_released(
    function: Function, cluster: Cluster, decision: str
) -> None:
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node)
    function.aws_lambda.hook = lambda event: {"Decision": decision}
    answer = function.send("Update", NodeIds=[node], BeforeRemoval=HOOK, RetryFor="0")
    assert answer["Status"] == "FAILED"
    assert function.aws_lambda.released == []


@pytest.mark.parametrize(
    ("errors", "is_lost"),
    [
        ([ServiceError("TooManyRequestsException", "slow", 429)] * 2, False),
        ([ConnectionClosedError(endpoint_url="https://lambda")], False),
        ([ServiceError("ServiceException", status=500)] * 2, False),
        ([Raised(b'{"errorMessage": "no", "errorType": "SlurmError"}')], False),
        ([ServiceError("TooManyRequestsException", "slow", 429)] * 99, True),
        ([ServiceError("ResourceNotFoundException", "Function not found", 404)] * 2, True),
    ],
)
def test_a_release_that_fails_changes_no_result(
    function: Function,
    cluster: Cluster,
    errors: list[Any],
    is_lost: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = cluster.node_ids("workers")[0]
    function.aws_lambda.hook = lambda event: {"Version": "2", "Decision": "VETO", "Reason": "no"}
    function.aws_lambda.release_errors = errors
    answer = function.send("Update", NodeIds=[node], BeforeRemoval=HOOK)
    assert 'vetoed the removal: "no"' in answer["Reason"]
    assert released(function) == ([] if is_lost else [node])
    assert is_lost is any("was not notified that nodes stay" in m for m in caplog.messages)


@pytest.mark.slow
def test_3000_nodes_wait_are_handed_over_and_released(function: Function, world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 3000})
    nodes = cluster.node_ids("workers")
    sizes = []

    def measure(request: Parameters) -> None:
        if request["InvocationType"] == "Event":
            sizes.append(len(request["Payload"]))

    world.before("Invoke", measure)
    function.aws_lambda.hook = lambda event: waiting(*nodes, seconds=300)
    answer = function.send("Create", NodeIds=list(nodes), BeforeRemoval=HOOK, ServiceTimeout="1800")
    assert function.links > 1
    assert answer["Data"]["FailedCount"] == "3000"
    assert sorted(released(function)) == sorted(nodes)
    assert max(sizes) < 256 * 1024


# The answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"Version": "3"}, "the unknown key 'Version'"),
        ({"Version": 2}, "the unknown key 'Version'"),
        ({"Decision": "wait"}, "Decision 'wait'; allowed: PROCEED or VETO or WAIT"),
        ({"WaitingNodes": []}, "WAIT without WaitingNodes"),
        ({"WaitingNodes": [{"NodeId": "i-0"}]}, "waits for 'i-0', which is not a node"),
        ({"WaitingNodes": "i-0"}, "WaitingNodes that is not a list"),
        ({"WaitingNodes": ["i-0"]}, "WaitingNodes with 'i-0', which is not an object"),
        ({"RetryAfter": 0}, "RetryAfter '0'; allowed: a whole number of seconds from 1 to 300"),
        ({"RetryAfter": 301}, "RetryAfter '301'"),
        ({"RetryAfter": "30"}, "RetryAfter '30'"),
        ({"RetryAfter": True}, "RetryAfter 'True'"),
        ({"RetryAfter": None}, "RetryAfter 'None'"),
        ({"Decision": "PROCEED"}, "WaitingNodes with PROCEED, which is for WAIT only"),
        ({"Pause": 5}, "the unknown key 'Pause'"),
    ],
)
def test_a_not_yet_that_is_not_clear_is_refused(change: dict[str, Any], sentence: str) -> None:
    answer = {**waiting(FIRST.instance_id), **change}
    with pytest.raises(HookError, match=sentence):
        verdict(json.dumps(answer).encode(), (FIRST, SECOND))


def test_version_1_cannot_wait() -> None:
    answer = {"Decision": "WAIT"}
    with pytest.raises(HookError, match=r"Decision 'WAIT'; allowed: PROCEED or VETO$"):
        verdict(json.dumps(answer).encode(), (FIRST,))
