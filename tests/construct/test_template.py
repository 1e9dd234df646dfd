"""What the construct puts into a template."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnOutput, CfnParameter, Duration, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from aws_cdk.aws_iam import PolicyStatement

from hyperpod_node_removal import MissingNodes, NodeRemoval, PartialFailure, WaitFor
from hyperpod_node_removal_contract import (
    RESOURCE_TYPE,
    SERVICE_TIMEOUT_MIN,
    Attribute,
    Property,
)

pytestmark = pytest.mark.xdist_group("construct-template")

CLUSTER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"
EKS_CLUSTER_ARN = "arn:aws:eks:us-west-2:111122223333:cluster/training"
NODE_ID = "i-0123456789abcdef0"

CFN_LINT = Path(sys.executable).with_name("cfn-lint")
# A DependsOn that CDK's own Function writes, and that a GetAtt implies.
NOT_OURS = ["W3005"]

DRAIN = "DrainB7582D65"

WAIT_CONDITION = "AWS::CloudFormation::WaitCondition"

Resources = dict[str, dict[str, Any]]


class Synthesized:
    """The templates of one app: synthesizing takes seconds."""

    def __init__(self) -> None:
        app = App(analytics_reporting=False)
        plain, full = Stack(app, "Plain"), Stack(app, "Full")
        self._plain(plain)
        self._full(full)
        self.templates: dict[str, dict[str, Any]] = {
            stack.stack_name: dict(Template.from_stack(stack).to_json()) for stack in (plain, full)
        }

    def _plain(self, stack: Stack) -> None:
        NodeRemoval(stack, "Removal", cluster_name="ml-cluster")

    def _full(self, stack: Stack) -> None:
        ids = CfnParameter(stack, "Ids", type="CommaDelimitedList")
        seconds = CfnParameter(stack, "Seconds", type="Number")
        flag = CfnParameter(stack, "DryRun", allowed_values=["true", "false"])
        removal = NodeRemoval(
            stack,
            "Faulty",
            cluster_arn=CLUSTER_ARN,
            node_ids=[NODE_ID],
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
            before_removal=self._hook(stack),
        )
        NodeRemoval(
            stack,
            "FromParameters",
            cluster_arn=CLUSTER_ARN,
            node_ids=ids.value_as_list,
            retry_for=Duration.seconds(seconds.value_as_number),
            max_removals=seconds.value_as_number,  # type: ignore[arg-type]
            dry_run=flag.value_as_string,  # type: ignore[arg-type]
        )
        for attribute in Attribute:
            name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", attribute).lower()
            CfnOutput(stack, attribute, value=getattr(removal, name))

    def _hook(self, stack: Stack) -> lambda_.Function:
        hook = lambda_.Function(
            stack,
            "Drain",
            runtime=lambda_.Runtime.PYTHON_3_14,
            handler="index.handler",
            code=lambda_.Code.from_inline("def handler(event, context): ..."),
        )
        hook.add_to_role_policy(PolicyStatement(actions=["eks:DescribeCluster"], resources=["*"]))
        return hook

    def resources(self, stack: str, resource_type: str) -> Resources:
        """Resources of a stack by logical id."""
        resources: Resources = self.templates[stack]["Resources"]
        return {key: one for key, one in resources.items() if one["Type"] == resource_type}

    def only(self, stack: str, resource_type: str) -> dict[str, Any]:
        """The only resource of its type."""
        (resource,) = self.resources(stack, resource_type).values()
        return resource

    def permissions(self, stack: str) -> dict[str, Any]:
        """Properties of the policy that the stack's removals share."""
        policies = self.resources(stack, "AWS::IAM::Policy")
        (policy,) = (one["Properties"] for key, one in policies.items() if "Permissions" in key)
        assert isinstance(policy, dict)
        return policy


@pytest.fixture(scope="module")
def synthesized() -> Synthesized:
    return Synthesized()


def test_the_template_without_options_stays_as_it_was_but_for_the_code() -> None:
    """What users have deployed is updated by a release only where it has to be. Alone in its app,
    so that nothing of another stack is in it."""
    stack = Stack(App(analytics_reporting=False), "Plain")
    NodeRemoval(stack, "Removal", cluster_name="ml-cluster")
    text = json.dumps(Template.from_stack(stack).to_json(), indent=2)
    text = re.sub(r"[0-9a-f]{64}\.zip", "code.zip", text)
    assert text == (Path(__file__).parent / "default_template.json").read_text().rstrip()


def test_what_is_left_out_is_left_to_the_function_except_the_choices(
    synthesized: Synthesized,
) -> None:
    resource = synthesized.only("Plain", RESOURCE_TYPE)
    properties = dict(resource["Properties"])
    assert properties.pop("ServiceToken")
    assert properties == {
        "ClusterName": "ml-cluster",
        "OnPartialFailure": "FAIL",
        "RetryFor": 600,
        "ServiceTimeout": "1800",
        "WaitFor": "REMOVED",
    }


def test_every_property_reaches_the_template(synthesized: Synthesized) -> None:
    resources = synthesized.resources("Full", RESOURCE_TYPE)
    (properties,) = (one["Properties"] for key, one in resources.items() if "Faulty" in key)
    assert {key: properties[key] for key in properties if key != "ServiceToken"} == {
        "BeforeRemoval": {"Fn::GetAtt": [DRAIN, "Arn"]},
        "ClusterName": CLUSTER_ARN,
        "DryRun": True,
        "ExpectedGroups": ["workers", "trainers"],
        "MaxRemovals": 0,
        "MinRemaining": {"workers": 4},
        "MissingNodes": "FAIL",
        "NodeIds": [NODE_ID],
        "NodeLogicalIds": ["gpu-7"],
        "OnPartialFailure": "REPORT",
        "ProtectedGroups": ["controllers"],
        "RetryFor": 120,
        "RetryToken": "once more",
        "ServiceTimeout": "600",
        "VerdictCondition": next(iter(synthesized.resources("Full", WAIT_CONDITION))),
        "WaitFor": "ACCEPTED",
    }


def test_every_property_of_the_contract_is_written(synthesized: Synthesized) -> None:
    resources = synthesized.resources("Full", RESOURCE_TYPE)
    (properties,) = (one["Properties"] for key, one in resources.items() if "Faulty" in key)
    assert properties.keys() == {name.value for name in Property}


def test_parameters_pass_through(synthesized: Synthesized) -> None:
    resources = synthesized.resources("Full", RESOURCE_TYPE)
    (properties,) = (one["Properties"] for key, one in resources.items() if "From" in key)
    assert properties["NodeIds"] == {"Ref": "Ids"}
    assert properties["RetryFor"] == {"Ref": "Seconds"}
    assert properties["MaxRemovals"] == {"Ref": "Seconds"}
    assert properties["DryRun"] == {"Ref": "DryRun"}


def test_every_attribute_is_a_property(synthesized: Synthesized) -> None:
    outputs = synthesized.templates["Full"]["Outputs"]
    attributes = {key: output["Value"]["Fn::GetAtt"][1] for key, output in outputs.items()}
    assert attributes == {attribute.value: attribute.value for attribute in Attribute}


def test_logical_ids_of_the_provider_are_a_public_contract(synthesized: Synthesized) -> None:
    """A ServiceToken cannot change, so neither can the function's logical id. Never edit this."""
    resources = synthesized.templates["Plain"]["Resources"]
    assert {key: one["Type"] for key, one in resources.items()} == {
        "HyperPodNodeRemovalProviderFunctionA0574F53": "AWS::Lambda::Function",
        "HyperPodNodeRemovalProviderInvocation727529F7": "AWS::Lambda::EventInvokeConfig",
        "HyperPodNodeRemovalProviderLogGroup5C314E86": "AWS::Logs::LogGroup",
        "HyperPodNodeRemovalProviderPermissionsPolicy99E5273E": "AWS::IAM::Policy",
        "HyperPodNodeRemovalProviderRoleEA07CF24": "AWS::IAM::Role",
        "HyperPodNodeRemovalProviderSelfInvocation4544C616": "AWS::IAM::Policy",
        "Removal1BFB0048": RESOURCE_TYPE,
    }


def test_the_function_runs_as_designed(synthesized: Synthesized) -> None:
    function = synthesized.only("Plain", "AWS::Lambda::Function")["Properties"]
    assert function["Runtime"] == "python3.14"
    assert function["Architectures"] == ["arm64"]
    assert function["Handler"] == "hyperpod_node_removal_handler.entry.handler"
    assert function["Timeout"] == 900
    assert function["MemorySize"] == 512
    assert function["LoggingConfig"] == {
        "LogFormat": "JSON",
        "LogGroup": {"Ref": "HyperPodNodeRemovalProviderLogGroup5C314E86"},
    }
    assert "Environment" not in function
    assert RESOURCE_TYPE in function["Description"]


def test_lambda_does_not_run_a_crashed_request_again(synthesized: Synthesized) -> None:
    invocation = synthesized.only("Plain", "AWS::Lambda::EventInvokeConfig")["Properties"]
    assert invocation["MaximumRetryAttempts"] == 0


def test_lambda_drops_a_request_before_cloudformation_gives_up(synthesized: Synthesized) -> None:
    invocation = synthesized.only("Plain", "AWS::Lambda::EventInvokeConfig")["Properties"]
    assert invocation["MaximumEventAgeInSeconds"] == SERVICE_TIMEOUT_MIN


def test_the_log_outlives_the_stack(synthesized: Synthesized) -> None:
    log_group = synthesized.only("Plain", "AWS::Logs::LogGroup")
    assert log_group["DeletionPolicy"] == "Retain"
    assert log_group["UpdateReplacePolicy"] == "Retain"
    assert log_group["Properties"] == {"RetentionInDays": 365}


def test_the_role_may_write_its_own_log_only(synthesized: Synthesized) -> None:
    role = synthesized.only("Plain", "AWS::IAM::Role")["Properties"]
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Effect": "Allow",
            "Resource": {"Fn::GetAtt": ["HyperPodNodeRemovalProviderLogGroup5C314E86", "Arn"]},
        }
    ]


def test_the_removal_waits_for_all_it_needs(synthesized: Synthesized) -> None:
    resource = synthesized.only("Plain", RESOURCE_TYPE)
    assert set(resource["DependsOn"]) == {
        "HyperPodNodeRemovalProviderInvocation727529F7",
        "HyperPodNodeRemovalProviderPermissionsPolicy99E5273E",
        "HyperPodNodeRemovalProviderSelfInvocation4544C616",
    }


def test_a_known_arn_narrows_the_permissions(synthesized: Synthesized) -> None:
    policy = synthesized.permissions("Full")
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Action": ["cloudformation:DescribeStacks", "cloudformation:SignalResource"],
            "Effect": "Allow",
            "Resource": {"Ref": "AWS::StackId"},
        },
        {
            "Action": [
                "sagemaker:BatchDeleteClusterNodes",
                "sagemaker:DescribeCluster",
                "sagemaker:DescribeClusterNode",
                "sagemaker:ListClusterNodes",
            ],
            "Effect": "Allow",
            "Resource": CLUSTER_ARN,
        },
        {"Action": "eks:DescribeCluster", "Effect": "Allow", "Resource": EKS_CLUSTER_ARN},
        {
            "Action": "lambda:InvokeFunction",
            "Effect": "Allow",
            "Resource": {"Fn::GetAtt": [DRAIN, "Arn"]},
        },
    ]


def test_the_hook_has_its_own_permissions_before_it_is_asked(synthesized: Synthesized) -> None:
    resources = synthesized.resources("Full", RESOURCE_TYPE)
    (faulty,) = (one for key, one in resources.items() if "Faulty" in key)
    policies = synthesized.resources("Full", "AWS::IAM::Policy")
    (own,) = (key for key in policies if key.startswith("DrainServiceRoleDefaultPolicy"))
    assert {DRAIN, own} <= set(faulty["DependsOn"])


def test_a_name_allows_the_clusters_of_the_account_and_region(synthesized: Synthesized) -> None:
    policy = synthesized.permissions("Plain")
    resource = policy["PolicyDocument"]["Statement"][1]["Resource"]
    parts = [part if isinstance(part, str) else part["Ref"] for part in resource["Fn::Join"][1]]
    assert "".join(parts) == ("arn:AWS::Partition:sagemaker:AWS::Region:AWS::AccountId:cluster/*")


def test_the_function_may_invoke_itself_and_nothing_else(synthesized: Synthesized) -> None:
    policies = synthesized.resources("Plain", "AWS::IAM::Policy")
    (policy,) = (one["Properties"] for key, one in policies.items() if "Invocation" in key)
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Action": "lambda:InvokeFunction",
            "Effect": "Allow",
            "Resource": {"Fn::GetAtt": ["HyperPodNodeRemovalProviderFunctionA0574F53", "Arn"]},
        }
    ]


def test_removals_of_a_stack_share_one_function_and_one_policy(synthesized: Synthesized) -> None:
    assert len(synthesized.resources("Full", RESOURCE_TYPE)) == 2
    functions = synthesized.resources("Full", "AWS::Lambda::Function")
    assert [key for key in functions if key != DRAIN] == [
        "HyperPodNodeRemovalProviderFunctionA0574F53"
    ]
    policies = synthesized.resources("Full", "AWS::IAM::Policy")
    assert len([key for key in policies if "Permissions" in key]) == 1


def test_cfn_lint_finds_nothing(synthesized: Synthesized, tmp_path: Path) -> None:
    for name, template in synthesized.templates.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(template))
    done = subprocess.run(
        [CFN_LINT, "--ignore-checks", *NOT_OURS, "--", *tmp_path.iterdir()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)
