"""What waits for what in a template with several removals."""

from typing import Any

from aws_cdk import CfnResource, Stack
from aws_cdk.assertions import Template
from constructs import Construct

from hyperpod_node_removal import NodeRemoval, RemovalWarning
from hyperpod_node_removal_contract import RESOURCE_TYPE
from tests.construct.stacks import warnings_of


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
    return warnings_of(stack, RemovalWarning.REMOVALS_NOT_ORDERED)
