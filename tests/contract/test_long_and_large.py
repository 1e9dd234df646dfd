"""A removal of 3,000 nodes, and one longer than an invocation, in the sandbox."""

import math
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnOutput, Duration, Stack

from hyperpod_node_removal import NodeRemoval
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster, HyperPod
from sandbox.stacks import AssembledStack, read_assembly
from tests.contract.lifecycle import STACK, Removal, log_lines, reason

NODES = 3000
REFUSED = 200


def synthesize(directory: Path, cluster: Cluster, nodes: tuple[str, ...]) -> AssembledStack:
    app = App(outdir=str(directory))
    stack = Stack(app, STACK)
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
    return read_assembly(directory, STACK)


@pytest.fixture
def own_sandbox() -> Any:
    """A sandbox whose calls are counted for one test."""
    with Sandbox(HyperPod(account="000000000000")) as sandbox:
        yield sandbox


def test_3000_nodes_are_removed_with_the_fewest_calls(own_sandbox: Sandbox, tmp_path: Path) -> None:
    cluster = own_sandbox.hyperpod.create_cluster(
        "large", {"workers": NODES + 100}, shutdown_seconds=(1.0, 4.0)
    )
    nodes = cluster.node_ids("workers")
    stack = synthesize(tmp_path, cluster, nodes[:NODES])
    deployment = own_sandbox.deploy("large", stack.template, assets=stack.assets)
    assert deployment.status == "CREATE_COMPLETE", deployment.failures()
    assert deployment.outputs == {"Outcome": "COMPLETE", "RemovedCount": str(NODES)}
    assert cluster.present == set(nodes[NODES:])
    assert own_sandbox.hyperpod.calls["BatchDeleteClusterNodes"] == math.ceil(NODES / 99)
    pages = math.ceil((NODES + 100) / 100)
    # The first listing is complete, later ones are shorter, and absence must be seen twice.
    assert own_sandbox.hyperpod.calls["ListClusterNodes"] <= pages * 6
    assert own_sandbox.hyperpod.calls["DescribeCluster"] == 2


def test_200_refused_nodes_of_3000_are_counted_and_logged(
    own_sandbox: Sandbox, tmp_path: Path
) -> None:
    cluster = own_sandbox.hyperpod.create_cluster("large", {"workers": NODES}, shutdown_seconds=1.0)
    nodes = cluster.node_ids("workers")
    refused = nodes[::15]
    assert len(refused) == REFUSED
    for node in refused:
        cluster.refuse(node)
    stack = synthesize(tmp_path, cluster, nodes)
    deployment = own_sandbox.deploy("large", stack.template, assets=stack.assets)
    assert deployment.status == "ROLLBACK_COMPLETE"
    failure = reason(deployment, "CREATE_FAILED")
    assert "200 of 3000 nodes not removed from large (2800 removed). NodeIdInUse: " in failure
    assert f"{refused[0]}, {refused[1]}" in failure
    assert " more." in failure
    assert "CloudWatch Log Stream: " in failure
    assert cluster.present == set(refused)
    lines = log_lines(own_sandbox, deployment)
    failures = [line for line in lines if "not removed: NodeIdInUse" in line]
    assert len(failures) == REFUSED
    assert len(lines) < 2 * NODES + 60, "a line of the plan and one of the outcome for each node"
    # Each further attempt needs only one request in which all nodes are refused.
    further_calls = own_sandbox.hyperpod.calls["BatchDeleteClusterNodes"] - math.ceil(NODES / 99)
    assert further_calls <= 3 * math.ceil(REFUSED / 99) + 2 * 110


def test_a_removal_longer_than_an_invocation_is_handed_over(removal: Removal) -> None:
    """An invocation has 20 seconds, three of which are for the removal itself."""
    cluster = removal.cluster(shutdown_seconds=9.0)
    first, second, *others = cluster.node_ids("workers")
    deployment = removal.deploy(first, second, function={"Timeout": 20})
    assert deployment.status == "CREATE_COMPLETE", deployment.failures()
    assert deployment.outputs["Outcome"] == "COMPLETE"
    assert deployment.outputs["RemovedCount"] == "2"
    assert cluster.present == set(others)

    lines = log_lines(removal.sandbox, deployment)
    hand_overs = [line for line in lines if "Handing over to invocation" in line]
    assert len(hand_overs) >= 2
    # Nothing is left over: only the template's resources were created.
    template = read_assembly(removal.assembly, STACK).template
    types = {resource["Type"] for resource in template["Resources"].values()}
    created = {event.resource_type for event in deployment.events}
    assert created == {"AWS::CloudFormation::Stack", *types}
    assert removal.sandbox.client("events").list_rules().get("Rules", []) == []
