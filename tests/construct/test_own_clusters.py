"""Clusters of the app that a removal names in another way than as the construct."""

from collections.abc import Callable

import jsii
import pytest
from aws_cdk import (
    CfnCondition,
    CfnParameter,
    CfnResource,
    Fn,
    IStableStringProducer,
    Lazy,
    NestedStack,
    Stack,
    Token,
)
from aws_cdk import aws_ssm as ssm
from aws_cdk.aws_sagemaker import CfnCluster
from constructs import Construct

from hyperpod_node_removal import NodeRemoval, RemovalWarning
from hyperpod_node_removal_contract import RESOURCE_TYPE
from tests.construct.stacks import NODE, Synthesized, app_of
from tests.construct.stacks import warnings as all_warnings

FIRST, DRIFT = RemovalWarning.CLUSTER_CHANGES_FIRST, RemovalWarning.INSTANCE_COUNT_DRIFT
NODES = [NODE]


def warnings(stack: Stack) -> dict[str, str]:
    """The warnings of the two kinds, by id."""
    found = all_warnings(stack)
    return {kind: text for kind in (FIRST, DRIFT) for text in found.get(kind, ())}


@jsii.implements(IStableStringProducer)
class Produced:
    """What a lazy value is in the end."""

    def __init__(self, value: str) -> None:
        self.value = value

    def produce(self) -> str:
        return self.value


def condition(scope: Construct) -> CfnCondition:
    return CfnCondition(scope, "Condition", expression=Fn.condition_equals("a", "b"))


REFERENCES: dict[str, Callable[[CfnCluster], str]] = {
    "ref": lambda cluster: cluster.ref,
    "attribute": lambda cluster: cluster.attr_cluster_arn,
    "in text": lambda cluster: f"arn:x:{cluster.ref}",
    "Fn::Sub": lambda cluster: Fn.sub("${Cluster.ClusterArn}"),
    "Fn::Sub with values": lambda cluster: Fn.sub("${Arn}", {"Arn": cluster.attr_cluster_arn}),
    "Fn::GetAtt by id": lambda cluster: Fn.get_att("Cluster", "ClusterArn").to_string(),
    "Ref by id": lambda cluster: Fn.ref("Cluster"),
    "raw": lambda cluster: Token.as_string({"Fn::GetAtt": "Cluster.ClusterArn"}),
    "Fn::Select": lambda cluster: Fn.select(1, Fn.split("/", cluster.attr_cluster_arn)),
    "Fn::Join": lambda cluster: Fn.join("-", ["a", Fn.select(0, [cluster.ref])]),
    "Fn::If": lambda cluster: Fn.condition_if(
        condition(Stack.of(cluster)).logical_id, cluster.ref, "ml"
    ).to_string(),
    "lazy": lambda cluster: Lazy.string(Produced(cluster.ref)),
    "through a resource": lambda cluster: (
        ssm.StringParameter(
            Stack.of(cluster), "Parameter", string_value=cluster.attr_cluster_arn
        ).string_value
    ),
}


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_form_of_reference_to_a_cluster_is_found(stack: Stack, reference: str) -> None:
    cluster = CfnCluster(stack, "Cluster")
    name = REFERENCES[reference](cluster)
    NodeRemoval(stack, "Removal", cluster_name=name, node_ids=NODES)
    found = warnings(stack)
    assert found.keys() == {FIRST, DRIFT}
    assert "refers to Stack/Cluster, so CloudFormation updates the cluster before" in found[FIRST]
    assert "instance groups of Stack/Cluster" in found[DRIFT]
    assert Synthesized(stack).properties(RESOURCE_TYPE)["ClusterName"] == stack.resolve(name)


def test_an_id_may_refer_to_what_is_declared_later(stack: Stack) -> None:
    NodeRemoval(stack, "Removal", cluster_name=Fn.ref("Cluster"), node_ids=NODES)
    CfnCluster(stack, "Cluster")
    assert warnings(stack).keys() == {FIRST, DRIFT}


def test_a_cluster_of_another_stack_may_have_the_same_id(stack: Stack) -> None:
    other = CfnCluster(Stack(app_of(stack), "Other"), "Cluster")
    CfnCluster(stack, "Cluster")
    NodeRemoval(stack, "Removal", cluster_arn=other.attr_cluster_arn, node_ids=NODES)
    found = warnings(stack)
    assert "refers to Other/Cluster" in found[FIRST]


@pytest.mark.parametrize("passed", [True, False])
def test_a_removal_in_a_nested_stack_may_refer_to_a_cluster_of_the_parent(
    stack: Stack, passed: bool
) -> None:
    """By a parameter that the app passes, or by one that the CDK makes of a reference."""
    cluster = CfnCluster(stack, "Cluster")
    if passed:
        nested = NestedStack(stack, "Nested", parameters={"Name": cluster.ref})
        name = CfnParameter(nested, "Name").value_as_string
    else:
        nested = NestedStack(stack, "Nested")
        name = cluster.ref
    NodeRemoval(nested, "Removal", cluster_name=name, node_ids=NODES)
    found = warnings(stack)
    assert "refers to Stack/Cluster" in found[FIRST]


def literal(stack: Stack) -> str:
    CfnCluster(stack, "Cluster", cluster_name="ml-cluster")
    return "ml-cluster"


def raw(stack: Stack) -> str:
    CfnResource(
        stack,
        "Cluster",
        type="AWS::SageMaker::Cluster",
        properties={"ClusterName": "ml-cluster"},
    )
    return "ml-cluster"


def parameter(stack: Stack) -> str:
    name = CfnParameter(stack, "Name").value_as_string
    CfnCluster(stack, "Cluster", cluster_name=name)
    return name


@pytest.mark.parametrize("name", [literal, raw, parameter])
def test_a_cluster_of_the_stack_with_the_same_name_is_found(
    stack: Stack, name: Callable[[Stack], str]
) -> None:
    NodeRemoval(stack, "Removal", cluster_name=name(stack), node_ids=NODES)
    found = warnings(stack)
    assert found.keys() == {FIRST, DRIFT}
    assert "Pass the construct as cluster to run the removal first" in found[FIRST]


def test_a_warning_adds_no_dependency(stack: Stack) -> None:
    """When the stack is created, the removal could not come first."""
    NodeRemoval(stack, "Removal", cluster_name=literal(stack), node_ids=NODES)
    made = Synthesized(stack)
    assert "DependsOn" not in made.one("AWS::SageMaker::Cluster")
    assert "Cluster" not in made.one(RESOURCE_TYPE)["DependsOn"]


def test_a_cluster_that_waits_for_the_removal_gets_only_the_drift_warning(stack: Stack) -> None:
    cluster = CfnCluster(stack, "Cluster", cluster_name="ml-cluster")
    between = CfnResource(stack, "Between", type="Test::Be::Between")
    removal = NodeRemoval(stack, "Removal", cluster_name="ml-cluster", node_ids=NODES)
    between.node.add_dependency(removal)
    cluster.node.add_dependency(between)
    assert warnings(stack).keys() == {DRIFT}


def test_a_dry_run_gets_no_drift_warning(stack: Stack) -> None:
    NodeRemoval(stack, "Removal", cluster_name=literal(stack), node_ids=NODES, dry_run=True)
    assert warnings(stack).keys() == {FIRST}


@pytest.mark.parametrize(
    "name",
    [
        lambda stack: "another",
        lambda stack: CfnParameter(stack, "Name").value_as_string,
        lambda stack: Fn.import_value("Cluster"),
        lambda stack: f"ml-{stack.region}",
        lambda stack: CfnResource(stack, "Any", type="Test::Be::Any").ref,
    ],
)
def test_other_clusters_get_no_warning(stack: Stack, name: Callable[[Stack], str]) -> None:
    CfnCluster(stack, "Cluster", cluster_name="ml-cluster")
    CfnCluster(stack, "Unnamed")
    NodeRemoval(stack, "Removal", cluster_name=name(stack), node_ids=NODES)
    assert warnings(stack) == {}
