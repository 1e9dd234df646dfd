"""Warnings of what may bring nodes back: in the log before the removal, in the attributes after."""

import logging

import pytest

from tests.handler.world import World

ABSENT = "i-0123456789abcdef0"
KARPENTER = "Karpenter scales this cluster and may add nodes to {group} again for pending pods, up"


def warnings(world: World) -> list[str]:
    """Return the warnings of the log."""
    return [r.getMessage() for r in world.log.records if r.levelno == logging.WARNING]


def attribute(world: World, node_ids: list[str], **more: str) -> str:
    """Return the warnings in the attributes of a removal."""
    answer = world.send("Create", NodeIds=node_ids, **more)
    assert answer["Status"] == "SUCCESS"
    return str(answer["Data"]["Warnings"])


@pytest.mark.parametrize("dry_run", ["false", "true"])
def test_a_group_that_karpenter_scales_may_get_new_nodes(world: World, dry_run: str) -> None:
    world.make_cluster({"workers": 8, "spare": 2}, autoscaler="Karpenter")
    expected = KARPENTER.format(group="workers") + " to the limits of its node pools."
    assert attribute(world, [*world.nodes[:2], ABSENT], DryRun=dry_run) == expected
    assert warnings(world) == [expected]


def test_a_set_that_removes_nothing_has_no_warning(world: World) -> None:
    world.make_cluster(8, autoscaler="Karpenter")
    assert attribute(world, [ABSENT]) == ""


def test_a_healthy_node_is_not_replaced(world: World) -> None:
    assert attribute(world, world.nodes[:1]) == ""
    assert warnings(world) == []


@pytest.mark.parametrize("node_recovery", ["Automatic", "None"])
def test_a_faulty_node_may_get_another_instance(world: World, node_recovery: str) -> None:
    world.make_cluster(8, node_recovery=node_recovery, continuous=True)
    faulty = world.nodes[0]
    world.cluster.set_node_status(faulty, "Failure")
    assert attribute(world, [faulty]) == "", "it was removed: no reason to worry"
    is_logged = any(faulty in warning for warning in warnings(world))
    assert is_logged is (node_recovery == "Automatic")


def test_a_faulty_node_that_is_named_by_its_logical_id_stays_the_same(world: World) -> None:
    world.make_cluster(8, continuous=True)
    logical_id = world.logical_ids[0]
    world.cluster.set_node_status(logical_id, "Failure")
    assert world.send("Create", NodeLogicalIds=[logical_id])["Data"]["Warnings"] == ""
    assert warnings(world) == []


def test_a_node_that_was_replaced_before_it_was_requested_is_absent(world: World) -> None:
    cluster = world.make_cluster(8, continuous=True)
    stale, other = world.nodes[:2]

    def recover(_: object) -> None:
        if not world.deletes:
            cluster.replace_instance(stale)

    world.before("BatchDeleteClusterNodes", recover)
    data = world.succeeds("Create", NodeIds=[stale, other])
    assert data["AlreadyAbsentNodes"] == stale
    assert data["RemovedNodes"] == other
    assert data["Warnings"] == (
        "Automatic node recovery may replace a node with another instance (and instance id) before"
        f" it is removed: {stale}. Logical ids do not change."
    )
    assert len(cluster.present) == 7


def test_many_names_are_cut(world: World) -> None:
    groups = {f"group-{number:02}": 1 for number in range(40)}
    cluster = world.make_cluster(groups, autoscaler="Karpenter")
    names = "group-00, group-01, group-02, group-03, group-04, +35 more"
    told = attribute(world, sorted(cluster.present), DryRun="true")
    assert KARPENTER.format(group=names) in told


def test_the_warning_survives_a_hand_over(world: World) -> None:
    world.make_cluster(8, autoscaler="Karpenter", shutdown_seconds=1500)
    told = attribute(world, world.nodes[:1], ServiceTimeout="3600")
    assert world.invocations > 1
    assert KARPENTER.format(group="workers") in told
