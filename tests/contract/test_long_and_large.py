"""A removal of many nodes, and one longer than an invocation, in the sandbox on real parts."""

import math
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aws_cdk import App, CfnOutput, Duration, Stack

from hyperpod_node_removal import NodeRemoval
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster, HyperPod
from sandbox.stacks import AssembledStack, read_assembly
from tests.contract.lifecycle import log_lines, reason

NODES = 3000
REFUSED = 200


def synthesized(directory: Path, cluster: Cluster, nodes: tuple[str, ...]) -> AssembledStack:
    app = App(outdir=str(directory))
    stack = Stack(app, "Removal")
    removal = NodeRemoval(
        stack,
        "Nodes",
        cluster_arn=cluster.arn,
        node_ids=nodes,
        retry_for=Duration.seconds(5),
    )
    CfnOutput(stack, "Outcome", value=removal.outcome)
    CfnOutput(stack, "RemovedCount", value=removal.removed_count)
    app.synth()
    return read_assembly(directory, "Removal")


@pytest.fixture
def alone() -> Any:
    """A sandbox whose calls are counted for one test."""
    with Sandbox(HyperPod(account="000000000000")) as sandbox:
        yield sandbox


def test_3000_nodes_go_with_the_fewest_calls(alone: Sandbox, tmp_path: Path) -> None:
    cluster = alone.hyperpod.create_cluster(
        "large", {"workers": NODES + 100}, shutdown_seconds=(1.0, 4.0)
    )
    nodes = cluster.node_ids("workers")
    stack = synthesized(tmp_path, cluster, nodes[:NODES])
    deployment = alone.deploy("large", stack.template, assets=stack.assets)
    assert deployment.status == "CREATE_COMPLETE", deployment.failures()
    assert deployment.outputs == {"Outcome": "COMPLETE", "RemovedCount": str(NODES)}
    assert cluster.present == set(nodes[NODES:])
    assert alone.hyperpod.calls["BatchDeleteClusterNodes"] == math.ceil(NODES / 99)
    pages = math.ceil((NODES + 100) / 100)
    # The first listing is whole, later ones shrink; absence in many pages is seen twice.
    assert alone.hyperpod.calls["ListClusterNodes"] <= pages * 6
    assert alone.hyperpod.calls["DescribeCluster"] == 2


def test_200_of_3000_nodes_that_refuse_are_counted_and_logged(
    alone: Sandbox, tmp_path: Path
) -> None:
    cluster = alone.hyperpod.create_cluster("large", {"workers": NODES}, shutdown_seconds=1.0)
    nodes = cluster.node_ids("workers")
    refused = nodes[::15]
    assert len(refused) == REFUSED
    for node in refused:
        cluster.refuse(node)
    stack = synthesized(tmp_path, cluster, nodes)
    deployment = alone.deploy("large", stack.template, assets=stack.assets)
    assert deployment.status == "ROLLBACK_COMPLETE"
    told = reason(deployment, "CREATE_FAILED")
    assert "200 of 3000 nodes not removed from large (2800 removed). NodeIdInUse: " in told
    assert f"{refused[0]}, {refused[1]}" in told
    assert " more." in told
    assert "CloudWatch Log Stream: " in told
    assert cluster.present == set(refused)
    lines = log_lines(alone, deployment)
    failures = [line for line in lines if "not removed: NodeIdInUse" in line]
    assert len(failures) == REFUSED
    assert len(lines) < 2 * NODES + 60, "a line of the plan and one of the outcome for each node"
    # One request in which all are refused is enough for each further try.
    tries = alone.hyperpod.calls["BatchDeleteClusterNodes"] - math.ceil(NODES / 99)
    assert tries <= 3 * math.ceil(REFUSED / 99) + 2 * 110


def test_a_removal_longer_than_an_invocation_is_handed_over(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """With an invocation of 20 seconds, of which 3 are for the removal itself."""
    name = f"long-{uuid4().hex[:8]}"
    cluster = sandbox.hyperpod.create_cluster(name, {"workers": 4}, shutdown_seconds=9.0)
    first, second, *others = cluster.node_ids("workers")
    stack = synthesized(tmp_path, cluster, (first, second))
    (function,) = (
        resource["Properties"]
        for resource in stack.template["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Function"
    )
    function["Timeout"] = 20
    deployment = sandbox.deploy(name, stack.template, assets=stack.assets)
    assert deployment.status == "CREATE_COMPLETE", deployment.failures()
    assert deployment.outputs == {"Outcome": "COMPLETE", "RemovedCount": "2"}
    assert cluster.present == set(others)

    links = [
        line for line in log_lines(sandbox, deployment) if "Handing over to invocation" in line
    ]
    assert len(links) >= 2, "three links or more"
    (create,) = (r for r in sandbox.requests() if f":stack/{name}/" in r["StackId"])
    (reply,) = (r for r in sandbox.replies() if r.request_id == create["RequestId"])
    assert reply.json()["Status"] == "SUCCESS"
    # No leftover: nothing was made beside what the template says.
    kinds = {event.resource_type for event in deployment.events}
    assert kinds == {
        "AWS::CloudFormation::Stack",
        *(resource["Type"] for resource in stack.template["Resources"].values()),
    }
    assert sandbox.client("events").list_rules().get("Rules", []) == []
