"""The parameters of the provider's template, and what they stand for in it."""

from typing import Any, Final

from aws_cdk import Aws, CfnCondition, CfnOutput, CfnParameter, Fn, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3

from hyperpod_node_removal._statements import eks_cluster_statement, function_statement
from hyperpod_node_removal_handler import contract, signals

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


class ProviderParameters:
    """Makes the parameters in a stack, and reads them."""

    OF_CODE: Final = ("CodeBucket", "CodeKey", "CodeVersion")
    HAS_CODE_VERSION: Final = "HasCodeVersion"

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._groups: list[dict[str, Any]] = []
        self._make_parameters()
        stack.template_options.metadata = {
            "AWS::CloudFormation::Interface": {"ParameterGroups": self._groups}
        }
        self._any_cluster = CfnCondition(
            stack, "AnyCluster", expression=Fn.condition_equals(self._cluster_arn, ANY)
        )
        self._has_eks_cluster = self._is_given("HasEksCluster", self._eks_cluster_arn)
        self._has_before_removal = self._is_given("HasBeforeRemoval", self._before_removal_arn)
        self._writes_metrics = CfnCondition(
            stack, "WritesMetrics", expression=Fn.condition_equals(self._metrics, "true")
        )
        self._has_event_bus = self._is_given("HasEventBus", self._event_bus_arn)
        self._has_code_version = self._is_given(self.HAS_CODE_VERSION, self._code_version)

    def _make_parameters(self) -> None:
        bucket, key, version = self.OF_CODE
        self._code_bucket = self._text(
            bucket, "Bucket in this region that has the function's code, handler.zip.", r".{3,63}"
        )
        self._code_key = self._text(
            key,
            "Key of the code in the bucket. CloudFormation looks at the key and not at what is"
            " there: another release needs another key, or a CodeVersion.",
            r".{1,1024}",
        )
        self._code_version = self._text(
            version, "Version of that object, in a bucket that keeps versions.", default=""
        )
        self._group("The function's code", *self.OF_CODE)
        self._cluster_arn = self._text(
            "ClusterArn",
            "ARN of the cluster from which nodes may be removed. It ends in a 12-character id, not"
            " in the name. With * the function may remove nodes of EVERY HyperPod cluster of this"
            " account and region.",
            rf"\*|{contract.CLUSTER_ARN_FORM}",
        )
        self._eks_cluster_arn = self._text(
            "EksClusterArn",
            "ARN of the EKS cluster that orchestrates the cluster, if any: the service checks that"
            " the function may describe it. With ClusterArn * it may end in cluster/*.",
            rf"|{contract.EKS_CLUSTER_ARN_FORM}|arn:aws[a-z-]*:eks:[a-z0-9-]+:[0-9]{{12}}:cluster/\*",
            default="",
        )
        self._stack_name = self._text(
            "StackName",
            "Name of the stacks that declare removals; * stands for any characters, as in"
            " maintenance-*. The function describes the stack that invokes it, to see whether it is"
            " rolling back, and fails for a stack that it may not describe.",
            r"[A-Za-z*][A-Za-z0-9*-]{0,127}",
        )
        self._before_removal_arn = self._text(
            "BeforeRemovalArn",
            "ARN of the function that removals name in BeforeRemoval, if any: it is asked before"
            " the first node goes.",
            rf"|{contract.FUNCTION_ARN_FORM}",
            default="",
        )
        self._group(
            "What it may do", "ClusterArn", "EksClusterArn", "StackName", "BeforeRemovalArn"
        )
        self._log_retention_days = CfnParameter(
            self._stack,
            "LogRetentionDays",
            type="Number",
            description="Days for which log events are kept. The log group itself stays when the"
            " stack is deleted, as the record of what was removed.",
            default=LOG_RETENTION_DEFAULT,
            allowed_values=[str(days) for days in LOG_RETENTION_DAYS],
        )
        self._metrics = CfnParameter(
            self._stack,
            "Metrics",
            description="Whether the function writes CloudWatch metrics of each removal, which cost"
            " what custom metrics cost.",
            default="false",
            allowed_values=["true", "false"],
        ).value_as_string
        self._event_bus_arn = self._text(
            "EventBusArn",
            "ARN of the event bus that gets an event when a removal has ended. Empty: none.",
            r"|arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus/[/.A-Za-z0-9_-]{1,256}",
            default="",
        )
        self._group("What it tells", "Metrics", "EventBusArn")
        self._export_name = self._text(
            "ExportName",
            "Under which name the ServiceToken is exported. One that another stack of this account"
            " and region exports is refused.",
            r"[A-Za-z0-9:-]{1,255}",
            default=EXPORT_NAME,
        )
        self._group("The stack", "LogRetentionDays", "ExportName")

    def code(self) -> lambda_.Code:
        """Where the function's code is."""
        bucket = s3.Bucket.from_bucket_name(self._stack, "Bucket", self._code_bucket)
        version = Fn.condition_if(
            self._has_code_version.logical_id, self._code_version, Aws.NO_VALUE
        )
        return lambda_.Code.from_bucket(bucket, self._code_key, version.to_string())

    def cluster_arn(self) -> str:
        """The cluster, or all that there are."""
        every = self._stack.format_arn(service="sagemaker", resource="cluster", resource_name=ANY)
        return Fn.condition_if(self._any_cluster.logical_id, every, self._cluster_arn).to_string()

    def stack_arn(self) -> str:
        """The stacks that may use the function."""
        return self._stack.format_arn(
            service="cloudformation", resource="stack", resource_name=f"{self._stack_name}/{ANY}"
        )

    def log_retention_days(self) -> int | float:
        """Days, a token."""
        return self._log_retention_days.value_as_number

    def metrics(self) -> Any:
        """Whether metrics are written, a token. Nothing in the template if they are not."""
        condition = self._writes_metrics.logical_id
        return Fn.condition_if(condition, "true", Aws.NO_VALUE).to_string()

    def event_bus(self) -> events.IEventBus:
        """The event bus, if there is one: see `omit_events`."""
        return events.EventBus.from_event_bus_arn(self._stack, "EventBus", self._event_bus_arn)

    def omit_events(self, function: lambda_.Function, policy: iam.Policy) -> None:
        """Leave the function without the event bus, and without the policy for it, if there is
        none."""
        cfn_function = function.node.default_child
        assert isinstance(cfn_function, lambda_.CfnFunction)
        _make_conditional(policy, self._has_event_bus)
        cfn_function.add_property_override(
            f"Environment.Variables.{signals.EVENT_BUS_VARIABLE}",
            Fn.condition_if(self._has_event_bus.logical_id, self._event_bus_arn, Aws.NO_VALUE),
        )

    def allow_eks_cluster(self, role: iam.IRole) -> None:
        """Let the role look at the EKS cluster, if there is one."""
        statement = eks_cluster_statement(self._eks_cluster_arn)
        self._allow_if(self._has_eks_cluster, role, "EksCluster", statement)

    def allow_before_removal(self, role: iam.IRole) -> None:
        """Let the role ask the function of `BeforeRemoval`, if there is one."""
        statement = function_statement(self._before_removal_arn)
        self._allow_if(self._has_before_removal, role, "BeforeRemoval", statement)

    def export(self, service_token: str, log_group_name: str) -> None:
        """Say what users' templates need."""
        CfnOutput(
            self._stack,
            "ServiceToken",
            description="ServiceToken of Custom::HyperPodNodeRemoval",
            value=service_token,
            export_name=self._export_name,
        )
        CfnOutput(
            self._stack,
            "LogGroupName",
            description="Where the function tells what happened to each node",
            value=log_group_name,
        )

    def _allow_if(
        self,
        condition: CfnCondition,
        role: iam.IRole,
        construct_id: str,
        statement: iam.PolicyStatement,
    ) -> None:
        """The CDK has no statement on a condition, so it stands in a policy of its own."""
        policy = iam.Policy(self._stack, construct_id, roles=[role], statements=[statement])
        _make_conditional(policy, condition)

    def _text(
        self, name: str, description: str, form: str | None = None, default: str | None = None
    ) -> str:
        return CfnParameter(
            self._stack,
            name,
            description=description,
            default=default,
            allowed_pattern=None if form is None else f"^(?:{form})$",
        ).value_as_string

    def _group(self, label: str, *names: str) -> None:
        self._groups.append({"Label": {"default": label}, "Parameters": list(names)})

    def _is_given(self, name: str, value: str) -> CfnCondition:
        return CfnCondition(
            self._stack,
            name,
            expression=Fn.condition_not(Fn.condition_equals(value, "")),
        )


def _make_conditional(policy: iam.Policy, condition: CfnCondition) -> None:
    resource = policy.node.default_child
    assert isinstance(resource, iam.CfnPolicy)
    resource.cfn_options.condition = condition
