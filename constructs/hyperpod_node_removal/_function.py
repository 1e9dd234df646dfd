"""The function of a provider: checks of its options, and what is created along with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct, IConstruct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._asset import HANDLER_PACKAGE, RUNTIME
from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal._place import Place, check_place
from hyperpod_node_removal._statements import (
    LOG_ACTIONS,
    NETWORK_ACTIONS,
    TRACING_ACTIONS,
    allow,
    key_statement,
)
from hyperpod_node_removal._validation import is_token, show

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


def check_role(path: str, role: object, stack: Stack, permissions_boundary: object = None) -> None:
    """Raise `InvalidPropertyError` unless a role is None or possible for a function of the stack.

    A boundary is for a role that is not given.
    """
    if role is None:
        return
    arn = getattr(role, "role_arn", None)
    if not isinstance(arn, str):
        problem = (
            f"{show(role)} is not a role; allowed: an IRole, such as"
            " Role.from_role_name(stack, 'Role', 'node-removal')"
        )
        raise InvalidPropertyError(path, "role", problem)
    allowed = "a role of the stack's account, as Lambda requires"
    check_place(path, "role", Place.of_arn(arn), stack, allowed)
    if permissions_boundary is not None:
        problem = (
            "is for the role that the provider creates, but role is given; set the boundary where"
            " that role is created"
        )
        raise InvalidPropertyError(path, "permissions_boundary", problem)


def check_log_group(path: str, log_group: object, log_retention: object) -> None:
    """Raise `InvalidPropertyError` if the retention is set and the log group is given."""
    if log_group is not None and log_retention is not None:
        problem = (
            "is for the log group that the provider creates, but log_group is given; set the"
            " retention of that log group"
        )
        raise InvalidPropertyError(path, "log_retention", problem)


def check_reserved(path: str, reserved: Any) -> None:
    """Raise `InvalidPropertyError` unless at least one removal can run; a token passes."""
    if reserved is None or is_token(reserved):
        return
    name, shown = "reserved_concurrent_executions", contract.quote(reserved)
    if isinstance(reserved, bool) or not isinstance(reserved, int):
        raise InvalidPropertyError(path, name, f"{shown} is not a whole number")
    if reserved < 1:
        problem = (
            f"{shown} lets no request run: Lambda would drop each after"
            f" {contract.EVENT_AGE_MAX} s, and a stack wait for its timeout; allowed: 1 or"
            " more, or None for the concurrency that the account has"
        )
        raise InvalidPropertyError(path, name, problem)


def function_statements(
    log_group: logs.ILogGroup, *, in_vpc: bool, traced: bool
) -> dict[str, iam.PolicyStatement]:
    """Return what the role must allow before the function is created, by the name of a policy."""
    statements = {"Logs": allow(log_group.log_group_arn, *LOG_ACTIONS)}
    if in_vpc:
        statements["Network"] = allow("*", *NETWORK_ACTIONS)
    if traced:
        statements["Tracing"] = allow("*", *TRACING_ACTIONS)
    return statements


def new_log_group(
    scope: Construct, retention: logs.RetentionDays | None, key: kms.IKey | None
) -> logs.LogGroup:
    """Create the log group, which is retained: it is the record of what was removed."""
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
    """Create the role, with a policy for each statement."""
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
    """Create the function. `options` are those of `aws_cdk.aws_lambda.Function`."""
    function = lambda_.Function(
        scope,
        "Function",
        description=f"Removes nodes from SageMaker HyperPod ({contract.RESOURCE_TYPE})",
        runtime=RUNTIME,
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
    """Acknowledge for cdk-nag that the function's own statements are for any resource.

    Args:
        holder: the resource or the policy with these statements. None: there is none, as under
            `Role.customize_roles`.
    """
    if holder is not None:
        finding = "AwsSolutions::AwsSolutions-IAM5[Resource::*]"
        Validations.of(holder).acknowledge(Acknowledgment(id=finding, reason=_ANY_RESOURCE_REASON))
