"""Removals that may be of one cluster run one after the other within a stack."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import (
    App,
    Aws,
    CfnCondition,
    CfnParameter,
    Fn,
    NestedStack,
    Stack,
    Stage,
)
from aws_cdk.assertions import Template
from aws_cdk.aws_sagemaker import CfnCluster
from constructs import Construct

from hyperpod_node_removal import NodeRemoval
from hyperpod_node_removal.app import NodeRemovalStack
from hyperpod_node_removal_contract import RESOURCE_TYPE
from hyperpod_node_removal_file import Settings
from tests.construct.removal_order import between, element, named, order, warnings
from tests.construct.stacks import CLUSTER_ARN

pytestmark = pytest.mark.xdist_group("construct-order")

OTHER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/f6e5d4c3b2a1"


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
    alarm, policy = between(stack, "Alarm"), between(second, "Policy")
    first.node.add_dependency(alarm)
    between(first, "InScope")
    resources = Template.from_stack(stack).to_json()["Resources"]
    ids = {one: stack.resolve(element(one).logical_id) for one in (first, second)}
    waits_for_all = set(resources[ids[first]]["DependsOn"]) - {"Alarm"}
    assert set(resources[ids[second]]["DependsOn"]) == waits_for_all | {ids[first]}
    assert "DependsOn" not in resources[stack.resolve(policy.logical_id)]


@pytest.mark.parametrize(
    ("one", "other", "waits"),
    [
        ({"cluster_name": "ml-cluster"}, {"cluster_name": "other"}, False),
        ({"cluster_arn": CLUSTER_ARN}, {"cluster_arn": OTHER_ARN}, False),
        ({"cluster_name": "ml-cluster"}, {"cluster_arn": CLUSTER_ARN}, True),
        ({"cluster_arn": CLUSTER_ARN}, {"cluster_name": "ml-cluster"}, True),
        ({"cluster_name": "ml-cluster"}, {"cluster_name": Aws.STACK_NAME}, True),
        ({"cluster_arn": Aws.STACK_ID}, {"cluster_arn": CLUSTER_ARN}, True),
        ({"cluster_name": f"ml-{Aws.REGION}"}, {"cluster_name": f"ml-{Aws.PARTITION}"}, True),
    ],
)
def test_only_what_may_be_one_cluster_waits(
    stack: Stack, one: dict[str, Any], other: dict[str, Any], waits: bool
) -> None:
    NodeRemoval(stack, "First", **one)
    NodeRemoval(stack, "Second", **other)
    assert order(stack) == {"First": set(), "Second": {"First"} if waits else set()}


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


def test_removals_of_other_stacks_are_not_waited_for() -> None:
    app = App(analytics_reporting=False)
    stack, other = Stack(app, "Stack"), Stack(app, "Other")
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


def test_removals_of_a_stage_wait_and_files_make_a_stack_each() -> None:
    app = App(analytics_reporting=False)
    stage = Stage(app, "Stage")
    files = [
        NodeRemovalStack(stage, Settings(cluster="ml-cluster", stack_name=name))
        for name in ("workers", "trainers")
    ]
    own = Stack(stage, "Own")
    named(own, "First")
    named(own, "Second")
    assert order(own) == {"First": set(), "Second": {"First"}}
    for stack in files:
        assert order(stack) == {"Removal": set()}


def test_what_waits_already_is_not_said_twice(stack: Stack) -> None:
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
