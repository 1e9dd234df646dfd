"""A removal in the sandbox: the real template and asset, with its own stack and cluster."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aws_cdk import App, CfnOutput, CfnParameter, Duration, Stack

from hyperpod_node_removal import NodeRemoval, PartialFailure
from hyperpod_node_removal_contract import RESOURCE_TYPE, Attribute
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.stacks import Deployment, read_assembly

at_any_lag = pytest.mark.parametrize("removal", [0.0, 3.0], ids=["exact", "lagging"], indirect=True)
"""Runs a test with an exact DescribeStacks, and with one that is three seconds behind."""
STACK = "Removal"
"""The name of the stack in the assembly. Each test deploys it under its own name."""


def synthesized(factory: pytest.TempPathFactory) -> Path:
    """Return an assembly, synthesized once per process, whose properties are all parameters."""
    directory = factory.getbasetemp() / "removal.out"
    if directory.exists():
        return directory
    app = App(outdir=str(directory))
    stack = Stack(app, STACK)
    removal = NodeRemoval(
        stack,
        "Nodes",
        cluster_name=CfnParameter(stack, "Cluster").value_as_string,
        node_ids=CfnParameter(stack, "NodeIds", type="CommaDelimitedList").value_as_list,
        node_logical_ids=CfnParameter(
            stack, "NodeLogicalIds", type="CommaDelimitedList", default=""
        ).value_as_list,
        on_partial_failure=CfnParameter(  # type: ignore[arg-type] # a token is allowed
            stack, "OnPartialFailure", default=str(PartialFailure.FAIL)
        ).value_as_string,
        retry_for=Duration.seconds(
            CfnParameter(stack, "RetryFor", type="Number", default=0).value_as_number
        ),
        retry_token=CfnParameter(stack, "RetryToken", default="").value_as_string,
    )
    for attribute in Attribute:
        CfnOutput(stack, attribute.value, value=removal.resource.get_att_string(attribute.value))
    app.synth()
    return directory


def reason(deployment: Deployment, status: str) -> str:
    """Return the reason of the removal's one event with this status."""
    (found,) = (
        event.reason
        for event in deployment.events
        if event.resource_type == RESOURCE_TYPE and event.status == status
    )
    return found


def log_lines(sandbox: Sandbox, deployment: Deployment) -> list[str]:
    """Return the log of the function that a deployment created."""
    group = next(
        event.physical_id
        for event in deployment.events
        if event.resource_type == "AWS::Logs::LogGroup" and event.physical_id
    )
    return sandbox.log_lines(group)


@dataclass
class Removal:
    """One stack, and the cluster from which it removes nodes."""

    sandbox: Sandbox
    assembly: Path
    name: str = field(default_factory=lambda: f"removal-{uuid4().hex[:8]}")

    def cluster(self, **more: Any) -> Cluster:
        given: dict[str, Any] = {"groups": {"workers": 8}, "shutdown_seconds": 0.5, **more}
        return self.sandbox.hyperpod.create_cluster(self.name, seed=len(self.name), **given)

    def deploy(
        self,
        *node_ids: str,
        properties: dict[str, Any] | None = None,
        function: dict[str, Any] | None = None,
        **parameters: str,
    ) -> Deployment:
        """Deploy these nodes.

        Args:
            node_ids: the nodes.
            properties: additional properties of the removal.
            function: additional properties of the function.
            parameters: parameters of the stack.
        """
        stack = read_assembly(self.assembly, STACK)
        for resource in stack.template["Resources"].values():
            if resource["Type"] == RESOURCE_TYPE:
                resource["Properties"] |= properties or {}
            if resource["Type"] == "AWS::Lambda::Function":
                resource["Properties"] |= function or {}
        return self.sandbox.deploy(
            self.name,
            stack.template,
            assets=stack.assets,
            parameters={"Cluster": self.name, "NodeIds": ",".join(node_ids), **parameters},
        )

    def delete(self) -> Deployment:
        return self.sandbox.delete(self.name)

    def requests(self) -> list[dict[str, Any]]:
        """Return the events that CloudFormation sent to the function, in order."""
        sent = self.sandbox.requests()
        return [event for event in sent if f":stack/{self.name}/" in event["StackId"]]

    def replies(self) -> list[dict[str, Any]]:
        """Return the function's replies, in order."""
        ids = {event["RequestId"] for event in self.requests()}
        received = [reply for reply in self.sandbox.replies() if reply.request_id in ids]
        assert all(reply.status == 200 for reply in received)
        assert all(len(reply.body) <= 4096 for reply in received)
        return [reply.json() for reply in received]


def types(removal: Removal) -> list[str]:
    """Return the types of the requests, in order."""
    return [request["RequestType"] for request in removal.requests()]
