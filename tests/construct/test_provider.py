"""Which removals share a function, where its permissions are, and how it is used."""

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Annotations as Notes
from aws_cdk import App, NestedStack, Stack, Stage
from aws_cdk import aws_logs as logs

from hyperpod_node_removal import (
    NodeRemoval,
    NodeRemovalError,
    NodeRemovalProvider,
    RemovalWarning,
)
from hyperpod_node_removal_contract import RESOURCE_TYPE
from tests.construct.stacks import (
    CLUSTER_ARN,
    FUNCTION,
    POLICY,
    STACK_ARN,
    Synthesized,
    app_of,
    warnings_of,
)

NOT_USED, TOO_FEW = RemovalWarning.PROVIDER_NOT_USED, RemovalWarning.RESERVED_CONCURRENCY


def named(scope: Any, construct_id: str = "Removal", name: str = "ml", **more: Any) -> NodeRemoval:
    return NodeRemoval(scope, construct_id, cluster_name=name, **more)


@pytest.fixture(scope="module")
def shared() -> dict[str, Synthesized]:
    """A provider of one stack that serves removals of three."""
    app = App(analytics_reporting=False)
    stacks = {name: Stack(app, name) for name in ("Owner", "User", "AnotherUser")}
    month = logs.RetentionDays.ONE_MONTH
    provider = NodeRemovalProvider(stacks["Owner"], "Shared", log_retention=month)
    named(stacks["Owner"], "Here", provider=provider)
    for name in ("There", "ThereToo"):
        NodeRemoval(stacks["User"], name, cluster_arn=CLUSTER_ARN, provider=provider)
    NodeRemoval(stacks["AnotherUser"], "There", cluster_arn=CLUSTER_ARN, provider=provider)
    return {name: Synthesized(stack) for name, stack in stacks.items()}


def test_a_provider_of_another_stack_gets_its_permissions_from_the_users_stack(
    shared: dict[str, Synthesized],
) -> None:
    user = shared["User"]
    assert not user.resources(FUNCTION)
    ((logical_id, policy),) = user.resources(POLICY).items()
    (role,) = policy["Properties"]["Roles"]
    assert "SharedRole" in role["Fn::ImportValue"]
    assert [one for _, one in user.statements()] == [{"Ref": "AWS::StackId"}, CLUSTER_ARN]
    first, second = user.resources(RESOURCE_TYPE)
    waits_for = {first: {logical_id}, second: {logical_id, first}}
    for key, resource in user.resources(RESOURCE_TYPE).items():
        assert set(resource["DependsOn"]) == waits_for[key]
        assert "SharedFunction" in resource["Properties"]["ServiceToken"]["Fn::ImportValue"]


def test_no_stack_overwrites_the_permissions_of_another(shared: dict[str, Synthesized]) -> None:
    """IAM replaces a policy that has the same name on the same role."""
    policies = [one for stack in shared.values() for one in stack.resources(POLICY).values()]
    names = [policy["Properties"]["PolicyName"] for policy in policies]
    assert len(names) == len(shared) + 1, "the function's permission to invoke itself is the fourth"
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 128


def test_logs_are_kept_as_long_as_requested(shared: dict[str, Synthesized]) -> None:
    assert shared["Owner"].properties("AWS::Logs::LogGroup") == {"RetentionInDays": 30}


def test_the_provider_of_a_stack_is_found_again(stack: Stack) -> None:
    first, second = named(stack, "First"), named(stack, "Second")
    assert first.provider is second.provider
    assert NodeRemovalProvider.get_or_create(second) is first.provider
    assert first.resource.node.path == "Stack/First/Resource"
    other = Stack(App(), "Other")
    provider = NodeRemovalProvider(other, log_retention=logs.RetentionDays.ONE_WEEK)
    assert named(other).provider is provider


def test_a_provider_created_after_the_first_removal_is_an_error(stack: Stack) -> None:
    named(stack)
    with pytest.raises(NodeRemovalError) as caught:
        NodeRemovalProvider(stack, metrics=True)
    assert str(caught.value) == (
        "Stack/HyperPodNodeRemovalProvider was created for Stack/Removal, which came first; create"
        " the provider before the first removal of the stack, or give it another id and pass it to"
        " the removals as provider"
    )
    other = Stack(App(), "Other")
    NodeRemovalProvider(other)
    with pytest.raises(NodeRemovalError, match="Other/HyperPodNodeRemovalProvider was created bef"):
        NodeRemovalProvider(other)


# Use -----------------------------------------------------------------------------------------


def test_an_unused_provider_gets_a_warning(stack: Stack) -> None:
    provider = NodeRemovalProvider(stack, "Mine")
    named(stack)
    (warning,) = warnings_of(stack, NOT_USED)
    assert "No removal uses Stack/Mine: Stack/Removal uses Stack/HyperPodNodeRemovalPro" in warning
    assert "Pass the provider to the removals as provider" in warning
    Notes.of(provider).acknowledge_warning(NOT_USED, "used later")
    assert warnings_of(stack, NOT_USED) == []


def test_the_provider_must_be_passed_to_removals_of_a_nested_stack(stack: Stack) -> None:
    """The default id is looked for in the removal's own stack."""
    NodeRemovalProvider(stack)
    named(NestedStack(stack, "Nested"))
    (warning,) = warnings_of(stack, NOT_USED)
    assert "Stack/Nested/Removal uses Stack/Nested/HyperPodNodeRemovalProvider" in warning


def used_from_elsewhere(stack: Stack) -> None:
    provider = NodeRemovalProvider(stack, "Mine")
    named(NestedStack(stack, "Nested"), provider=provider)
    named(Stack(app_of(stack), "Other"), provider=provider)
    named(stack, "Default")


def alone(stack: Stack) -> None:
    NodeRemovalProvider(stack, "ForOthers")


def for_templates(stack: Stack) -> None:
    provider = NodeRemovalProvider(stack, "ForOthers")
    provider.allow_removals(stack_arn=STACK_ARN, cluster_arn=CLUSTER_ARN)
    named(stack)


def in_each_stack_and_stage(stack: Stack) -> None:
    app = app_of(stack)
    for one in (stack, Stack(app, "Two"), Stack(Stage(app, "Stage"), "Stack")):
        NodeRemovalProvider(one)
        named(one)


@pytest.mark.parametrize(
    "use", [used_from_elsewhere, alone, for_templates, in_each_stack_and_stage]
)
def test_a_provider_that_others_may_use_gets_no_warning(
    stack: Stack, use: Callable[[Stack], None]
) -> None:
    use(stack)
    assert warnings_of(stack, NOT_USED) == []


# Reserved concurrency ------------------------------------------------------------------------


def test_fewer_executions_than_removals_get_a_warning(stack: Stack) -> None:
    provider = NodeRemovalProvider(stack, reserved_concurrent_executions=3)
    for name in ("a", "b"):
        named(stack, f"Of{name}", name)
    other = Stack(app_of(stack), "Other")
    NodeRemoval(other, "Removal", cluster_arn=CLUSTER_ARN, provider=provider)
    provider.allow_removals(stack_arn=STACK_ARN, cluster_arn=CLUSTER_ARN)
    (warning,) = warnings_of(stack, TOO_FEW)
    assert "3 concurrent executions are reserved for Stack/HyperPodNodeRemovalProvider" in warning
    assert (
        "but 4 removals may run at once. Lambda drops a request that has waited for 60" in warning
    )
    assert "MaximumEventAge" in warning
    Notes.of(provider).acknowledge_warning(TOO_FEW, "one at a time")
    assert warnings_of(stack, TOO_FEW) == []


def test_removals_that_wait_for_each_other_count_once(stack: Stack) -> None:
    NodeRemovalProvider(stack, reserved_concurrent_executions=2)
    for number in range(4):
        named(stack, f"Removal{number}", "ab"[number % 2])
    NodeRemoval(stack, "ByArn", cluster_arn=CLUSTER_ARN)
    assert warnings_of(stack, TOO_FEW) == []
