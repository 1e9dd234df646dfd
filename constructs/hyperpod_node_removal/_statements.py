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
EKS_ACTION: Final = "eks:DescribeCluster"
"""The service checks that the caller may describe the EKS cluster that orchestrates a cluster."""
INVOKE_ACTION: Final = "lambda:InvokeFunction"
LOG_ACTIONS: Final = ("logs:CreateLogStream", "logs:PutLogEvents")
NETWORK_ACTIONS: Final = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""What Lambda calls, for any resource, with the role of a function in a VPC (Developer Guide,
"Giving Lambda functions access to resources in an Amazon VPC")."""
SIGNAL_ACTION: Final = "cloudformation:SignalResource"
"""Shows the verdict of a success in the stack's events."""
STACK_ACTION: Final = "cloudformation:DescribeStacks"
"""Shows whether a request comes from a rollback."""
TRACING_ACTIONS: Final = ("xray:PutTelemetryRecords", "xray:PutTraceSegments")
"""X-Ray has no resources."""


def allow(resource: str, *actions: str) -> iam.PolicyStatement:
    """Return the permission for these actions on one resource."""
    return iam.PolicyStatement(actions=list(actions), resources=[resource])


def removal_statements(
    cluster_arn: str,
    *,
    eks_cluster_arn: str | None,
    before_removal_arn: str | None,
    signaled_stack_arn: str | None,
) -> list[iam.PolicyStatement]:
    """Return the permissions to remove nodes of a cluster, and those for what else is given."""
    optional = {
        EKS_ACTION: eks_cluster_arn,
        INVOKE_ACTION: before_removal_arn,
        SIGNAL_ACTION: signaled_stack_arn,
    }
    others = [allow(arn, action) for action, arn in optional.items() if arn is not None]
    return [allow(cluster_arn, *CLUSTER_ACTIONS), *others]


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


def _as_cdk_nag_writes(resolved: Any) -> str:
    """Return a resolved ARN as in the id of cdk-nag's finding: `arn:<AWS::Partition>:...`."""
    if isinstance(resolved, dict) and "Ref" in resolved:
        return f"<{resolved['Ref']}>"
    if isinstance(resolved, dict) and "Fn::Join" in resolved:
        return "".join(_as_cdk_nag_writes(part) for part in resolved["Fn::Join"][1])
    return str(resolved)
