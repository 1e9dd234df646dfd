"""The template of the provider's stack, synthesized from the `NodeRemovalProvider` of an app.

Parameters say where the code is, what the function may do, and how long logs are kept.
"""

from typing import Any, Final

from aws_cdk import Acknowledgment, Aws, CfnOutput, Fn, Stack, Validations
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal import NodeRemovalProvider
from hyperpod_node_removal._statements import (
    EKS_ACTION,
    INVOKE_ACTION,
    NETWORK_ACTIONS,
    SIGNAL_ACTION,
    allow,
)
from hyperpod_node_removal_contract import telemetry
from release.provider_parameters import ANY, PARAMETERS_OF_CODE, ProviderParameters, if_else
from release.templates import synthesize

HANDLER_ZIP: Final = "handler.zip"
"""The archive next to the template, for `aws cloudformation package`."""

_HEAD: Final = """\
The function behind Custom::HyperPodNodeRemoval, for one account and region. Any number of stacks
can use it by importing its ServiceToken.
"""
PROVIDER_HEAD: Final = f"""{_HEAD}
First upload handler.zip, which comes with this template, to a bucket in this region. No CDK, no
bootstrap."""
PACKAGEABLE_HEAD: Final = f"""{_HEAD}
For `aws cloudformation package`, with handler.zip in the same folder: it uploads the code and adds
its location to the template."""

COMMENTS: Final = {
    "LogGroup": "What happened to each node of every removal.",
    "Role": (
        "It may write its logs, and be attached to a VPC. The policies below add what a removal\n"
        "needs. There is none if RoleArn is given."
    ),
    "Function": "The ServiceToken. It waits until the nodes are gone, then responds.",
    "Invocation": (
        "An event is run once, within a minute or never: Lambda would otherwise remove nodes long\n"
        "after CloudFormation has given up."
    ),
    "SelfInvocation": "A removal longer than one invocation is handed over to the next.",
    "FinishedEvents": "The event bus that receives an event when a removal ends, if any.",
    "RemovalsElsewhere": (
        "Which stacks may remove nodes, and from which cluster. The function describes a stack to\n"
        "see whether it is rolling back: a rollback removes nothing."
    ),
    "EksCluster": "The service checks it when the nodes belong to a cluster that EKS orchestrates.",
    "BeforeRemoval": "To invoke the function that can veto nodes.",
    "Signals": "To show the success of a removal in its stack's events.",
}
"""What the template says above each resource, by logical id."""

_DESCRIPTION: Final = (
    "The function behind Custom::HyperPodNodeRemoval, which removes nodes from SageMaker HyperPod"
    " clusters, with its role and its log group."
)
_PROVIDER: Final = "Provider"
_EMPTY: Final = "A parameter is empty only where the property that has it is left out."
_DEPENDS_ON: Final = "The DependsOn of the function is taken out."
_ACKNOWLEDGED: Final = {
    **dict.fromkeys(("E1150", "F3031", "F3033"), _EMPTY),
    **dict.fromkeys(("E3005", "W2502"), _DEPENDS_ON),
}
"""Findings of the CDK's own linter that do not apply, by rule."""


def provider_template() -> dict[str, Any]:
    """Return the template whose code is at a bucket and a key that are parameters."""
    template = synthesize(
        _fill, name="HyperPodNodeRemoval", scope=_PROVIDER, description=_DESCRIPTION
    )
    # The reference to the role implies it, and the role may be that of a parameter.
    assert template["Resources"]["Function"].pop("DependsOn") == ["Role"]
    return template


def packageable_template() -> dict[str, Any]:
    """Return the template for `aws cloudformation package`, with the code in a file next to it."""
    template = provider_template()
    for name in PARAMETERS_OF_CODE:
        del template["Parameters"][name]
    del template["Conditions"]["HasCodeVersion"]
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    groups[:] = [one for one in groups if set(one["Parameters"]) <= set(template["Parameters"])]
    function = template["Resources"]["Function"]
    function["Properties"]["Code"] = HANDLER_ZIP
    # that it works with `package` only
    function["Metadata"] = {"cfn-lint": {"config": {"ignore_checks": ["W3002"]}}}
    return template


def _fill(stack: Stack) -> None:
    given = ProviderParameters(stack)
    bucket = s3.Bucket.from_bucket_name(stack, "Bucket", given.code_bucket)
    provider = NodeRemovalProvider(
        stack,
        _PROVIDER,
        code=lambda_.Code.from_bucket(bucket, given.code_key, given.code_version),
        metrics=given.metrics,  # type: ignore[arg-type] # a token passes
        event_bus=events.EventBus.from_event_bus_arn(stack, "EventBus", given.event_bus_arn),
        permissions_boundary=iam.ManagedPolicy.from_managed_policy_arn(
            stack, "Boundary", given.boundary_arn
        ),
        encryption_key=kms.Key.from_key_arn(stack, "Key", given.key_arn),
        architecture=lambda_.Architecture.custom(given.architecture),
    )
    stacks = stack.format_arn(
        service="cloudformation", resource="stack", resource_name=f"{given.stack_name}/{ANY}"
    )
    provider.allow_removals(stack_arn=stacks, cluster_arn=given.cluster_arn)
    # The CDK has no statement with a condition, so each is in a separate policy.
    for construct_id, statement in (
        ("EksCluster", allow(given.eks_cluster_arn, EKS_ACTION)),
        ("BeforeRemoval", allow(given.before_removal_arn, INVOKE_ACTION)),
        ("Signals", allow(stacks, SIGNAL_ACTION)),
    ):
        iam.Policy(stack, construct_id, roles=[provider.role], statements=[statement])
    _apply(given, provider)
    conditions = {
        "FinishedEvents": given.may_send_events,
        "EksCluster": given.may_describe_eks,
        "BeforeRemoval": given.may_invoke_hook,
        "Signals": given.may_signal,
    }
    for construct in stack.node.find_all():
        if isinstance(construct, (iam.CfnRole, iam.CfnPolicy)):
            name = construct.node.path.split("/")[-2]
            construct.cfn_options.condition = conditions.get(name, given.makes_role)
    Validations.of(stack).acknowledge(
        *(
            Acknowledgment(id=f"CloudFormation-Validate::{rule}", reason=reason)
            for rule, reason in _ACKNOWLEDGED.items()
        )
    )
    CfnOutput(
        stack,
        "ServiceToken",
        description="ServiceToken of Custom::HyperPodNodeRemoval",
        value=provider.service_token,
        export_name=given.export_name,
    )
    CfnOutput(
        stack,
        "LogGroupName",
        description="The log of what happened to each node",
        value=provider.log_group.log_group_name,
    )


def _apply(given: ProviderParameters, provider: NodeRemovalProvider) -> None:
    """Set what an app sets by arguments, which do not take a condition."""

    def in_vpc(value: Any, otherwise: Any = Aws.NO_VALUE) -> Any:
        return Fn.condition_if(given.in_vpc.logical_id, value, otherwise)

    function, role, log_group, invocation = (
        construct.node.default_child
        for construct in (
            *(provider.function, provider.role, provider.log_group),
            provider.node.find_child("Invocation"),
        )
    )
    assert isinstance(function, lambda_.CfnFunction)
    assert isinstance(role, iam.CfnRole)
    assert isinstance(log_group, logs.CfnLogGroup)
    assert isinstance(invocation, lambda_.CfnEventInvokeConfig)
    function.add_property_override(
        f"Environment.Variables.{telemetry.EVENT_BUS_VARIABLE}", given.event_bus_arn_or_nothing
    )
    function.role = if_else(given.makes_role, role.attr_arn, given.role_arn)
    function.vpc_config = in_vpc(
        {"SecurityGroupIds": given.security_group_ids, "SubnetIds": given.subnet_ids}
    )
    invocation.add_property_override(
        "MaximumEventAgeInSeconds", in_vpc(contract.EVENT_AGE_MAX_IN_VPC, contract.EVENT_AGE_MAX)
    )
    function.add_property_override(
        f"Environment.Variables.{contract.EVENT_AGE_VARIABLE}",
        in_vpc(str(contract.EVENT_AGE_MAX_IN_VPC)),
    )
    document = iam.PolicyDocument(statements=[allow("*", *NETWORK_ACTIONS)])
    assert isinstance(role.policies, list)
    network = in_vpc({"PolicyDocument": document, "PolicyName": "Network"})
    role.policies = [*role.policies, network]
    log_group.retention_in_days = given.log_retention_days
