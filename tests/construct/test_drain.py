"""The drains: what they are allowed, what cdk-nag says, and how a removal uses them."""

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Duration, Stack, Token
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Match, Template

from hyperpod_node_removal import (
    BackupMarker,
    EksDrain,
    InvalidPropertyError,
    NodeRemoval,
    SlurmDrain,
    SlurmJobs,
)
from hyperpod_node_removal._hook_function import HookFunction
from hyperpod_node_removal_contract import RESOURCE_TYPE
from tests.construct.stacks import (
    CLUSTER_ARN,
    FUNCTION,
    NODE,
    POLICY,
    Synthesized,
    acknowledged_findings,
    app_of,
    check_with_cdk_nag,
    network,
)

SECRET = "arn:aws:secretsmanager:us-west-2:111122223333:secret:slurm-token-a1b2c3"
LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
NETWORK = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}
READ_SECRET = {"secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"}


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


def marker(stack: Stack, **more: Any) -> HookFunction:
    bucket = s3.Bucket.from_bucket_name(stack, "B", "backups")
    return BackupMarker(stack, "Drain", bucket=bucket, **more)


DRAINS: dict[Callable[..., HookFunction], set[str]] = {
    eks_drain: LOG | NETWORK | {"eks:DescribeCluster"},
    slurm_drain: LOG | NETWORK | READ_SECRET,
    marker: LOG | {"s3:ListBucket"},
}
"""What each drain may do."""


@pytest.mark.parametrize("drain", DRAINS)
def test_a_removal_waits_for_its_drain_which_has_the_permissions_it_needs(
    stack: Stack, drain: Callable[[Stack], HookFunction]
) -> None:
    NodeRemoval(
        stack, "Removal", cluster_arn=CLUSTER_ARN, node_ids=[NODE], before_removal=drain(stack)
    )
    made = Synthesized(stack)
    function = made.properties(RESOURCE_TYPE)["BeforeRemoval"]["Fn::GetAtt"][0]
    assert function in made.resources(FUNCTION)
    own = {
        key for key in made.template["Resources"] if key.startswith("Drain") and "Role" not in key
    }
    assert own <= set(made.one(RESOURCE_TYPE)["DependsOn"])
    invoke = ("lambda:InvokeFunction", {"Fn::GetAtt": [function, "Arn"]})
    assert invoke in made.statements("Permissions")
    assert made.actions("Drain") == DRAINS[drain]
    invocation = made.properties("AWS::Lambda::EventInvokeConfig", "Drain")
    assert invocation["MaximumEventAgeInSeconds"] == 60, "a release is retried for a minute at most"
    assert invocation["MaximumRetryAttempts"] == 2
    assert made.properties(FUNCTION, "Drain")["MemorySize"] == 1024, "of 3,000 nodes and their jobs"


@pytest.mark.parametrize("drain", DRAINS)
def test_cdk_nag_finds_only_the_acknowledged_wildcard_of_the_network(
    stack: Stack, drain: Callable[[Stack], HookFunction]
) -> None:
    app = check_with_cdk_nag(app_of(stack))
    drain(stack)
    wildcards = set() if drain is marker else {"AwsSolutions-IAM5[Resource::*]"}
    assert {one["ruleName"] for one in acknowledged_findings(app)} == wildcards


def test_the_slurm_drain_has_its_settings(stack: Stack) -> None:
    slurm_drain(stack)
    assert Synthesized(stack).properties(FUNCTION)["Environment"]["Variables"] == {
        "REST_API": "http://10.1.0.10:6820",
        "TOKEN": SECRET,
        "USER_NAME": "root",
        "JOBS": "WAIT",
        "GRACE": "300",
    }


IMPORT: dict[str, Any] = {"Fn::ImportValue": "Option"}
TOKEN: Any = Token.as_string(IMPORT)
SECONDS: Any = Duration.seconds(Token.as_number(IMPORT))


@pytest.mark.parametrize(
    ("drain", "options", "variables"),
    [
        (slurm_drain, {"jobs": TOKEN, "grace": SECONDS}, {"JOBS", "GRACE"}),
        (eks_drain, {"disrupts_protected_pods": TOKEN}, {"DISRUPTS"}),
        (marker, {"waits": TOKEN}, {"WAITS"}),
    ],
)
def test_an_option_that_is_known_at_deployment_only_reaches_the_function(
    stack: Stack,
    drain: Callable[..., HookFunction],
    options: dict[str, Any],
    variables: set[str],
) -> None:
    drain(stack, **options)
    environment = Synthesized(stack).properties(FUNCTION)["Environment"]["Variables"]
    assert {name for name, value in environment.items() if value == IMPORT} == variables


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
        (
            {"grace": 60, "jobs": SlurmJobs.CANCEL},
            r"grace: '60' \(int\) is not an aws_cdk\.Duration",
        ),
        (
            {"grace": Duration.millis(1500), "jobs": SlurmJobs.CANCEL},
            "grace: '1.5' is not a whole number of seconds",
        ),
        ({"jobs": "KILL"}, "jobs: 'KILL' is unknown; allowed: WAIT or REQUEUE or CANCEL"),
    ],
)
def test_invalid_arguments_of_a_slurm_drain_are_rejected(
    stack: Stack, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidPropertyError, match=sentence):
        slurm_drain(stack, **given)


def test_the_access_entry_is_optional(stack: Stack) -> None:
    eks_drain(stack, vpc=None)
    other = Stack(app_of(stack), "Other")
    eks_drain(other, access_entry=False)
    made = Synthesized(stack)
    entry = made.properties("AWS::EKS::AccessEntry")
    assert (entry["ClusterName"], entry["KubernetesGroups"]) == (
        "training",
        ["hyperpod-node-drain"],
    )
    assert made.actions("Drain") == LOG | {"eks:DescribeCluster"}, "without a network"
    assert not Synthesized(other).resources("AWS::EKS::AccessEntry")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"cluster": "arn:aws:eks:us-west-2:111122223333:cluster/a"},
            "cluster: .* is not the name of an EKS cluster",
        ),
        ({"access_entry": TOKEN}, "access_entry: is known only at deployment; allowed: True or F"),
    ],
)
def test_invalid_arguments_of_an_eks_drain_are_rejected(
    stack: Stack, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidPropertyError, match=sentence):
        eks_drain(stack, **given)


def test_the_backup_marker_may_list_below_its_prefix(stack: Stack) -> None:
    marker(stack)
    prefix = {"Condition": {"StringLike": {"s3:prefix": "hyperpod-backups/*"}}}
    policy = {"PolicyDocument": {"Statement": Match.array_with([Match.object_like(prefix)])}}
    Template.from_stack(stack).has_resource_properties(POLICY, Match.object_like(policy))
