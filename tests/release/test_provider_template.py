"""The provider's template has the construct's provider, and needs no CDK to deploy."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from awscli.customizations.cloudformation.yamlhelper import yaml_parse

from hyperpod_node_removal import NodeRemovalProvider
from release.artifacts import PACKAGEABLE, PROVIDER
from release.provider_parameters import EXPORT_NAME
from release.provider_template import packageable_template, provider_template
from release.templates import LOG_RETENTION_DAYS, template_text
from tests.construct.stacks import CLUSTER_ARN, EKS_CLUSTER_ARN, HOOK_ARN, STACK_ARN, network
from tests.release.evaluation import evaluated
from tests.release.linting import cfn_lint

EKS_CLUSTERS_ARN = EKS_CLUSTER_ARN.replace("training", "*")
EVENT_BUS_ARN = "arn:aws:events:us-west-2:111122223333:event-bus/operations"
BOUNDARY_ARN = "arn:aws:iam::111122223333:policy/boundary"
KEY_ARN = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ROLE_ARN = "arn:aws:iam::111122223333:role/ml/node-removal"


@pytest.fixture(scope="module")
def synthesized() -> dict[str, Any]:
    return provider_template()


@pytest.fixture
def template(synthesized: dict[str, Any]) -> dict[str, Any]:
    return deepcopy(synthesized)


GIVEN = {
    "Metrics": "true",
    "EventBusArn": EVENT_BUS_ARN,
    "EksClusterArn": EKS_CLUSTER_ARN,
    "BeforeRemovalArn": HOOK_ARN,
    "VerdictEvents": "true",
}
REQUIRED: dict[str, Any] = {
    "PermissionsBoundaryArn": BOUNDARY_ARN,
    "SubnetIds": ["subnet-1"],
    "SecurityGroupIds": ["sg-1"],
    "KmsKeyArn": KEY_ARN,
    "Architecture": "x86_64",
}


def of_an_app(**options: Any) -> dict[str, Any]:
    """What an app makes of a provider that does the same."""
    stack = Stack(App(analytics_reporting=False), "Stack")
    bus = events.EventBus.from_event_bus_arn(stack, "Bus", EVENT_BUS_ARN)
    made = {name: make(stack) for name, make in options.items()}
    provider = NodeRemovalProvider(stack, metrics=True, event_bus=bus, **made)
    provider.allow_removals(
        stack_arn=STACK_ARN,
        cluster_arn=CLUSTER_ARN,
        eks_cluster_arn=EKS_CLUSTER_ARN,
        before_removal_arn=HOOK_ARN,
        verdict_events=True,
    )
    return dict(Template.from_stack(stack).to_json())


RESTRICTIONS: dict[str, Callable[[Stack], Any]] = {
    "vpc": network,
    "security_groups": lambda stack: [
        ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-1")
    ],
    "permissions_boundary": lambda stack: iam.ManagedPolicy.from_managed_policy_arn(
        stack, "Boundary", BOUNDARY_ARN
    ),
    "encryption_key": lambda stack: kms.Key.from_key_arn(stack, "Key", KEY_ARN),
    "architecture": lambda _: lambda_.Architecture.X86_64,
}


@pytest.fixture(scope="module", params=["usual", "restricted"])
def both(
    request: pytest.FixtureRequest, synthesized: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The template with values for its parameters, and what an app makes of the same values.

    The second pair is that of an organization with rules.
    """
    if request.param == "usual":
        return evaluated(synthesized, **GIVEN), of_an_app()
    return evaluated(synthesized, **GIVEN, **REQUIRED), of_an_app(**RESTRICTIONS)


def statements(template: dict[str, Any]) -> list[tuple[str, str]]:
    """What a role may do: actions, and what of the resource is literal."""
    policies = [
        *(one["Properties"] for one in of_type(template, "AWS::IAM::Policy")),
        *of_type(template, "AWS::IAM::Role")[0]["Properties"]["Policies"],
    ]
    found = [one for policy in policies for one in policy["PolicyDocument"]["Statement"]]
    assert all(
        one["Effect"] == "Allow" and set(one) == {"Action", "Effect", "Resource"} for one in found
    )
    return sorted(
        (action, kind(one["Resource"]))
        for one in found
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    )


def kind(resource: Any) -> str:
    """Which attribute a resource of the template is, or that it was given."""
    return resource["Fn::GetAtt"][1] if "Fn::GetAtt" in resource else "given"


def of_type(template: dict[str, Any], resource_type: str) -> list[dict[str, Any]]:
    return [one for one in template["Resources"].values() if one["Type"] == resource_type]


def test_the_resources_are_those_of_the_construct(
    both: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    types = [sorted(one["Type"] for one in made["Resources"].values()) for made in both]
    # what concerns EKS, a hook, and signals is separate, since it has a condition
    assert types[0] == sorted([*types[1], *["AWS::IAM::Policy"] * 3])
    for kind in ("Lambda::EventInvokeConfig", "Lambda::Function", "Logs::LogGroup", "IAM::Role"):
        (one,), (other,) = (of_type(made, f"AWS::{kind}") for made in both)
        here, expected = one["Properties"], other["Properties"]
        assert here.keys() == expected.keys()
        variables = [props.get("Environment", {}).get("Variables") for props in (here, expected)]
        assert variables[0] == variables[1] or variables[0].keys() == variables[1].keys()
        literal = {key for key, value in here.items() if isinstance(value, str | int)}
        assert literal or kind == "Logs::LogGroup"
        assert {key: here[key] for key in literal} == {key: expected[key] for key in literal}


def test_the_function_may_do_what_that_of_the_construct_may(
    both: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    made, expected = map(statements, both)
    assert made == expected


def test_a_given_role_is_the_functions_and_the_template_makes_none(
    template: dict[str, Any],
) -> None:
    made = evaluated(template, **GIVEN, **REQUIRED, RoleArn=ROLE_ARN)
    assert not [key for key, one in made["Resources"].items() if "IAM" in one["Type"]]
    (function,) = of_type(made, "AWS::Lambda::Function")
    assert function["Properties"]["Role"] == {"Ref": "RoleArn"}
    assert '"Role"' not in json.dumps(
        [one for one in made["Resources"].values() if "Lambda::Function" not in one["Type"]]
    )


@pytest.mark.parametrize(("given", "seconds"), [({}, 60), (REQUIRED, 300)], ids=["no VPC", "VPC"])
def test_a_request_waits_longer_for_a_function_in_a_vpc(
    template: dict[str, Any], given: dict[str, Any], seconds: int
) -> None:
    """The function knows for how long, and believes the send time of a request that did."""
    made = evaluated(template, **given)
    (invocation,) = of_type(made, "AWS::Lambda::EventInvokeConfig")
    assert invocation["Properties"]["MaximumEventAgeInSeconds"] == seconds
    (function,) = of_type(made, "AWS::Lambda::Function")
    variables = function["Properties"].get("Environment", {}).get("Variables", {})
    assert int(variables.get("MAXIMUM_EVENT_AGE", 60)) == seconds


def test_groups_without_subnets_are_left_for_lambda_to_reject(template: dict[str, Any]) -> None:
    """They would otherwise be ignored, and the function would be in no VPC."""
    made = evaluated(template, SecurityGroupIds=["sg-1"])
    assert "VpcConfig" in of_type(made, "AWS::Lambda::Function")[0]["Properties"]


def test_metrics_and_events_are_off_unless_parameters_say_otherwise(
    template: dict[str, Any],
) -> None:
    variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
    nothing = {"Ref": "AWS::NoValue"}
    assert variables["METRICS"] == {"Fn::If": ["WritesMetrics", "true", nothing]}
    assert variables["EVENT_BUS"] == {"Fn::If": ["HasEventBus", {"Ref": "EventBusArn"}, nothing]}
    assert "FinishedEvents" not in evaluated(template)["Resources"]
    assert "FinishedEvents" in evaluated(template, EventBusArn=EVENT_BUS_ARN)["Resources"]
    defaults = {key: one.get("Default") for key, one in template["Parameters"].items()}
    assert (defaults["Metrics"], defaults["EventBusArn"]) == ("false", "")


def test_the_text_explains_each_resource_and_has_nothing_of_the_cdk(
    templates: Path, template: dict[str, Any]
) -> None:
    text = (templates / PROVIDER).read_text(encoding="utf-8")
    for logical_id in template["Resources"]:
        assert re.search(rf"^  # .*\n  {logical_id}:$", text, re.MULTILINE), logical_id
    for trace in ("cdk", "CDK", "Bootstrap", "aws:asset"):
        assert trace not in text.replace("No CDK, no\n# bootstrap.", "")
    assert cfn_lint(templates / PROVIDER, templates / PACKAGEABLE) == ""


@pytest.mark.parametrize(
    ("parameter", "allowed", "refused"),
    [
        (
            "ClusterArn",
            ["*", CLUSTER_ARN],
            ["", "ml-cluster", f"{CLUSTER_ARN}0", f"*{CLUSTER_ARN}"],
        ),
        ("EksClusterArn", ["", EKS_CLUSTER_ARN, EKS_CLUSTERS_ARN], ["*", "ml", CLUSTER_ARN]),
        ("EventBusArn", ["", EVENT_BUS_ARN], ["operations", STACK_ARN, f"{EVENT_BUS_ARN} "]),
        ("StackName", ["maintenance", "maintenance-*", "*"], ["", "a/b", "-a", STACK_ARN]),
        ("BeforeRemovalArn", ["", HOOK_ARN, f"{HOOK_ARN}:live"], ["*", "drain"]),
        ("PermissionsBoundaryArn", ["", BOUNDARY_ARN], ["boundary", ROLE_ARN]),
        ("RoleArn", ["", ROLE_ARN], ["node-removal", BOUNDARY_ARN]),
        ("KmsKeyArn", ["", KEY_ARN], ["alias/key", KEY_ARN.replace("key/", "alias/")]),
        ("ExportName", [EXPORT_NAME, "a:b"], ["", "a b", "a" * 256]),
    ],
)
def test_parameters_accept(
    parameter: str, allowed: list[str], refused: list[str], template: dict[str, Any]
) -> None:
    pattern = template["Parameters"][parameter]["AllowedPattern"]
    assert all(re.search(pattern, value) for value in allowed)
    assert not any(re.search(pattern, value) for value in refused)


def test_parameters_have_their_warning_values_and_default(template: dict[str, Any]) -> None:
    parameters = template["Parameters"]
    assert "EVERY HyperPod cluster" in parameters["ClusterArn"]["Description"]
    assert len(parameters["ClusterArn"]["Description"]) <= 4000
    assert parameters["LogRetentionDays"]["AllowedValues"] == list(LOG_RETENTION_DAYS)
    assert parameters["Architecture"]["Default"] == "arm64"


def test_the_packageable_template_differs_in_where_the_code_is_only(
    template: dict[str, Any],
) -> None:
    packageable = packageable_template()
    assert packageable["Resources"]["Function"]["Properties"].pop("Code") == "handler.zip"
    packageable["Resources"]["Function"].pop("Metadata")
    del template["Resources"]["Function"]["Properties"]["Code"]
    assert packageable["Resources"] == template["Resources"]
    assert packageable["Outputs"] == template["Outputs"]
    assert template["Parameters"].keys() - packageable["Parameters"].keys() == {
        "CodeBucket",
        "CodeKey",
        "CodeVersion",
    }


def test_the_text_equals_what_was_synthesized(templates: Path, template: dict[str, Any]) -> None:
    """As the AWS CLI reads it, which turns short intrinsic functions into long ones."""
    read = yaml_parse((templates / PROVIDER).read_text(encoding="utf-8"))
    assert read.pop("AWSTemplateFormatVersion") == "2010-09-09"
    policy = template["Resources"]["RemovalsElsewhere"]["Properties"]["PolicyDocument"]
    stack, cluster = policy["Statement"]
    arn = "arn:${AWS::Partition}:%s:${AWS::Region}:${AWS::AccountId}:%s"
    (signal,) = template["Resources"]["Signals"]["Properties"]["PolicyDocument"]["Statement"]
    stack["Resource"] = signal["Resource"] = {
        "Fn::Sub": arn % ("cloudformation", "stack/${StackName}/*")
    }
    cluster["Resource"]["Fn::If"][1] = {"Fn::Sub": arn % ("sagemaker", "cluster/*")}
    assert read == template


def test_text_that_looks_like_a_reference_stays_text() -> None:
    name = {"Fn::Join": ["", ["${a}-", {"Ref": "B"}, "-", {"Fn::GetAtt": ["C", "Arn"]}]]}
    text = template_text({"Resources": {"Topic": {"Name": name}}}, "Head.", {"Topic": "New."})
    (topic,) = yaml_parse(text)["Resources"].values()
    assert topic == {"Name": {"Fn::Sub": "${!a}-${B}-${C.Arn}"}}


def test_a_resource_without_a_comment_is_an_error() -> None:
    with pytest.raises(KeyError, match="New"):
        template_text({"Resources": {"New": {"Type": "AWS::SNS::Topic"}}}, "Head.", {})
