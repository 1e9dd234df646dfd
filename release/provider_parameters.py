"""The parameters of the provider's template, and the conditions on them."""

from functools import partial
from typing import Final

from aws_cdk import Aws, CfnCondition, Fn, Stack

import hyperpod_node_removal_contract as contract
from release.templates import choice_parameter, list_parameter, retention_parameter, text_parameter

EXPORT_NAME: Final = "HyperPodNodeRemovalServiceToken"
"""What users' templates import, unless the parameter `ExportName` says otherwise."""
ANY: Final = "*"

PARAMETERS_OF_CODE: Final = ("CodeBucket", "CodeKey", "CodeVersion")
GROUPS: Final = {
    "The function's code": PARAMETERS_OF_CODE,
    "What it may do": ("ClusterArn", "EksClusterArn", "StackName", "BeforeRemovalArn"),
    "What it reports": ("Metrics", "EventBusArn", "VerdictEvents"),
    "What the organization requires": (
        *("PermissionsBoundaryArn", "RoleArn", "SubnetIds", "SecurityGroupIds", "KmsKeyArn"),
        "Architecture",
    ),
    "The stack": ("LogRetentionDays", "ExportName"),
}
"""How the console shows the parameters."""


class ProviderParameters:
    """The parameters, which it adds to a stack.

    Each attribute is the value of one as a property has it, no value if the parameter is empty, or
    a condition.
    """

    def __init__(self, stack: Stack) -> None:
        text = partial(text_parameter, stack)
        self.code_bucket = text(
            "CodeBucket",
            "Bucket in this region that contains the function's code, handler.zip.",
            r".{3,63}",
        )
        self.code_key = text(
            "CodeKey",
            "Key of the code in the bucket. CloudFormation compares the key, not the object, so"
            " another release needs another key or a CodeVersion.",
            r".{1,1024}",
        )
        code_version = text(
            "CodeVersion",
            "Version of that object, if the bucket is versioned.",
            default="",
        )
        cluster_arn = text(
            "ClusterArn",
            "ARN of the cluster from which nodes may be removed. It ends in a 12-character id, not"
            " in the name. With * the function may remove nodes of EVERY HyperPod cluster of this"
            " account and region.",
            rf"\*|{contract.CLUSTER_ARN_FORM}",
        )
        self.eks_cluster_arn = text(
            "EksClusterArn",
            "ARN of the EKS cluster that orchestrates the cluster, if any. The service checks that"
            " the function may describe it. With ClusterArn * it may end in cluster/*.",
            rf"|{contract.EKS_CLUSTER_ARN_FORM}|arn:aws[a-z-]*:eks:[a-z0-9-]+:[0-9]{{12}}:cluster/\*",
            default="",
        )
        self.stack_name = text(
            "StackName",
            "Name of the stacks that declare removals; * stands for any characters, as in"
            " maintenance-*. The function describes the stack that invokes it, to see whether it is"
            " rolling back, and fails for a stack that it may not describe.",
            r"[A-Za-z*][A-Za-z0-9*-]{0,127}",
        )
        self.before_removal_arn = text(
            "BeforeRemovalArn",
            "ARN of the function that removals name in BeforeRemoval, if any. It is invoked"
            " before the first node is removed.",
            rf"|{contract.FUNCTION_ARN_FORM}",
            default="",
        )
        self.log_retention_days = retention_parameter(
            stack,
            "Days to retain log events. The log group itself is retained when the stack"
            " is deleted, as the record of what was removed.",
        )
        metrics = choice_parameter(
            stack,
            "Metrics",
            "Whether the function writes CloudWatch metrics for each removal, which are billed as"
            " custom metrics.",
            ("true", "false"),
            default="false",
        )
        self.event_bus_arn = text(
            "EventBusArn",
            "ARN of the event bus that receives an event when a removal ends. Empty: none.",
            r"|arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus/[/.A-Za-z0-9_-]{1,256}",
            default="",
        )
        verdict_events = choice_parameter(
            stack,
            "VerdictEvents",
            "Whether the function may signal wait conditions of those stacks, so that their events"
            " show a success (VerdictCondition).",
            ("true", "false"),
            default="false",
        )
        self.export_name = text(
            "ExportName",
            "Name of the export of the ServiceToken. It must be unique in this account and region.",
            r"[A-Za-z0-9:-]{1,255}",
            default=EXPORT_NAME,
        )
        boundary_arn = text(
            "PermissionsBoundaryArn",
            "ARN of the managed policy that bounds the role which the template makes. Empty: none.",
            r"|arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[/+=,.@A-Za-z0-9_-]{1,512}",
            default="",
        )
        self.role_arn = text(
            "RoleArn",
            "ARN of a role for the function, if the template must not make one. It must have the"
            " permissions of docs/iam/function-role.json: ClusterArn, EksClusterArn, StackName,"
            " BeforeRemovalArn and EventBusArn add none to it.",
            r"|arn:aws[a-z-]*:iam::[0-9]{12}:role/[/+=,.@A-Za-z0-9_-]{1,512}",
            default="",
        )
        self.subnet_ids = list_parameter(
            stack,
            "SubnetIds",
            "Private subnets in which the function runs, from which it must reach SageMaker,"
            " CloudFormation, Lambda and S3. With SecurityGroupIds. Empty: not in a VPC.",
        )
        self.security_group_ids = list_parameter(
            stack, "SecurityGroupIds", "Security groups of the function in those subnets."
        )
        key_arn = text(
            "KmsKeyArn",
            "ARN of a KMS key for the log group and the function's environment. Its policy must"
            " allow CloudWatch Logs to use it. Empty: keys that AWS owns.",
            r"|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,128}",
            default="",
        )
        self.architecture = choice_parameter(
            stack,
            "Architecture",
            "Architecture of the function's processor.",
            ("arm64", "x86_64"),
            default="arm64",
        )
        groups = [
            {"Label": {"default": label}, "Parameters": list(names)}
            for label, names in GROUPS.items()
        ]
        stack.template_options.metadata = {
            "AWS::CloudFormation::Interface": {"ParameterGroups": groups}
        }

        every = stack.format_arn(service="sagemaker", resource="cluster", resource_name=ANY)
        any_cluster = _is_value(stack, "AnyCluster", cluster_arn, ANY)
        self.cluster_arn = if_else(any_cluster, every, cluster_arn)
        self.metrics = if_else(_is_value(stack, "WritesMetrics", metrics, "true"), "true")
        self.event_bus_arn_or_nothing = if_else(
            _is_given(stack, "HasEventBus", self.event_bus_arn), self.event_bus_arn
        )
        self.code_version = if_else(_is_given(stack, "HasCodeVersion", code_version), code_version)
        self.boundary_arn = if_else(_is_given(stack, "HasBoundary", boundary_arn), boundary_arn)
        self.key_arn = if_else(_is_given(stack, "HasKey", key_arn), key_arn)
        # Security groups without subnets put a function into no VPC: Lambda must reject them.
        lists = (self.subnet_ids, self.security_group_ids)
        neither = [Fn.condition_equals(Fn.join("", one), "") for one in lists]
        in_vpc = Fn.condition_not(Fn.condition_and(*neither))
        self.in_vpc = CfnCondition(stack, "InVpc", expression=in_vpc)
        self.makes_role = _is_value(stack, "MakesRole", self.role_arn, "")

        def may(name: str, parameter: str, off: str = "") -> CfnCondition:
            """Add the condition of a permission: the role of the template needs it."""
            parts = (self.role_arn, ""), (parameter, off)
            is_own, is_off = (Fn.condition_equals(*pair) for pair in parts)
            both = Fn.condition_and(is_own, Fn.condition_not(is_off))
            return CfnCondition(stack, name, expression=both)

        self.may_describe_eks = may("MayLookAtEks", self.eks_cluster_arn)
        self.may_invoke_hook = may("MayAsk", self.before_removal_arn)
        self.may_signal = may("MaySignal", verdict_events, off="false")
        self.may_send_events = may("MaySendEvents", self.event_bus_arn)


def if_else(condition: CfnCondition, then: str, otherwise: str = Aws.NO_VALUE) -> str:
    """Return one of two values, as `Fn::If`."""
    return Fn.condition_if(condition.logical_id, then, otherwise).to_string()


def _is_value(stack: Stack, name: str, parameter: str, value: str) -> CfnCondition:
    return CfnCondition(stack, name, expression=Fn.condition_equals(parameter, value))


def _is_given(stack: Stack, name: str, parameter: str) -> CfnCondition:
    is_empty = Fn.condition_equals(parameter, "")
    return CfnCondition(stack, name, expression=Fn.condition_not(is_empty))
