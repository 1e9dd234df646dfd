"""What may bring nodes back is told: in the log before the removal, in the attributes after it."""

import logging
from typing import Any

import pytest

from sandbox.hyperpod import Cluster
from tests.aws_transport import Parameters
from tests.handler.world import World

ABSENT = "i-0123456789abcdef0"


def cluster(world: World, **more: Any) -> Cluster:
    return world.make_cluster({"workers": 8, "spare": 2}, **more)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_a_group_that_karpenter_scales(world: World) -> None:
    nodes = cluster(world, autoscaler="Karpenter").node_ids("workers")
    report = world.report([nodes[0], nodes[1], ABSENT])
    assert report.data["Warnings"] == (
        "Karpenter scales this cluster and may add nodes to workers again for pending pods, up"
        " to the limits of its node pools."
    )
    assert warnings(world.log) == [report.data["Warnings"]]


def test_a_set_that_removes_nothing_is_not_warned_of(world: World) -> None:
    cluster(world, autoscaler="Karpenter")
    assert world.report([ABSENT]).data["Warnings"] == ""


def test_a_dry_run_warns_too(world: World) -> None:
    node = cluster(world, autoscaler="Karpenter").node_ids("spare")[0]
    assert "add nodes to spare again" in world.report([node], is_dry_run=True).data["Warnings"]


def test_a_healthy_node_is_not_replaced(world: World) -> None:
    node = cluster(world).node_ids("workers")[0]
    assert world.report([node]).data["Warnings"] == ""
    assert warnings(world.log) == []


@pytest.mark.parametrize(("node_recovery", "told"), [("Automatic", True), ("None", False)])
def test_a_faulty_node_may_get_another_instance(
    world: World, node_recovery: str, told: bool
) -> None:
    made = cluster(world, node_recovery=node_recovery, continuous=True)
    faulty = made.node_ids("workers")[0]
    made.set_node_status(faulty, "Failure")
    assert world.report([faulty]).data["Warnings"] == "", "it was removed: no reason to worry"
    assert any(faulty in warning for warning in warnings(world.log)) == told


def test_a_faulty_node_that_is_named_by_its_logical_id_stays_the_same(world: World) -> None:
    made = cluster(world, continuous=True)
    logical_id = made.logical_ids("workers")[0]
    made.set_node_status(logical_id, "Failure")
    assert world.report([], [logical_id]).data["Warnings"] == ""
    assert warnings(world.log) == []


def test_a_node_that_was_replaced_before_it_was_asked_for(world: World) -> None:
    made = cluster(world, continuous=True)
    stale, other = made.node_ids("workers")[:2]

    def recover(_: Parameters) -> None:
        if not world.deletes:
            made.replace_instance(stale)

    world.before("BatchDeleteClusterNodes", recover)
    report = world.report([stale, other])
    assert report.status == "SUCCESS"
    assert report.data["AlreadyAbsentNodes"] == stale
    assert report.data["Warnings"] == (
        "Automatic node recovery may replace a node with another instance (and instance id) before"
        f" it is removed: {stale}. Logical ids do not change."
    )
    assert len(made.present) == 9


def test_an_instance_that_an_earlier_run_removed_is_no_reason_to_warn(world: World) -> None:
    node = cluster(world).node_ids("workers")[0]
    world.remove([node])
    again = world.report([node])
    assert again.data["AlreadyAbsentNodes"] == node
    assert again.data["Warnings"] == ""


def test_many_names_are_cut(world: World) -> None:
    world.hp.create_cluster(
        "ml-cluster", {f"group-{n:02}": 1 for n in range(40)}, autoscaler="Karpenter"
    )
    ids = world.hp.call("ListClusterNodes", {"ClusterName": "ml-cluster"})["ClusterNodeSummaries"]
    told = world.report([node["InstanceId"] for node in ids], is_dry_run=True).data["Warnings"]
    assert "group-00, group-01, group-02, group-03, group-04, +35 more again" in told


def test_the_warning_survives_a_hand_over(world: World) -> None:
    made = cluster(world, autoscaler="Karpenter", shutdown_seconds=1500)
    answer = world.send("Create", NodeIds=[made.node_ids("workers")[0]], ServiceTimeout="3600")
    assert world.invocations > 1
    assert answer["Status"] == "SUCCESS"
    assert "Karpenter scales this cluster" in answer["Data"]["Warnings"]
