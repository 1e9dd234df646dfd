"""The provider's stack as a template that needs neither Python nor a CDK bootstrap.

It is synthesized from the same `NodeRemovalProvider` that an app uses: only where the code is, what
may be done and for how long logs are kept comes from parameters.
"""

import tempfile
from collections.abc import Iterator
from typing import Any, Final

from aws_cdk import (
    Acknowledgment,
    App,
    BootstraplessSynthesizer,
    CfnElement,
    Stack,
    Validations,
)
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from distribution.provider_parameters import ProviderParameters
from hyperpod_node_removal import NodeRemovalProvider

HANDLER_ZIP: Final = "handler.zip"
"""The archive beside the template, for `aws cloudformation package`."""

_DESCRIPTION: Final = (
    "The function behind Custom::HyperPodNodeRemoval, which removes nodes from SageMaker HyperPod"
    " clusters, with its role and its log group."
)
_PROVIDER: Final = "Provider"


def provider_template() -> dict[str, Any]:
    """The template whose code is at a bucket and a key that are parameters."""
    return _synthesized()


def packageable_template() -> dict[str, Any]:
    """The template for `aws cloudformation package`, with the code in a file beside it."""
    template = _synthesized()
    for name in ProviderParameters.OF_CODE:
        del template["Parameters"][name]
    template["Conditions"].pop(ProviderParameters.HAS_CODE_VERSION)
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    groups[:] = [one for one in groups if set(one["Parameters"]) <= set(template["Parameters"])]
    function = _function(template)
    function["Properties"]["Code"] = HANDLER_ZIP
    # that it works with `package` only
    function["Metadata"] = {"cfn-lint": {"config": {"ignore_checks": ["W3002"]}}}
    return template


def _synthesized() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        app = App(outdir=directory, analytics_reporting=False)
        stack = Stack(
            app,
            "HyperPodNodeRemoval",
            description=_DESCRIPTION,
            synthesizer=BootstraplessSynthesizer(),
        )
        _fill(stack)
        template: dict[str, Any] = app.synth().get_stack_by_name(stack.stack_name).template
    # What the CDK cannot say otherwise: numbers as numbers, and no order that a reference implies.
    retention = template["Parameters"]["LogRetentionDays"]
    retention["AllowedValues"] = [int(days) for days in retention["AllowedValues"]]
    assert _function(template).pop("DependsOn") == ["Role"]
    return template


def _fill(stack: Stack) -> None:
    given = ProviderParameters(stack)
    provider = NodeRemovalProvider(
        stack,
        _PROVIDER,
        code=given.code(),
        metrics=given.metrics(),
        event_bus=given.event_bus(),
    )
    policy = provider.node.find_child("FinishedEvents")
    assert isinstance(policy, iam.Policy)
    given.omit_events(provider.function, policy)
    provider.allow_removals(stack_arn=given.stack_arn(), cluster_arn=given.cluster_arn())
    given.allow_eks_cluster(provider.role)
    given.allow_before_removal(provider.role)
    log_group = provider.log_group.node.default_child
    assert isinstance(log_group, logs.CfnLogGroup)
    log_group.retention_in_days = given.log_retention_days()
    Validations.of(provider.function).acknowledge(
        Acknowledgment(
            id="CloudFormation-Validate::F3033",
            reason="CodeVersion is empty only where the function has no S3ObjectVersion.",
        )
    )
    given.export(provider.service_token, provider.log_group.log_group_name)
    for element in _elements(stack):
        element.override_logical_id(_readable_id(element))


def _elements(stack: Stack) -> Iterator[CfnElement]:
    return (
        construct
        for construct in stack.node.find_all()
        if isinstance(construct, CfnElement) and construct.node.path.count("/") > 1
    )


def _readable_id(element: CfnElement) -> str:
    """The construct's id, without the hash that keeps the ids of a whole app apart."""
    _, *names = element.node.path.split("/")
    return "".join(name for name in names if name not in {_PROVIDER, "Resource"})


def _function(template: dict[str, Any]) -> dict[str, Any]:
    function: dict[str, Any] = template["Resources"]["Function"]
    return function
