"""The three ways to specify a cluster, and the order of a removal and a cluster of the same app."""

from typing import Any

import jsii
import pytest
from aws_cdk import App, CfnResource, Environment, Stack
from aws_cdk.aws_sagemaker import CfnCluster
from aws_cdk.interfaces.aws_sagemaker import ClusterReference, IClusterRef
from constructs import Construct

from hyperpod_node_removal import InvalidPropertyError, NodeRemoval
from hyperpod_node_removal_contract import RESOURCE_TYPE
from tests.construct.stacks import CLUSTER_ARN, NODE, Synthesized, app_of, warnings

CLUSTER = "AWS::SageMaker::Cluster"


@jsii.implements(IClusterRef)
class ImportedCluster(Construct):
    """A cluster that another app manages."""

    @property
    def cluster_ref(self) -> ClusterReference:
        return ClusterReference(cluster_arn=CLUSTER_ARN)


class WrappedCluster(Construct):
    """A construct that contains the cluster's resource, as in a construct library."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.resource = CfnCluster(self, "Resource", cluster_name="ml-cluster")

    @property
    def cluster_ref(self) -> ClusterReference:
        return self.resource.cluster_ref


@pytest.mark.parametrize(
    "managed",
    [
        lambda stack: CfnCluster(stack, "C", cluster_name="ml-cluster"),
        lambda s: WrappedCluster(s, "C"),
    ],
    ids=["resource", "wrapped"],
)
def test_a_managed_cluster_is_updated_after_the_removal(stack: Stack, managed: Any) -> None:
    NodeRemoval(stack, "Removal", cluster=managed(stack), node_ids=[NODE])
    made = Synthesized(stack)
    assert made.properties(RESOURCE_TYPE)["ClusterName"] == "ml-cluster"
    assert made.one(CLUSTER)["DependsOn"] == ["Removal1BFB0048"]


def test_stacks_are_ordered_like_resources(stack: Stack) -> None:
    app = app_of(stack)
    elsewhere = CfnCluster(Stack(app, "Clusters"), "Cluster", cluster_name="elsewhere")
    NodeRemoval(stack, "Removal", cluster=elsewhere)
    stacks = {stack.stack_name: stack for stack in app.synth().stacks}
    before = {name: [artifact.id for artifact in one.dependencies] for name, one in stacks.items()}
    assert "Stack" in before["Clusters"]
    assert "Clusters" not in before["Stack"]


def test_an_imported_cluster_is_specified_by_its_arn(stack: Stack) -> None:
    cluster: Any = ImportedCluster(stack, "C")
    NodeRemoval(stack, "Removal", cluster=cluster)
    made = Synthesized(stack)
    assert made.properties(RESOURCE_TYPE)["ClusterName"] == CLUSTER_ARN
    assert made.statements("Permissions")[1][1] == CLUSTER_ARN
    assert warnings(stack) == {}


def test_a_managed_cluster_without_a_literal_name_is_rejected(stack: Stack) -> None:
    nameless = CfnCluster(stack, "Nameless")
    named_by_token = CfnCluster(stack, "Named", cluster_name=nameless.attr_cluster_status)
    for cluster in (nameless, named_by_token):
        with pytest.raises(InvalidPropertyError) as caught:
            NodeRemoval(stack, "Removal", cluster=cluster)
        assert f"the cluster '{cluster.node.path}' has no literal name" in str(caught.value)
        assert "set its cluster_name" in str(caught.value)
        assert "cluster_arn" in str(caught.value)


WAYS = "specify exactly one of cluster, cluster_arn, cluster_name; given:"
TWO_WAYS = {"cluster_arn": CLUSTER_ARN, "cluster_name": "ml"}
ELSEWHERE = "is in us-west-2, but the stack is in eu-west-1; allowed: a cluster in the stack's acc"


@pytest.mark.parametrize(
    ("given", "name", "sentence"),
    [
        ({}, "cluster", f"{WAYS} none of them"),
        (TWO_WAYS, "cluster", f"{WAYS} cluster_arn, cluster_name"),
        ({"cluster": "ml"}, "cluster", r"'ml' \(str\) is not a cluster; allowed: an IClusterRef"),
        ({"cluster_name": CLUSTER_ARN}, "cluster_name", ".* is an ARN; pass it as cluster_arn"),
        (
            {"cluster_arn": CLUSTER_ARN},
            "cluster_arn",
            f"'{CLUSTER_ARN}' {ELSEWHERE}.*",
        ),
    ],
)
def test_a_cluster_is_specified_in_one_way_in_the_region_of_the_stack(
    given: dict[str, Any], name: str, sentence: str
) -> None:
    stack = Stack(App(), "Stack", env=Environment(region="eu-west-1"))
    with pytest.raises(InvalidPropertyError, match=f"^Stack/Removal: {name}: {sentence}$"):
        NodeRemoval(stack, "Removal", **given)


def test_another_resource_is_not_a_cluster(stack: Stack) -> None:
    other: Any = CfnResource(stack, "Other", type="Test::Is::Other")
    with pytest.raises(InvalidPropertyError, match=r"\(CfnResource\) is not a cluster"):
        NodeRemoval(stack, "Removal", cluster=other)
