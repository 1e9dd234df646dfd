"""The provider, configured as a function of the CDK is, for accounts in which that is required."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Stack, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from hyperpod_node_removal import InvalidPropertyError, NodeRemoval, NodeRemovalProvider
from tests.construct.stacks import (
    CLUSTER_ARN,
    FUNCTION,
    POLICY,
    STACK_ARN,
    Synthesized,
    app_of,
    check_with_cdk_nag,
    network,
)

BOUNDARY_ARN = "arn:aws:iam::111122223333:policy/boundary"
KEY_ARN = "arn:aws:kms:us-west-2:111122223333:key/a1b2c3d4"
ROLE_ARN = "arn:aws:iam::111122223333:role/ml/node-removal"
ROLE, LOG_GROUP = "AWS::IAM::Role", "AWS::Logs::LogGroup"
LAMBDA = iam.ServicePrincipal("lambda.amazonaws.com")


def boundary(stack: Stack) -> iam.IManagedPolicy:
    return iam.ManagedPolicy.from_managed_policy_arn(stack, "Boundary", BOUNDARY_ARN)


def security_group(stack: Stack) -> ec2.ISecurityGroup:
    return ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-01234567")


def test_the_function_runs_in_subnets_and_groups_of_the_app(stack: Stack) -> None:
    group = security_group(stack)
    provider = NodeRemovalProvider(stack, vpc=network(stack), security_groups=[group])
    made = Synthesized(stack)
    assert made.properties(FUNCTION)["VpcConfig"] == {
        "SecurityGroupIds": ["sg-01234567"],
        "SubnetIds": ["subnet-01234567"],
    }
    # Lambda may first have to connect it again.
    assert made.properties("AWS::Lambda::EventInvokeConfig")["MaximumEventAgeInSeconds"] == 300
    assert made.properties(FUNCTION)["Environment"]["Variables"] == {"MAXIMUM_EVENT_AGE": "300"}
    (connected,) = provider.function.connections.security_groups
    assert connected.security_group_id == group.security_group_id
    # Lambda checks the permission when it creates the function.
    role = made.properties(ROLE)
    statements = [one["PolicyDocument"]["Statement"][0] for one in role["Policies"]]
    assert "ec2:CreateNetworkInterface" in statements[1]["Action"]
    assert "ManagedPolicyArns" not in role


def test_a_given_role_has_its_permissions_before_the_function_is_created(stack: Stack) -> None:
    role = iam.Role.from_role_name(stack, "Role", "node-removal")
    NodeRemovalProvider(stack, role=role, vpc=network(stack))
    made = Synthesized(stack)
    ((policy, found),) = made.resources(POLICY, "FunctionPermissions").items()
    assert policy in made.one(FUNCTION)["DependsOn"]
    assert found["Properties"]["Roles"] == ["node-removal"]
    log, vpc = made.statements("FunctionPermissions")
    assert log[0] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert "ec2:CreateNetworkInterface" in vpc[0]


def test_other_options_reach_the_function_and_its_role(stack: Stack) -> None:
    NodeRemovalProvider(
        stack,
        permissions_boundary=boundary(stack),
        encryption_key=kms.Key.from_key_arn(stack, "Key", KEY_ARN),
        reserved_concurrent_executions=5,
        architecture=lambda_.Architecture.X86_64,
        tracing=lambda_.Tracing.ACTIVE,
    )
    made = Synthesized(stack)
    function, role = made.properties(FUNCTION), made.properties(ROLE)
    assert function["KmsKeyArn"] == KEY_ARN
    assert function["ReservedConcurrentExecutions"] == 5
    assert function["Architectures"] == ["x86_64"]
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert role["PermissionsBoundary"] == BOUNDARY_ARN
    assert "xray:PutTraceSegments" in json.dumps(role["Policies"])
    assert made.properties(LOG_GROUP) == {"KmsKeyId": KEY_ARN, "RetentionInDays": 365}


def test_a_key_of_the_app_lets_cloudwatch_logs_use_it(stack: Stack) -> None:
    keys = Stack(app_of(stack), "Keys")
    NodeRemovalProvider(stack, encryption_key=kms.Key(keys, "Key"))
    policy = Synthesized(keys).properties("AWS::KMS::Key")["KeyPolicy"]
    (statement,) = (one for one in policy["Statement"] if "Service" in one["Principal"])
    assert "logs." in json.dumps(statement["Principal"])
    assert "log-group:*" in json.dumps(statement["Condition"]["ArnLike"])
    assert "KmsKeyId" in Synthesized(stack).properties(LOG_GROUP)


def test_a_log_group_of_the_app_is_written_to(stack: Stack) -> None:
    log_group = logs.LogGroup.from_log_group_name(stack, "Log", "/ml/node-removal")
    provider = NodeRemovalProvider(stack, log_group=log_group)
    assert provider.log_group.log_group_name == "/ml/node-removal"
    made = Synthesized(stack)
    assert not made.resources(LOG_GROUP)
    assert made.properties(FUNCTION)["LoggingConfig"]["LogGroup"] == "/ml/node-removal"
    assert "log-group:/ml/node-removal:*" in json.dumps(made.properties(ROLE)["Policies"])


def test_the_provider_can_be_granted_permissions(stack: Stack) -> None:
    sns.Topic(stack, "Topic").grant_publish(NodeRemovalProvider(stack))
    assert "sns:Publish" in Synthesized(stack).actions()


# Roles ---------------------------------------------------------------------------------------


def of_the_app(stack: Stack) -> iam.IRole:
    return iam.Role(stack, "Own", assumed_by=LAMBDA)


def imported(stack: Stack, *, mutable: bool = True) -> iam.IRole:
    return iam.Role.from_role_arn(stack, "Imported", ROLE_ARN, mutable=mutable)


MUTABLE: dict[str, Callable[[Stack], Any]] = {
    "of the app": of_the_app,
    "of another stack": lambda stack: of_the_app(Stack(app_of(stack), "Roles")),
    "lazy": lambda stack: iam.LazyRole(stack, "Lazy", assumed_by=LAMBDA),
    "imported": imported,
}
IMMUTABLE: dict[str, Callable[[Stack], Any]] = {
    "imported": lambda stack: imported(stack, mutable=False),
    "frozen": lambda stack: of_the_app(stack).without_policy_updates(),  # type: ignore[attr-defined]
}


def used(stack: Stack, role: iam.IRole, **more: Any) -> NodeRemovalProvider:
    """A provider with that role and a removal, which also allows removals of a template."""
    provider = NodeRemovalProvider(stack, role=role, **more)
    NodeRemoval(stack, "Removal", cluster_arn=CLUSTER_ARN)
    provider.allow_removals(stack_arn=STACK_ARN, cluster_arn=CLUSTER_ARN)
    return provider


@pytest.mark.parametrize("role", MUTABLE)
def test_a_role_is_given_what_is_needed(stack: Stack, role: str) -> None:
    """In policies of this stack: the role's own may belong to another one, which comes first."""
    used(stack, MUTABLE[role](stack), vpc=network(stack), tracing=lambda_.Tracing.PASS_THROUGH)
    made = Synthesized(stack)
    assert made.properties(FUNCTION)["TracingConfig"] == {"Mode": "PassThrough"}
    assert made.actions() >= {
        "logs:PutLogEvents",
        "ec2:CreateNetworkInterface",
        "xray:PutTraceSegments",
        "lambda:InvokeFunction",
        "cloudformation:DescribeStacks",
        "sagemaker:BatchDeleteClusterNodes",
    }
    assert STACK_ARN in [resource for _, resource in made.statements()]


@pytest.mark.parametrize("role", IMMUTABLE)
def test_an_immutable_role_is_given_nothing(stack: Stack, role: str) -> None:
    used(stack, IMMUTABLE[role](stack), vpc=network(stack), tracing=lambda_.Tracing.ACTIVE)
    made = Synthesized(stack)
    assert not made.resources(POLICY)
    assert set(made.one(FUNCTION).get("DependsOn", ())) <= made.template["Resources"].keys()


def test_stacks_that_share_a_role_do_not_overwrite_each_others_permissions() -> None:
    """Not in one app, and not in two, which may have the same ids."""
    names: set[str] = set()
    for _ in range(2):
        app = App(analytics_reporting=False)
        stacks = [Stack(app, name) for name in ("One", "Two")]
        for stack in stacks:
            used(stack, imported(stack))
        for stack in stacks:
            policies = Synthesized(stack).resources(POLICY).values()
            found = [one["Properties"]["PolicyName"]["Fn::Join"][1] for one in policies]
            guid = {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}
            assert all(parts[1] == guid for parts in found)
            names.update(parts[0] for parts in found)
            assert all(len(parts[0]) + len("01234567-") * 4 <= 128 for parts in found)
    assert len(names) == 8, "four of each stack, the same in both apps"


@pytest.mark.parametrize("prevents", [None, True])
def test_customized_roles_leave_no_policy_and_report_all_statements(
    stack: Stack, prevents: bool | None
) -> None:
    names = {
        "HyperPodNodeRemovalProvider/Role": "node-removal",
        "Own": "node-removal-own",
    }
    iam.Role.customize_roles(stack, use_precreated_roles=names, prevent_synthesis=prevents)
    NodeRemoval(stack, "Removal", cluster_arn=CLUSTER_ARN)
    NodeRemoval(stack, "Again", cluster_arn=CLUSTER_ARN)
    another = NodeRemovalProvider(stack, "Another", role=of_the_app(stack))
    NodeRemoval(stack, "Other", cluster_name="ml-cluster", provider=another)
    resources = Synthesized(stack).template["Resources"].values()
    assert not [one for one in resources if one["Type"].startswith("AWS::IAM")]
    report = json.loads(Path(app_of(stack).outdir, "iam-policy-report.json").read_text())
    by_path = {one["roleConstructPath"]: one["identityPolicyStatements"] for one in report["roles"]}
    assert len(by_path) == 2
    for path, statements in by_path.items():
        actions = [one["Action"] for one in statements]
        assert actions == [
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            "lambda:InvokeFunction",
            "cloudformation:DescribeStacks",
            [
                "sagemaker:BatchDeleteClusterNodes",
                "sagemaker:DescribeCluster",
                "sagemaker:DescribeClusterNode",
                "sagemaker:ListClusterNodes",
            ],
        ], path


# From public reports -------------------------------------------------------------------------


def test_the_provider_has_the_boundary_and_the_tags_of_the_app(stack: Stack) -> None:
    """aws/aws-cdk #15572 and #30179, aws/serverless-application-model #1160."""
    iam.PermissionsBoundary.of(stack).apply(boundary(stack))
    Tags.of(NodeRemovalProvider(stack)).add("team", "ml")
    made = Synthesized(stack)
    assert made.properties(ROLE)["PermissionsBoundary"] == BOUNDARY_ARN
    for kind in (ROLE, FUNCTION, LOG_GROUP):
        assert made.properties(kind)["Tags"] == [{"Key": "team", "Value": "ml"}]


def test_signed_code_is_taken_from_where_the_signer_put_it(stack: Stack) -> None:
    """aws/aws-cdk #29474."""
    bucket = s3.Bucket.from_bucket_name(stack, "Signed", "signed-artifacts")
    code = lambda_.Code.from_bucket(bucket, "signed/handler.zip")
    element = NodeRemovalProvider(stack, code=code).function.node.default_child
    assert isinstance(element, lambda_.CfnFunction)
    arn = "arn:aws:lambda:us-west-2:111122223333:code-signing-config:csc-0123456789abcdef0"
    element.code_signing_config_arn = arn
    function = Synthesized(stack).properties(FUNCTION)
    assert function["CodeSigningConfigArn"] == arn
    assert function["Code"] == {"S3Bucket": "signed-artifacts", "S3Key": "signed/handler.zip"}


# What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            lambda stack: {"reserved_concurrent_executions": 0},
            (
                "reserved_concurrent_executions: '0' lets no request run: Lambda would drop each"
                " after 60 s, and a stack wait for its timeout; allowed: 1 or more, or None for the"
                " concurrency that the account has"
            ),
        ),
        (
            lambda stack: {"reserved_concurrent_executions": True},
            "reserved_concurrent_executions: 'True' is not a whole number",
        ),
        (
            lambda stack: {"role": ROLE_ARN},
            f"role: '{ROLE_ARN}' (str) is not a role; allowed: an IRole, such as",
        ),
        (
            lambda stack: {"role": imported(stack), "permissions_boundary": boundary(stack)},
            "permissions_boundary: is for the role that the provider creates, but role is given;",
        ),
        (
            lambda stack: {
                "log_group": logs.LogGroup(stack, "Log"),
                "log_retention": logs.RetentionDays.ONE_DAY,
            },
            "log_retention: is for the log group that the provider creates, but log_group is",
        ),
    ],
    ids=["none", "flag", "arn", "boundary", "retention"],
)
def test_options_that_cannot_work_are_rejected(
    stack: Stack, options: Callable[[Stack], dict[str, Any]], sentence: str
) -> None:
    given = options(stack)
    with pytest.raises(InvalidPropertyError) as caught:
        NodeRemovalProvider(stack, "Provider", **given)
    assert str(caught.value).startswith(f"Stack/Provider: {sentence}")
    assert stack.node.try_find_child("Provider") is None, "nothing is created"


def test_the_cdk_rejects_a_network_in_which_the_function_cannot_connect(stack: Stack) -> None:
    public: dict[str, Any] = {"vpc_subnets": ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC)}
    with pytest.raises(RuntimeError, match="Cannot configure 'vpcSubnets' without configuring a V"):
        NodeRemovalProvider(stack, "WithoutVpc", **public)
    public["vpc"] = network(stack, public_subnet_ids=["subnet-89abcdef"])
    with pytest.raises(RuntimeError, match="in a public subnet can NOT access the internet"):
        NodeRemovalProvider(stack, "Public", **public)


def test_a_number_of_executions_may_be_known_at_deployment_only(stack: Stack) -> None:
    reserved: Any = CfnParameter(stack, "Reserved", type="Number").value_as_number
    NodeRemovalProvider(stack, reserved_concurrent_executions=reserved)
    function = Synthesized(stack).properties(FUNCTION)
    assert function["ReservedConcurrentExecutions"] == {"Ref": "Reserved"}


# cdk-nag -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "role", [lambda stack: None, of_the_app, IMMUTABLE["imported"]], ids=["own", "app", "immutable"]
)
def test_the_wildcards_of_the_function_are_acknowledged(
    stack: Stack, role: Callable[[Stack], iam.IRole | None]
) -> None:
    app = check_with_cdk_nag(app_of(stack))
    NodeRemovalProvider(stack, role=role(stack), vpc=network(stack), tracing=lambda_.Tracing.ACTIVE)
    NodeRemoval(stack, "Removal", cluster_arn=CLUSTER_ARN)
    app.synth()  # fails if a finding is not acknowledged


def test_the_wildcard_of_a_statement_of_the_app_is_not_acknowledged(stack: Stack) -> None:
    app = check_with_cdk_nag(app_of(stack))
    provider = NodeRemovalProvider(stack, tracing=lambda_.Tracing.ACTIVE)
    statement = iam.PolicyStatement(actions=["sns:Publish"], resources=["*"])
    provider.role.add_to_principal_policy(statement)
    with pytest.raises(RuntimeError, match=r"AwsSolutions-IAM5\[Resource::\*\]"):
        app.synth()
