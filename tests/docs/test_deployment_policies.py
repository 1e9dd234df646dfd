"""The policies of `docs/iam` allow what a deployment needs, and no more."""

import json
import re
from pathlib import Path
from typing import Any, Final, cast

import pytest
from aws_cdk import App, Stack
from aws_cdk.aws_events import EventBus
from aws_cdk.aws_lambda import Function

from hyperpod_node_removal import NodeRemoval, NodeRemovalDashboard, NodeRemovalProvider
from hyperpod_node_removal.app import NodeRemovalStack
from hyperpod_node_removal_file import Settings
from sandbox.project import BOOTSTRAP
from tests.docs.code_blocks import DOCS
from tests.docs.policy import Policy, as_list

EXECUTION: Final = Policy.of_file("execution-policy.json")
BOUNDARY: Final = Policy.of_file("function-boundary.json")
PIPELINE: Final = Policy.of_file("pipeline-role.json")

PLACE: Final = "us-west-2:111122223333"
BOUNDARY_ARN: Final = "arn:aws:iam::111122223333:policy/hyperpod-node-removal-boundary"
STACK: Final = "hyperpod-node-removal-ml-cluster-with-a-very-long-name"
CODE: Final = "arn:aws:s3:::cdk-hpnr-assets-111122223333-us-west-2/0123.zip"

WRITES: Final = {
    "AWS::Lambda::Function": (
        "lambda:CreateFunction lambda:DeleteFunction lambda:GetFunction"
        " lambda:GetFunctionCodeSigningConfig lambda:GetFunctionConfiguration"
        " lambda:GetFunctionRecursionConfig lambda:GetRuntimeManagementConfig lambda:ListTags"
        " lambda:TagResource lambda:UntagResource lambda:UpdateFunctionCode"
        " lambda:UpdateFunctionConfiguration"
    ),
    "AWS::Lambda::EventInvokeConfig": (
        "lambda:PutFunctionEventInvokeConfig lambda:UpdateFunctionEventInvokeConfig"
        " lambda:GetFunctionEventInvokeConfig lambda:DeleteFunctionEventInvokeConfig"
    ),
    "AWS::IAM::Role": (
        "iam:CreateRole iam:PutRolePermissionsBoundary iam:PutRolePolicy iam:DeleteRole"
        " iam:DeleteRolePolicy iam:GetRole iam:GetRolePolicy iam:ListAttachedRolePolicies"
        " iam:ListRolePolicies iam:TagRole iam:UntagRole iam:UpdateAssumeRolePolicy iam:UpdateRole"
        " iam:UpdateRoleDescription"
    ),
    "AWS::IAM::Policy": "iam:PutRolePolicy iam:DeleteRolePolicy iam:GetRolePolicy",
    "AWS::Logs::LogGroup": (
        "logs:CreateLogGroup logs:DeleteRetentionPolicy logs:DescribeIndexPolicies"
        " logs:GetDataProtectionPolicy logs:ListTagsForResource logs:PutRetentionPolicy"
        " logs:TagResource logs:UntagResource"
    ),
    "Custom::HyperPodNodeRemoval": "lambda:InvokeFunction",
}
"""What CloudFormation calls to create, read, update and delete resources of a type, with the
properties that the construct sets, by the handlers in the resource schemas of its registry. A log
group that the template retains is never deleted."""

APART: Final = {
    "iam:PassRole": "arn:aws:iam::111122223333:role/{name}",
    "logs:DescribeLogGroups": f"arn:aws:logs:{PLACE}:log-group::log-stream:",
    "s3:GetObject": CODE,
    "ssm:GetParameters": f"arn:aws:ssm:{PLACE}:parameter/cdk-bootstrap/hpnr/version",
}
"""What else is called on the way, and on what."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The app's stack, as `cdk.json` of the start page has it made, with an EKS cluster."""
    app = App(
        outdir=str(tmp_path_factory.mktemp("out")),
        context={
            "@aws-cdk/core:bootstrapQualifier": "hpnr",
            "@aws-cdk/core:permissionsBoundary": {"name": "hyperpod-node-removal-boundary"},
        },
    )
    settings = Settings(
        cluster="ml-cluster",
        stack_name=STACK,
        node_ids=("i-01234567",),
        eks_cluster_arn=f"arn:aws:eks:{PLACE}:cluster/ml",
    )
    NodeRemovalStack(app, settings)
    return cast("dict[str, Any]", app.synth().get_stack_by_name(STACK).template)


def of_type(template: dict[str, Any], kind: str) -> dict[str, Any]:
    """Properties by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def generated_name(logical_id: str, limit: int = 64) -> str:
    """As CloudFormation makes it: the stack's name and the logical id share the room evenly."""
    room = limit - len("-0123456789AB") - 1
    stack = STACK[: max(room - room // 2, room - len(logical_id))]
    return f"{stack}-{logical_id[: room - len(stack)]}-0123456789AB"


def arns(template: dict[str, Any], kind: str) -> list[str]:
    """What resources of a type are to IAM."""
    if kind == "AWS::Logs::LogGroup":
        return [
            f"arn:aws:logs:{PLACE}:log-group:{generated_name(name, 512)}{suffix}"
            for name in of_type(template, kind)
            for suffix in ("", ":*")
        ]
    if kind in {"AWS::IAM::Role", "AWS::IAM::Policy"}:
        names = of_type(template, "AWS::IAM::Role")
        return [f"arn:aws:iam::111122223333:role/{generated_name(name)}" for name in names]
    names = of_type(template, "AWS::Lambda::Function")
    return [f"arn:aws:lambda:{PLACE}:function:{generated_name(name)}" for name in names]


@pytest.mark.parametrize("kind", WRITES)
def test_what_cloudformation_calls_is_allowed(template: dict[str, Any], kind: str) -> None:
    assert {one["Type"] for one in template["Resources"].values()} == set(WRITES)
    for arn in arns(template, kind):
        for action in WRITES[kind].split():
            assert EXECUTION.allows(action, arn, iam_PermissionsBoundary=BOUNDARY_ARN), action


def test_what_is_called_on_the_way_is_allowed(template: dict[str, Any]) -> None:
    (role,) = of_type(template, "AWS::IAM::Role")
    for action, arn in APART.items():
        name = arn.format(name=generated_name(role))
        assert EXECUTION.allows(action, name, iam_PassedToService="lambda.amazonaws.com")


def test_no_action_is_allowed_that_nothing_calls(template: dict[str, Any]) -> None:
    assert {*" ".join(WRITES.values()).split(), *APART} == EXECUTION.actions
    # therefore nothing calls logs:DeleteLogGroup
    (group,) = of_type(template, "AWS::Logs::LogGroup")
    assert template["Resources"][group]["DeletionPolicy"] == "Retain"


def test_every_resource_but_one_is_narrower_than_its_account() -> None:
    wide = [action for action, resource in EXECUTION.resources if resource == "*"]
    assert wide == ["logs:DescribeLogGroups"]
    for _, resource in EXECUTION.resources:
        assert resource == "*" or re.search(r"hyperpod-node-removal-\*$|hpnr", resource)
    assert not any("*" in action for action in EXECUTION.actions | BOUNDARY.actions)


@pytest.mark.parametrize("right", ["iam:CreateRole", "iam:PutRolePolicy"])
@pytest.mark.parametrize(
    "boundary", [{}, {"iam_PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}]
)
def test_a_role_without_the_boundary_gets_no_rights(right: str, boundary: dict[str, str]) -> None:
    role = f"arn:aws:iam::111122223333:role/{generated_name('Role')}"
    assert not EXECUTION.allows(right, role, **boundary)
    assert EXECUTION.allows(right, role, iam_PermissionsBoundary=BOUNDARY_ARN)


def test_the_boundary_cannot_be_loosened() -> None:
    for action in (
        *("DeleteRolePermissionsBoundary", "AttachRolePolicy"),
        *("CreatePolicyVersion", "SetDefaultPolicyVersion", "DeletePolicy"),
    ):
        assert f"iam:{action}" not in EXECUTION.actions
    iam = [resource for action, resource in EXECUTION.resources if action.startswith("iam:")]
    assert not any("policy/" in resource for resource in iam)


def test_other_stacks_are_out_of_reach() -> None:
    other = f"arn:aws:lambda:{PLACE}:function:payroll-Function-0123456789AB"
    reached = {action for action in EXECUTION.actions if EXECUTION.allows(action, other)}
    assert reached == {"logs:DescribeLogGroups"}
    role = "arn:aws:iam::111122223333:role/admin"
    assert not EXECUTION.allows("iam:PassRole", role, iam_PassedToService="lambda.amazonaws.com")
    own = f"arn:aws:iam::111122223333:role/{generated_name('Role')}"
    assert not EXECUTION.allows("iam:PassRole", own, iam_PassedToService="ec2.amazonaws.com")


# The function's role --------------------------------------------------------------------------


def granted(template: dict[str, Any]) -> set[str]:
    """The actions that the template gives the function."""
    policies = [*of_type(template, "AWS::IAM::Policy").values()]
    (role,) = of_type(template, "AWS::IAM::Role").values()
    return {
        action
        for policy in [*policies, *role["Policies"]]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
    }


def test_the_role_has_the_boundary_which_is_what_the_function_needs(
    template: dict[str, Any],
) -> None:
    (role,) = of_type(template, "AWS::IAM::Role").values()
    assert "policy/hyperpod-node-removal-boundary" in json.dumps(role["PermissionsBoundary"])
    assert granted(template) == BOUNDARY.actions


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("sagemaker:BatchDeleteClusterNodes", "sagemaker:{}:cluster/a1b2c3d4e5f6"),
        ("eks:DescribeCluster", "eks:{}:cluster/ml"),
        ("cloudformation:DescribeStacks", f"cloudformation:{{}}:stack/{STACK}/0123"),
        ("lambda:InvokeFunction", f"lambda:{{}}:function:{generated_name('Function')}"),
        (
            "logs:PutLogEvents",
            f"logs:{{}}:log-group:{generated_name('LogGroup', 512)}:log-stream:x",
        ),
    ],
)
def test_the_boundary_reaches_what_the_function_works_on(action: str, resource: str) -> None:
    arn = f"arn:aws:{resource.format(PLACE)}"
    assert BOUNDARY.allows(action, arn)
    assert not BOUNDARY.allows(action, arn.replace("111122223333", "444455556666"))


def with_option(option: str, folder: Path) -> dict[str, Any]:
    """The template of a stack that uses one of the options of the start page."""
    app = App(outdir=str(folder))
    stack = Stack(app, STACK)
    provider = NodeRemovalProvider(
        stack,
        metrics=option in {"metrics", "alarm_on_failures", "NodeRemovalDashboard"},
        event_bus=EventBus.from_event_bus_name(stack, "Bus", "default")
        if option in {"event_bus", "on_finished", "on_failed"}
        else None,
    )
    removal = NodeRemoval(
        stack,
        "Removal",
        cluster_arn=f"arn:aws:sagemaker:{PLACE}:cluster/a1b2c3d4e5f6",
        eks_cluster_arn=f"arn:aws:eks:{PLACE}:cluster/ml",
        node_ids=["i-01234567"],
        before_removal=Function.from_function_arn(
            stack, "Hook", f"arn:aws:lambda:{PLACE}:function:drain"
        )
        if option == "before_removal"
        else None,
    )
    match option:
        case "on_finished":
            provider.on_finished("Rule")
        case "on_failed":
            removal.on_failed("Rule")
        case "alarm_on_failures":
            removal.alarm_on_failures("Alarm")
        case "NodeRemovalDashboard":
            NodeRemovalDashboard(stack, "Dashboard", provider=provider)
    return cast("dict[str, Any]", app.synth().get_stack_by_name(STACK).template)


OPTIONS: Final = re.findall(
    r"^\| (`\w+`.*?) \| (.*?) \| (.*?) \|$",
    (DOCS / "start.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@pytest.mark.parametrize(("options", "types", "actions"), OPTIONS, ids=[row[0] for row in OPTIONS])
def test_what_an_option_additionally_needs(
    options: str, types: str, actions: str, tmp_path: Path
) -> None:
    assert len(OPTIONS) == 6
    for option in re.findall(r"`(\w+)`", options):
        template = with_option(option, tmp_path / option)
        made = {one["Type"] for one in template["Resources"].values()} - set(WRITES)
        assert made == set(re.findall(r"`(\w+::\w+::\w+)`", types))
        shown = set(re.findall(r"`(\w+:\w+)`", actions))
        assert granted(template) == BOUNDARY.actions | shown
        policies = of_type(template, "AWS::IAM::Policy")
        if "lambda:InvokeFunction" in shown:
            assert f"{PLACE}:function:drain" in json.dumps(policies)


def test_the_roles_of_the_pipeline_are_those_of_the_bootstrap() -> None:
    bootstrap = BOOTSTRAP.read_text(encoding="utf-8")
    for action, resource in PIPELINE.resources:
        assert action == "sts:AssumeRole"
        name = resource.rpartition("/")[2]
        for shown, real in (
            ("hpnr", "${Qualifier}"),
            ("111122223333", "${AWS::AccountId}"),
            ("us-west-2", "${AWS::Region}"),
        ):
            name = name.replace(shown, real)
        assert f"Fn::Sub: {name}\n" in bootstrap
