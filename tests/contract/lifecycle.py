"""A removal in the sandbox: the real template, the real asset, a stack and a cluster of its own."""

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
"""With the stack shown as it is, and as it was three seconds ago."""
STACK = "Removal"
"""Name of the stack in the assembly; each test deploys it under a name of its own."""


def synthesized(factory: pytest.TempPathFactory) -> Path:
    """An app whose removal takes everything from parameters; one synthesis in a process."""
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
        on_partial_failure=CfnParameter(  # type: ignore[arg-type] # a token passes
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
    """The reason of the removal's one event of this status."""
    (found,) = (
        event.reason
        for event in deployment.events
        if event.resource_type == RESOURCE_TYPE and event.status == status
    )
    return found


def log_lines(sandbox: Sandbox, deployment: Deployment) -> list[str]:
    """The log of the function that a deployment created."""
    group = next(
        event.physical_id
        for event in deployment.events
        if event.resource_type == "AWS::Logs::LogGroup" and event.physical_id
    )
    return sandbox.log_lines(group)


@dataclass
class Removal:
    """One stack, and the cluster it removes nodes from."""

    sandbox: Sandbox
    assembly: Path
    name: str = field(default_factory=lambda: f"removal-{uuid4().hex[:8]}")

    def cluster(self, **more: Any) -> Cluster:
        given: dict[str, Any] = {"groups": {"workers": 8}, "shutdown_seconds": 0.5, **more}
        return self.sandbox.hyperpod.create_cluster(self.name, seed=len(self.name), **given)

    def deploy(
        self, *node_ids: str, properties: dict[str, Any] | None = None, **parameters: str
    ) -> Deployment:
        """Deploy the set; `properties` are added to those of the app."""
        stack = read_assembly(self.assembly, STACK)
        (resource,) = (
            resource
            for resource in stack.template["Resources"].values()
            if resource["Type"] == RESOURCE_TYPE
        )
        resource["Properties"] |= properties or {}
        return self.sandbox.deploy(
            self.name,
            stack.template,
            assets=stack.assets,
            parameters={"Cluster": self.name, "NodeIds": ",".join(node_ids), **parameters},
        )

    def delete(self) -> Deployment:
        return self.sandbox.delete(self.name)

    def requests(self) -> list[dict[str, Any]]:
        """What CloudFormation asked of the function, in order."""
        sent = self.sandbox.requests()
        return [event for event in sent if f":stack/{self.name}/" in event["StackId"]]

    def replies(self) -> list[dict[str, Any]]:
        """What the function answered, in order."""
        ids = {event["RequestId"] for event in self.requests()}
        received = [reply for reply in self.sandbox.replies() if reply.request_id in ids]
        assert all(reply.status == 200 for reply in received)
        assert all(len(reply.body) <= 4096 for reply in received)
        return [reply.json() for reply in received]


def types(removal: Removal) -> list[str]:
    """The types of the requests, in order."""
    return [request["RequestType"] for request in removal.requests()]
