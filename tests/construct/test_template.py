"""What the construct puts into a template."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import (
    App,
    CfnOutput,
    CfnParameter,
    CloudFormationValidatePlugin,
    Duration,
    Stack,
    Validations,
)
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from aws_cdk.aws_iam import PolicyStatement

from hyperpod_node_removal import MissingNodes, NodeRemoval, PartialFailure, WaitFor
from hyperpod_node_removal_contract import RESOURCE_TYPE, Attribute, Property
from tests.construct.stacks import (
    CLUSTER_ARN,
    EKS_CLUSTER_ARN,
    FUNCTION,
    NODE,
    POLICY,
    Synthesized,
    network,
)
from tests.construct.test_provider_options import imported, used
from tests.construct.test_telemetry import with_parameters, with_telemetry
from tests.release.linting import cfn_lint

DRAIN = "DrainB7582D65"
WAIT_CONDITION = "AWS::CloudFormation::WaitCondition"


def with_everything(stack: Stack) -> None:
    """Add a removal with all properties, and one whose properties come from parameters."""
    hook = lambda_.Function(
        stack,
        "Drain",
        runtime=lambda_.Runtime.PYTHON_3_14,
        handler="index.handler",
        code=lambda_.Code.from_inline("def handler(event, context): ..."),
    )
    hook.add_to_role_policy(PolicyStatement(actions=["eks:DescribeCluster"], resources=["*"]))
    removal = NodeRemoval(
        stack,
        "Faulty",
        cluster_arn=CLUSTER_ARN,
        node_ids=[NODE],
        node_logical_ids=["gpu-7"],
        on_partial_failure=PartialFailure.REPORT,
        retry_for=Duration.minutes(2),
        retry_token="once more",
        verdict_event=True,
        timeout=Duration.minutes(10),
        wait_for=WaitFor.ACCEPTED,
        eks_cluster_arn=EKS_CLUSTER_ARN,
        min_remaining={"workers": 4},
        max_removals=0,
        protected_groups=["controllers"],
        expected_groups=["workers", "trainers"],
        missing_nodes=MissingNodes.FAIL,
        dry_run=True,
        before_removal=hook,
    )
    seconds: Any = CfnParameter(stack, "Seconds", type="Number").value_as_number
    flag: Any = CfnParameter(stack, "DryRun", allowed_values=["true", "false"]).value_as_string
    NodeRemoval(
        stack,
        "FromParameters",
        cluster_arn=CLUSTER_ARN,
        node_ids=CfnParameter(stack, "Ids", type="CommaDelimitedList").value_as_list,
        retry_for=Duration.seconds(seconds),
        max_removals=seconds,
        dry_run=flag,
    )
    for attribute in Attribute:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", attribute).lower()
        CfnOutput(stack, attribute, value=getattr(removal, name))


@pytest.fixture(scope="module")
def full() -> Synthesized:
    stack = Stack(App(analytics_reporting=False), "Full")
    with_everything(stack)
    return Synthesized(stack)


def test_the_default_template_stays_the_same_except_for_the_code() -> None:
    """What users have deployed is updated by a release only where it has to be: logical ids (a
    ServiceToken cannot change), settings of the function and its log, permissions, dependencies."""
    stack = Stack(App(analytics_reporting=False), "Plain")
    NodeRemoval(stack, "Removal", cluster_name="ml-cluster")
    text = json.dumps(Template.from_stack(stack).to_json(), indent=2)
    text = re.sub(r"[0-9a-f]{64}\.zip", "code.zip", text)
    assert text == (Path(__file__).parent / "default_template.json").read_text().rstrip()


def test_every_property_reaches_the_template(full: Synthesized) -> None:
    properties = full.properties(RESOURCE_TYPE, "Faulty")
    assert properties.keys() == {name.value for name in Property}
    del properties["ServiceToken"]
    assert properties == {
        "BeforeRemoval": {"Fn::GetAtt": [DRAIN, "Arn"]},
        "ClusterName": CLUSTER_ARN,
        "DryRun": True,
        "ExpectedGroups": ["workers", "trainers"],
        "MaxRemovals": 0,
        "MinRemaining": {"workers": 4},
        "MissingNodes": "FAIL",
        "NodeIds": [NODE],
        "NodeLogicalIds": ["gpu-7"],
        "OnPartialFailure": "REPORT",
        "ProtectedGroups": ["controllers"],
        "RetryFor": 120,
        "RetryToken": "once more",
        "ServiceTimeout": "600",
        "VerdictCondition": next(iter(full.resources(WAIT_CONDITION))),
        "WaitFor": "ACCEPTED",
    }


def test_parameters_pass_through(full: Synthesized) -> None:
    properties = full.properties(RESOURCE_TYPE, "FromParameters")
    names = {"NodeIds": "Ids", "RetryFor": "Seconds", "MaxRemovals": "Seconds", "DryRun": "DryRun"}
    assert {key: properties[key] for key in names} == {
        key: {"Ref": parameter} for key, parameter in names.items()
    }


def test_every_attribute_is_a_property(full: Synthesized) -> None:
    outputs = full.template["Outputs"]
    attributes = {key: output["Value"]["Fn::GetAtt"][1] for key, output in outputs.items()}
    assert attributes == {attribute.value: attribute.value for attribute in Attribute}


def test_removals_of_a_stack_share_one_function_and_narrow_policies(full: Synthesized) -> None:
    assert len(full.resources(RESOURCE_TYPE)) == 2
    assert full.resources(FUNCTION).keys() - {DRAIN} == {
        "HyperPodNodeRemovalProviderFunctionA0574F53"
    }
    assert full.statements("PermissionsPolicy") == [
        (
            ["cloudformation:DescribeStacks", "cloudformation:SignalResource"],
            {"Ref": "AWS::StackId"},
        ),
        (
            [
                "sagemaker:BatchDeleteClusterNodes",
                "sagemaker:DescribeCluster",
                "sagemaker:DescribeClusterNode",
                "sagemaker:ListClusterNodes",
            ],
            CLUSTER_ARN,
        ),
        ("eks:DescribeCluster", EKS_CLUSTER_ARN),
    ]
    assert full.statements("PermissionsHook") == [
        ("lambda:InvokeFunction", {"Fn::GetAtt": [DRAIN, "Arn"]})
    ]
    assert len(full.resources(POLICY, "Permissions")) == 2


def test_the_hook_has_its_own_permissions_before_it_is_invoked(full: Synthesized) -> None:
    (own,) = full.resources(POLICY, "DrainServiceRoleDefaultPolicy")
    assert {DRAIN, own} <= set(full.one(RESOURCE_TYPE, "Faulty")["DependsOn"])


@pytest.mark.slow
def test_the_cdks_own_check_finds_nothing(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), analytics_reporting=False)
    Validations.of(app).add_plugins(CloudFormationValidatePlugin())
    with_everything(Stack(app, "Full"))
    NodeRemoval(Stack(app, "Plain"), "Removal", cluster_name="ml-cluster")
    app.synth()
    report = json.loads((tmp_path / "validation-report.json").read_text(encoding="utf-8"))
    assert report["pluginReports"] == []


def test_cfn_lint_finds_nothing(full: Synthesized, stack: Stack, tmp_path: Path) -> None:
    used(stack, imported(stack), vpc=network(stack), tracing=lambda_.Tracing.ACTIVE)
    for number, made in enumerate([full, with_telemetry(), with_parameters(), Synthesized(stack)]):
        (tmp_path / f"{number}.json").write_text(json.dumps(made.template))
    plain = Path(__file__).parent / "default_template.json"
    # a DependsOn that the CDK's own Function writes, and that a GetAtt implies
    assert cfn_lint(plain, *tmp_path.iterdir(), ignored=("W3005",)) == ""
