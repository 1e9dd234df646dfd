"""An Update that changes settings only: neither the cluster, the ids, DryRun nor RetryToken."""

from typing import Any

import pytest

from tests.handler.world import World

GONE = "i-0123456789abcdef0"
SETTINGS: list[dict[str, Any]] = [
    {"RetryFor": "60"},
    {"ServiceTimeout": "1800"},
    {"WaitFor": "ACCEPTED"},
    {"MissingNodes": "FAIL"},
    {"MaxRemovals": "1"},
    {"MinRemaining": {"workers": "1"}},
    {"ProtectedGroups": ["other"]},
    {"BeforeRemoval": "arn:aws:lambda:us-east-1:123456789012:function:drain:live"},
    {"ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:newer"},
]


@pytest.fixture(autouse=True)
def _continuous(world: World) -> None:
    world.make_cluster({"workers": 8, "other": 1}, continuous=True)


def update(world: World, old: dict[str, Any], new: dict[str, Any], **more: Any) -> Any:
    """Return the reply to an Update from `old` to `new`, both of `ml-cluster`."""
    return world.send("Update", old=old, **new, **more)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda one: next(iter(one)))
@pytest.mark.parametrize("policy", ["FAIL", "REPORT"])
@pytest.mark.parametrize("is_deleted", [False, True], ids=["nodes gone", "cluster deleted"])
def test_a_removal_that_was_done_long_ago_does_not_fail(
    world: World, settings: dict[str, Any], policy: str, is_deleted: bool
) -> None:
    if is_deleted:
        world.cluster.delete()
    old = {"NodeIds": [GONE], "NodeLogicalIds": ["gone-1"], "OnPartialFailure": policy}
    answer = update(world, old, old | settings)
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "COMPLETE")
    assert answer["Data"]["AlreadyAbsentCount"] == "2"
    assert world.deletes == 0


def test_under_fail_instance_ids_converge(world: World) -> None:
    node = world.nodes[0]
    answer = update(world, {"NodeIds": [node, GONE]}, {"NodeIds": [node, GONE], "RetryFor": "9"})
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RemovedCount"] == answer["Data"]["AlreadyAbsentCount"] == "1"
    assert node not in world.cluster.present


def test_under_fail_a_logical_id_that_is_listed_again_is_only_reported(world: World) -> None:
    node, logical = world.nodes[0], world.logical_ids[1]
    old = {"NodeIds": [node], "NodeLogicalIds": [logical]}
    answer = update(world, old, old | {"RetryFor": "60"})
    assert answer["Status"] == "FAILED"
    assert f"NotRequestedAgain: {logical}" in answer["Reason"]
    assert "Change RetryToken" in answer["Reason"]
    assert [(r.node_ids, r.logical_ids) for r in world.hp.delete_requests] == [((node,), ())]


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_node_named_by_both_ids_converges_by_instance_id(world: World, is_replaced: bool) -> None:
    node_id, logical_id = world.nodes[0], world.logical_ids[0]
    old = {"NodeIds": [node_id], "NodeLogicalIds": [logical_id]}
    new = world.cluster.replace_instance(node_id) if is_replaced else node_id
    answer = update(world, old, old | {"RetryFor": "60"})
    assert answer["Status"] == ("FAILED" if is_replaced else "SUCCESS")
    assert (new in world.cluster.present) is is_replaced, "the new instance is left alone"
    assert world.deletes == (not is_replaced)


@pytest.mark.parametrize("is_alone", [True, False])
def test_under_report_what_is_present_is_only_reported(world: World, is_alone: bool) -> None:
    nodes = [*world.nodes[:2], *([] if is_alone else [GONE])]
    old = {"NodeIds": nodes, "OnPartialFailure": "REPORT"}
    answer = update(world, old, old | {"RetryFor": "60"})
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "PARTIAL")
    assert answer["Data"]["FailedCount"] == "2"
    assert all(node in answer["Data"]["Warnings"] for node in nodes[:2])
    assert "RetryToken" in answer["Data"]["Warnings"]
    assert world.deletes == 0


@pytest.mark.parametrize(("old", "new"), [("FAIL", "REPORT"), ("REPORT", "FAIL")])
def test_the_new_policy_decides(world: World, old: str, new: str) -> None:
    node = world.nodes[0]
    nodes = {"NodeIds": [node]}
    answer = update(world, nodes | {"OnPartialFailure": old}, nodes | {"OnPartialFailure": new})
    assert answer["Status"] == "SUCCESS"
    assert (node in world.cluster.present) == (new == "REPORT")


@pytest.mark.parametrize("policy", ["FAIL", "REPORT"])
def test_an_update_without_changes_repeats_a_failed_attempt(world: World, policy: str) -> None:
    node, logical = world.nodes[0], world.logical_ids[1]
    same = {"NodeIds": [node], "NodeLogicalIds": [logical], "OnPartialFailure": policy}
    answer = update(world, same, same)
    assert answer["Data"]["RemovedCount"] == "2"


def test_an_update_without_changes_keeps_its_guards(world: World) -> None:
    same = {"NodeIds": [GONE], "MissingNodes": "FAIL"}
    assert update(world, same, same)["Status"] == "FAILED"


@pytest.mark.parametrize(
    "change",
    [
        {"NodeIds": ["added"]},
        {"NodeLogicalIds": ["added"]},
        {"RetryToken": "again"},
        {"DryRun": "false"},
    ],
    ids=lambda one: next(iter(one)),
)
@pytest.mark.parametrize("policy", ["FAIL", "REPORT"])
def test_after_a_change_of_what_to_remove_the_whole_set_is_requested(
    world: World, change: dict[str, Any], policy: str
) -> None:
    node, other = world.nodes[:2]
    logical, another = world.logical_ids[2:4]
    old: dict[str, Any] = {
        "NodeIds": [node],
        "NodeLogicalIds": [logical],
        "OnPartialFailure": policy,
        "DryRun": str("DryRun" in change).lower(),
    }
    added = {"NodeIds": [node, other], "NodeLogicalIds": [logical, another]}
    new = old | change
    new |= {name: added[name] for name in change if name in added}
    answer = update(world, old, new)
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RemovedCount"] == ("3" if change.keys() & added.keys() else "2")
    assert node not in world.cluster.present


def test_of_another_cluster_the_whole_set_is_requested(world: World) -> None:
    other = world.hp.create_cluster("other", {"workers": 2}, continuous=True, seed=3)
    ids = {"NodeLogicalIds": [other.logical_ids("workers")[0]]}
    assert world.send("Update", old=ids, **ids, ClusterName="other")["Data"]["RemovedCount"] == "1"


@pytest.mark.parametrize(
    "old",
    [
        lambda ids: {"NodeLogicalIds": ",".join(ids)},
        lambda ids: {"NodeLogicalIds": [*reversed(ids), ids[0], ""]},
        lambda ids: {"NodeLogicalIds": ids, "DryRun": "False", "NodeIds": ""},
        lambda ids: {"NodeLogicalIds": ids, "RetryToken": "", "NodeIds": []},
        lambda ids: {"NodeLogicalIds": ids, "NoLongerKnown": "of an older version"},
        lambda ids: {"NodeLogicalIds": ids, "RetryFor": "not a number"},
    ],
    ids=["one text", "another order", "defaults", "empty", "unknown property", "invalid setting"],
)
def test_the_same_set_in_other_words_is_no_change(world: World, old: Any) -> None:
    ids = world.logical_ids[:2]
    answer = update(world, old(ids), {"NodeLogicalIds": ids, "RetryFor": "60"})
    assert answer["Status"] == "FAILED"
    assert "NotRequestedAgain" in answer["Reason"]
    assert world.deletes == 0


def test_what_an_update_changes_is_known_to_every_invocation_of_it(world: World) -> None:
    node, logical = world.nodes[0], world.logical_ids[1]
    world.cluster.refuse(node, until=world.clock.now() + 250)
    # It is listed again only when the first invocation is over.
    world.cluster.hide(logical, 40)
    old = {"NodeIds": [node], "NodeLogicalIds": [logical]}
    answer = update(world, old, old | {"RetryFor": "1200"}, seconds=200.0)
    assert world.invocations > 1
    assert [r.logical_ids for r in world.hp.delete_requests if r.logical_ids] == []
    assert node not in world.cluster.present
    assert answer["Data"]["RemovedCount"] == "1" or answer["Status"] == "FAILED"


@pytest.mark.parametrize("policy", ["FAIL", "REPORT"])
def test_a_dry_run_of_settings_only_plans_what_would_be_done(world: World, policy: str) -> None:
    node = world.nodes[0]
    old = {"NodeIds": [node], "DryRun": "true", "OnPartialFailure": policy}
    answer = update(world, old, old | {"RetryFor": "60"})
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "PLANNED")
    assert world.deletes == 0


@pytest.mark.parametrize("ids", [5, 1.5, True, None, {"a": 1}, [[1, {}], None]], ids=repr)
def test_old_properties_that_are_no_lists_do_not_fail_a_rollback(world: World, ids: object) -> None:
    world.shows((0, "UPDATE_ROLLBACK_IN_PROGRESS"))
    answer = update(world, {"NodeIds": ids, "NodeLogicalIds": ids}, {"NodeIds": [GONE]})
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "ROLLED_BACK")
