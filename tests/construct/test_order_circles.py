"""Dependencies of the app against which a removal cannot wait for an earlier one."""

from collections.abc import Callable

import pytest
from aws_cdk import Annotations as Notes
from aws_cdk import Fn, NestedStack, Stack
from aws_cdk.aws_sagemaker import CfnCluster
from constructs import Construct

from hyperpod_node_removal import NodeRemoval, RemovalWarning
from tests.construct.removal_order import between, element, named, order, warnings

pytestmark = pytest.mark.xdist_group("construct-order-circles")


@pytest.mark.parametrize(
    "opposite",
    [
        lambda first, second: first.node.add_dependency(second),
        lambda first, second: element(first).add_resource_dependency(element(second)),
        lambda first, second: first.resource.node.add_dependency(second.resource),
    ],
    ids=["constructs", "elements", "resources"],
)
def test_the_order_of_the_app_itself_holds_also_if_it_comes_later(
    stack: Stack, opposite: Callable[[NodeRemoval, NodeRemoval], None]
) -> None:
    first, _, third = (named(stack, name) for name in ("First", "Second", "Third"))
    opposite(first, third)
    assert order(stack) == {"First": {"Third"}, "Second": {"First"}, "Third": set()}
    assert warnings(stack) == []


def second_by_dependencies(first: NodeRemoval, second: NodeRemoval) -> None:
    resource = between(Stack.of(first))
    first.node.add_dependency(resource)
    resource.node.add_dependency(second)


def second_by_scopes(first: NodeRemoval, second: NodeRemoval) -> None:
    scope = Construct(Stack.of(first), "Scope")
    between(scope)
    first.node.add_dependency(scope)
    scope.node.add_dependency(second)


def second_by_elements(first: NodeRemoval, second: NodeRemoval) -> None:
    resource = between(Stack.of(first))
    element(first).add_resource_dependency(resource)
    resource.add_resource_dependency(element(second))


def second_by_references(first: NodeRemoval, second: NodeRemoval) -> None:
    resource = between(Stack.of(first), Count=f"of {second.removed_count}")
    other = between(
        Stack.of(first), "Text", Text=Fn.sub(f"${{{resource.logical_id}}}"), More=[resource.ref]
    )
    first.node.add_dependency(other)


def second_by_a_nested_stack(first: NodeRemoval, second: NodeRemoval) -> None:
    nested = NestedStack(Stack.of(first), "Between")
    between(nested, "InNested", Count=second.removed_count)
    first.node.add_dependency(nested)


def second_by_an_output_of_a_nested_stack(first: NodeRemoval, second: NodeRemoval) -> None:
    nested = NestedStack(Stack.of(first), "Between")
    resource = between(nested, "InNested")
    nested.node.add_dependency(second)
    first.node.add_dependency(between(Stack.of(first), "Reader", Text=resource.ref))


@pytest.mark.parametrize(
    "dependency",
    [
        second_by_dependencies,
        second_by_scopes,
        second_by_elements,
        second_by_references,
        second_by_a_nested_stack,
        second_by_an_output_of_a_nested_stack,
    ],
)
def test_what_would_close_a_circle_is_left_out_and_warned_of(
    stack: Stack, dependency: Callable[[NodeRemoval, NodeRemoval], None]
) -> None:
    first, second = named(stack, "First"), named(stack, "Second")
    dependency(first, second)
    assert order(stack) == {"First": set(), "Second": set()}
    (warning,) = warnings(stack)
    assert warning.startswith("Stack/Second does not wait for Stack/First, although both may")
    assert "Stack/First already depends on it, through Stack/" in warning
    assert "Between" in warning


def test_a_left_out_dependency_leaves_the_others(stack: Stack) -> None:
    _, second, third = (named(stack, name) for name in ("First", "Second", "Third"))
    second_by_dependencies(second, third)
    assert order(stack) == {"First": set(), "Second": {"First"}, "Third": {"First"}}
    (warning,) = warnings(stack)
    assert "Stack/Third does not wait for Stack/Second" in warning


def test_a_removal_after_the_cluster_cannot_come_before_one_ahead_of_it(stack: Stack) -> None:
    cluster = CfnCluster(stack, "Cluster", cluster_name="ml-cluster")
    named(stack, "After").node.add_dependency(cluster)
    NodeRemoval(stack, "Ahead", cluster=cluster)
    assert order(stack) == {"After": set(), "Ahead": set()}
    (warning,) = warnings(stack)
    assert "Stack/Ahead does not wait for Stack/After" in warning
    assert "through Stack/Cluster, and" in warning


def test_the_warning_is_acknowledged_for_the_later_removal(stack: Stack) -> None:
    first, second = named(stack, "First"), named(stack, "Second")
    second_by_dependencies(first, second)
    Notes.of(second).acknowledge_warning(RemovalWarning.REMOVALS_NOT_ORDERED, "they are apart")
    assert order(stack) == {"First": set(), "Second": set()}
    assert warnings(stack) == []
