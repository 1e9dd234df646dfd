"""The order of the removals of a stack, and of the clusters of the app that they name.

The function checks the guards of a removal against the nodes that it sees. Of two removals that run
at the same time, neither sees what the other is about to remove, and together they may break the
guards of both. So removals that may have the same cluster run one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final, Self, cast

from aws_cdk import Acknowledgment, CfnResource, IResolveContext, Stack, Validations
from constructs import Construct

from hyperpod_node_removal._attributes import DeclaredRemoval
from hyperpod_node_removal._cluster import may_be_the_same
from hyperpod_node_removal._dependencies import StackDependencies, is_in, referred_to
from hyperpod_node_removal._exports import warn_of_empty_exports
from hyperpod_node_removal._validation import check_at_synth, is_token, value_at_synth
from hyperpod_node_removal._warnings import RemovalWarning, warn

_CLUSTER: Final = "AWS::SageMaker::Cluster"
_WAITS_FOR_CONDITIONAL: Final = ("CloudFormation-Validate::E3005", "CloudFormation-Validate::W2502")
"""What the CDK's own validation finds in a `DependsOn` of a resource that has a condition."""
_IGNORED_REASON: Final = (
    "CloudFormation ignores a dependency on a resource whose condition is false, and keeps the"
    " order if it is true."
)


class StackRemovals(Construct):
    """The removals of a stack, in the order of their declaration. Adds no resource."""

    _ID: Final = "HyperPodNodeRemovals"

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack, self._ID)
        self._stack = stack
        self.declared: list[DeclaredRemoval] = []
        self._ordered: StackDependencies | None = None
        check_at_synth(self, lambda: warn_of_empty_exports(stack, self.declared))
        check_at_synth(self, lambda: _OwnClusters(stack).warn(self.declared))
        check_at_synth(self, self._acknowledge_conditions)

    @classmethod
    def get_or_create(cls, scope: Construct) -> Self:
        """Return those of the stack that `scope` is in."""
        stack = Stack.of(scope)
        found = stack.node.try_find_child(cls._ID)
        return found if isinstance(found, cls) else cls(stack)

    def add(self, removal: DeclaredRemoval) -> None:
        """Make a removal wait for those declared before it, unless they have another cluster."""
        if any(_may_share_a_cluster(removal, earlier) for earlier in self.declared):
            # What it waits for is decided when the template is written, and not by an aspect: a
            # dependency that the app adds later, or that comes with a nested stack, could make the
            # order circular. At that time, only an override still gets into the template.
            resource = _element(removal)
            depends_on = value_at_synth(partial(self._depends_on, resource))
            resource.add_override("DependsOn", depends_on)
        self.declared.append(removal)

    def _depends_on(self, resource: CfnResource, context: IResolveContext) -> list[str] | None:
        """Return the whole `DependsOn` of a removal, or None while the CDK prepares references."""
        if context.preparing:
            self._ordered = None
            return None
        if self._ordered is None:
            self._ordered = self._put_in_order()
        return self._ordered.depends_on(self._ordered.logical_id(resource))

    def _acknowledge_conditions(self) -> None:
        """Acknowledge what the CDK finds where something waits for a removal with a condition."""
        for index, removal in enumerate(self.declared):
            if _element(removal).cfn_options.condition is None:
                continue
            waiting = [
                _element(later)
                for later in self.declared[index + 1 :]
                if _may_share_a_cluster(removal, later)
            ]
            if removal.cluster.managed is not None:
                waiting.append(removal.cluster.managed)
            for resource in waiting:
                for finding in _WAITS_FOR_CONDITIONAL:
                    Validations.of(resource).acknowledge(
                        Acknowledgment(id=finding, reason=_IGNORED_REASON)
                    )

    def _put_in_order(self) -> StackDependencies:
        """Return the dependencies of the stack, with those between removals."""
        dependencies = StackDependencies(self._stack)
        elements = [_element(removal) for removal in self.declared]
        ids = [dependencies.logical_id(element) for element in elements]
        # A resource with a condition may be absent, and then it keeps no order between others.
        certain = [element.cfn_options.condition is None for element in elements]
        keeping_order = {name for name, is_certain in zip(ids, certain, strict=True) if is_certain}
        ended_before: list[set[int]] = []
        for later, removal in enumerate(self.declared):
            ended_before.append(set())
            for earlier in reversed(range(later)):
                if earlier in ended_before[later] or not _may_share_a_cluster(
                    self.declared[earlier], removal
                ):
                    continue
                chain = dependencies.chain(ids[earlier], ids[later])
                if not chain:
                    dependencies.add(ids[later], ids[earlier])
                    ended_before[later].add(earlier)
                    if certain[earlier]:
                        ended_before[later] |= ended_before[earlier]
                elif not keeping_order.issuperset(chain[:-1]):
                    between = [dependencies.construct_path(name) for name in chain[:-1]]
                    warn(
                        removal.construct,
                        RemovalWarning.REMOVALS_NOT_ORDERED,
                        later=removal.construct.node.path,
                        earlier=self.declared[earlier].construct.node.path,
                        between=", ".join(between),
                    )
        return dependencies


class _OwnClusters:
    """Warns of clusters of the app that a removal names without the construct.

    Such a removal has no place in the order of the template except the one that its references
    imply: after the cluster. It is not moved ahead: a value that refers to the cluster is not known
    before the cluster is created.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._dependencies: dict[str, StackDependencies] = {}

    def warn(self, removals: list[DeclaredRemoval]) -> None:
        """Warn of the clusters that removals of the stack name."""
        for removal in removals:
            if removal.cluster.managed is not None:
                continue
            name = removal.cluster.name
            for cluster in self._named_by(name):
                path = cluster.node.path
                if removal.may_remove:
                    warn(removal.construct, RemovalWarning.INSTANCE_COUNT_DRIFT, cluster=path)
                if not self._comes_after(cluster, removal):
                    why = (
                        f"cluster_arn or cluster_name refers to {path}, so CloudFormation updates"
                        " the cluster before the removal"
                        if is_token(name)
                        else f"cluster_name is the name of {path}, which does not wait for the"
                        " removal, so CloudFormation may update the cluster before it"
                    )
                    warn(removal.construct, RemovalWarning.CLUSTER_CHANGES_FIRST, why=why)

    def _named_by(self, value: str) -> Iterator[CfnResource]:
        """Yield the clusters to which a name or an ARN refers, and those created with that name.

        A reference may be direct or through other resources of their stack.
        """
        found: dict[str, CfnResource] = {}
        if is_token(value):
            for stack, name in referred_to(self._stack, value):
                dependencies = self._of(stack)
                for cluster in dependencies.of_type(_CLUSTER):
                    logical_id = dependencies.logical_id(cluster)
                    if name == logical_id or dependencies.chain(name, logical_id):
                        found[cluster.node.path] = cluster
        resolved = self._stack.resolve(value)
        for cluster in self._of(self._stack).of_type(_CLUSTER):
            if self._stack.resolve(_name(cluster)) == resolved:
                found[cluster.node.path] = cluster
        yield from found.values()

    def _comes_after(self, cluster: CfnResource, removal: DeclaredRemoval) -> bool:
        """Return whether a cluster waits for a removal, because the app says so."""
        if not is_in(self._stack, cluster):
            return False
        dependencies = self._of(self._stack)
        ids = (dependencies.logical_id(one) for one in (cluster, _element(removal)))
        return bool(dependencies.chain(*ids))

    def _of(self, stack: Stack) -> StackDependencies:
        path = stack.node.path
        if path not in self._dependencies:
            self._dependencies[path] = StackDependencies(stack)
        return self._dependencies[path]


def _name(cluster: CfnResource) -> Any:
    """Return the name that a template gives to a cluster. An override is not seen."""
    properties = cluster._cfn_properties  # noqa: SLF001
    return properties.get("clusterName", properties.get("ClusterName"))


def _may_share_a_cluster(one: DeclaredRemoval, other: DeclaredRemoval) -> bool:
    return may_be_the_same(one.cluster.name, other.cluster.name)


def _element(removal: DeclaredRemoval) -> CfnResource:
    return cast("CfnResource", removal.construct.resource.node.default_child)
