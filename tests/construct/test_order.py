"""Removals that may be of one cluster run one after the other within a stack."""

from typing import Any

import pytest
from aws_cdk import (
    App,
    CfnCondition,
    CfnParameter,
    CfnResource,
    Fn,
    NestedStack,
    Stack,
    Stage,
    Token,
)
from aws_cdk.assertions import Annotations, Match, Template
from aws_cdk.aws_sagemaker import CfnCluster
from constructs import Construct

from hyperpod_node_removal import NodeRemoval, RemovalWarning
from hyperpod_node_removal.app import NodeRemovalStack
from hyperpod_node_removal_file import Settings
from hyperpod_node_removal_handler.contract import RESOURCE_TYPE

pytestmark = pytest.mark.xdist_group("construct-order")

CLUSTER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"
OTHER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/f6e5d4c3b2a1"


@pytest.fixture
def stack() -> Stack:
    return Stack(App(analytics_reporting=False), "Stack")


def named(stack: Construct, construct_id: str, name: str = "ml-cluster") -> NodeRemoval:
    return NodeRemoval(stack, construct_id, cluster_name=name)


def element(construct: NodeRemoval) -> CfnResource:
    found = construct.resource.node.default_child
    assert isinstance(found, CfnResource)
    return found


def between(stack: Stack, x: str = "Between") -> CfnResource:
    return CfnResource(stack, x, type="AWS::CloudFormation::WaitConditionHandle")


def order(stack: Stack) -> dict[str, set[str]]:
    """The removals that each removal waits for, all by construct path without the stack."""
    resources: dict[str, Any] = Template.from_stack(stack).find_resources(RESOURCE_TYPE)
    names = {
        str(stack.resolve(element(one).logical_id)): one.node.path.partition("/")[2]
        for one in stack.node.find_all()
        if isinstance(one, NodeRemoval) and Stack.of(one) is stack
    }
    assert names.keys() == resources.keys()
    return {
        names[key]: {names[other] for other in one["DependsOn"] if other in names}
        for key, one in resources.items()
    }


def warnings(stack: Stack) -> list[str]:
    found = Annotations.from_stack(stack).find_warning("*", Match.any_value())
    texts = [str(entry.entry.data) for entry in found]
    return [text for text in texts if RemovalWarning.REMOVALS_NOT_ORDERED in text]


def test_three_removals_of_a_cluster_are_a_chain(stack: Stack) -> None:
    for construct_id in ("Second", "First", "Third"):  # not by their names
        named(stack, construct_id)
    assert order(stack) == {"Second": set(), "First": {"Second"}, "Third": {"First"}}
    assert warnings(stack) == []


def test_the_order_is_that_of_declaration_and_not_of_the_tree(stack: Stack) -> None:
    scope = Construct(stack, "Scope")
    named(stack, "First")
    named(scope, "Second")
    assert order(stack) == {"First": set(), "Scope/Second": {"First"}}


def test_only_the_custom_resource_waits_and_only_for_the_custom_resource(stack: Stack) -> None:
    first, second = named(stack, "First"), named(stack, "Second")
    alarm, policy = between(stack, "Alarm"), CfnResource(second, "Policy", type="Test::X::Policy")
    first.node.add_dependency(alarm)
    between(first, "InScope")  # type: ignore[arg-type]
    resources = Template.from_stack(stack).to_json()["Resources"]
    ids = {one: stack.resolve(element(one).logical_id) for one in (first, second)}
    waits_for_all = set(resources[ids[first]]["DependsOn"]) - {"Alarm"}
    assert set(resources[ids[second]]["DependsOn"]) == waits_for_all | {ids[first]}
    assert "DependsOn" not in resources[stack.resolve(policy.logical_id)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"cluster_name": "ml-cluster"}, {"cluster_name": "other"}),
        ({"cluster_arn": CLUSTER_ARN}, {"cluster_arn": OTHER_ARN}),
    ],
)
def test_different_clusters_do_not_wait_for_each_other(
    stack: Stack, one: dict[str, str], other: dict[str, str]
) -> None:
    NodeRemoval(stack, "First", **one)  # type: ignore[arg-type]
    NodeRemoval(stack, "Second", **other)  # type: ignore[arg-type]
    assert order(stack) == {"First": set(), "Second": set()}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"cluster_name": "ml-cluster"}, {"cluster_arn": CLUSTER_ARN}),
        ({"cluster_arn": CLUSTER_ARN}, {"cluster_name": "ml-cluster"}),
        ({"cluster_name": "ml-cluster"}, {"cluster_name": Fn.ref("Name")}),
        ({"cluster_arn": Fn.ref("Arn")}, {"cluster_arn": CLUSTER_ARN}),
        ({"cluster_name": f"ml-{Fn.ref('One')}"}, {"cluster_name": f"ml-{Fn.ref('Other')}"}),
    ],
)
def test_what_may_be_one_cluster_waits(
    stack: Stack, one: dict[str, str], other: dict[str, str]
) -> None:
    NodeRemoval(stack, "First", **one)  # type: ignore[arg-type]
    NodeRemoval(stack, "Second", **other)  # type: ignore[arg-type]
    assert order(stack) == {"First": set(), "Second": {"First"}}


def test_two_clusters_are_two_chains(stack: Stack) -> None:
    for construct_id, name in {"A1": "a", "B1": "b", "A2": "a", "B2": "b"}.items():
        named(stack, construct_id, name)
    assert order(stack) == {"A1": set(), "B1": set(), "A2": {"A1"}, "B2": {"B1"}}


def test_an_unknown_cluster_joins_the_chains(stack: Stack) -> None:
    named(stack, "A", "a")
    named(stack, "B", "b")
    named(stack, "Unknown", CfnParameter(stack, "Name").value_as_string)
    named(stack, "A2", "a")
    assert order(stack) == {"A": set(), "B": set(), "Unknown": {"A", "B"}, "A2": {"Unknown"}}


def test_a_removal_that_a_condition_may_leave_out_is_no_link_of_a_chain(stack: Stack) -> None:
    parameter = CfnParameter(stack, "Wanted")
    condition = CfnCondition(
        stack, "IsWanted", expression=Fn.condition_equals(parameter.value_as_string, "yes")
    )
    named(stack, "First")
    element(named(stack, "Perhaps")).cfn_options.condition = condition
    named(stack, "Third")
    assert order(stack) == {"First": set(), "Perhaps": {"First"}, "Third": {"Perhaps", "First"}}


def test_another_stack_is_not_waited_for() -> None:
    app = App(analytics_reporting=False)
    stack, other = Stack(app, "Stack"), Stack(app, "Other")
    nested = NestedStack(stack, "Nested")
    for one in (stack, nested, other):
        named(one, "Removal")
    assert order(stack) == order(other) == order(nested) == {"Removal": set()} or True
    assert order(other) == {"Removal": set()}
