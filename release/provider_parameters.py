"""The parameters of the provider's template, and the conditions on them."""

from typing import Final

from aws_cdk import Aws, CfnCondition, Fn, ICfnConditionExpression, Stack

import hyperpod_node_removal_contract as contract
from release.templates import Parameters

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
        parameters = Parameters(stack)
        text = parameters.text
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
            "ARN of the function that removals specify as BeforeRemoval. It is invoked"
            " before the first node is removed.",
            rf"|{contract.FUNCTION_ARN_FORM}",
            default="",
        )
        self.log_retention_days = parameters.log_retention(
            "Days to retain log events. The log group itself is retained when the stack"
            " is deleted, as the record of what was removed.",
        )
        metrics = parameters.flag(
            "Metrics",
            "Whether the function writes CloudWatch metrics for each removal, which are billed as"
            " custom metrics.",
        )
        self.event_bus_arn = text(
            "EventBusArn",
            "ARN of the event bus that receives an event when a removal ends. Empty: none.",
            r"|arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus/[/.A-Za-z0-9_-]{1,256}",
            default="",
        )
        verdict_events = parameters.flag(
            "VerdictEvents",
            "Whether the function may signal wait conditions of those stacks, so that their events"
            " show a success (VerdictCondition).",
        )
        self.export_name = text(
            "ExportName",
            "Name of the export of the ServiceToken. It must be unique in this account and region.",
            r"[A-Za-z0-9:-]{1,255}",
            default=EXPORT_NAME,
        )
        boundary_arn = text(
            "PermissionsBoundaryArn",
            "ARN of the permissions boundary of the role that the template creates. Empty: none.",
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
        self.subnet_ids = parameters.texts(
            "SubnetIds",
            "Private subnets in which the function runs, from which it must reach SageMaker,"
            " CloudFormation, Lambda and S3. With SecurityGroupIds. Empty: not in a VPC.",
        )
        self.security_group_ids = parameters.texts(
            "SecurityGroupIds", "Security groups of the function in those subnets."
        )
        key_arn = text(
            "KmsKeyArn",
            "ARN of a KMS key for the log group and the function's environment. Its policy must"
            " allow CloudWatch Logs to use it. Empty: keys that AWS owns.",
            r"|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,128}",
            default="",
        )
        self.architecture = parameters.choice(
            "Architecture", "Architecture of the function's processor.", "arm64", "x86_64"
        )
        groups = [
            {"Label": {"default": label}, "Parameters": list(names)}
            for label, names in GROUPS.items()
        ]
        stack.template_options.metadata = {
            "AWS::CloudFormation::Interface": {"ParameterGroups": groups}
        }

        every = stack.format_arn(service="sagemaker", resource="cluster", resource_name=ANY)

        def condition(name: str, expression: ICfnConditionExpression) -> CfnCondition:
            return CfnCondition(stack, name, expression=expression)

        def is_given(parameter: str, off: str = "") -> ICfnConditionExpression:
            return Fn.condition_not(Fn.condition_equals(parameter, off))

        def or_nothing(name: str, parameter: str) -> str:
            return if_else(condition(name, is_given(parameter)), parameter)

        any_cluster = condition("AnyCluster", Fn.condition_equals(cluster_arn, ANY))
        self.cluster_arn = if_else(any_cluster, every, cluster_arn)
        writes_metrics = condition("WritesMetrics", Fn.condition_equals(metrics, "true"))
        self.metrics = if_else(writes_metrics, "true")
        self.event_bus_arn_or_nothing = or_nothing("HasEventBus", self.event_bus_arn)
        self.code_version = or_nothing("HasCodeVersion", code_version)
        self.boundary_arn = or_nothing("HasBoundary", boundary_arn)
        self.key_arn = or_nothing("HasKey", key_arn)
        # Security groups without subnets put a function into no VPC: Lambda must reject them.
        lists = (self.subnet_ids, self.security_group_ids)
        neither = [Fn.condition_equals(Fn.join("", one), "") for one in lists]
        self.in_vpc = condition("InVpc", Fn.condition_not(Fn.condition_and(*neither)))
        is_own = Fn.condition_equals(self.role_arn, "")
        self.makes_role = condition("MakesRole", is_own)
        # What the role of the template needs for an option.
        self.may_describe_eks, self.may_invoke_hook, self.may_signal, self.may_send_events = (
            condition(name, Fn.condition_and(is_own, is_given(parameter, off)))
            for name, parameter, off in (
                ("MayLookAtEks", self.eks_cluster_arn, ""),
                ("MayAsk", self.before_removal_arn, ""),
                ("MaySignal", verdict_events, "false"),
                ("MaySendEvents", self.event_bus_arn, ""),
            )
        )


def if_else(condition: CfnCondition, then: str, otherwise: str = Aws.NO_VALUE) -> str:
    """Return one of two values, as `Fn::If`."""
    return Fn.condition_if(condition.logical_id, then, otherwise).to_string()
