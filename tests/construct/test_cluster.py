"""The three ways to name a cluster, and the order of a removal and a cluster of the same app."""

from typing import Any

import jsii
import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk.assertions import Annotations, Match, Template
from aws_cdk.aws_sagemaker import CfnCluster
from aws_cdk.interfaces.aws_sagemaker import ClusterReference, IClusterRef
from constructs import Construct

from hyperpod_node_removal import InvalidPropertyError, NodeRemoval
from hyperpod_node_removal_contract import RESOURCE_TYPE

pytestmark = pytest.mark.xdist_group("construct-cluster")

CLUSTER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"


@jsii.implements(IClusterRef)
class ImportedCluster(Construct):
    """A cluster that another app manages."""

    @property
    def cluster_ref(self) -> ClusterReference:
        return ClusterReference(cluster_arn=CLUSTER_ARN)


class WrappedCluster(Construct):
    """A construct around the cluster's resource, as a construct library would have it."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.resource = CfnCluster(self, "Resource", cluster_name="wrapped")

    @property
    def cluster_ref(self) -> ClusterReference:
        return self.resource.cluster_ref


class Synthesized:
    """One app with a stack for each way."""

    def __init__(self) -> None:
        self.app = App(analytics_reporting=False)
        self.same = Stack(self.app, "Same")
        cluster = CfnCluster(self.same, "Cluster", cluster_name="ml-cluster")
        NodeRemoval(self.same, "Removal", cluster=cluster, node_ids=["i-01234567"])

        self.clusters, self.removals = Stack(self.app, "Clusters"), Stack(self.app, "Removals")
        elsewhere = CfnCluster(self.clusters, "Cluster", cluster_name="elsewhere")
        NodeRemoval(self.removals, "Removal", cluster=elsewhere)

        self.imported = Stack(self.app, "Imported")
        NodeRemoval(self.imported, "Removal", cluster=_cluster(ImportedCluster(self.imported, "C")))

        self.wrapped = Stack(self.app, "Wrapped")
        NodeRemoval(self.wrapped, "Removal", cluster=_cluster(WrappedCluster(self.wrapped, "C")))

        self.referred = Stack(self.app, "Referred")
        unnamed = CfnCluster(self.referred, "Cluster")
        NodeRemoval(self.referred, "Removal", cluster_arn=unnamed.attr_cluster_arn)

    def resources(self, stack: Stack, resource_type: str) -> list[dict[str, Any]]:
        resources = Template.from_stack(stack).to_json()["Resources"].values()
        return [one for one in resources if one["Type"] == resource_type]

    def warnings(self, stack: Stack) -> list[str]:
        found = Annotations.from_stack(stack).find_warning("*", Match.any_value())
        return [str(entry.entry.data) for entry in found]


def _cluster(construct: Any) -> IClusterRef:
    found: IClusterRef = construct
    return found


@pytest.fixture(scope="module")
def synthesized() -> Synthesized:
    return Synthesized()


def test_a_managed_cluster_is_changed_after_the_removal(synthesized: Synthesized) -> None:
    (removal,) = synthesized.resources(synthesized.same, RESOURCE_TYPE)
    (cluster,) = synthesized.resources(synthesized.same, "AWS::SageMaker::Cluster")
    assert removal["Properties"]["ClusterName"] == "ml-cluster"
    assert cluster["DependsOn"] == ["Removal1BFB0048"]


def test_stacks_are_ordered_like_resources(synthesized: Synthesized) -> None:
    assembly = synthesized.app.synth()
    stacks = {stack.stack_name: stack for stack in assembly.stacks}
    before = [artifact.id for artifact in stacks["Clusters"].dependencies]
    assert "Removals" in before
    assert "Clusters" not in [artifact.id for artifact in stacks["Removals"].dependencies]


def test_an_imported_cluster_is_taken_by_its_arn(synthesized: Synthesized) -> None:
    (removal,) = synthesized.resources(synthesized.imported, RESOURCE_TYPE)
    policy = next(
        policy
        for policy in synthesized.resources(synthesized.imported, "AWS::IAM::Policy")
        if "Permissions" in str(policy["Properties"]["PolicyName"])
    )
    assert removal["Properties"]["ClusterName"] == CLUSTER_ARN
    assert policy["Properties"]["PolicyDocument"]["Statement"][1]["Resource"] == CLUSTER_ARN
    assert synthesized.warnings(synthesized.imported) == []


def test_a_construct_around_a_managed_cluster_counts_as_one(synthesized: Synthesized) -> None:
    (cluster,) = synthesized.resources(synthesized.wrapped, "AWS::SageMaker::Cluster")
    assert cluster["DependsOn"] == ["Removal1BFB0048"]


def test_a_reference_to_a_managed_cluster_warns_of_the_order(synthesized: Synthesized) -> None:
    (warning,) = synthesized.warnings(synthesized.referred)
    assert "[ack: hyperpod-node-removal:ClusterChangesFirst]" in warning
    (removal,) = synthesized.resources(synthesized.referred, RESOURCE_TYPE)
    assert removal["Properties"]["ClusterName"] == {"Fn::GetAtt": ["Cluster", "ClusterArn"]}


def test_a_managed_cluster_without_a_literal_name_is_refused() -> None:
    stack = Stack(App(), "Stack")
    nameless = CfnCluster(stack, "Nameless")
    named_by_token = CfnCluster(stack, "Named", cluster_name=nameless.attr_cluster_status)
    for cluster in (nameless, named_by_token):
        with pytest.raises(InvalidPropertyError) as caught:
            NodeRemoval(stack, "Removal", cluster=cluster)
        assert f"the cluster '{cluster.node.path}' has no literal name" in str(caught.value)
        assert "set its cluster_name" in str(caught.value)
        assert "cluster_arn" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "none of them"),
        ({"cluster_arn": CLUSTER_ARN, "cluster_name": "ml"}, "cluster_arn, cluster_name"),
    ],
)
def test_exactly_one_way(given: dict[str, str], shown: str) -> None:
    with pytest.raises(InvalidPropertyError) as caught:
        NodeRemoval(Stack(App(), "Stack"), "Removal", **given)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "Stack/Removal: cluster: specify exactly one of cluster, cluster_arn, cluster_name;"
        f" given: {shown}"
    )


def test_something_else_is_not_a_cluster() -> None:
    stack = Stack(App(), "Stack")
    with pytest.raises(InvalidPropertyError, match=r"'ml-cluster' \(str\) is not a cluster"):
        NodeRemoval(stack, "Removal", cluster="ml-cluster")  # type: ignore[arg-type]


def test_an_arn_is_not_a_name() -> None:
    with pytest.raises(InvalidPropertyError, match="is an ARN; pass it as cluster_arn"):
        NodeRemoval(Stack(App(), "Stack"), "Removal", cluster_name=CLUSTER_ARN)


def test_the_cluster_is_in_the_region_of_the_stack() -> None:
    stack = Stack(App(), "Stack", env=Environment(region="eu-west-1"))
    with pytest.raises(InvalidPropertyError, match="is in us-west-2, but the stack is in eu-west-"):
        NodeRemoval(stack, "Removal", cluster_arn=CLUSTER_ARN)
