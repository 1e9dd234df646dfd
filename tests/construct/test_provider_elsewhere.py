"""A provider that a template or another app has created, and providers in the wrong place."""

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Environment, Fn, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk.aws_sagemaker import CfnCluster

from hyperpod_node_removal import (
    InvalidPropertyError,
    NodeRemoval,
    NodeRemovalDashboard,
    NodeRemovalError,
    NodeRemovalProvider,
    RemovalWarning,
)
from hyperpod_node_removal_contract import RESOURCE_TYPE
from tests.construct.stacks import CLUSTER_ARN, POLICY, Synthesized, app_of, warnings

TOKEN = "arn:aws:lambda:us-west-2:111122223333:function:node-removal"
HERE = Environment(account="111122223333", region="us-west-2")


@pytest.fixture
def stack() -> Stack:
    return Stack(App(analytics_reporting=False), "Stack", env=HERE)


def types(stack: Stack) -> set[str]:
    return {one["Type"] for one in Synthesized(stack).template["Resources"].values()}


@pytest.mark.parametrize(
    "token", [TOKEN, Fn.import_value("HyperPodNodeRemovalServiceToken")], ids=["literal", "import"]
)
def test_a_removal_uses_it_and_adds_nothing(stack: Stack, token: str) -> None:
    provider = NodeRemovalProvider.from_service_token(stack, "Provider", token)
    NodeRemoval(stack, "Removal", cluster_name="ml-cluster", provider=provider)
    made = Synthesized(stack)
    assert len(made.template["Resources"]) == 1
    assert made.properties(RESOURCE_TYPE)["ServiceToken"] == stack.resolve(token)
    assert RemovalWarning.ANY_CLUSTER_ALLOWED not in warnings(stack)


def test_a_removal_adds_what_it_needs_to_a_role_that_is_given(stack: Stack) -> None:
    role = iam.Role.from_role_name(stack, "Role", "node-removal")
    provider = NodeRemovalProvider.from_service_token(stack, "Provider", TOKEN, role=role)
    NodeRemoval(stack, "Removal", cluster_arn=CLUSTER_ARN, provider=provider)
    sns.Topic(stack, "Topic").grant_publish(provider)
    made = Synthesized(stack)
    policies = made.resources(POLICY).values()
    assert all(one["Properties"]["Roles"] == ["node-removal"] for one in policies)
    assert {"sagemaker:BatchDeleteClusterNodes", "sns:Publish"} <= made.actions()
    assert any("Permissions" in one for one in made.one(RESOURCE_TYPE)["DependsOn"])


def test_its_metrics_events_and_log_are_available_if_they_are_known(stack: Stack) -> None:
    provider = NodeRemovalProvider.from_service_token(
        stack,
        "Provider",
        TOKEN,
        log_group=logs.LogGroup.from_log_group_name(stack, "Log", "removals"),
        metrics=True,
        event_bus=events.EventBus.from_event_bus_name(stack, "Bus", "default"),
    )
    removal = NodeRemoval(stack, "Removal", cluster_name="ml-cluster", provider=provider)
    removal.alarm_on_failures()
    removal.on_failed("Failed")
    provider.on_finished("Finished")
    NodeRemovalDashboard(stack, "Dashboard", provider=provider)
    assert {
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Dashboard",
        "AWS::Events::Rule",
    } <= types(stack)


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (
            lambda provider: NodeRemovalDashboard(
                Stack.of(provider), "Dashboard", provider=provider
            ),
            "writes no metrics; give from_service_token metrics=True",
        ),
        (
            lambda provider: provider.on_finished("Finished"),
            "sends no events; give from_service_token an event_bus",
        ),
        (lambda provider: provider.log_group, "log group of Stack/Provider is not known; give"),
        (lambda provider: provider.role, "the role of Stack/Provider is not known; give fro"),
    ],
    ids=["metrics", "event_bus", "log_group", "role"],
)
def test_what_is_not_known_is_an_error(
    stack: Stack, use: Callable[[Any], object], sentence: str
) -> None:
    provider = NodeRemovalProvider.from_service_token(stack, "Provider", TOKEN)
    with pytest.raises(NodeRemovalError, match=sentence):
        use(provider)


def elsewhere(stack: Stack, **environment: str) -> Any:
    """A provider of another stack of the same app."""
    return NodeRemovalProvider(Stack(app_of(stack), "Other", env=Environment(**environment)))


def managed(stack: Stack, **environment: str) -> Any:
    """A cluster of another stack of the same app."""
    other = Stack(app_of(stack), "Other", env=Environment(**environment))
    return CfnCluster(other, "Cluster", cluster_name="ml-cluster")


OTHER_ACCOUNT = CLUSTER_ARN.replace("1111", "9999")
CHINA = CLUSTER_ARN.replace("arn:aws:", "arn:aws-cn:")
A_CLUSTER = "a cluster in the stack's account and region, where the function looks for it"
A_FUNCTION = (
    "a function in the stack's account and region, where it looks for the stack and the cluster"
)
IN_ACCOUNT = "is in account 999922223333, but the stack is in account 111122223333; allowed:"
IN_REGION = "is in eu-west-1, but the stack is in us-west-2; allowed:"
IN_CHINA = "is in the partition aws-cn, but the stack is in the partition aws; allowed:"
PROVIDER = "Other/HyperPodNodeRemovalProvider"
NO_PROVIDER = (
    f"'{TOKEN}' (str) is not a provider; allowed: a NodeRemovalProvider, or for the ARN of a"
    " function NodeRemovalProvider.from_service_token(...)"
)
CASES: dict[str, tuple[str, Callable[[Stack], Any], str]] = {
    "account": (
        "cluster_arn",
        lambda _: OTHER_ACCOUNT,
        f"'{OTHER_ACCOUNT}' {IN_ACCOUNT} {A_CLUSTER}",
    ),
    "partition": ("cluster_arn", lambda _: CHINA, f"'{CHINA}' {IN_CHINA} {A_CLUSTER}"),
    "cluster": (
        "cluster",
        lambda stack: managed(stack, region="eu-west-1"),
        f"Other/Cluster {IN_REGION} {A_CLUSTER}",
    ),
    "provider": (
        "provider",
        lambda stack: elsewhere(stack, region="eu-west-1"),
        f"{PROVIDER} {IN_REGION} {A_FUNCTION}",
    ),
    "account of the provider": (
        "provider",
        lambda stack: elsewhere(stack, account="999922223333"),
        f"{PROVIDER} {IN_ACCOUNT} {A_FUNCTION}",
    ),
    "no provider": ("provider", lambda _: TOKEN, NO_PROVIDER),
}


@pytest.mark.parametrize("case", CASES)
def test_a_removal_works_in_one_place(stack: Stack, case: str) -> None:
    name, value, sentence = CASES[case]
    given: dict[str, Any] = {"cluster_arn": CLUSTER_ARN} if name == "provider" else {}
    with pytest.raises(InvalidPropertyError) as caught:
        NodeRemoval(stack, "Removal", **given, **{name: value(stack)})
    assert str(caught.value) == f"Stack/Removal: {name}: {sentence}"
    assert stack.node.try_find_child("Removal") is None, "nothing is created"


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        ("node-removal", "service_token: 'node-removal' is not the ARN of a function; allowed:"),
        (TOKEN.replace("us-west-2", "eu-west-1"), f"service_token: '{TOKEN[:15]}eu-west-1"),
        (TOKEN.replace("1111", "9999"), f"service_token: '{TOKEN[:25]}9999"),
    ],
)
def test_a_service_token_is_of_a_function_in_the_stacks_place(
    stack: Stack, token: str, sentence: str
) -> None:
    with pytest.raises(InvalidPropertyError) as caught:
        NodeRemovalProvider.from_service_token(stack, "Provider", token)
    assert str(caught.value).startswith(f"Stack/Provider: {sentence}")


@pytest.mark.parametrize(
    "make",
    [
        lambda stack, role: NodeRemovalProvider(stack, "Provider", role=role),
        lambda stack, role: NodeRemovalProvider.from_service_token(
            stack, "Provider", TOKEN, role=role
        ),
    ],
    ids=["created", "elsewhere"],
)
def test_a_role_is_of_the_account_of_the_function(
    stack: Stack, make: Callable[[Stack, iam.IRole], Any]
) -> None:
    role = iam.Role.from_role_arn(stack, "Role", "arn:aws:iam::999922223333:role/node-removal")
    with pytest.raises(InvalidPropertyError) as caught:
        make(stack, role)
    assert str(caught.value) == (
        f"Stack/Provider: role: '{role.role_arn}' {IN_ACCOUNT} a role of the stack's account, as"
        " Lambda requires"
    )


def test_an_unknown_place_is_accepted() -> None:
    app = App(analytics_reporting=False)
    stack, here = Stack(app, "Anywhere"), Stack(app, "Here", env=HERE)
    provider = NodeRemovalProvider.from_service_token(stack, "Provider", TOKEN)
    NodeRemoval(stack, "Removal", cluster_arn=CLUSTER_ARN, provider=provider)
    NodeRemoval(here, "Removal", cluster_arn=CLUSTER_ARN, provider=provider)
    with pytest.raises(InvalidPropertyError, match="is in us-west-2, but the stack is in eu-west"):
        NodeRemoval(
            Stack(app, "There", env=Environment(region="eu-west-1")),
            "Removal",
            cluster_name="ml-cluster",
            provider=provider,
        )
