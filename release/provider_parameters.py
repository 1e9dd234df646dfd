"""The parameters of the provider's template, and the conditions on them."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from aws_cdk import Aws, CfnCondition, CfnParameter, Fn, Stack

import hyperpod_node_removal_contract as contract

EXPORT_NAME: Final = "HyperPodNodeRemovalServiceToken"
"""What users' templates import, unless the parameter `ExportName` says otherwise."""
ANY: Final = "*"
LOG_RETENTION_DAYS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557),
    *(2922, 3288, 3653),
)
"""What CloudWatch Logs accepts (API reference, PutRetentionPolicy)."""
LOG_RETENTION_DEFAULT: Final = 365
"""Days, as of the construct."""

PARAMETERS_OF_CODE: Final = ("CodeBucket", "CodeKey", "CodeVersion")
GROUPS: Final = {
    "The function's code": PARAMETERS_OF_CODE,
    "What it may do": ("ClusterArn", "EksClusterArn", "StackName", "BeforeRemovalArn"),
    "What it tells": ("Metrics", "EventBusArn", "VerdictEvents"),
    "What the organization requires": (
        *("PermissionsBoundaryArn", "RoleArn", "SubnetIds", "SecurityGroupIds", "KmsKeyArn"),
        "Architecture",
    ),
    "The stack": ("LogRetentionDays", "ExportName"),
}
"""How the console shows the parameters."""


def text_parameter(
    stack: Stack, name: str, description: str, form: str = "", default: str | None = None
) -> str:
    """Make a parameter. A `form` is a regular expression of the whole value."""
    pattern = f"^(?:{form})$" if form else None
    parameter = CfnParameter(
        stack, name, description=description, allowed_pattern=pattern, default=default
    )
    return parameter.value_as_string


def retention_parameter(stack: Stack, description: str) -> float:
    """Make the parameter with the days to retain log events."""
    return CfnParameter(
        stack,
        "LogRetentionDays",
        type="Number",
        description=description,
        default=LOG_RETENTION_DEFAULT,
        allowed_values=[str(days) for days in LOG_RETENTION_DAYS],
    ).value_as_number


class ProviderParameters:
    """Make the parameters in a stack. Each attribute is the token of one, or a condition on it."""

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
        self.code_version = text(
            "CodeVersion",
            "Version of that object, if the bucket is versioned.",
            default="",
        )
        self.cluster_arn = text(
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
        self._metrics = CfnParameter(
            stack,
            "Metrics",
            description="Whether the function writes CloudWatch metrics for each removal, which are"
            " billed as custom metrics.",
            default="false",
            allowed_values=["true", "false"],
        ).value_as_string
        self.event_bus_arn = text(
            "EventBusArn",
            "ARN of the event bus that receives an event when a removal ends. Empty: none.",
            r"|arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus/[/.A-Za-z0-9_-]{1,256}",
            default="",
        )
        self._verdict_events = CfnParameter(
            stack,
            "VerdictEvents",
            description="Whether the function may signal wait conditions of those stacks, so that"
            " their events show a success (VerdictCondition).",
            default="false",
            allowed_values=["true", "false"],
        ).value_as_string
        self.export_name = text(
            "ExportName",
            "Name of the export of the ServiceToken. It must be unique in this account and region.",
            r"[A-Za-z0-9:-]{1,255}",
            default=EXPORT_NAME,
        )
        self._require(stack, text)
        groups = [
            {"Label": {"default": label}, "Parameters": list(names)}
            for label, names in GROUPS.items()
        ]
        stack.template_options.metadata = {
            "AWS::CloudFormation::Interface": {"ParameterGroups": groups}
        }
        self._make_conditions(stack)

    def _require(self, stack: Stack, text: Callable[..., str]) -> None:
        """Make the parameters that an organization may require values of."""

        def identifiers(name: str, description: str) -> list[str]:
            parameter = CfnParameter(
                stack, name, type="CommaDelimitedList", description=description, default=""
            )
            return parameter.value_as_list

        self.boundary_arn = text(
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
        self.subnet_ids = identifiers(
            "SubnetIds",
            "Private subnets in which the function runs, from where it must reach SageMaker,"
            " CloudFormation, Lambda and S3. With SecurityGroupIds. Empty: in no VPC of yours.",
        )
        self.security_group_ids = identifiers(
            "SecurityGroupIds", "Security groups of the function in those subnets."
        )
        self.key_arn = text(
            "KmsKeyArn",
            "ARN of a KMS key for the log group and the function's environment. Its policy must"
            " allow CloudWatch Logs to use it. Empty: keys of AWS.",
            r"|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,128}",
            default="",
        )
        self.architecture = CfnParameter(
            stack,
            "Architecture",
            description="Architecture of the function's processor.",
            default="arm64",
            allowed_values=["arm64", "x86_64"],
        ).value_as_string

    def _make_conditions(self, stack: Stack) -> None:
        def is_value(name: str, parameter: str, value: str) -> CfnCondition:
            return CfnCondition(stack, name, expression=Fn.condition_equals(parameter, value))

        def is_given(name: str, parameter: str) -> CfnCondition:
            empty = Fn.condition_equals(parameter, "")
            return CfnCondition(stack, name, expression=Fn.condition_not(empty))

        self._any_cluster = is_value("AnyCluster", self.cluster_arn, ANY)
        self._writes_metrics = is_value("WritesMetrics", self._metrics, "true")
        self._has_event_bus = is_given("HasEventBus", self.event_bus_arn)
        self._has_code_version = is_given("HasCodeVersion", self.code_version)
        self._has_boundary = is_given("HasBoundary", self.boundary_arn)
        self._has_key = is_given("HasKey", self.key_arn)
        # Groups without subnets put a function into no VPC: Lambda is to refuse them.
        lists = (self.subnet_ids, self.security_group_ids)
        neither = [Fn.condition_equals(Fn.join("", one), "") for one in lists]
        in_vpc = Fn.condition_not(Fn.condition_and(*neither))
        self._in_vpc = CfnCondition(stack, "InVpc", expression=in_vpc)
        self.makes_role = is_value("MakesRole", self.role_arn, "")

        def may(name: str, parameter: str, off: str = "") -> CfnCondition:
            """Make the condition of a permission: the role of the template needs it."""
            parts = (self.role_arn, ""), (parameter, off)
            is_own, is_empty = (Fn.condition_equals(*pair) for pair in parts)
            both = Fn.condition_and(is_own, Fn.condition_not(is_empty))
            return CfnCondition(stack, name, expression=both)

        self.may_look_at_eks = may("MayLookAtEks", self.eks_cluster_arn)
        self.may_ask = may("MayAsk", self.before_removal_arn)
        self.may_signal = may("MaySignal", self._verdict_events, off="false")
        self.may_send_events = may("MaySendEvents", self.event_bus_arn)

    def version_or_nothing(self) -> str:
        """Return the version of the code, if one is given."""
        return _if(self._has_code_version, self.code_version)

    def cluster_arn_or_all(self, every: str) -> str:
        """Return the ARN of the cluster, or `every`."""
        return _if(self._any_cluster, every, self.cluster_arn)

    def metrics_or_nothing(self) -> Any:
        """Return "true" if metrics are to be written."""
        return _if(self._writes_metrics, "true")

    def event_bus_or_nothing(self) -> str:
        """Return the ARN of the event bus, if one is given."""
        return _if(self._has_event_bus, self.event_bus_arn)

    def boundary_or_nothing(self) -> str:
        """Return the ARN of the permissions boundary, if one is given."""
        return _if(self._has_boundary, self.boundary_arn)

    def key_or_nothing(self) -> str:
        """Return the ARN of the key, if one is given."""
        return _if(self._has_key, self.key_arn)

    def role_arn_or(self, own: str) -> str:
        """Return the ARN of the role that is given, or that of the template's own."""
        return _if(self.makes_role, own, self.role_arn)

    def in_vpc_or_nothing(self, then: Any) -> Any:
        """Return a value for a function in a VPC."""
        return Fn.condition_if(self._in_vpc.logical_id, then, Aws.NO_VALUE)


def _if(condition: CfnCondition, then: str, otherwise: str = Aws.NO_VALUE) -> str:
    return Fn.condition_if(condition.logical_id, then, otherwise).to_string()
