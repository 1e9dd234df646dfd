"""What the operations page says to do about a stuck stack works."""

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
class Case:
    """The stack of a removal file, and its cluster."""

    sandbox: Sandbox
    cluster: Cluster
    folder: Path
    said: str = ""
    """What the last command of the CDK CLI printed."""

    @property
    def stack(self) -> str:
        return f"hyperpod-node-removal-{self.cluster.name}"

    def write(self, *nodes: str) -> None:
        """Write the removal file with these nodes, and synthesize its stack as `app.py` does."""
        content = {"cluster": self.cluster.name, "node_ids": list(nodes), "retry_for": 0}
        (self.folder / "removals.yaml").write_text(json.dumps(content), encoding="utf-8")
        app = App(outdir=str(self.folder / "cdk.out"), analytics_reporting=False)
        NodeRemovalStack(app, settings_from_context({"removals": "removals.yaml"}, self.folder))
        app.synth()

    def deploy(self) -> str:
        """Deploy without the CDK CLI. Returns the status of the stack."""
        return self.sandbox.deploy_assembly(self.folder / "cdk.out", self.stack).status

    def cdk(self, *words: str) -> str:
        """Run a command of the page. Returns the status of the stack."""
        given = [word.replace(STACK, self.stack) for word in words]
        if given[0] == "deploy":
            given += ["--require-approval", "never"]
        self.said = self.sandbox.cdk(*given, cwd=self.folder).stdout
        return self.sandbox.status(self.stack) or "gone"

    def aws(self, words: list[str]) -> None:
        """Run a command of the page."""
        given = (word.replace(STACK, self.stack) for word in words[1:])
        done = run_aws(self.sandbox, *given)
        assert done.code == 0, done.log

    def resources(self, **given: str) -> list[dict[str, str]]:
        client = self.sandbox.client("cloudformation")
        found = client.describe_stack_resources(StackName=self.stack, **given)["StackResources"]
        return list(found)

    def delete_function(self) -> None:
        (name,) = (
            resource["PhysicalResourceId"]
            for resource in self.resources()
            if resource["ResourceType"] == "AWS::Lambda::Function"
        )
        self.sandbox.client("lambda").delete_function(FunctionName=name)


@pytest.fixture(scope="module")
def bootstrapped(sandbox: Sandbox) -> Sandbox:
    sandbox.bootstrap()
    return sandbox


@pytest.fixture
def case(bootstrapped: Sandbox, tmp_path: Path) -> Case:
    (tmp_path / "cdk.json").write_text(json.dumps({"app": "cdk.out"}), encoding="utf-8")
    name = f"ml-{uuid4().hex[:8]}"
    cluster = bootstrapped.hyperpod.create_cluster(name, {"workers": 6}, shutdown_seconds=0.5)
    return Case(bootstrapped, cluster, tmp_path)


def test_a_failure_can_be_kept_tried_again_and_rolled_back(case: Case) -> None:
    (deploy,) = commands(PAGE, "cdk", "deploy")
    (rollback,) = commands(PAGE, "cdk", "rollback")
    bad, good, other, *_ = case.cluster.node_ids("workers")
    case.write(good)
    assert case.deploy() == "CREATE_COMPLETE"
    case.cluster.refuse(bad)
    case.write(good, bad)
    assert case.cdk(*deploy[1:]) == "UPDATE_FAILED"
    case.cluster.allow(bad)
    assert case.cdk(*deploy[1:]) == "UPDATE_COMPLETE", case.said
    assert bad not in case.cluster.present
    case.cluster.refuse(other)
    case.write(other)
    assert case.cdk(*deploy[1:]) == "UPDATE_FAILED"
    assert case.cdk(*rollback[1:]) == "UPDATE_ROLLBACK_COMPLETE", case.said
    assert other in case.cluster.present


def test_a_stack_that_lost_its_function_comes_loose_and_can_go(case: Case) -> None:
    first, second, *_ = case.cluster.node_ids("workers")
    case.write(first)
    assert case.deploy() == "CREATE_COMPLETE"
    (resource,) = case.resources(LogicalResourceId=LOGICAL_ID)
    assert resource["ResourceType"] == contract.RESOURCE_TYPE
    case.delete_function()
    case.write(second)
    assert case.deploy() == "UPDATE_ROLLBACK_FAILED"
    *_, skipping = commands(PAGE, "aws", "cloudformation", "continue-update-rollback")
    assert LOGICAL_ID in skipping
    case.aws(skipping)
    client = case.sandbox.client("cloudformation")
    often = {"Delay": 1}
    client.get_waiter("stack_rollback_complete").wait(StackName=case.stack, WaiterConfig=often)
    assert case.sandbox.status(case.stack) == "UPDATE_ROLLBACK_COMPLETE"
    assert second in case.cluster.present
    assert case.sandbox.delete(case.stack).status == "DELETE_FAILED"
    (leaving_out,) = commands(PAGE, "aws", "cloudformation", "delete-stack")
    assert LOGICAL_ID in leaving_out
    with case.sandbox.lag(0.0, 0.0):  # else the waiter is misled
        case.aws(leaving_out)
        client.get_waiter("stack_delete_complete").wait(StackName=case.stack, WaiterConfig=often)
    assert case.sandbox.status(case.stack) is None


def test_every_code_is_there() -> None:
    _, _, section = PAGE.read_text(encoding="utf-8").partition("## What to do about each code\n")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section.partition("\n## ")[0], re.MULTILINE)
    advice = dict(rows)
    for code in FailureCode:
        assert advice.pop(code).startswith(f"{code.what_happened} {code.next_step}")
    assert {"NodeIdInUse", "InvalidNodeStatus", "InternalError"} <= advice.keys()
    assert all(next_step(code) in advice[code] for code in ("NodeIdInUse", "InternalError"))
