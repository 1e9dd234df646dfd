"""Who shares a function, and where its rights stand."""

from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Template

from hyperpod_node_removal import NodeRemoval, NodeRemovalError, NodeRemovalProvider
from hyperpod_node_removal_contract import RESOURCE_TYPE

pytestmark = pytest.mark.xdist_group("construct-template")

CLUSTER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"

Resources = dict[str, dict[str, Any]]


class Synthesized:
    """A provider of one stack that serves removals of three."""

    def __init__(self) -> None:
        app = App(analytics_reporting=False)
        self.owner, self.user = Stack(app, "Owner"), Stack(app, "User")
        self.another_user = Stack(app, "AnotherUser")
        month = logs.RetentionDays.ONE_MONTH
        provider = NodeRemovalProvider(self.owner, "Shared", log_retention=month)
        NodeRemoval(self.owner, "Here", cluster_name="ml-cluster", provider=provider)
        for name in ("There", "ThereToo"):
            NodeRemoval(self.user, name, cluster_arn=CLUSTER_ARN, provider=provider)
        NodeRemoval(self.another_user, "There", cluster_arn=CLUSTER_ARN, provider=provider)

    def resources(self, stack: Stack, resource_type: str) -> Resources:
        resources: Resources = Template.from_stack(stack).to_json()["Resources"]
        return {key: one for key, one in resources.items() if one["Type"] == resource_type}


@pytest.fixture(scope="module")
def synthesized() -> Synthesized:
    return Synthesized()


def test_a_provider_of_another_stack_gets_its_rights_from_the_users_stack(
    synthesized: Synthesized,
) -> None:
    assert not synthesized.resources(synthesized.user, "AWS::Lambda::Function")
    policies = synthesized.resources(synthesized.user, "AWS::IAM::Policy")
    ((logical_id, policy),) = policies.items()
    (role,) = policy["Properties"]["Roles"]
    assert "SharedRole" in role["Fn::ImportValue"]
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statements[0]["Resource"] == {"Ref": "AWS::StackId"}
    assert statements[1]["Resource"] == CLUSTER_ARN
    first, second = synthesized.resources(synthesized.user, RESOURCE_TYPE)
    waits_for = {first: {logical_id}, second: {logical_id, first}}
    for key, resource in synthesized.resources(synthesized.user, RESOURCE_TYPE).items():
        assert set(resource["DependsOn"]) == waits_for[key]
        assert "SharedFunction" in resource["Properties"]["ServiceToken"]["Fn::ImportValue"]


def test_no_stack_overwrites_the_rights_of_another(synthesized: Synthesized) -> None:
    """IAM puts a policy in the place of one that has the same name on the same role."""
    stacks = (synthesized.owner, synthesized.user, synthesized.another_user)
    names = [
        policy["Properties"]["PolicyName"]
        for stack in stacks
        for policy in synthesized.resources(stack, "AWS::IAM::Policy").values()
    ]
    assert len(names) == len(stacks) + 1, "the function's right to invoke itself is the fourth"
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 128


def test_logs_are_kept_as_long_as_asked(synthesized: Synthesized) -> None:
    (log_group,) = synthesized.resources(synthesized.owner, "AWS::Logs::LogGroup").values()
    assert log_group["Properties"] == {"RetentionInDays": 30}


def test_the_provider_of_a_stack_is_found_again() -> None:
    stack = Stack(App(), "Stack")
    first = NodeRemoval(stack, "First", cluster_name="ml-cluster")
    second = NodeRemoval(stack, "Second", cluster_name="ml-cluster")
    assert first.provider is second.provider
    assert NodeRemovalProvider.get_or_create(second) is first.provider
    assert first.resource.node.path == "Stack/First/Resource"


def test_a_provider_made_by_hand_with_the_default_id_is_found() -> None:
    stack = Stack(App(), "Stack")
    provider = NodeRemovalProvider(stack, log_retention=logs.RetentionDays.ONE_WEEK)
    assert NodeRemoval(stack, "Removal", cluster_name="ml-cluster").provider is provider


def test_a_stranger_with_the_providers_id_is_named() -> None:
    stack = Stack(App(), "Stack")
    Stack(stack, NodeRemovalProvider.DEFAULT_ID)
    with pytest.raises(NodeRemovalError, match="Stack/HyperPodNodeRemovalProvider is not a"):
        NodeRemoval(stack, "Removal", cluster_name="ml-cluster")
