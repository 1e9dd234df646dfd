"""The page lists the permissions that a function's role needs if others create it."""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from aws_cdk.aws_events import EventBus

from hyperpod_node_removal import NodeRemoval, NodeRemovalProvider, PartialFailure
from tests.construct.stacks import network
from tests.docs.code_blocks import DOCS
from tests.docs.policy import Policy, as_list

ROLE: Final = Policy.of_file("function-role.json")
PLACE: Final = "us-west-2:111122223333"
EKS_CLUSTER_ARN: Final = f"arn:aws:eks:{PLACE}:cluster/ml"
HOOK_ARN: Final = f"arn:aws:lambda:{PLACE}:function:drain"


@pytest.fixture(scope="module")
def statements() -> list[dict[str, Any]]:
    """The statements that a role gets if all options are used."""
    stack = Stack(App(analytics_reporting=False), "hyperpod-node-removal-ml-cluster")
    NodeRemovalProvider(
        stack,
        role=iam.Role.from_role_name(stack, "Role", "node-removal"),
        event_bus=EventBus.from_event_bus_name(stack, "Bus", "default"),
        tracing=lambda_.Tracing.ACTIVE,
        vpc=network(stack),
    )
    NodeRemoval(
        stack,
        "Removal",
        cluster_name="ml-cluster",
        eks_cluster_arn=EKS_CLUSTER_ARN,
        before_removal=lambda_.Function.from_function_arn(stack, "Hook", HOOK_ARN),
        on_partial_failure=PartialFailure.REPORT,
        verdict_event=True,
    )
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    return [
        statement
        for policy in policies
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]


def test_the_policy_has_every_action_and_known_resource(statements: list[dict[str, Any]]) -> None:
    assert {action for one in statements for action in as_list(one["Action"])} == ROLE.actions
    literal = [
        (action, resource)
        for one in statements
        for action in as_list(one["Action"])
        for resource in as_list(one["Resource"])
        if isinstance(resource, str)
    ]
    assert {resource for _, resource in literal} == {EKS_CLUSTER_ARN, HOOK_ARN, "*"}
    assert [pair for pair in literal if not ROLE.allows(*pair)] == []
    wide = {action.partition(":")[0] for action, resource in ROLE.resources if resource == "*"}
    assert wide == {"ec2", "xray"}, "actions without a narrower resource"


def test_the_actions_of_a_deployment_are_in_the_resource_schema() -> None:
    """The schema in cfn-lint lists the actions that CloudFormation calls to create a function."""
    found = find_spec("cfnlint")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "data" / "schemas" / "resources"
    schemas = (json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json"))
    (schema,) = (one for one in schemas if one.get("typeName") == "AWS::Lambda::Function")
    page = (DOCS / "locked-down.md").read_text(encoding="utf-8")
    _, table = page.split("| option | additional actions |\n", 1)
    shown = set(re.findall(r"`([a-z0-9]+:[A-Za-z]+)`", table.partition("\n\n")[0]))
    assert len(shown) == 11
    assert shown <= set(schema["handlers"]["create"]["permissions"])
