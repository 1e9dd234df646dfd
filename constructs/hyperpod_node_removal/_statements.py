"""The statements of the functions' policies, and how cdk-nag's findings are acknowledged."""

from typing import Any, Final

from aws_cdk import Acknowledgment, ArnFormat, Stack, Validations
from aws_cdk import aws_iam as iam

CLUSTER_ACTIONS: Final = (
    "sagemaker:BatchDeleteClusterNodes",
    "sagemaker:DescribeCluster",
    "sagemaker:DescribeClusterNode",
    "sagemaker:ListClusterNodes",
)

NETWORK_ACTIONS: Final = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""What Lambda calls with the function's role (Developer Guide, "Giving Lambda functions access to
resources in an Amazon VPC")."""


def stack_statement(stack_arn: str) -> iam.PolicyStatement:
    """Return the permission to see whether a request comes from a rollback."""
    return _allowed(("cloudformation:DescribeStacks",), stack_arn)


def signal_statement(stack_arn: str) -> iam.PolicyStatement:
    """Return the permission to show the verdict of a success in the stack's events."""
    return _allowed(("cloudformation:SignalResource",), stack_arn)


def event_bus_statement(event_bus_arn: str) -> iam.PolicyStatement:
    """Return the permission to send the event at the end of a removal."""
    return _allowed(("events:PutEvents",), event_bus_arn)


def removal_statements(
    cluster_arn: str,
    *,
    eks_cluster_arn: str | None,
    before_removal_arn: str | None,
    signaled_stack_arn: str | None,
) -> list[iam.PolicyStatement]:
    """Return the permissions to remove nodes of a cluster.

    With those to describe its EKS cluster, which the service checks, to invoke a function before
    that, and to signal a stack.
    """
    statements = [_allowed(CLUSTER_ACTIONS, cluster_arn)]
    if eks_cluster_arn is not None:
        statements.append(eks_cluster_statement(eks_cluster_arn))
    if before_removal_arn is not None:
        statements.append(function_statement(before_removal_arn))
    if signaled_stack_arn is not None:
        statements.append(signal_statement(signaled_stack_arn))
    return statements


def eks_cluster_statement(eks_cluster_arn: str) -> iam.PolicyStatement:
    """Return the permission to describe the EKS cluster that orchestrates a cluster."""
    return _allowed(("eks:DescribeCluster",), eks_cluster_arn)


def function_statement(function_arn: str) -> iam.PolicyStatement:
    """Return the permission to invoke a function, or a version or alias of it."""
    return _allowed(("lambda:InvokeFunction",), function_arn)


def log_statement(log_group_arn: str) -> iam.PolicyStatement:
    """Return the permission to write the log. The ARN ends in ":*", the streams of the group."""
    return _allowed(("logs:CreateLogStream", "logs:PutLogEvents"), log_group_arn)


def network_statement() -> iam.PolicyStatement:
    """Return the permission to attach a function to a VPC."""
    return _allowed(NETWORK_ACTIONS, "*")


def tracing_statement() -> iam.PolicyStatement:
    """Return the permission to send traces to X-Ray, which has no resources."""
    return _allowed(("xray:PutTelemetryRecords", "xray:PutTraceSegments"), "*")


def key_statement(stack: Stack) -> iam.PolicyStatement:
    """Return the permission to encrypt logs of the account, for the policy of a key.

    See CloudWatch Logs User Guide, "Encrypt log data using AWS KMS". It is not for one log group,
    whose name is made after the key.
    """
    log_groups = stack.format_arn(
        service="logs",
        resource="log-group",
        resource_name="*",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    return iam.PolicyStatement(
        principals=[iam.ServicePrincipal(f"logs.{stack.region}.{stack.url_suffix}")],
        actions=[
            "kms:Encrypt*",
            "kms:Decrypt*",
            "kms:ReEncrypt*",
            "kms:GenerateDataKey*",
            "kms:Describe*",
        ],
        resources=["*"],
        conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": log_groups}},
    )


def acknowledge_wildcard(policy: iam.Policy, arn: str, reason: str) -> None:
    """Acknowledge a wildcard for cdk-nag, with the reason for it: this finding only."""
    finding = f"AwsSolutions-IAM5[Resource::{_as_cdk_nag_writes(Stack.of(policy).resolve(arn))}]"
    Validations.of(policy).acknowledge(Acknowledgment(id=f"AwsSolutions::{finding}", reason=reason))


def _allowed(actions: tuple[str, ...], resource: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=[resource])


def _as_cdk_nag_writes(resolved: Any) -> str:
    """Return a resolved ARN as in the id of cdk-nag's finding: `arn:<AWS::Partition>:...`."""
    if isinstance(resolved, dict) and "Ref" in resolved:
        return f"<{resolved['Ref']}>"
    if isinstance(resolved, dict) and "Fn::Join" in resolved:
        return "".join(_as_cdk_nag_writes(part) for part in resolved["Fn::Join"][1])
    return str(resolved)
