"""Guards: what each refuses, when it is checked, and what a second copy of a request does."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.handler.world import World

ABSENT = "i-0123456789abcdef0"


def refused(answer: Any, words: str = "(MinRemaining)") -> bool:
    """Return whether the whole set was refused because of a guard."""
    reason = answer["Reason"]
    is_whole = reason.startswith("Nothing was removed from ml-cluster: ")
    is_advised = "Change the set, or the guard, in the template." in reason
    assert answer["Data"]["RemovedCount"] == "0"
    return answer["Status"] == "FAILED" and is_whole and is_advised and words in reason


# What each refuses ---------------------------------------------------------------------------

ALL = {
    "MinRemaining": {"workers": "4"},
    "MaxRemovals": "8",
    "ProtectedGroups": "head,spare",
    "ExpectedGroups": ["workers"],
    "MissingNodes": "FAIL",
    "DryRun": "false",
}
FEWER = "removing 6 of 8 nodes of group workers leaves 2, fewer than 4 (MinRemaining)"


def send_with_groups(world: World, count: int, others: list[str], **properties: Any) -> Any:
    """Return the reply for so many workers, and others, of a cluster of three groups."""
    world.make_cluster({"head": 1, "workers": 8, "spare": 2}, "head")
    others = [world.cluster.node_ids("spare")[0] if one == "spare" else one for one in others]
    return world.send("Create", NodeIds=[*world.nodes[:count], *others], **properties)


@pytest.mark.parametrize("policy", ["FAIL", "REPORT"])
@pytest.mark.parametrize(
    ("count", "others", "guards", "sentence"),
    [
        (6, [], {"MinRemaining": {"workers": "4"}}, FEWER),
        (6, [], ALL, FEWER),
        (3, [], {"MaxRemovals": "2"}, "removing 3 nodes is more than 2 (MaxRemovals)"),
        (1, [ABSENT], {"MaxRemovals": "0"}, "(MaxRemovals)"),
        (1, ["spare"], {"ProtectedGroups": ["spare"]}, "spare is protected (ProtectedGroups): i-"),
        (1, ["spare"], {"ExpectedGroups": ["spare"]}, "workers is not among spare (ExpectedGroups"),
        (1, [ABSENT], {"MissingNodes": "FAIL"}, f"not in the cluster (MissingNodes): {ABSENT}"),
    ],
)
def test_what_breaks_a_guard_is_refused_as_a_whole(
    world: World, count: int, others: list[str], guards: Any, sentence: str, policy: str
) -> None:
    answer = send_with_groups(world, count, others, OnPartialFailure=policy, **guards)
    assert refused(answer, sentence)
    assert world.deletes == 0
    spare, worker = world.cluster.node_ids("spare")[0], world.nodes[0]
    assert "ProtectedGroups" not in sentence or f"): {spare}." in answer["Reason"]
    assert "ExpectedGroups" not in sentence or f"): {worker}." in answer["Reason"]


@pytest.mark.parametrize(
    ("count", "others", "guards"),
    [
        (4, [], {"MinRemaining": {"workers": "4"}}),
        (1, [], {"MinRemaining": {"spare": "5"}}),
        (2, [], {"MaxRemovals": "2"}),
        (2, [ABSENT], {"MaxRemovals": "2"}),
    ],
    ids=["enough", "too few in a group that keeps all", "as many", "and one that is absent"],
)
def test_other_sets_are_removed(world: World, count: int, others: list[str], guards: Any) -> None:
    answer = send_with_groups(world, count, others, **guards)
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RemovedCount"] == str(count)


def test_a_set_of_which_nothing_is_in_the_cluster_may_be_a_mistake(world: World) -> None:
    answer = send_with_groups(world, 0, [ABSENT], MissingNodes="FAIL")
    assert answer["Status"] == "FAILED"
    sentence = f"not in the cluster (MissingNodes): {ABSENT}"
    assert f"Nothing was removed from ml-cluster: {sentence}" in answer["Reason"]


def test_nodes_that_are_gone_do_not_count_as_removals(world: World) -> None:
    nodes = world.nodes
    world.remove(nodes[:2])
    world.succeeds("Create", NodeIds=nodes[:4], MaxRemovals="2")


def test_nodes_that_are_leaving_do_not_remain(world: World) -> None:
    nodes = world.nodes
    world.remove(nodes[:3], seconds=1)
    answer = world.send("Create", NodeIds=nodes[3:5], MinRemaining={"workers": "4"})
    assert refused(answer)
    assert "removing 2 of 5 nodes of group workers leaves 3" in answer["Reason"]


@pytest.mark.parametrize(
    ("guard", "value"),
    [
        ("MinRemaining", {"worker": "1"}),
        ("ProtectedGroups", ["worker"]),
        ("ExpectedGroups", ["worker", "workers"]),
    ],
)
def test_names_are_exact(world: World, guard: str, value: Any) -> None:
    answer = send_with_groups(world, 1, [], **{guard: value})
    assert refused(answer, "names group worker, but the cluster has head, spare, workers")
    assert world.deletes == 0


def test_every_broken_guard_is_reported(world: World) -> None:
    guards = {"MinRemaining": {"workers": "1"}, "MaxRemovals": "3"}
    answer = world.send("Create", NodeIds=world.nodes, **guards)
    assert refused(answer, "(MinRemaining)")
    assert refused(answer, "(MaxRemovals)")


def test_however_many_guards_are_broken_a_node_has_a_short_line(world: World) -> None:
    groups = {f"group-that-is-not-there-{number}": "1" for number in range(100)}
    nodes = world.nodes
    world.fails("Create", NodeIds=nodes, MinRemaining=groups)
    lines = [line for line in world.log.messages if line.startswith(tuple(nodes))]
    assert len(lines) == len(nodes)
    assert max(len(line) for line in world.log.messages) < 600


# When ----------------------------------------------------------------------------------------


def spoil(world: World, seconds: float) -> None:
    """Let another node fail after so many seconds, so that fewer remain than there were."""
    victim, at = world.nodes[-1], world.clock.now() + seconds

    def fail(_: object) -> None:
        if world.clock.now() >= at:
            world.cluster.set_node_status(victim, "Failure")

    for operation in ("DescribeStacks", "DescribeCluster", "ListClusterNodes"):
        world.before(operation, fail)


@pytest.mark.parametrize("seconds", [0.5, 3, 5])
def test_a_guard_broken_after_the_plan_refuses_the_set(world: World, seconds: float) -> None:
    spoil(world, seconds)
    answer = world.send("Update", NodeIds=world.nodes[:1], MinRemaining={"workers": "7"})
    assert refused(answer)
    assert world.deletes == 0


@pytest.mark.parametrize("seconds", [900.0, 200.0])
def test_the_guards_hold_until_the_first_node_is_requested(world: World, seconds: float) -> None:
    """The cluster is being changed for minutes, and by then its group is smaller, in the same
    invocation or the next one."""
    *nodes, lost, free = world.nodes
    world.remove([lost])
    before, busy_until = world.deletes, world.clock.now() + 400
    world.cluster.set_status("Updating", until=busy_until)

    def shrink(_: object) -> None:
        if world.clock.now() >= busy_until and world.deletes == before:
            request = {"ClusterName": "ml-cluster", "NodeIds": [free]}
            world.hp.call("BatchDeleteClusterNodes", request)

    world.before("ListClusterNodes", shrink)
    answer = world.send("Update", seconds=seconds, NodeIds=nodes[:3], MinRemaining={"workers": "4"})
    assert refused(answer)
    assert "removing 3 of 6 nodes of group workers leaves 3, fewer than 4" in answer["Reason"]
    assert world.deletes == before + 1
    assert set(nodes) <= world.cluster.present
    assert (world.invocations > 1) is (seconds < 400)


def refuse_all(world: World, until: float) -> None:
    for node in world.nodes:
        world.cluster.refuse(node, until=until)


Trouble = Callable[[World], object]
NOT_BEGUN: dict[str, Trouble] = {
    "throttled": lambda world: world.hp.fail_next(
        "BatchDeleteClusterNodes", "ThrottlingException", times=3
    ),
    "conflict": lambda world: world.hp.fail_next(
        "BatchDeleteClusterNodes", "ConflictException", times=3
    ),
    "denied": lambda world: world.hp.fail_next("BatchDeleteClusterNodes", status=403, times=3),
    "busy cluster": lambda world: world.cluster.set_status(
        "Updating", until=world.clock.now() + 40
    ),
    "busy nodes": lambda world: refuse_all(world, world.clock.now() + 40),
}


@pytest.mark.parametrize("trouble", NOT_BEGUN.values(), ids=list(NOT_BEGUN))
@pytest.mark.parametrize("seconds", [900.0, 100.0])
def test_a_request_that_was_not_carried_out_has_not_begun_the_removal(
    world: World, trouble: Trouble, seconds: float
) -> None:
    nodes = world.nodes[:2]
    trouble(world)
    if seconds < 900:
        # What is known when one invocation hands over to the next is known to that, too.
        refuse_all(world, world.clock.now() + 120)
    spoil(world, 4 if seconds == 900 else 90)
    answer = world.send("Create", seconds=seconds, NodeIds=nodes, MinRemaining={"workers": "6"})
    assert refused(answer)
    assert len(world.cluster.present) == 8


def lost(world: World) -> None:
    world.hp.fail_next("BatchDeleteClusterNodes", status=503)


def partly_accepted(world: World) -> None:
    world.cluster.refuse(world.nodes[0], times=2)


@pytest.mark.parametrize("trouble", [lost, partly_accepted])
def test_what_may_have_begun_is_brought_to_its_end(world: World, trouble: Trouble) -> None:
    nodes = world.nodes[:2]
    trouble(world)
    spoil(world, 4)
    world.succeeds("Create", NodeIds=nodes, MinRemaining={"workers": "6"})
    assert world.cluster.present.isdisjoint(nodes)


@pytest.mark.parametrize(
    ("kind", "guards"),
    [("Create", {}), ("Create", {"MaxRemovals": "8"}), ("Update", {})],
    ids=["a fresh plan", "a fresh plan with guards", "an old plan without guards"],
)
def test_the_listing_of_the_plan_serves_as_the_one_before_the_first_request(
    world: World, kind: str, guards: dict[str, str]
) -> None:
    world.send(kind, NodeIds=world.nodes[:1], **guards)
    before = [name for name, _ in world.journal]
    before = before[: before.index("BatchDeleteClusterNodes")]
    assert before.count("ListClusterNodes") == 1


def test_a_guard_that_only_one_listing_breaks_is_met(world: World) -> None:
    """A listing is read page by page, and may lack a node once."""
    first, *_, last = world.nodes
    world.cluster.hide(last)
    world.succeeds("Create", NodeIds=[first], MinRemaining={"workers": "7"})


def test_a_look_at_the_stack_that_takes_long_is_followed_by_a_listing(world: World) -> None:
    world.before("DescribeStacks", lambda _: world.clock.sleep(6 if world.hp.calls else 0))
    spoil(world, 5)
    answer = world.send("Create", NodeIds=world.nodes[:1], MinRemaining={"workers": "7"})
    assert refused(answer)
    assert world.deletes == 0


# What they count -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["Failure", "ShuttingDown", "DetachInProgress"])
def test_a_node_that_failed_or_is_leaving_does_not_remain(world: World, status: str) -> None:
    first, *_, last = world.nodes
    world.cluster.set_node_status(last, status)
    answer = world.send("Create", NodeIds=[first], MinRemaining={"workers": "7"})
    assert refused(answer)
    assert "leaves 6, fewer than 7" in answer["Reason"]
    assert world.deletes == 0


@pytest.mark.parametrize("status", ["Pending", "SystemUpdating", "Reticulating"])
def test_a_node_in_any_other_status_remains(world: World, status: str) -> None:
    first, *_, last = world.nodes
    world.cluster.set_node_status(last, status)
    world.succeeds("Create", NodeIds=[first], MinRemaining={"workers": "7"})


def test_a_node_that_is_listed_on_two_pages_remains_once(world: World) -> None:
    def repeat(_: object, answer: dict[str, list[object]]) -> None:
        answer["ClusterNodeSummaries"].append(answer["ClusterNodeSummaries"][-1])

    world.after("ListClusterNodes", repeat)
    assert refused(world.send("Create", NodeIds=world.nodes[:1], MinRemaining={"workers": "8"}))
    assert world.deletes == 0


def test_a_node_without_an_instance_does_not_remain(world: World) -> None:
    cluster = world.make_cluster(8, continuous=True)
    cluster.add_pending("workers")
    assert refused(world.send("Create", NodeIds=world.nodes[:1], MinRemaining={"workers": "8"}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MinRemaining", ""),
        ("MinRemaining", []),
        ("MinRemaining", {}),
        ("MinRemaining", {"workers": ""}),
        ("MaxRemovals", ""),
        ("MaxRemovals", " "),
    ],
)
@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_an_empty_guard_is_not_ignored(world: World, kind: str, name: str, value: Any) -> None:
    reason = world.fails(kind, NodeIds=world.nodes[:1], **{name: value})
    assert reason.startswith(f"{name}: ")
    assert "allowed: " in reason
    assert world.hp.calls.total() == 0


# Copies of a request -------------------------------------------------------------------------


def first_copy(world: World, nodes: list[str], *, seconds: float) -> None:
    """What another copy of the request had done so many seconds ago."""
    world.hp.call("BatchDeleteClusterNodes", {"ClusterName": "ml-cluster", "NodeIds": nodes})
    world.clock.sleep(seconds)


@pytest.mark.parametrize("seconds", [0, 1, 20, 45])
@pytest.mark.parametrize(
    "guards",
    [
        {"MissingNodes": "FAIL"},
        {"MaxRemovals": "2"},
        {"MinRemaining": {"workers": "6"}},
        {"MissingNodes": "FAIL", "MaxRemovals": "2", "MinRemaining": {"workers": "6"}},
    ],
)
def test_a_second_copy_agrees_with_the_first_and_requests_nothing(
    world: World, guards: dict[str, Any], seconds: int
) -> None:
    world.shutdown_seconds = 60
    nodes = world.nodes[:2]
    first_copy(world, nodes[:1], seconds=30)
    first_copy(world, nodes[1:], seconds=seconds)
    assert (nodes[0] in world.cluster.present) == (seconds < 30)
    world.succeeds("Create", NodeIds=nodes, **guards)
    assert world.deletes == 2
    assert len(world.cluster.present) == 6


def test_a_second_copy_requests_no_more_than_the_guards_allow(world: World) -> None:
    nodes = world.nodes[:3]
    first_copy(world, nodes[:1], seconds=1)
    world.cluster.set_node_status(world.nodes[-1], "Failure")
    answer = world.send("Create", NodeIds=nodes, MinRemaining={"workers": "5"})
    assert refused(answer)
    assert world.deletes == 1


@pytest.mark.parametrize("seconds", [0, 50, 59])
def test_a_first_copy_that_lambda_kept_still_refuses_a_typo(world: World, seconds: int) -> None:
    nodes = [world.nodes[0], ABSENT]
    query = f"&Expires={int(world.clock.now()) - seconds + 7200}"
    reason = world.fails("Create", query=query, NodeIds=nodes, MissingNodes="FAIL")
    assert f"not in the cluster (MissingNodes): {ABSENT}" in reason
    assert world.deletes == 0


def test_where_every_look_at_the_stack_takes_long_nodes_are_removed(world: World) -> None:
    world.before("DescribeStacks", lambda _: world.clock.sleep(6))
    node = world.nodes[0]
    answer = world.send("Create", NodeIds=[node], MinRemaining={"workers": "7"})
    assert answer["Data"]["RemovedNodes"] == node


def test_a_node_that_turns_up_during_the_removal_does_not_escape_the_guards(world: World) -> None:
    there, late, *_ = world.nodes
    world.cluster.hide(late, listings=2)
    answer = world.send("Create", NodeIds=[there, late], MaxRemovals="1")
    assert answer["Status"] == "FAILED"
    assert f"Guarded: {late}" in answer["Reason"]
    assert late in world.cluster.present
    assert answer["Data"]["RemovedNodes"] == there
