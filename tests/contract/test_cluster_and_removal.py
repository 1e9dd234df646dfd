"""The cluster and its removals in one app: the order that keeps healthy nodes, and its opposite."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from aws_cdk import App, Stack
from aws_cdk.aws_sagemaker import CfnCluster

from hyperpod_node_removal import NodeRemoval
from hyperpod_node_removal_contract import RESOURCE_TYPE
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.project import ROOT
from sandbox.stacks import Deployment, read_assembly

EXAMPLE: Final = ROOT / "examples" / "cluster_and_removal"
ROLE: Final = "arn:aws:iam::111122223333:role/HyperPodInstances"

NAME: Final = "name-of-the-team"
Way = Callable[[CfnCluster], dict[str, Any]]


def before_the_cluster(cluster: CfnCluster) -> dict[str, Any]:
    return {"cluster": cluster}


def after_the_cluster(cluster: CfnCluster) -> dict[str, Any]:
    return {"cluster_arn": cluster.attr_cluster_arn}


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack for each way to name the cluster, to which each test gives a name of its own."""
    app = App(outdir=str(tmp_path_factory.mktemp("cdk.out")), analytics_reporting=False)
    for way in (before_the_cluster, after_the_cluster):
        stack = Stack(app, way.__name__.replace("_", "-"))
        cluster = CfnCluster(
            stack,
            "Cluster",
            cluster_name=NAME,
            node_provisioning_mode="Continuous",
            instance_groups=[
                CfnCluster.ClusterInstanceGroupProperty(
                    instance_group_name="workers",
                    instance_type="ml.p5.48xlarge",
                    instance_count=8,
                    execution_role=ROLE,
                )
            ],
        )
        NodeRemoval(stack, "Faulty", **way(cluster))
    return Path(app.synth().directory)


class Team:
    """A stack with a cluster of workers and a removal from it."""

    def __init__(self, sandbox: Sandbox, assembly: Path, way: Way, name: str = "") -> None:
        self.sandbox = sandbox
        self.name = name or f"team-{uuid4().hex[:8]}"
        self.stack = read_assembly(assembly, way.__name__.replace("_", "-"))

    def deploy(self, *faulty: str, workers: int) -> Deployment:
        template = json.loads(json.dumps(self.stack.template).replace(NAME, self.name))
        resources = {
            one["Type"]: one.get("Properties", {}) for one in template["Resources"].values()
        }
        resources["AWS::SageMaker::Cluster"]["InstanceGroups"][0]["InstanceCount"] = workers
        resources[RESOURCE_TYPE] |= {"NodeLogicalIds": list(faulty)}
        return self.sandbox.deploy(self.name, template, assets=self.stack.assets)

    @property
    def cluster(self) -> Cluster:
        return self.sandbox.hyperpod.cluster(self.name)

    @property
    def workers(self) -> tuple[str, ...]:
        return self.cluster.logical_ids("workers")

    @property
    def staying(self) -> set[str]:
        """Workers that are not on their way out."""
        return {
            str(node.logical_id) for node in self.cluster.nodes if node.status != "ShuttingDown"
        }


@pytest.fixture
def quick(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    monkeypatch.setattr(sandbox.hyperpod, "shutdown_seconds", 0.5)
    return sandbox


def test_the_safe_order_keeps_every_healthy_node(quick: Sandbox, assembly: Path) -> None:
    team = Team(quick, assembly, before_the_cluster)
    assert team.deploy(workers=8).status == "CREATE_COMPLETE"
    faulty, healthy = team.workers[:3], set(team.workers[3:])
    # Even both at once: the count is lowered when the named nodes are gone.
    assert team.deploy(*faulty, workers=5).status == "UPDATE_COMPLETE"
    assert team.staying == healthy
    assert team.cluster.target_counts == {"workers": 5}


def test_the_other_order_loses_healthy_nodes(quick: Sandbox, assembly: Path) -> None:
    # The name seeds what is removed at random: once in 56 times it would be the faulty ones.
    team = Team(quick, assembly, after_the_cluster, name="team-in-the-other-order")
    team.deploy(workers=8)
    faulty, healthy = team.workers[:3], set(team.workers[3:])
    assert team.deploy(*faulty, workers=5).status == "UPDATE_COMPLETE"
    assert team.staying < healthy
    assert team.cluster.target_counts["workers"] < 5


def test_counts_that_are_not_written_back_bring_new_nodes(quick: Sandbox, assembly: Path) -> None:
    team = Team(quick, assembly, before_the_cluster)
    team.deploy(workers=8)
    known = set(team.workers)
    team.deploy(*team.workers[:3], workers=8)
    assert team.cluster.target_counts == {"workers": 5}, "nothing changed the cluster's resource"
    team.deploy(workers=9)
    assert len(team.staying - known) == 4


def test_a_removal_that_fails_leaves_the_cluster_resource_alone(
    quick: Sandbox, assembly: Path
) -> None:
    team = Team(quick, assembly, before_the_cluster)
    team.deploy(workers=8)
    bad, good, *healthy = team.workers
    team.cluster.refuse(bad, "NotAllowed")
    failed = team.deploy(bad, good, workers=6)
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    assert team.staying == {bad, *healthy}, "only the node that could be removed has gone"
    assert not [e for e in failed.events if e.logical_id == "Cluster"], "it was not its turn yet"


def test_a_stack_with_both_is_deleted(quick: Sandbox, assembly: Path) -> None:
    team = Team(quick, assembly, before_the_cluster)
    team.deploy(workers=8)
    team.deploy(team.workers[0], workers=8)
    assert quick.delete(team.name).status == "DELETE_COMPLETE"
    with pytest.raises(KeyError):
        _ = team.cluster


def test_the_example_in_two_steps_with_the_cdk_cli(quick: Sandbox, tmp_path: Path) -> None:
    quick.bootstrap()

    def deploy(**context: str) -> None:
        arguments = [x for pair in context.items() for x in ("-c", "=".join(pair))]
        quick.cdk(
            *("deploy", "--strict", "--require-approval", "never"),
            *("--output", str(tmp_path / "out"), *arguments),
            cwd=EXAMPLE,
            check=True,
        )

    deploy()
    cluster = quick.hyperpod.cluster("team-cluster")
    faulty, healthy = cluster.logical_ids("workers")[:3], cluster.logical_ids("workers")[3:]
    deploy(faulty=",".join(faulty))
    assert cluster.logical_ids("workers") == healthy
    counts = json.loads(quick.outputs("TeamCluster")["InstanceGroupTargetCounts"])
    assert counts == {"workers": 5, "head": 1}
    (group,) = (
        event.physical_id
        for event in quick.events("TeamCluster")
        if event.resource_type == "AWS::Logs::LogGroup" and event.status == "CREATE_COMPLETE"
    )
    shown = re.findall(r"```text\n *(.*?)\n", (EXAMPLE / "README.md").read_text())
    assert [line for line in shown if any(line in told for told in quick.log_lines(group))]
    deploy(worker_count=str(counts["workers"]))
    assert cluster.logical_ids("workers") == healthy
    assert cluster.target_counts == counts
