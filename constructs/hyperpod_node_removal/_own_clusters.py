"""Clusters of the app that its removals name in another way than as the construct.

Such a removal has no place in the order of the template but the one that its references imply, and
those put the cluster first. A removal is not put first here: a value that refers to the cluster
cannot be had before the cluster is created.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import jsii
from aws_cdk import CfnResource, Stack
from constructs import IValidation

from hyperpod_node_removal._declared import DeclaredRemoval
from hyperpod_node_removal._dependencies import StackDependencies, is_in
from hyperpod_node_removal._references import referred_to
from hyperpod_node_removal._validation import is_token
from hyperpod_node_removal._warnings import warn_of_cluster_first, warn_of_drift

_CLUSTER: Final = "AWS::SageMaker::Cluster"


@jsii.implements(IValidation)
class OwnClusters:
    """Warns of what their templates and their order do. All that an app declares is there only
    when it is synthesized."""

    def __init__(self, stack: Stack, removals: Sequence[DeclaredRemoval]) -> None:
        """`removals` is read when the app is synthesized, so it may still grow."""
        self._stack = stack
        self._removals = removals

    def validate(self) -> list[str]:
        """Nothing: a warning does not fail the synth."""
        removals = [one for one in self._removals if one.cluster.managed is None]
        clusters = _Clusters(self._stack)
        for removal in removals:
            for cluster in clusters.named_by(removal.cluster.name):
                if removal.may_remove:
                    warn_of_drift(removal.construct, cluster.node.path)
                if not clusters.come_after(cluster, removal):
                    is_first = is_token(removal.cluster.name)
                    warn_of_cluster_first(removal.construct, cluster.node.path, is_first=is_first)
        return []


class _Clusters:
    """The clusters of a stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._dependencies: dict[str, StackDependencies] = {}

    def named_by(self, value: str) -> Iterator[CfnResource]:
        """Yield those that a name or an ARN refers to, also by way of other resources of their
        stack, and those that are created with that name. The first of a stack is enough."""
        found: dict[str, CfnResource] = {}
        if is_token(value):
            for stack, name in referred_to(self._stack, value):
                for cluster in self._in(stack):
                    dependencies = self._of(stack)
                    logical_id = dependencies.logical_id(cluster)
                    if name == logical_id or dependencies.way(name, logical_id):
                        found[cluster.node.path] = cluster
        resolved = self._stack.resolve(value)
        for cluster in self._in(self._stack):
            if self._stack.resolve(_name(cluster)) == resolved:
                found[cluster.node.path] = cluster
        yield from found.values()

    def come_after(self, cluster: CfnResource, removal: DeclaredRemoval) -> bool:
        """Whether a cluster waits for a removal, because the app says so."""
        resource = cast("CfnResource", removal.construct.resource.node.default_child)
        if not is_in(self._stack, cluster):
            return False
        dependencies = self._of(self._stack)
        return bool(
            dependencies.way(dependencies.logical_id(cluster), dependencies.logical_id(resource))
        )

    def _in(self, stack: Stack) -> list[CfnResource]:
        return self._of(stack).of_type(_CLUSTER)

    def _of(self, stack: Stack) -> StackDependencies:
        path = stack.node.path
        if path not in self._dependencies:
            self._dependencies[path] = StackDependencies(stack)
        return self._dependencies[path]


def _name(cluster: CfnResource) -> Any:
    """The name that a template gives a cluster. An override is not seen."""
    properties = cluster._cfn_properties  # noqa: SLF001
    return properties.get("clusterName", properties.get("ClusterName"))
