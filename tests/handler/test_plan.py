"""The plan and dry runs: what is logged before anything happens, and that nothing is removed."""

import pytest

from tests.handler.world import World

ABSENT = "i-0123456789abcdef0"


@pytest.fixture(autouse=True)
def _with_controller(world: World) -> None:
    world.make_cluster({"head": 1, "workers": 8, "spare": 2}, "head")


def test_the_plan_is_in_the_log_before_anything_happens(world: World) -> None:
    (controller,), node = world.cluster.node_ids("head"), world.nodes[0]
    world.send("Create", NodeIds=[node, controller, ABSENT], MaxRemovals="0")
    assert [line for line in world.log.messages if line.startswith("Plan: ")] == [
        "Plan: ACTION          NODE                 GROUP    TYPE            STATUS   REASON",
        f"Plan: remove          {node}  workers  ml.p5.48xlarge  Running",
        (
            f"Plan: refused         {controller}  head     ml.p5.48xlarge  Running  ControllerNode:"
            " group head runs the Slurm controller, which cannot be removed"
        ),
        f"Plan: already absent  {ABSENT}",
        "Plan: workers: 8 nodes, 1 to remove, 7 remain",
    ]
    assert world.deletes == 0


def test_the_plan_of_3000_nodes_is_a_table_that_can_be_queried(world: World) -> None:
    cluster = world.make_cluster({"workers": 2995, "a-longer-name": 5})
    nodes = [*world.nodes[:1500], *cluster.node_ids("a-longer-name")[:2]]
    cluster.set_node_status(nodes[0], "SystemUpdating")
    world.send("Create", NodeIds=[*nodes, ABSENT], DryRun="true")
    header, *lines = [r for r in world.log.records if r.getMessage().startswith("Plan: ")]
    rows, groups = lines[:1503], lines[1503:]
    place = header.getMessage().index("STATUS")
    for row, node in zip(rows, nodes, strict=False):
        assert row.__dict__["action"] == "remove"
        assert row.__dict__["node"] == node
        assert row.getMessage()[place:] == row.__dict__["status"]
    assert rows[-1].__dict__["action"] == "already absent"
    assert [group.getMessage() for group in groups] == [
        "Plan: a-longer-name: 5 nodes, 2 to remove, 3 remain",
        "Plan: workers: 2995 nodes, 1500 to remove, 1495 remain",
    ]
    assert [group.__dict__["remaining"] for group in groups] == [3, 1495]


def test_the_plan_of_3000_nodes_takes_the_pages_of_one_listing(world: World) -> None:
    world.make_cluster(3000)
    world.send("Create", NodeIds=world.nodes, DryRun="true")
    assert world.hp.calls["ListClusterNodes"] == 30
    assert world.deletes == 0


def test_a_dry_run_reports_what_would_happen_and_removes_nothing(world: World) -> None:
    first, second, *_ = world.nodes
    answer = world.send("Create", NodeIds=[first, second, ABSENT], DryRun="true")
    data = answer["Data"]
    assert answer["Status"] == "SUCCESS"
    assert data["Outcome"] == "PLANNED"
    assert data["PlannedNodes"] == f"{first},{second}"
    assert data["PlannedCount"] == "2"
    assert data["AlreadyAbsentNodes"] == ABSENT
    assert data["RemovedCount"] == data["FailedCount"] == "0"
    assert world.log.messages[-1] == (
        "PLANNED: Dry run: 2 nodes of ml-cluster would be removed, 1 already absent; nothing was"
        " removed."
    )
    assert world.deletes == 0
    assert len(world.cluster.present) == 11


def test_a_dry_run_that_breaks_a_guard_fails(world: World) -> None:
    reason = world.fails("Create", NodeIds=world.nodes[:2], DryRun="true", MaxRemovals="1")
    assert "(MaxRemovals)" in reason
