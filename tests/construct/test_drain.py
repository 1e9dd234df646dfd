"""The drains: what they are allowed, what cdk-nag says, and how a removal takes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Match, Template
from cdk_nag import AwsSolutionsChecks

from hyperpod_node_removal import (
    BackupMarker,
    EksDrain,
    InvalidPropertyError,
    NodeRemoval,
    SlurmDrain,
    SlurmJobs,
)
from hyperpod_node_removal._hook_function import HookFunction

pytestmark = pytest.mark.xdist_group("construct-drain")

CLUSTER = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"
SECRET = "arn:aws:secretsmanager:us-west-2:111122223333:secret:slurm-token-a1b2c3"

NETWORK = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}


def network(stack: Stack) -> ec2.IVpc:
    return ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0123456789abcdef0",
        availability_zones=["us-west-2a"],
        private_subnet_ids=["subnet-0123456789abcdef0"],
    )


def slurm_drain(stack: Stack, **more: Any) -> HookFunction:
    given: dict[str, Any] = {
        "rest_api": "http://10.1.0.10:6820",
        "token": secretsmanager.Secret.from_secret_complete_arn(stack, "Token", SECRET),
        "vpc": network(stack),
        **more,
    }
    return SlurmDrain(stack, "Drain", **given)


def eks_drain(stack: Stack, **more: Any) -> HookFunction:
    given: dict[str, Any] = {"cluster": "training", "vpc": network(stack), **more}
    return EksDrain(stack, "Drain", **given)


def marker(stack: Stack) -> HookFunction:
    return BackupMarker(stack, "Drain", bucket=s3.Bucket.from_bucket_name(stack, "B", "backups"))


DRAINS: tuple[Callable[[Stack], HookFunction], ...] = (eks_drain, slurm_drain, marker)


def allowed(template: Template) -> dict[str, set[str]]:
    """Actions that the drain's policies allow, by their policy."""
    found: dict[str, set[str]] = {}
    for name, policy in template.find_resources("AWS::IAM::Policy").items():
        if name.startswith("Drain"):
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                if statement["Effect"] == "Allow":
                    found.setdefault(name, set()).update(
                        [actions] if isinstance(actions, str) else actions
                    )
    return found


@pytest.mark.parametrize("drain", DRAINS)
def test_a_removal_takes_a_drain_and_waits_for_all_of_it(
    drain: Callable[[Stack], HookFunction],
) -> None:
    stack = Stack(App(), "Stack")
    NodeRemoval(
        stack,
        "Removal",
        cluster_arn=CLUSTER,
        node_ids=["i-01234567"],
        before_removal=drain(stack),
    )
    template = Template.from_stack(stack)
    (removal,) = template.find_resources("Custom::HyperPodNodeRemoval").values()
    function = removal["Properties"]["BeforeRemoval"]["Fn::GetAtt"][0]
    assert function in template.find_resources("AWS::Lambda::Function")
    own = {
        name
        for name, one in template.to_json()["Resources"].items()
        if name.startswith("Drain") and "Role" not in name
    }
    assert own <= set(removal["DependsOn"])
    invoke = {"Action": "lambda:InvokeFunction", "Resource": {"Fn::GetAtt": [function, "Arn"]}}
    statements = Match.array_with([Match.object_like(invoke)])
    policy = {"PolicyDocument": {"Statement": statements}}
    template.has_resource_properties("AWS::IAM::Policy", Match.object_like(policy))


@pytest.mark.parametrize("drain", DRAINS)
def test_cdk_nag_finds_the_acknowledged_wildcard_of_the_network_only(
    drain: Callable[[Stack], HookFunction],
) -> None:
    app = App(analytics_reporting=False)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    drain(Stack(app, "Stack"))
    assembly = app.synth()  # fails if a finding is not acknowledged
    report = json.loads(Path(assembly.directory, "validation-report.json").read_text())
    plugins = report["pluginReports"]
    assert [found for plugin in plugins for found in plugin["violations"]] == []
    suppressed = [one for plugin in plugins for one in plugin.get("suppressedViolations", ())]
    wildcards = set() if drain is marker else {"AwsSolutions-IAM5[Resource::*]"}
    assert {one["ruleName"] for one in suppressed} == wildcards


@pytest.mark.parametrize("drain", DRAINS)
def test_a_release_is_tried_again_for_a_minute_at_most(
    drain: Callable[[Stack], HookFunction],
) -> None:
    stack = Stack(App(), "Stack")
    drain(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::Lambda::EventInvokeConfig",
        {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 2},
    )


def test_the_slurm_drain_may_read_its_secret_and_write_its_log_and_no_more() -> None:
    stack = Stack(App(), "Stack")
    slurm_drain(stack)
    template = Template.from_stack(stack)
    logging = {"logs:CreateLogStream", "logs:PutLogEvents"}
    secret = {"secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"}
    assert sorted(map(sorted, allowed(template).values())) == sorted(
        map(sorted, [NETWORK, logging, secret])
    )
    (function,) = template.find_resources("AWS::Lambda::Function").values()
    assert function["Properties"]["Environment"]["Variables"] == {
        "REST_API": "http://10.1.0.10:6820",
        "TOKEN": SECRET,
        "USER_NAME": "root",
        "JOBS": "WAIT",
        "GRACE": "300",
    }


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"rest_api": "10.1.0.10:6820"}, "rest_api: '10.1.0.10:6820' is not a URL; allowed: http"),
        ({"rest_api": "http://"}, "rest_api: 'http://' is not a URL"),
        ({"rest_api": "http://root:jwt@10.1.0.10"}, "is not a URL"),
        ({"user": "root\n"}, "is not the name of a user"),
        ({"user": 5}, r"user: '5' \(int\) is not a string"),
        ({"grace": Duration.minutes(1)}, r"grace: is for jobs=SlurmJobs\.CANCEL only"),
        (
            {"grace": Duration.minutes(1), "jobs": SlurmJobs.REQUEUE},
            r"grace: is for jobs=SlurmJobs\.CANCEL only",
        ),
        ({"jobs": "KILL"}, "jobs: 'KILL' is not one of WAIT, REQUEUE, CANCEL"),
    ],
)
def test_what_a_slurm_drain_does_not_take(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidPropertyError, match=sentence):
        slurm_drain(Stack(App(), "Stack"), **given)


def test_the_eks_drain_may_look_at_its_cluster_and_write_its_log_and_no_more() -> None:
    stack = Stack(App(), "Stack")
    eks_drain(stack, vpc=None)
    template = Template.from_stack(stack)
    (actions,) = allowed(template).values()
    assert actions == {"logs:CreateLogStream", "logs:PutLogEvents", "eks:DescribeCluster"}
    template.has_resource_properties(
        "AWS::EKS::AccessEntry",
        {"ClusterName": "training", "KubernetesGroups": ["hyperpod-node-drain"]},
    )


def test_an_access_entry_can_be_left_to_others() -> None:
    stack = Stack(App(), "Stack")
    eks_drain(stack, access_entry=False)
    Template.from_stack(stack).resource_count_is("AWS::EKS::AccessEntry", 0)


def test_a_cluster_is_named_by_its_name() -> None:
    with pytest.raises(InvalidPropertyError, match="is not the name of an EKS cluster"):
        eks_drain(Stack(App(), "Stack"), cluster="arn:aws:eks:us-west-2:111122223333:cluster/a")


def test_the_backup_marker_may_list_below_its_prefix_and_write_its_log_and_no_more() -> None:
    stack = Stack(App(), "Stack")
    marker(stack)
    template = Template.from_stack(stack)
    (actions,) = allowed(template).values()
    assert actions == {"logs:CreateLogStream", "logs:PutLogEvents", "s3:ListBucket"}
    prefix = {"Condition": {"StringLike": {"s3:prefix": "hyperpod-backups/*"}}}
    policy = {"PolicyDocument": {"Statement": Match.array_with([Match.object_like(prefix)])}}
    template.has_resource_properties("AWS::IAM::Policy", Match.object_like(policy))
