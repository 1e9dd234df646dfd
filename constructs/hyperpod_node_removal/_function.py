"""The function of a provider, and what is made along with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct, IConstruct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._asset import HANDLER_PACKAGE
from hyperpod_node_removal._statements import (
    key_statement,
    log_statement,
    network_statement,
    tracing_statement,
)

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms

FUNCTION_TIMEOUT_SECONDS: Final = 900
"""The longest a Lambda function can run."""
MEMORY_MEGABYTES: Final = 512
"""3,000 nodes take a tenth of it (docs/benchmarks.md). The rest is for CPU, which comes with
memory: a start, mostly imports, takes a third of a second of a whole core (docs/adr/0015)."""
_TRACING_MODES: Final = {
    lambda_.Tracing.ACTIVE: "Active",
    lambda_.Tracing.PASS_THROUGH: "PassThrough",
}
_ANY_RESOURCE_REASON: Final = (
    "Lambda attaches a function to a VPC with EC2 actions that it needs for any resource (Developer"
    " Guide, 'Giving Lambda functions access to resources in an Amazon VPC'), and X-Ray has no"
    " resources that its actions could be narrowed to."
)


def function_statements(
    log_group: logs.ILogGroup, *, in_vpc: bool, traced: bool
) -> dict[str, iam.PolicyStatement]:
    """What the role must allow before the function is made, by the name of a policy."""
    statements = {"Logs": log_statement(log_group.log_group_arn)}
    if in_vpc:
        statements["Network"] = network_statement()
    if traced:
        statements["Tracing"] = tracing_statement()
    return statements


def new_log_group(
    scope: Construct, retention: logs.RetentionDays | None, key: kms.IKey | None
) -> logs.LogGroup:
    """Make the log group, which stays: it is the record of what was removed."""
    if key is not None:
        key.add_to_resource_policy(key_statement(Stack.of(scope)))
    return logs.LogGroup(
        scope,
        "LogGroup",
        retention=retention or logs.RetentionDays.ONE_YEAR,
        removal_policy=RemovalPolicy.RETAIN,
        encryption_key=key,
    )


def new_role(
    scope: Construct,
    statements: Mapping[str, iam.PolicyStatement],
    boundary: iam.IManagedPolicy | None,
) -> iam.Role:
    """Make the role, with a policy for each statement."""
    return iam.Role(
        scope,
        "Role",
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        description=f"Role of the function behind {contract.RESOURCE_TYPE}",
        inline_policies={
            name: iam.PolicyDocument(statements=[statement])
            for name, statement in statements.items()
        },
        permissions_boundary=boundary,
    )


def new_function(
    scope: Construct, *, tracing: lambda_.Tracing | None, **options: Any
) -> lambda_.Function:
    """Make the function. `options` are those of `aws_cdk.aws_lambda.Function`."""
    function = lambda_.Function(
        scope,
        "Function",
        description=f"Removes nodes from SageMaker HyperPod ({contract.RESOURCE_TYPE})",
        runtime=lambda_.Runtime.PYTHON_3_14,
        handler=f"{HANDLER_PACKAGE}.entry.handler",
        timeout=Duration.seconds(FUNCTION_TIMEOUT_SECONDS),
        memory_size=MEMORY_MEGABYTES,
        logging_format=lambda_.LoggingFormat.JSON,
        **options,
    )
    if tracing in _TRACING_MODES:
        # As an option it would add a statement to the role's default policy, which may be one of
        # the app's, in another stack.
        function.node.default_child.tracing_config = (  # type: ignore[union-attr]
            lambda_.CfnFunction.TracingConfigProperty(mode=_TRACING_MODES[tracing])
        )
    return function


def acknowledge_any_resource(holder: IConstruct | None) -> None:
    """Say to cdk-nag, if the app runs it, why the function's own statements are for any resource.

    Args:
        holder: the resource or the policy with these statements. None: there is none, as under
            `Role.customize_roles`.
    """
    if holder is not None:
        finding = "AwsSolutions::AwsSolutions-IAM5[Resource::*]"
        Validations.of(holder).acknowledge(Acknowledgment(id=finding, reason=_ANY_RESOURCE_REASON))
