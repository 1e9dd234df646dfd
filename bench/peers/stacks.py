"""Each peer as one would deploy it with the CDK: a stack for one removal."""

from collections.abc import Callable, Mapping
from typing import Final

from aws_cdk import CustomResource, Duration, Stack, custom_resources
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from bench.peers.code import deployable
from hyperpod_node_removal import NodeRemoval

CLUSTER_ARN: Final = "arn:aws:sagemaker:us-east-1:111122223333:cluster/a1b2c3d4e5f6"
NODE_IDS: Final = ("i-0123456789abcdef0", "i-0123456789abcdef1")
_ASK: Final = "sagemaker:BatchDeleteClusterNodes"
_LIST: Final = "sagemaker:ListClusterNodes"


def ours(stack: Stack) -> None:
    """The construct."""
    NodeRemoval(stack, "Removal", cluster_arn=CLUSTER_ARN, node_ids=list(NODE_IDS))


def naive(stack: Stack) -> None:
    """A function with crhelper, which waits by itself."""
    function = _function(stack, "Function", "naive", "index.handler", minutes=15)
    _allow(function, [_ASK, _LIST], [CLUSTER_ARN])
    _resource(stack, function.function_arn)


def poller(stack: Stack) -> None:
    """A function with crhelper, whose poller makes rules that invoke it."""
    function = _function(stack, "Function", "poller", "index.handler", minutes=1)
    _allow(function, [_ASK, _LIST], [CLUSTER_ARN])
    # The README's. The function cannot be named in its own role's policy, and the rules get names
    # at run time.
    rules = ["events:PutRule", "events:DeleteRule", "events:PutTargets", "events:RemoveTargets"]
    _allow(function, rules, ["*"])
    _allow(function, ["lambda:AddPermission", "lambda:RemovePermission"], ["*"])
    _resource(stack, function.function_arn)


def aws_custom_resource(stack: Stack) -> None:
    """One call of the SDK."""
    call = custom_resources.AwsSdkCall(
        service="SageMaker",
        action="batchDeleteClusterNodes",
        parameters={"ClusterName": CLUSTER_ARN, "NodeIds": list(NODE_IDS)},
        physical_resource_id=custom_resources.PhysicalResourceId.of("removal"),
        output_paths=["Failed"],
    )
    custom_resources.AwsCustomResource(
        stack,
        "Removal",
        on_create=call,
        on_update=call,
        install_latest_aws_sdk=False,
        policy=custom_resources.AwsCustomResourcePolicy.from_statements(
            [iam.PolicyStatement(actions=[_ASK], resources=[CLUSTER_ARN])]
        ),
    )


def provider(stack: Stack) -> None:
    """Two functions behind the Provider framework."""
    on_event = _function(stack, "OnEvent", "provider", "index.on_event", minutes=1)
    is_complete = _function(stack, "IsComplete", "provider", "index.is_complete", minutes=1)
    _allow(on_event, [_ASK], [CLUSTER_ARN])
    _allow(is_complete, [_LIST], [CLUSTER_ARN])
    framework = custom_resources.Provider(
        stack,
        "Provider",
        on_event_handler=on_event,
        is_complete_handler=is_complete,
        total_timeout=Duration.hours(1),
    )
    _resource(stack, framework.service_token)


STACKS: Final[Mapping[str, Callable[[Stack], None]]] = {
    "this product": ours,
    "crhelper, naive": naive,
    "crhelper, its poller": poller,
    "AwsCustomResource": aws_custom_resource,
    "CDK Provider": provider,
}
"""By the names of the peers."""


def _function(
    stack: Stack, construct_id: str, peer: str, handler: str, *, minutes: int
) -> lambda_.Function:
    return lambda_.Function(
        stack,
        construct_id,
        runtime=lambda_.Runtime.PYTHON_3_14,
        handler=handler,
        code=lambda_.Code.from_asset(str(deployable(peer))),
        timeout=Duration.minutes(minutes),
    )


def _allow(function: lambda_.Function, actions: list[str], resources: list[str]) -> None:
    function.add_to_role_policy(iam.PolicyStatement(actions=actions, resources=resources))


def _resource(stack: Stack, service_token: str) -> None:
    CustomResource(
        stack,
        "Removal",
        service_token=service_token,
        properties={"ClusterName": CLUSTER_ARN, "NodeIds": list(NODE_IDS)},
    )
