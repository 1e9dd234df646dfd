"""A hook in the sandbox, deployed by an app and invoked by the function."""

import json
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
    print("EVENT " + json.dumps(event))
    return json.loads(os.environ["RESPONSE"])
"""
"""Returns the response in its environment, and crashes if that is not JSON."""
PROCEED = '{"Decision": "PROCEED"}'


class HookedRemoval(Removal):
    """A stack with a hook and a removal, and the cluster from which it removes nodes."""

    def deploy_hooked(
        self, *node_ids: str, response: str = PROCEED, dry_run: bool = False
    ) -> Deployment:
        """Deploy these nodes, with a hook that returns this response."""
        return self.deploy(*node_ids, Response=response, DryRun=str(dry_run).lower())

    def hook_events(self) -> list[dict[str, Any]]:
        """Return the events that the hook received, from its own log."""
        lines = self.sandbox.log_lines(f"/aws/lambda/{self.name}")
        return [json.loads(line.partition("EVENT ")[2]) for line in lines if "EVENT " in line]


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cdk.out")
    app = App(outdir=str(directory))
    stack = Stack(app, STACK)
    cluster = CfnParameter(stack, "Cluster").value_as_string
    hook = lambda_.Function(
        stack,
        "Hook",
        function_name=cluster,
        runtime=lambda_.Runtime.PYTHON_3_14,
        handler="index.handler",
        code=lambda_.Code.from_inline(HOOK),
        environment={"RESPONSE": CfnParameter(stack, "Response").value_as_string},
    )
    removal = NodeRemoval(
        stack,
        "Nodes",
        cluster_name=cluster,
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
def removal(sandbox: Sandbox, assembly: Path) -> HookedRemoval:
    return HookedRemoval(sandbox, assembly)


def test_a_vetoed_plan_rolls_back_and_removes_nothing(removal: HookedRemoval) -> None:
    cluster = removal.cluster(orchestrator="Eks")
    nodes = cluster.node_ids("workers")
    veto = '{"Decision": "VETO", "Reason": "a training run ends at 18:00"}'
    failed = removal.deploy_hooked(*nodes[:2], response=veto)
    assert failed.status == "ROLLBACK_COMPLETE"
    failure = reason(failed, "CREATE_FAILED")
    assert f"Nothing was removed from {cluster.name}: the hook " in failure
    assert 'vetoed the removal: "a training run ends at 18:00"' in failure
    assert f"Vetoed: {nodes[0]}, {nodes[1]}." in failure
    assert cluster.present == set(nodes)
    (event,) = removal.hook_events()
    assert [node["NodeId"] for node in event["Nodes"]] == list(nodes[:2])
    assert event["ClusterArn"] == cluster.arn


def test_the_hook_decides_for_each_node_but_not_in_rollbacks_dry_runs_and_deletions(
    removal: HookedRemoval,
) -> None:
    cluster = removal.cluster(orchestrator="Eks")
    first, second, third, fourth, *_ = cluster.node_ids("workers")

    created = removal.deploy_hooked(first)
    assert created.outputs["RemovedNodes"] == first
    assert len(removal.hook_events()) == 1

    veto = {"NodeId": second, "Reason": "pod ml/trainer-0 cannot be evicted"}
    failed = removal.deploy_hooked(
        second, third, response=json.dumps({"Decision": "PROCEED", "VetoedNodes": [veto]})
    )
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    failure = reason(failed, "UPDATE_FAILED")
    assert f"1 of 2 nodes not removed from {cluster.name} (1 removed)" in failure
    assert f'Vetoed: {second}. {second}: "pod ml/trainer-0 cannot be evicted".' in failure
    assert second in cluster.present
    assert third not in cluster.present
    assert len(removal.hook_events()) == 2, "the rollback does not invoke it"

    crashed = removal.deploy_hooked(fourth, response="not JSON")
    assert crashed.status == "UPDATE_ROLLBACK_COMPLETE"
    assert " failed: " in reason(crashed, "UPDATE_FAILED")
    assert f"HookFailed: {fourth}." in reason(crashed, "UPDATE_FAILED")
    assert fourth in cluster.present

    before = len(removal.hook_events())
    planned = removal.deploy_hooked(fourth, dry_run=True)
    assert planned.outputs["PlannedNodes"] == fourth
    assert removal.sandbox.delete(removal.name).status == "DELETE_COMPLETE"
    assert len(removal.hook_events()) == before
    assert fourth in cluster.present
