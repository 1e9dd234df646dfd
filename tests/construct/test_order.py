"""Removals that may be of one cluster run one after the other within a stack."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Annotations as Notes
from aws_cdk import (
    App,
    Aws,
    CfnCondition,
    CfnParameter,
    CfnResource,
    Fn,
    NestedStack,
    Stack,
    Stage,
)
from aws_cdk.assertions import Template
from aws_cdk.aws_sagemaker import CfnCluster
from constructs import Construct

from hyperpod_node_removal import NodeRemoval, RemovalWarning
from hyperpod_node_removal_contract import RESOURCE_TYPE
from tests.construct.stacks import CLUSTER_ARN, warnings_of

NOT_ORDERED = RemovalWarning.REMOVALS_NOT_ORDERED
OTHER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/f6e5d4c3b2a1"


def named(stack: Construct, construct_id: str, name: str = "ml-cluster") -> NodeRemoval:
    """A removal from a cluster that is given by name."""
    return NodeRemoval(stack, construct_id, cluster_name=name)


def element(construct: NodeRemoval) -> CfnResource:
    """Its resource in the template."""
    found = construct.resource.node.default_child
    assert isinstance(found, CfnResource)
    return found


def between(scope: Construct, construct_id: str = "Between", **properties: Any) -> CfnResource:
    """Any other resource."""
    return CfnResource(scope, construct_id, type="Test::Be::Between", properties=properties)


def order(stack: Stack) -> dict[str, set[str]]:
    """The removals that each removal waits for, all by construct path without the stack."""
    resources = Template.from_stack(stack).find_resources(RESOURCE_TYPE)
    names = {
        str(stack.resolve(element(one).logical_id)): one.node.path.removeprefix(
            f"{stack.node.path}/"
        )
        for one in stack.node.find_all()
        if isinstance(one, NodeRemoval) and Stack.of(one) is stack
    }
    assert names.keys() == resources.keys()
    return {
        names[key]: {names[other] for other in one["DependsOn"] if other in names}
        for key, one in resources.items()
    }


def warnings(stack: Stack) -> list[str]:
    return warnings_of(stack, NOT_ORDERED)


ML, OTHER = {"cluster_name": "ml-cluster"}, {"cluster_name": "other"}
ARN = {"cluster_arn": CLUSTER_ARN}
IN_TEXT = [{"cluster_name": f"ml-{token}"} for token in (Aws.REGION, Aws.PARTITION)]
NAME_TOKEN, ARN_TOKEN = {"cluster_name": Aws.STACK_NAME}, {"cluster_arn": Aws.STACK_ID}


@pytest.mark.parametrize(
    ("removals", "expected"),
    [
        ({"B": ML, "A": ML, "C": ML}, {"B": set(), "A": {"B"}, "C": {"A"}}),  # not by their names
        ({"A": ML, "B": OTHER}, {"A": set(), "B": set()}),
        ({"A": ARN, "B": {"cluster_arn": OTHER_ARN}}, {"A": set(), "B": set()}),
        ({"A": ML, "B": ARN}, {"A": set(), "B": {"A"}}),
        ({"A": ARN, "B": ML}, {"A": set(), "B": {"A"}}),
        ({"A": ML, "B": NAME_TOKEN}, {"A": set(), "B": {"A"}}),
        ({"A": ARN_TOKEN, "B": ARN}, {"A": set(), "B": {"A"}}),
        ({"A": IN_TEXT[0], "B": IN_TEXT[1]}, {"A": set(), "B": {"A"}}),
        (
            {"A": ML, "B": OTHER, "A2": ML, "B2": OTHER},
            {"A": set(), "B": set(), "A2": {"A"}, "B2": {"B"}},
        ),
        (
            {"A": ML, "B": OTHER, "Any": NAME_TOKEN, "A2": ML},
            {"A": set(), "B": set(), "Any": {"A", "B"}, "A2": {"Any"}},
        ),
    ],
)
def test_a_removal_waits_for_those_before_it_that_may_have_its_cluster(
    stack: Stack, removals: dict[str, dict[str, Any]], expected: dict[str, set[str]]
) -> None:
    for construct_id, cluster in removals.items():
        NodeRemoval(stack, construct_id, **cluster)
    assert order(stack) == expected
    assert warnings(stack) == []


def test_the_order_is_that_of_declaration_and_not_of_the_tree(stack: Stack) -> None:
    scope = Construct(stack, "Scope")
    named(stack, "First")
    named(scope, "Second")
    assert order(stack) == {"First": set(), "Scope/Second": {"First"}}


def test_only_the_custom_resource_waits_and_only_for_the_custom_resource(stack: Stack) -> None:
    first, second = named(stack, "First"), named(stack, "Second")
    alarm, policy = between(stack, "Alarm"), between(second, "Policy")
    first.node.add_dependency(alarm)
    between(first, "InScope")
    resources = Template.from_stack(stack).to_json()["Resources"]
    ids = {one: stack.resolve(element(one).logical_id) for one in (first, second)}
    waits_for_all = set(resources[ids[first]]["DependsOn"]) - {"Alarm"}
    assert set(resources[ids[second]]["DependsOn"]) == waits_for_all | {ids[first]}
    assert "DependsOn" not in resources[stack.resolve(policy.logical_id)]


def wanted(stack: Stack) -> CfnCondition:
    parameter = CfnParameter(stack, "Wanted")
    return CfnCondition(
        stack, "IsWanted", expression=Fn.condition_equals(parameter.value_as_string, "yes")
    )


def test_a_removal_with_a_condition_keeps_no_order_between_others(stack: Stack) -> None:
    named(stack, "First")
    element(named(stack, "Perhaps")).cfn_options.condition = wanted(stack)
    named(stack, "Third")
    assert order(stack) == {"First": set(), "Perhaps": {"First"}, "Third": {"Perhaps", "First"}}


def test_what_waits_for_a_removal_with_a_condition_passes_the_validation_of_a_new_app() -> None:
    """Its feature flags make an error of what the CDK finds in such a `DependsOn`."""
    flag = "@aws-cdk/core:validateAgainstDefaultRules"
    stack = Stack(App(analytics_reporting=False, context={flag: True}), "Stack")
    cluster = CfnCluster(
        stack,
        "Cluster",
        cluster_name="ml-cluster",
        instance_groups=[
            CfnCluster.ClusterInstanceGroupProperty(
                execution_role="arn:aws:iam::111122223333:role/HyperPod",
                instance_count=2,
                instance_group_name="workers",
                instance_type="ml.p5.48xlarge",
                life_cycle_config=CfnCluster.ClusterLifeCycleConfigProperty(
                    on_create="on_create.sh", source_s3_uri="s3://sagemaker-lifecycle"
                ),
            )
        ],
    )
    first, second = (NodeRemoval(stack, name, cluster=cluster) for name in ("First", "Second"))
    element(first).cfn_options.condition = wanted(stack)
    resources = Template.from_stack(stack).to_json()["Resources"]
    ids = [stack.resolve(element(one).logical_id) for one in (first, second)]
    assert ids[0] in resources[ids[1]]["DependsOn"]
    assert resources["Cluster"]["DependsOn"] == ids


def test_removals_of_other_stacks_are_not_waited_for() -> None:
    app = App(analytics_reporting=False)
    stack, other = Stack(app, "Stack"), Stack(Stage(app, "Stage"), "Other")
    nested = NestedStack(stack, "Nested")
    for one in (stack, nested, other):
        named(one, "Removal")
    assert order(stack) == order(other) == order(nested) == {"Removal": set()}


def test_removals_within_a_nested_stack_wait_in_the_template_that_is_uploaded() -> None:
    app = App(analytics_reporting=False)
    stack = Stack(app, "Stack")
    nested = NestedStack(stack, "Nested")
    named(nested, "First")
    named(nested, "Second")
    assert order(nested) == {"First": set(), "Second": {"First"}}
    # The name of an asset is a hash of the template as it was when the CDK made the name.
    template = json.loads((Path(app.outdir) / nested.template_file).read_text(encoding="utf-8"))
    written = json.dumps(template, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(written.encode()).hexdigest() in str(Template.from_stack(stack).to_json())


def test_an_existing_dependency_is_not_repeated(stack: Stack) -> None:
    first, second = named(stack, "First"), named(stack, "Second")
    second.node.add_dependency(first)
    assert order(stack) == {"First": set(), "Second": {"First"}}
    waits_for = Template.from_stack(stack).to_json()["Resources"]
    depends_on = waits_for[stack.resolve(element(second).logical_id)]["DependsOn"]
    assert len(set(depends_on)) == len(depends_on)


def test_a_managed_cluster_comes_after_all_of_its_removals(stack: Stack) -> None:
    cluster = CfnCluster(stack, "Cluster", cluster_name="ml-cluster")
    NodeRemoval(stack, "First", cluster=cluster)
    NodeRemoval(stack, "Second", cluster=cluster)
    NodeRemoval(stack, "ByArn", cluster_arn=CLUSTER_ARN)
    assert order(stack) == {
        "First": set(),
        "Second": {"First"},
        "ByArn": {"Second"},
    }
    assert warnings(stack) == []


def test_a_stack_with_removals_keeps_its_logical_ids(stack: Stack) -> None:
    """A new id would make CloudFormation remove the set again. Never edit this."""
    named(stack, "First")
    named(stack, "Second")
    resources = Template.from_stack(stack).find_resources(RESOURCE_TYPE)
    assert list(resources) == ["First8D4707F1", "Second394350F9"]


# Dependencies of the app against which a removal cannot wait for an earlier one ------------------


@pytest.mark.parametrize(
    "opposite",
    [
        lambda first, second: first.node.add_dependency(second),
        lambda first, second: element(first).add_resource_dependency(element(second)),
        lambda first, second: first.resource.node.add_dependency(second.resource),
    ],
    ids=["constructs", "elements", "resources"],
)
def test_dependencies_of_the_app_win_even_if_added_later(
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
def test_a_circular_dependency_is_left_out_with_a_warning(
    stack: Stack, dependency: Callable[[NodeRemoval, NodeRemoval], None]
) -> None:
    first, second = named(stack, "First"), named(stack, "Second")
    dependency(first, second)
    assert order(stack) == {"First": set(), "Second": set()}
    (warning,) = warnings(stack)
    assert warning.startswith("Stack/Second does not wait for Stack/First, although both may")
    assert "Stack/First already depends on it, through Stack/" in warning
    assert "Between" in warning


def test_other_dependencies_remain_when_one_is_left_out(stack: Stack) -> None:
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
    Notes.of(second).acknowledge_warning(NOT_ORDERED, "they are apart")
    assert order(stack) == {"First": set(), "Second": set()}
    assert warnings(stack) == []
