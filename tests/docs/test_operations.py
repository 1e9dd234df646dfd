"""The instructions for stuck stacks on the operations page work."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from aws_cdk import App

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal.app import NodeRemovalStack, settings_from_context
from hyperpod_node_removal_contract.failure_codes import FailureCode, next_step
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from tests.aws_cli import run_aws
from tests.docs.code_blocks import DOCS, commands

PAGE = DOCS / "operations.md"
STACK = "hyperpod-node-removal-ml-cluster"
LOGICAL_ID = "Removal1BFB0048"


@dataclass
class RemovalStack:
    """The stack of a removal file, and its cluster."""

    sandbox: Sandbox
    cluster: Cluster
    folder: Path
    output: str = ""
    """The output of the last CDK CLI command."""

    @property
    def name(self) -> str:
        return f"hyperpod-node-removal-{self.cluster.name}"

    def write(self, *nodes: str) -> None:
        """Write the removal file with these nodes, and synthesize its stack as `app.py` does."""
        content = {"cluster": self.cluster.name, "node_ids": list(nodes), "retry_for": 0}
        (self.folder / "removals.yaml").write_text(json.dumps(content), encoding="utf-8")
        app = App(outdir=str(self.folder / "cdk.out"), analytics_reporting=False)
        NodeRemovalStack(app, settings_from_context({"removals": "removals.yaml"}, self.folder))
        app.synth()

    def deploy(self) -> str:
        """Deploy without the CDK CLI, and return the status of the stack."""
        return self.sandbox.deploy_assembly(self.folder / "cdk.out", self.name).status

    def cdk(self, *words: str) -> str:
        """Run a CDK CLI command of the page, and return the status of the stack."""
        given = [word.replace(STACK, self.name) for word in words]
        if given[0] == "deploy":
            given += ["--require-approval", "never"]
        self.output = self.sandbox.cdk(*given, cwd=self.folder).stdout
        return self.sandbox.status(self.name) or "gone"

    def aws(self, words: list[str]) -> None:
        """Run an AWS CLI command of the page."""
        given = (word.replace(STACK, self.name) for word in words[1:])
        done = run_aws(self.sandbox, *given)
        assert done.code == 0, done.log

    def resources(self, **given: str) -> list[dict[str, str]]:
        client = self.sandbox.client("cloudformation")
        found = client.describe_stack_resources(StackName=self.name, **given)["StackResources"]
        return list(found)

    def delete_function(self) -> None:
        (name,) = (
            resource["PhysicalResourceId"]
            for resource in self.resources()
            if resource["ResourceType"] == "AWS::Lambda::Function"
        )
        self.sandbox.client("lambda").delete_function(FunctionName=name)


@pytest.fixture
def stack(bootstrapped: Sandbox, tmp_path: Path) -> RemovalStack:
    (tmp_path / "cdk.json").write_text(json.dumps({"app": "cdk.out"}), encoding="utf-8")
    name = f"ml-{uuid4().hex[:8]}"
    cluster = bootstrapped.hyperpod.create_cluster(name, {"workers": 6}, shutdown_seconds=0.5)
    return RemovalStack(bootstrapped, cluster, tmp_path)


def test_a_failed_update_can_be_retried_or_rolled_back(stack: RemovalStack) -> None:
    (deploy,) = commands(PAGE, "cdk", "deploy")
    (rollback,) = commands(PAGE, "cdk", "rollback")
    bad, good, other, *_ = stack.cluster.node_ids("workers")
    stack.write(good)
    assert stack.deploy() == "CREATE_COMPLETE"
    stack.cluster.refuse(bad)
    stack.write(good, bad)
    assert stack.cdk(*deploy[1:]) == "UPDATE_FAILED"
    stack.cluster.allow(bad)
    assert stack.cdk(*deploy[1:]) == "UPDATE_COMPLETE", stack.output
    assert bad not in stack.cluster.present
    stack.cluster.refuse(other)
    stack.write(other)
    assert stack.cdk(*deploy[1:]) == "UPDATE_FAILED"
    assert stack.cdk(*rollback[1:]) == "UPDATE_ROLLBACK_COMPLETE", stack.output
    assert other in stack.cluster.present


def test_a_stack_without_its_function_can_be_rolled_back_and_deleted(stack: RemovalStack) -> None:
    first, second, *_ = stack.cluster.node_ids("workers")
    stack.write(first)
    assert stack.deploy() == "CREATE_COMPLETE"
    (resource,) = stack.resources(LogicalResourceId=LOGICAL_ID)
    assert resource["ResourceType"] == contract.RESOURCE_TYPE
    stack.delete_function()
    stack.write(second)
    assert stack.deploy() == "UPDATE_ROLLBACK_FAILED"
    *_, skipping = commands(PAGE, "aws", "cloudformation", "continue-update-rollback")
    assert LOGICAL_ID in skipping
    stack.aws(skipping)
    client = stack.sandbox.client("cloudformation")
    often = {"Delay": 1}
    client.get_waiter("stack_rollback_complete").wait(StackName=stack.name, WaiterConfig=often)
    assert stack.sandbox.status(stack.name) == "UPDATE_ROLLBACK_COMPLETE"
    assert second in stack.cluster.present
    assert stack.sandbox.delete(stack.name).status == "DELETE_FAILED"
    (leaving_out,) = commands(PAGE, "aws", "cloudformation", "delete-stack")
    assert LOGICAL_ID in leaving_out
    # With a lag, the waiter would see an old status.
    with stack.sandbox.lag(0.0, 0.0):
        stack.aws(leaving_out)
        client.get_waiter("stack_delete_complete").wait(StackName=stack.name, WaiterConfig=often)
    assert stack.sandbox.status(stack.name) is None


def test_every_failure_code_is_on_the_page() -> None:
    _, _, section = PAGE.read_text(encoding="utf-8").partition("## What to do about each code\n")
    row = re.compile(r"^\| `(\w+)` \| (.*) \| (.*) \|$", re.MULTILINE)
    shown = {code: texts for code, *texts in row.findall(section.partition("\n## ")[0])}
    for code in FailureCode:
        step, what_happened = shown.pop(code)
        assert step.startswith(code.next_step)
        assert what_happened.startswith(code.what_happened)
    assert set(shown) == {"NodeIdInUse", "InvalidNodeStatus", "InternalError"}
    assert all(step.startswith(next_step(code)) for code, (step, _) in shown.items())
