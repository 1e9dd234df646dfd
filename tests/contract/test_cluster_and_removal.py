"""A cluster and its removals in one app, in the order that keeps healthy nodes and the opposite."""

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

NAME: Final = "name-of-the-stack"
"""Replaced by the name of a test's stack."""
Order = Callable[[CfnCluster], dict[str, Any]]


def removal_first(cluster: CfnCluster) -> dict[str, Any]:
    return {"cluster": cluster}


def cluster_first(cluster: CfnCluster) -> dict[str, Any]:
    return {"cluster_arn": cluster.attr_cluster_arn}


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The assembly with a stack for each order."""
    app = App(outdir=str(tmp_path_factory.mktemp("cdk.out")), analytics_reporting=False)
    for order in (removal_first, cluster_first):
        stack = Stack(app, order.__name__.replace("_", "-"))
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
        NodeRemoval(stack, "Faulty", **order(cluster))
    return Path(app.synth().directory)


class ClusterStack:
    """A stack with a cluster of workers and a removal from it."""

    def __init__(self, sandbox: Sandbox, assembly: Path, order: Order, name: str = "") -> None:
        self.sandbox = sandbox
        self.name = name or f"team-{uuid4().hex[:8]}"
        self.assembled = read_assembly(assembly, order.__name__.replace("_", "-"))

    def deploy(self, *faulty: str, workers: int) -> Deployment:
        template = json.loads(json.dumps(self.assembled.template).replace(NAME, self.name))
        resources = {
            one["Type"]: one.get("Properties", {}) for one in template["Resources"].values()
        }
        resources["AWS::SageMaker::Cluster"]["InstanceGroups"][0]["InstanceCount"] = workers
        resources[RESOURCE_TYPE] |= {"NodeLogicalIds": list(faulty)}
        return self.sandbox.deploy(self.name, template, assets=self.assembled.assets)

    @property
    def cluster(self) -> Cluster:
        return self.sandbox.hyperpod.cluster(self.name)

    @property
    def workers(self) -> tuple[str, ...]:
        return self.cluster.logical_ids("workers")

    @property
    def remaining(self) -> set[str]:
        """The workers that are not shutting down."""
        return {
            str(node.logical_id) for node in self.cluster.nodes if node.status != "ShuttingDown"
        }


@pytest.fixture
def fast_sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    monkeypatch.setattr(sandbox.hyperpod, "shutdown_seconds", 0.5)
    return sandbox


def test_the_safe_order_keeps_every_healthy_node(fast_sandbox: Sandbox, assembly: Path) -> None:
    stack = ClusterStack(fast_sandbox, assembly, removal_first)
    assert stack.deploy(workers=8).status == "CREATE_COMPLETE"
    faulty, healthy = stack.workers[:3], set(stack.workers[3:])
    # Even in one deployment: the count is lowered after the listed nodes are gone.
    assert stack.deploy(*faulty, workers=5).status == "UPDATE_COMPLETE"
    assert stack.remaining == healthy
    assert stack.cluster.target_counts == {"workers": 5}


def test_the_opposite_order_loses_healthy_nodes(fast_sandbox: Sandbox, assembly: Path) -> None:
    # The name is the seed of the random choice, which would hit the faulty nodes once in 56 times.
    stack = ClusterStack(fast_sandbox, assembly, cluster_first, name="team-in-the-other-order")
    stack.deploy(workers=8)
    faulty, healthy = stack.workers[:3], set(stack.workers[3:])
    assert stack.deploy(*faulty, workers=5).status == "UPDATE_COMPLETE"
    assert stack.remaining < healthy
    assert stack.cluster.target_counts["workers"] < 5


def test_a_count_that_is_not_written_back_adds_nodes(fast_sandbox: Sandbox, assembly: Path) -> None:
    stack = ClusterStack(fast_sandbox, assembly, removal_first)
    stack.deploy(workers=8)
    known = set(stack.workers)
    stack.deploy(*stack.workers[:3], workers=8)
    assert stack.cluster.target_counts == {"workers": 5}, "the cluster's resource did not change"
    stack.deploy(workers=9)
    assert len(stack.remaining - known) == 4


def test_a_failed_removal_leaves_the_cluster_resource_alone(
    fast_sandbox: Sandbox, assembly: Path
) -> None:
    stack = ClusterStack(fast_sandbox, assembly, removal_first)
    stack.deploy(workers=8)
    bad, good, *healthy = stack.workers
    stack.cluster.refuse(bad, "NotAllowed")
    failed = stack.deploy(bad, good, workers=6)
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.remaining == {bad, *healthy}, "only the node that could be removed is gone"
    assert not [e for e in failed.events if e.logical_id == "Cluster"], "its update has not begun"


def test_a_stack_with_a_cluster_and_a_removal_can_be_deleted(
    fast_sandbox: Sandbox, assembly: Path
) -> None:
    stack = ClusterStack(fast_sandbox, assembly, removal_first)
    stack.deploy(workers=8)
    stack.deploy(stack.workers[0], workers=8)
    assert fast_sandbox.delete(stack.name).status == "DELETE_COMPLETE"
    with pytest.raises(KeyError):
        _ = stack.cluster


def test_the_two_steps_of_the_example_keep_healthy_nodes(
    fast_sandbox: Sandbox, tmp_path: Path
) -> None:
    fast_sandbox.bootstrap()

    def deploy(**context: str) -> None:
        arguments = [x for pair in context.items() for x in ("-c", "=".join(pair))]
        fast_sandbox.cdk(
            *("deploy", "--strict", "--require-approval", "never"),
            *("--output", str(tmp_path / "out"), *arguments),
            cwd=EXAMPLE,
            check=True,
        )

    deploy()
    cluster = fast_sandbox.hyperpod.cluster("team-cluster")
    faulty, healthy = cluster.logical_ids("workers")[:3], cluster.logical_ids("workers")[3:]
    deploy(faulty=",".join(faulty))
    assert cluster.logical_ids("workers") == healthy
    counts = json.loads(fast_sandbox.outputs("TeamCluster")["InstanceGroupTargetCounts"])
    assert counts == {"workers": 5, "head": 1}
    (group,) = (
        event.physical_id
        for event in fast_sandbox.events("TeamCluster")
        if event.resource_type == "AWS::Logs::LogGroup" and event.status == "CREATE_COMPLETE"
    )
    shown = re.findall(r"```text\n *(.*?)\n", (EXAMPLE / "README.md").read_text())
    assert [
        line for line in shown if any(line in logged for logged in fast_sandbox.log_lines(group))
    ]
    deploy(worker_count=str(counts["workers"]))
    assert cluster.logical_ids("workers") == healthy
    assert cluster.target_counts == counts
