"""Version 2 of the hook: "not yet", asked again over hand-overs, and the release of nodes."""

import json
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from hyperpod_node_removal_handler import handover
from sandbox.hyperpod import ServiceError
from tests.aws_transport import Parameters
from tests.handler.function import HOOK, Raised
from tests.handler.world import World

YES = {"Version": "2", "Decision": "PROCEED"}
NO = {"Version": "2", "Decision": "VETO", "Reason": "no"}


def waiting(*nodes: str, seconds: int = 30) -> dict[str, Any]:
    entries = [{"NodeId": node, "Reason": "job 17 is running"} for node in nodes]
    return {"Version": "2", "Decision": "WAIT", "WaitingNodes": entries, "RetryAfter": seconds}


def wait(world: World, seconds: float, *nodes: str, pause: int = 30) -> None:
    """Let the hook answer that nodes are busy until so many seconds from now."""
    free_at = world.clock.now() + seconds
    not_yet = waiting(*nodes, seconds=pause)
    world.aws_lambda.hook = lambda _: YES if world.clock.now() >= free_at else not_yet


def roll_back_after(world: World, seconds: float) -> None:
    world.clock.timer(seconds, lambda: world.shows((0, "UPDATE_ROLLBACK_IN_PROGRESS")))


# Not yet -------------------------------------------------------------------------------------


def test_a_hook_that_is_not_ready_is_asked_again_until_it_is(world: World) -> None:
    node, other, *_ = world.nodes
    wait(world, 100, node)
    answer = world.send("Update", NodeIds=[node, other], BeforeRemoval=HOOK)
    assert answer["Data"]["RemovedNodes"] == f"{node},{other}"
    assert len(world.events) == 5
    assert len({json.dumps({**event, "Deadline": ""}) for event in world.events}) == 1
    assert world.released == []


def test_it_is_asked_after_a_look_at_the_stack_and_none_is_later_than_30_s(world: World) -> None:
    node = world.nodes[0]
    wait(world, 1000, node, pause=300)
    ages: list[float] = []

    def note(request: Parameters) -> None:
        if request["InvocationType"] == "RequestResponse":
            ages.append(world.clock.now() - world.times("DescribeStacks")[-1])

    world.before("Invoke", note)
    world.send("Update", NodeIds=[node], BeforeRemoval=HOOK, ServiceTimeout="3600")
    assert ages == [0.0] * 5
    looks = world.times("DescribeStacks")
    assert all(later - earlier <= 31 for earlier, later in pairwise(looks))


def test_a_drain_outlasts_invocations(world: World) -> None:
    nodes = world.nodes[:2]
    wait(world, 3000, nodes[0], pause=60)
    answer = world.send(
        "Create", NodeIds=nodes, BeforeRemoval=HOOK, ServiceTimeout="3600", RetryFor="60"
    )
    assert answer["Data"]["RemovedCount"] == "2"
    assert world.invocations == 5


def test_a_node_that_leaves_while_the_hook_waits_is_not_a_typing_error(world: World) -> None:
    first, second, *_ = world.nodes
    wait(world, 1000, first, pause=60)
    world.clock.timer(500, lambda: world.remove([second]))
    more = {"ServiceTimeout": "3600", "MissingNodes": "FAIL"}
    data = world.succeeds("Create", NodeIds=[first, second], BeforeRemoval=HOOK, **more)
    assert data["RemovedNodes"] == first


@pytest.mark.parametrize("timeout", ["300", "3600"])
def test_what_is_not_ready_in_time_is_vetoed_and_released_and_the_rest_removed(
    world: World, timeout: str
) -> None:
    busy, free, *_ = world.nodes
    world.set_hook(waiting(busy))
    answer = world.send("Update", NodeIds=[busy, free], BeforeRemoval=HOOK, ServiceTimeout=timeout)
    assert answer["Status"] == "FAILED"
    assert f'Vetoed: {busy}. {busy}: "not ready in time: job 17 is running"' in answer["Reason"]
    assert answer["Data"]["RemovedNodes"] == free
    assert busy in world.cluster.present
    assert world.released == [busy]


def test_a_timeout_that_leaves_no_time_to_ask_again_takes_the_first_answer(world: World) -> None:
    node = world.nodes[0]
    world.set_hook(waiting(node))
    answer = world.send("Update", NodeIds=[node], BeforeRemoval=HOOK, ServiceTimeout="60")
    assert "not ready in time" in answer["Reason"]
    assert len(world.events) == 1


# Release -------------------------------------------------------------------------------------


def test_a_release_has_the_keys_of_the_question(world: World) -> None:
    world.set_hook(NO)
    world.send("Create", NodeIds=world.nodes[:1], BeforeRemoval=HOOK)
    (event,), (release,) = world.events, world.aws_lambda.released
    assert release.pop("Action") == "RELEASE"
    assert release.pop("Version") == "2"
    assert release.pop("Deadline") == "1970-01-12T13:47:40Z", "a minute later"
    assert release == {k: v for k, v in event.items() if k not in {"Version", "Deadline"}}


def test_only_the_nodes_whose_removal_failed_for_good_are_released(world: World) -> None:
    refused, good, failing, vetoed, *_ = nodes = world.nodes[:4]
    world.cluster.refuse(refused)
    world.cluster.fail_while_leaving(failing)
    world.set_hook({**YES, "VetoedNodes": [{"NodeId": vetoed}]})
    answer = world.send("Update", NodeIds=nodes, BeforeRemoval=HOOK, RetryFor="30")
    assert answer["Data"]["RemovedNodes"] == good
    assert sorted(world.released) == sorted([refused, failing, vetoed])


@pytest.mark.parametrize("listing", ["fails", "lacks it once", "lacks it", "shows it leaving"])
def test_a_node_is_released_unless_it_is_seen_leaving_or_gone(world: World, listing: str) -> None:
    """Another copy of the request may have removed it while this one asked the hook."""
    node = world.nodes[0]

    def remove() -> None:
        world.hp.call("BatchDeleteClusterNodes", {"ClusterName": "ml-cluster", "NodeIds": [node]})

    def veto(_: object) -> dict[str, str]:
        match listing:
            case "fails":
                world.fail_for(1000.0, "ListClusterNodes", status=500)
            case "lacks it once":
                world.cluster.hide(node)
            case "lacks it":
                world.cluster.leave_after(node, 0.0)
                remove()
            case "shows it leaving":
                remove()
        return NO

    world.aws_lambda.hook = veto
    assert "vetoed" in world.fails("Update", NodeIds=[node], BeforeRemoval=HOOK)
    assert world.released == ([node] if listing in {"fails", "lacks it once"} else [])


def test_a_node_that_may_still_leave_is_not_released(world: World) -> None:
    world.make_cluster(8, shutdown_seconds=10_000)
    world.set_hook(YES)
    answer = world.send("Update", NodeIds=world.nodes[:1], BeforeRemoval=HOOK, ServiceTimeout="120")
    assert "StillPresent" in answer["Reason"]
    assert world.released == []


@pytest.mark.parametrize("at", [10.0, 400.0, 1500.0])
def test_a_stack_that_rolls_back_while_the_hook_waits_releases(world: World, at: float) -> None:
    nodes = world.nodes[:2]
    world.set_hook(waiting(*nodes, seconds=60))
    roll_back_after(world, at)
    answer = world.send("Update", NodeIds=nodes, BeforeRemoval=HOOK, ServiceTimeout="3600")
    assert answer["Data"]["Outcome"] == "ROLLED_BACK"
    assert world.clock.now() <= 1_000_000 + at + 61
    assert world.deletes == 0
    assert world.released == nodes


def test_a_chain_whose_stack_rolls_back_releases_what_was_not_requested(world: World) -> None:
    cluster = world.make_cluster(8, shutdown_seconds=2000)
    refused, leaving, *_ = world.nodes
    cluster.refuse(refused)
    world.set_hook(YES)
    roll_back_after(world, 1000)
    more = {"ServiceTimeout": "3600", "RetryFor": "3000"}
    world.send("Update", NodeIds=[refused, leaving], BeforeRemoval=HOOK, **more)
    assert world.invocations == 2
    assert world.released == [refused]


def test_a_hook_that_fails_after_it_had_drained_is_released(world: World) -> None:
    node = world.nodes[0]
    answers = [waiting(node), {"Decision": "perhaps"}]
    world.aws_lambda.hook = lambda _: answers.pop(0)
    answer = world.send("Update", NodeIds=[node], BeforeRemoval=HOOK)
    assert "HookFailed" in answer["Reason"]
    assert world.released == [node]


@pytest.mark.parametrize(("errors", "most"), [(99, 10), (0, 1)], ids=["denied", "the limit"])
def test_a_removal_that_cannot_be_handed_over_is_released(
    world: World, monkeypatch: pytest.MonkeyPatch, errors: int, most: int
) -> None:
    monkeypatch.setattr(handover, "MAX_INVOCATIONS", most)
    world.aws_lambda.errors = [ServiceError("AccessDeniedException", "no", 403)] * errors
    node = world.nodes[0]
    world.set_hook(waiting(node, seconds=300))
    answer = world.send("Update", NodeIds=[node], BeforeRemoval=HOOK, ServiceTimeout="3600")
    assert "hand" in answer["Reason"]
    assert world.released == [node]


@pytest.mark.parametrize("decision", ["PROCEED", "VETO"])
def test_a_hook_of_version_1_is_not_released(world: World, decision: str) -> None:
    node = world.nodes[0]
    world.cluster.refuse(node)
    world.set_hook({"Decision": decision})
    world.fails("Update", NodeIds=[node], BeforeRemoval=HOOK, RetryFor="0")
    assert world.aws_lambda.released == []


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
def test_a_failed_release_changes_no_result(world: World, errors: list[Any], is_lost: bool) -> None:
    node = world.nodes[0]
    world.set_hook(NO)
    world.aws_lambda.release_errors = list(errors)
    answer = world.send("Update", NodeIds=[node], BeforeRemoval=HOOK)
    assert 'vetoed the removal: "no"' in answer["Reason"]
    assert world.released == ([] if is_lost else [node])
    message = "was not notified that nodes stay"
    assert is_lost is any(message in logged for logged in world.log.messages)
