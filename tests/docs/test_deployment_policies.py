"""The policies in `docs/iam` allow what a deployment needs, and nothing else."""

import json
import re
from pathlib import Path
from typing import Any, Final, cast

import pytest
from aws_cdk import App, Stack
from aws_cdk.aws_events import EventBus
from aws_cdk.aws_lambda import Function, IFunction
from aws_cdk.aws_s3 import Bucket
from aws_cdk.aws_secretsmanager import Secret

from hyperpod_node_removal import (
    BackupMarker,
    EksDrain,
    NodeRemoval,
    NodeRemovalDashboard,
    NodeRemovalProvider,
    PartialFailure,
    SlurmDrain,
)
from hyperpod_node_removal._hook_function import HookFunction
from hyperpod_node_removal.app import NodeRemovalStack
from hyperpod_node_removal_file import Settings
from sandbox.project import BOOTSTRAP
from tests.construct.stacks import network
from tests.docs.code_blocks import DOCS
from tests.docs.policy import Policy, as_list

EXECUTION: Final = Policy.of_file("execution-policy.json")
BOUNDARY: Final = Policy.of_file("function-boundary.json")
ROLE: Final = Policy.of_file("function-role.json")
PIPELINE: Final = Policy.of_file("pipeline-role.json")

PLACE: Final = "us-west-2:111122223333"
BOUNDARY_ARN: Final = "arn:aws:iam::111122223333:policy/hyperpod-node-removal-boundary"
STACK: Final = "hyperpod-node-removal-ml-cluster-with-a-very-long-name"
CODE: Final = "arn:aws:s3:::cdk-hpnr-assets-111122223333-us-west-2/0123.zip"

ACTIONS: Final = {
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
"""The actions that CloudFormation calls to create, read, update, and delete resources of a type,
with the properties that the construct sets. The source is the handlers in the resource schemas of
its registry. A log group that the template retains is never deleted."""

OTHER_ACTIONS: Final = {
    "iam:PassRole": "arn:aws:iam::111122223333:role/{name}",
    "logs:DescribeLogGroups": f"arn:aws:logs:{PLACE}:log-group::log-stream:",
    "s3:GetObject": CODE,
    "ssm:GetParameters": f"arn:aws:ssm:{PLACE}:parameter/cdk-bootstrap/hpnr/version",
}
"""Other actions that a deployment calls, and their resources."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The template of the app's stack, with the context of the start page and an EKS cluster."""
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
    """Return the properties of the resources of this type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def generated_name(logical_id: str, limit: int = 64) -> str:
    """Return a name as CloudFormation generates it, half stack name and half logical id."""
    room = limit - len("-0123456789AB") - 1
    stack = STACK[: max(room - room // 2, room - len(logical_id))]
    return f"{stack}-{logical_id[: room - len(stack)]}-0123456789AB"


def arns(template: dict[str, Any], kind: str) -> list[str]:
    """Return the ARNs of the resources of this type."""
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


@pytest.mark.parametrize("kind", ACTIONS)
def test_the_actions_of_cloudformation_are_allowed(template: dict[str, Any], kind: str) -> None:
    assert {one["Type"] for one in template["Resources"].values()} == set(ACTIONS)
    for arn in arns(template, kind):
        for action in ACTIONS[kind].split():
            assert EXECUTION.allows(action, arn, iam_PermissionsBoundary=BOUNDARY_ARN), action


def test_the_other_actions_of_a_deployment_are_allowed(template: dict[str, Any]) -> None:
    (role,) = of_type(template, "AWS::IAM::Role")
    for action, arn in OTHER_ACTIONS.items():
        name = arn.format(name=generated_name(role))
        assert EXECUTION.allows(action, name, iam_PassedToService="lambda.amazonaws.com")


def test_no_unused_action_is_allowed(template: dict[str, Any]) -> None:
    assert {*" ".join(ACTIONS.values()).split(), *OTHER_ACTIONS} == EXECUTION.actions
    # so nothing calls logs:DeleteLogGroup
    (group,) = of_type(template, "AWS::Logs::LogGroup")
    assert template["Resources"][group]["DeletionPolicy"] == "Retain"


def test_only_one_action_is_allowed_on_all_resources() -> None:
    wide = [action for action, resource in EXECUTION.resources if resource == "*"]
    assert wide == ["logs:DescribeLogGroups"]
    for _, resource in EXECUTION.resources:
        assert resource == "*" or re.search(r"hyperpod-node-removal-\*$|hpnr", resource)
    assert not any("*" in action for action in EXECUTION.actions | BOUNDARY.actions)


@pytest.mark.parametrize("action", ["iam:CreateRole", "iam:PutRolePolicy"])
@pytest.mark.parametrize(
    "boundary", [{}, {"iam_PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}]
)
def test_a_role_without_the_boundary_gets_no_permissions(
    action: str, boundary: dict[str, str]
) -> None:
    role = f"arn:aws:iam::111122223333:role/{generated_name('Role')}"
    assert not EXECUTION.allows(action, role, **boundary)
    assert EXECUTION.allows(action, role, iam_PermissionsBoundary=BOUNDARY_ARN)


def test_the_boundary_cannot_be_removed_or_changed() -> None:
    for action in (
        *("DeleteRolePermissionsBoundary", "AttachRolePolicy"),
        *("CreatePolicyVersion", "SetDefaultPolicyVersion", "DeletePolicy"),
    ):
        assert f"iam:{action}" not in EXECUTION.actions
    iam = [resource for action, resource in EXECUTION.resources if action.startswith("iam:")]
    assert not any("policy/" in resource for resource in iam)


def test_other_stacks_cannot_be_accessed() -> None:
    other = f"arn:aws:lambda:{PLACE}:function:payroll-Function-0123456789AB"
    reached = {action for action in EXECUTION.actions if EXECUTION.allows(action, other)}
    assert reached == {"logs:DescribeLogGroups"}
    role = "arn:aws:iam::111122223333:role/admin"
    assert not EXECUTION.allows("iam:PassRole", role, iam_PassedToService="lambda.amazonaws.com")
    own = f"arn:aws:iam::111122223333:role/{generated_name('Role')}"
    assert not EXECUTION.allows("iam:PassRole", own, iam_PassedToService="ec2.amazonaws.com")


# The function's role --------------------------------------------------------------------------


def granted(template: dict[str, Any]) -> set[str]:
    """Return the actions that the template allows the function, and its hook if it has one."""
    policies = [*of_type(template, "AWS::IAM::Policy").values()]
    roles = of_type(template, "AWS::IAM::Role").values()
    inline = [policy for role in roles for policy in role.get("Policies", [])]
    return {
        action
        for policy in [*policies, *inline]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
    }


def test_the_role_has_the_boundary_and_needs_all_of_it(
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
def test_the_boundary_allows_the_resources_of_the_function(action: str, resource: str) -> None:
    arn = f"arn:aws:{resource.format(PLACE)}"
    assert BOUNDARY.allows(action, arn)
    assert not BOUNDARY.allows(action, arn.replace("111122223333", "444455556666"))


def hook(option: str, stack: Stack) -> IFunction | HookFunction | None:
    """Return the hook that an option on the start page is, if it is one."""
    match option:
        case "before_removal":
            arn = f"arn:aws:lambda:{PLACE}:function:drain"
            return Function.from_function_arn(stack, "Hook", arn)
        case "BackupMarker":
            bucket = Bucket.from_bucket_name(stack, "Backups", "team-backups")
            return BackupMarker(stack, "Hook", bucket=bucket)
        case "EksDrain":
            return EksDrain(stack, "Hook", cluster="ml")
        case "SlurmDrain":
            token = Secret.from_secret_name_v2(stack, "Token", "slurm-token")
            url = "http://10.1.0.10:6820"
            return SlurmDrain(stack, "Hook", rest_api=url, token=token, vpc=network(stack))
    return None


def with_option(option: str, folder: Path) -> dict[str, Any]:
    """Return the template of a stack with one of the options on the start page."""
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
        before_removal=hook(option, stack),
        on_partial_failure=PartialFailure.REPORT,
        verdict_event=option == "verdict_event",
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
def test_an_option_needs_the_types_and_actions_on_the_page(
    options: str, types: str, actions: str, tmp_path: Path
) -> None:
    assert len(OPTIONS) == 10
    for option in re.findall(r"`(\w+)`", options):
        template = with_option(option, tmp_path / option)
        made = {one["Type"] for one in template["Resources"].values()} - set(ACTIONS)
        assert made == set(re.findall(r"`(\w+::\w+::\w+)`", types))
        shown = set(re.findall(r"`(\w+:\w+)`", actions))
        if "EC2 actions" in actions:
            shown |= {action for action in ROLE.actions if action.startswith("ec2:")}
        assert granted(template) == BOUNDARY.actions | shown
        policies = of_type(template, "AWS::IAM::Policy")
        if "lambda:InvokeFunction" in shown:
            assert f"{PLACE}:function:drain" in json.dumps(policies)


def test_the_pipeline_assumes_the_roles_of_the_bootstrap() -> None:
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
