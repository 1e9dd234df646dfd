"""Providers that nobody uses, that come too late, or that let too few removals run at once."""

from typing import Any

import pytest
from aws_cdk import Annotations as Notes
from aws_cdk import App, NestedStack, Stack, Stage
from aws_cdk.assertions import Annotations, Match

from hyperpod_node_removal import (
    NodeRemoval,
    NodeRemovalError,
    NodeRemovalProvider,
    RemovalWarning,
)

pytestmark = pytest.mark.xdist_group("construct-provider-use")

CLUSTER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"
STACK_ARN = "arn:aws:cloudformation:us-west-2:111122223333:stack/maintenance/*"


@pytest.fixture
def stack() -> Stack:
    return Stack(App(analytics_reporting=False), "Stack")


def warnings(stack: Stack, kind: RemovalWarning) -> list[str]:
    found = Annotations.from_stack(stack).find_warning("*", Match.any_value())
    return [text for text in (str(one.entry.data) for one in found) if kind in text]


def idle(stack: Stack) -> list[str]:
    return warnings(stack, RemovalWarning.PROVIDER_NOT_USED)


def test_a_provider_that_the_removals_of_its_stack_do_not_use_is_warned_of(stack: Stack) -> None:
    NodeRemovalProvider(stack, "Mine")
    NodeRemoval(stack, "Removal", cluster_name="ml-cluster")
    (warning,) = idle(stack)
    assert "No removal uses Stack/Mine: Stack/Removal uses Stack/HyperPodNodeRemovalPro" in warning
    assert "Pass the provider to the removals as provider" in warning


def test_removals_of_a_nested_stack_need_it_passed_too(stack: Stack) -> None:
    """The default id is looked for in the removal's own stack."""
    NodeRemovalProvider(stack)
    nested = NestedStack(stack, "Nested")
    NodeRemoval(nested, "Removal", cluster_name="ml-cluster")
    (warning,) = idle(stack)
    assert "Stack/Nested/Removal uses Stack/Nested/HyperPodNodeRemovalProvider" in warning


def test_a_provider_that_is_used_from_anywhere_is_not_warned_of(stack: Stack) -> None:
    app: Any = stack.node.root
    provider = NodeRemovalProvider(stack, "Mine")
    NodeRemoval(NestedStack(stack, "Nested"), "Removal", cluster_name="a", provider=provider)
    NodeRemoval(Stack(app, "Other"), "Removal", cluster_name="a", provider=provider)
    NodeRemoval(stack, "Default", cluster_name="a")
    assert idle(stack) == []


def test_a_provider_for_others_is_not_warned_of(stack: Stack) -> None:
    """Alone in its stack, or with permissions for templates."""
    NodeRemovalProvider(stack, "ForOthers")
    assert idle(stack) == []
    another = Stack(App(analytics_reporting=False), "Another")
    provider = NodeRemovalProvider(another, "ForOthers")
    provider.allow_removals(stack_arn=STACK_ARN, cluster_arn=CLUSTER_ARN)
    NodeRemoval(another, "Removal", cluster_name="ml-cluster")
    assert idle(another) == []


def test_the_warning_can_be_acknowledged(stack: Stack) -> None:
    provider = NodeRemovalProvider(stack, "Mine")
    NodeRemoval(stack, "Removal", cluster_name="ml-cluster")
    Notes.of(provider).acknowledge_warning(RemovalWarning.PROVIDER_NOT_USED, "used later")
    assert idle(stack) == []


def test_two_stacks_and_stages_have_a_provider_each() -> None:
    app = App(analytics_reporting=False)
    for scope in (app, Stage(app, "Stage")):
        for name in ("One", "Two"):
            stack = Stack(scope, name)
            NodeRemovalProvider(stack)
            NodeRemoval(stack, "Removal", cluster_name="ml-cluster")
    for name in ("One", "Two"):
        stack = app.node.find_child(name)  # type: ignore[assignment]
        assert idle(stack) == []


def test_a_provider_that_comes_too_late_says_what_came_first(stack: Stack) -> None:
    NodeRemoval(stack, "Removal", cluster_name="ml-cluster")
    with pytest.raises(NodeRemovalError) as caught:
        NodeRemovalProvider(stack, metrics=True)
    assert str(caught.value) == (
        "Stack/HyperPodNodeRemovalProvider was created for Stack/Removal, which came first; create"
        " the provider before the first removal of the stack, or give it another id and pass it to"
        " the removals as provider"
    )
    other = Stack(App(), "Other")
    NodeRemovalProvider(other)
    with pytest.raises(
        NodeRemovalError, match="Other/HyperPodNodeRemovalProvider was created before"
    ):
        NodeRemovalProvider(other)


# Reserved concurrency ------------------------------------------------------------------------


def too_few(stack: Stack) -> list[str]:
    return warnings(stack, RemovalWarning.RESERVED_CONCURRENCY)


def test_fewer_executions_than_removals_are_warned_of(stack: Stack) -> None:
    app: Any = stack.node.root
    provider = NodeRemovalProvider(stack, reserved_concurrent_executions=3)
    for name in ("a", "b"):
        NodeRemoval(stack, f"Of{name}", cluster_name=name)
    NodeRemoval(Stack(app, "Other"), "Removal", cluster_arn=CLUSTER_ARN, provider=provider)
    provider.allow_removals(stack_arn=STACK_ARN, cluster_arn=CLUSTER_ARN)
    (warning,) = too_few(stack)
    assert "3 concurrent executions are reserved for Stack/HyperPodNodeRemovalProvider" in warning
    assert (
        "but 4 removals may run at once. Lambda drops a request that has waited for 60 s (the"
        in (warning)
    )
    assert "MaximumEventAge" in warning


def test_removals_that_wait_for_each_other_count_once(stack: Stack) -> None:
    NodeRemovalProvider(stack, reserved_concurrent_executions=2)
    for number in range(4):
        NodeRemoval(stack, f"Removal{number}", cluster_name="ab"[number % 2])
    NodeRemoval(stack, "ByArn", cluster_arn=CLUSTER_ARN)
    assert too_few(stack) == []


def test_too_few_executions_can_be_acknowledged(stack: Stack) -> None:
    provider = NodeRemovalProvider(stack, reserved_concurrent_executions=1)
    for name in ("a", "b"):
        NodeRemoval(stack, f"Of{name}", cluster_name=name)
    Notes.of(provider).acknowledge_warning(RemovalWarning.RESERVED_CONCURRENCY, "one at a time")
    assert too_few(stack) == []
