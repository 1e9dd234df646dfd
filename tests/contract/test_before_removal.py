"""A real hook in the sandbox: deployed by the construct's app, asked by the real function."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnOutput, CfnParameter, Duration, Stack
from aws_cdk import aws_lambda as lambda_

from hyperpod_node_removal import NodeRemoval
from sandbox.aws import Sandbox
from sandbox.stacks import Deployment
from tests.contract.lifecycle import STACK, Removal, reason

HOOK = """
import json, os

def handler(event, context):
    print("ASKED " + json.dumps(event))
    return json.loads(os.environ["ANSWER"])
"""
"""Answers what its environment says, and crashes where that is no JSON."""
YES = '{"Decision": "PROCEED"}'


@dataclass
class Hooked(Removal):
    """A stack with a hook and a removal, and the cluster it removes nodes from."""

    functions: set[str] = field(default_factory=set)

    def hook(self, *node_ids: str, answer: str = YES, dry_run: bool = False) -> Deployment:
        """Deploy the set with a hook that gives this answer."""
        deployment = self.deploy(*node_ids, Answer=answer, DryRun=str(dry_run).lower())
        self.functions |= {
            event.physical_id
            for event in deployment.events
            if event.logical_id.startswith("Hook") and event.resource_type.endswith("Function")
        }
        return deployment

    def asked(self) -> list[dict[str, Any]]:
        """What the hook was asked, by its own log."""
        lines = [
            line
            for function in self.functions - {""}
            for line in self.sandbox.log_lines(f"/aws/lambda/{function}")
        ]
        return [json.loads(line.partition("ASKED ")[2]) for line in lines if "ASKED " in line]


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cdk.out")
    app = App(outdir=str(directory))
    stack = Stack(app, STACK)
    hook = lambda_.Function(
        stack,
        "Hook",
        runtime=lambda_.Runtime.PYTHON_3_14,
        handler="index.handler",
        code=lambda_.Code.from_inline(HOOK),
        environment={"ANSWER": CfnParameter(stack, "Answer").value_as_string},
    )
    removal = NodeRemoval(
        stack,
        "Nodes",
        cluster_name=CfnParameter(stack, "Cluster").value_as_string,
        node_ids=CfnParameter(stack, "NodeIds", type="CommaDelimitedList").value_as_list,
        dry_run=CfnParameter(stack, "DryRun").value_as_string,  # type: ignore[arg-type]
        before_removal=hook,
        retry_for=Duration.seconds(0),
    )
    for name in ("Outcome", "RemovedNodes", "PlannedNodes"):
        CfnOutput(stack, name, value=removal.resource.get_att_string(name))
    app.synth()
    return directory


@pytest.fixture
def hooked(sandbox: Sandbox, assembly: Path) -> Hooked:
    return Hooked(sandbox, assembly)


def test_a_veto_of_the_plan_rolls_back_and_removes_nothing(hooked: Hooked) -> None:
    cluster = hooked.cluster(orchestrator="Eks")
    nodes = cluster.node_ids("workers")
    veto = '{"Decision": "VETO", "Reason": "a training run ends at 18:00"}'
    failed = hooked.hook(*nodes[:2], answer=veto)
    assert failed.status == "ROLLBACK_COMPLETE"
    told = reason(failed, "CREATE_FAILED")
    assert f"Nothing was removed from {cluster.name}: the hook " in told
    assert 'vetoed the removal: "a training run ends at 18:00"' in told
    assert f"Vetoed: {nodes[0]}, {nodes[1]}." in told
    assert cluster.present == set(nodes)
    (asked,) = hooked.asked()
    assert [node["NodeId"] for node in asked["Nodes"]] == list(nodes[:2])
    assert asked["ClusterArn"] == cluster.arn


def test_agreed_vetoed_crashed_and_not_asked(hooked: Hooked) -> None:
    cluster = hooked.cluster(orchestrator="Eks")
    first, second, third, fourth, *_ = cluster.node_ids("workers")

    created = hooked.hook(first)
    assert created.outputs["RemovedNodes"] == first
    assert len(hooked.asked()) == 1

    veto = {"NodeId": second, "Reason": "pod ml/trainer-0 cannot be evicted"}
    failed = hooked.hook(
        second, third, answer=json.dumps({"Decision": "PROCEED", "VetoedNodes": [veto]})
    )
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    told = reason(failed, "UPDATE_FAILED")
    assert f"1 of 2 nodes not removed from {cluster.name} (1 removed)" in told
    assert f'Vetoed: {second}. {second}: "pod ml/trainer-0 cannot be evicted".' in told
    assert second in cluster.present
    assert third not in cluster.present
    assert len(hooked.asked()) == 2, "not asked by the rollback"

    crashed = hooked.hook(fourth, answer="no JSON")
    assert crashed.status == "UPDATE_ROLLBACK_COMPLETE"
    assert " failed: " in reason(crashed, "UPDATE_FAILED")
    assert f"HookFailed: {fourth}." in reason(crashed, "UPDATE_FAILED")
    assert fourth in cluster.present

    asked = len(hooked.asked())
    planned = hooked.hook(fourth, dry_run=True)
    assert planned.outputs["PlannedNodes"] == fourth
    assert hooked.sandbox.delete(hooked.name).status == "DELETE_COMPLETE"
    assert len(hooked.asked()) == asked
    assert fourth in cluster.present
