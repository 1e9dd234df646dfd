"""Guards and dry runs: what is refused, and that nothing was removed."""

import logging
from typing import Any

import pytest

from hyperpod_node_removal_contract import MissingNodes, PartialFailure
from hyperpod_node_removal_handler.request import Guards
from sandbox.hyperpod import Cluster
from tests.aws_transport import Parameters
from tests.handler.function import Function
from tests.handler.world import World

ABSENT = "i-0123456789abcdef0"


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"head": 1, "workers": 8, "spare": 2}, "head")


def refused(world: World, node_ids: tuple[str, ...], **guards: Any) -> str:
    """The reason for which the whole set is refused."""
    before = world.deletes
    report = world.report(node_ids, guards=Guards(**guards))
    assert report.status == "FAILED"
    assert report.data["RemovedCount"] == "0"
    assert world.deletes == before
    assert report.reason.startswith("Nothing was removed from ml-cluster: ")
    assert "Change the set, or the guard, in the template." in report.reason
    return report.reason


def test_nodes_that_must_remain(world: World, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")
    assert (
        "removing 6 of 8 nodes of group workers leaves 2, fewer than 4 (MinRemaining)."
        in refused(world, nodes[:6], min_remaining={"workers": 4})
    )
    report = world.report(nodes[:4], guards=Guards(min_remaining={"workers": 4}))
    assert report.status == "SUCCESS"


def test_however_many_guards_are_broken_a_node_has_a_short_line(
    world: World, cluster: Cluster
) -> None:
    groups = {f"group-that-is-not-there-{number}": 1 for number in range(100)}
    report = world.report(cluster.node_ids("workers"), guards=Guards(min_remaining=groups))
    assert report.status == "FAILED"
    assert max(len(line.text) for line in report.lines) < 600


def test_nodes_that_are_leaving_do_not_remain(world: World, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")
    world.remove(nodes[:3], seconds=1.0)
    assert "removing 2 of 5 nodes of group workers leaves 3" in refused(
        world, nodes[3:5], min_remaining={"workers": 4}
    )


@pytest.mark.parametrize("seconds", [900.0, 200.0])
def test_the_guards_hold_until_the_first_node_is_asked_for(
    function: Function, world: World, cluster: Cluster, seconds: float
) -> None:
    """The cluster is being changed for minutes, and by then its group is smaller, in the same
    invocation or the next one."""
    *nodes, lost, free = cluster.node_ids("workers")
    world.remove([lost])
    busy_until = world.clock.now() + 400
    cluster.set_status("Updating", until=busy_until)

    def shrink(_: Parameters) -> None:
        if world.clock.now() >= busy_until and world.deletes == before:
            request = {"ClusterName": "ml-cluster", "NodeIds": [free]}
            world.hp.call("BatchDeleteClusterNodes", request)

    before = world.deletes
    world.before("ListClusterNodes", shrink)
    answer = function.send(
        "Update", seconds=seconds, NodeIds=nodes[:3], MinRemaining={"workers": "4"}
    )
    assert answer["Status"] == "FAILED", answer["Reason"]
    assert "removing 3 of 6 nodes of group workers leaves 3, fewer than 4" in answer["Reason"]
    assert world.deletes == before + 1
    assert set(nodes) <= cluster.present
    assert (function.links > 1) is (seconds < 400)


def test_a_group_of_which_nothing_is_removed_may_have_too_few(
    world: World, cluster: Cluster
) -> None:
    node = cluster.node_ids("workers")[0]
    assert world.report([node], guards=Guards(min_remaining={"spare": 5})).status == "SUCCESS"


def test_most_nodes_of_one_run(world: World, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")
    sentence = refused(world, nodes[:3], max_removals=2)
    assert "removing 3 nodes is more than 2 (MaxRemovals)" in sentence
    assert world.report(nodes[:2], guards=Guards(max_removals=2)).status == "SUCCESS"
    # What is gone already does not count.
    assert world.report(nodes[:4], guards=Guards(max_removals=2)).status == "SUCCESS"


def test_protected_groups(world: World, cluster: Cluster) -> None:
    worker, spare = cluster.node_ids("workers")[0], cluster.node_ids("spare")[0]
    assert f"group spare is protected (ProtectedGroups): {spare}" in refused(
        world, (worker, spare), protected_groups=("spare",)
    )


def test_expected_groups(world: World, cluster: Cluster) -> None:
    worker, spare = cluster.node_ids("workers")[0], cluster.node_ids("spare")[0]
    assert f"group workers is not among spare (ExpectedGroups): {worker}" in refused(
        world, (worker, spare), expected_groups=("spare",)
    )


@pytest.mark.parametrize(
    "guards",
    [
        {"min_remaining": {"worker": 1}},
        {"protected_groups": ("worker",)},
        {"expected_groups": ("worker", "workers")},
    ],
)
def test_names_are_exact(world: World, cluster: Cluster, guards: dict[str, Any]) -> None:
    sentence = refused(world, cluster.node_ids("workers")[:1], **guards)
    assert "names group worker, but the cluster has head, spare, workers" in sentence


def test_a_missing_node_may_be_a_mistake(world: World, cluster: Cluster) -> None:
    node = cluster.node_ids("workers")[0]
    guards = {"missing_nodes": MissingNodes.FAIL}
    assert f"not in the cluster (MissingNodes): {ABSENT}" in refused(
        world, (node, ABSENT), **guards
    )
    report = world.report([ABSENT], guards=Guards(missing_nodes=MissingNodes.FAIL))
    assert report.status == "FAILED"
    assert report.reason.startswith("Nothing was removed from ml-cluster: not in the cluster")


def test_every_broken_guard_is_told(world: World, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")
    sentence = refused(world, nodes, min_remaining={"workers": 1}, max_removals=3)
    assert "MinRemaining" in sentence
    assert "MaxRemovals" in sentence


def test_report_does_not_make_a_broken_guard_a_success(world: World, cluster: Cluster) -> None:
    node = cluster.node_ids("workers")[0]
    report = world.report(
        [node, ABSENT],
        guards=Guards(max_removals=0),
        on_partial_failure=PartialFailure.REPORT,
    )
    assert report.status == "FAILED"


def test_the_plan_is_in_the_log_before_anything_happens(
    world: World, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (controller,) = cluster.node_ids("head")
    node = cluster.node_ids("workers")[0]
    world.report([node, controller, ABSENT], guards=Guards(max_removals=0))
    plan = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Plan: ")]
    assert plan == [
        "Plan: ACTION          NODE                 GROUP    TYPE            STATUS   REASON",
        f"Plan: remove          {node}  workers  ml.p5.48xlarge  Running",
        (
            f"Plan: refused         {controller}  head     ml.p5.48xlarge  Running  ControllerNode:"
            " group head runs the Slurm controller, which cannot be removed"
        ),
        f"Plan: already absent  {ABSENT}",
        "Plan: workers: 8 nodes, 1 to remove, 7 remain",
    ]


def test_the_plan_is_a_table_that_can_be_queried(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 3000, "a-longer-name": 5})
    nodes = cluster.node_ids("workers")[:1500] + cluster.node_ids("a-longer-name")[:2]
    cluster.set_node_status(nodes[0], "SystemUpdating")
    world.remove([*nodes, ABSENT], is_dry_run=True)
    header, *lines = [r for r in caplog.records if r.getMessage().startswith("Plan: ")]
    rows, groups = lines[:1503], lines[1503:]
    place = header.getMessage().index("STATUS")
    for row, node in zip(rows, nodes, strict=False):
        assert row.__dict__["action"] == "remove"
        assert row.__dict__["node"] == node
        assert row.getMessage()[place:] == row.__dict__["status"]
    assert rows[-1].__dict__["action"] == "already absent"
    assert [group.getMessage() for group in groups] == [
        "Plan: a-longer-name: 5 nodes, 2 to remove, 3 remain",
        "Plan: workers: 3000 nodes, 1500 to remove, 1500 remain",
    ]
    assert [group.__dict__["remaining"] for group in groups] == [3, 1500]


def test_a_dry_run_tells_what_would_happen_and_removes_nothing(
    world: World, cluster: Cluster
) -> None:
    first, second, *_ = cluster.node_ids("workers")
    report = world.report([first, second, ABSENT], is_dry_run=True)
    assert report.status == "SUCCESS"
    assert report.data["Outcome"] == "PLANNED"
    assert report.data["PlannedNodes"] == f"{first},{second}"
    assert report.data["PlannedCount"] == "2"
    assert report.data["AlreadyAbsentNodes"] == ABSENT
    assert report.data["RemovedCount"] == report.data["FailedCount"] == "0"
    assert report.lines[-1].text == (
        "PLANNED: Dry run: 2 nodes of ml-cluster would be removed, 1 already absent; nothing was"
        " removed."
    )
    assert world.deletes == 0
    assert len(cluster.present) == 11


def test_a_dry_run_that_breaks_a_guard_fails(world: World, cluster: Cluster) -> None:
    report = world.report(
        cluster.node_ids("workers")[:2], is_dry_run=True, guards=Guards(max_removals=1)
    )
    assert report.status == "FAILED"


def test_a_dry_run_of_a_cluster_that_does_not_exist_fails(world: World) -> None:
    report = world.report([ABSENT], is_dry_run=True, cluster="no-such-cluster")
    assert report.status == "FAILED"
    assert "was not found" in report.reason


def test_the_plan_of_3000_nodes_takes_a_list_of_pages_and_nothing_more(world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 3000})
    world.remove(cluster.node_ids("workers"), is_dry_run=True)
    assert world.hp.calls["ListClusterNodes"] == 30
    assert world.deletes == 0


def test_guards_as_they_arrive_on_the_wire(function: Function, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")
    answer = function.send(
        "Create",
        NodeIds=list(nodes[:6]),
        MinRemaining={"workers": "4"},
        MaxRemovals="8",
        ProtectedGroups="head,spare",
        ExpectedGroups=["workers"],
        MissingNodes="FAIL",
        DryRun="false",
    )
    assert answer["Status"] == "FAILED"
    assert "removing 6 of 8 nodes of group workers leaves 2, fewer than 4" in answer["Reason"]


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"MinRemaining": "workers=4"}, "is not a map of names to numbers"),
        ({"MinRemaining": {"wor_kers": "4"}}, "'wor_kers' is not the name of an instance group"),
        ({"MinRemaining": {"workers": "some"}}, "'some' is not a whole number; allowed: 0 to 6758"),
        ({"MaxRemovals": "6759"}, "'6759' is out of range; allowed: 0 to 6758 nodes"),
        ({"MissingNodes": "IGNORE"}, "'IGNORE' is unknown; allowed: ACCEPT or FAIL"),
        ({"DryRun": "perhaps"}, "'perhaps' is unknown; allowed: true or false"),
        ({"ProtectedGroups": ["work*"]}, "'work*' is not the name of an instance group"),
    ],
)
def test_a_bad_guard_is_named_with_what_is_allowed(
    function: Function, properties: dict[str, Any], sentence: str
) -> None:
    answer = function.send("Create", NodeIds=[ABSENT], **properties)
    assert answer["Status"] == "FAILED"
    assert sentence in answer["Reason"]
    assert function.calls == 0
