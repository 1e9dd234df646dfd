"""The removals of one stack, which run one after the other where they may be of one cluster.

The function holds the guards of a removal against the nodes that it sees. Of two that run at once,
neither sees what the other is about to remove, and together they may break what each one keeps.
"""

from typing import Final, Self, cast

import jsii
from aws_cdk import CfnResource, IAnyProducer, IResolveContext, Lazy, Stack
from constructs import Construct

from hyperpod_node_removal._cluster import may_be_the_same
from hyperpod_node_removal._declared import DeclaredRemoval
from hyperpod_node_removal._dependencies import StackDependencies
from hyperpod_node_removal._exports import EmptyExports
from hyperpod_node_removal._own_clusters import OwnClusters
from hyperpod_node_removal._warnings import warn_of_order


class StackRemovals(Construct):
    """Knows the removals of its stack in the order of their declaration. Makes no resource."""

    _ID: Final = "HyperPodNodeRemovals"

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack, self._ID)
        self._stack = stack
        self.declared: list[DeclaredRemoval] = []
        """In the order of their declaration."""
        self._ordered: StackDependencies | None = None
        self.node.add_validation(EmptyExports(stack, self.declared))
        self.node.add_validation(OwnClusters(stack, self.declared))

    @classmethod
    def get_or_create(cls, scope: Construct) -> Self:
        """Those of the stack that `scope` is in."""
        stack = Stack.of(scope)
        found = stack.node.try_find_child(cls._ID)
        return found if isinstance(found, cls) else cls(stack)

    def add(self, removal: DeclaredRemoval) -> None:
        """Have a removal wait for those that were declared before it, unless they are of another
        cluster."""
        if any(_may_share_a_cluster(removal, earlier) for earlier in self.declared):
            # What it waits for is decided when the template is written, and not by an aspect: a
            # dependency that the app has not added yet, or that a nested stack brings, could make
            # it circular. By then only an override still gets into the template.
            resource = _element(removal)
            resource.add_override("DependsOn", Lazy.uncached_any(_DependsOn(self, resource)))
        self.declared.append(removal)

    def forget_order(self) -> None:
        """Decide the order anew when the template is written next."""
        self._ordered = None

    def depends_on(self, resource: CfnResource) -> list[str]:
        """The whole `DependsOn` of the resource of a removal: logical ids."""
        if self._ordered is None:
            self._ordered = self._put_in_order()
        return self._ordered.depends_on(self._ordered.logical_id(resource))

    def _put_in_order(self) -> StackDependencies:
        """The dependencies of the stack, with those between removals."""
        dependencies = StackDependencies(self._stack)
        elements = [_element(removal) for removal in self.declared]
        ids = [dependencies.logical_id(element) for element in elements]
        # With a condition a resource may be missing, and then it keeps no order between others.
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
                way = dependencies.way(ids[earlier], ids[later])
                if not way:
                    dependencies.add(ids[later], ids[earlier])
                    ended_before[later].add(earlier)
                    if certain[earlier]:
                        ended_before[later] |= ended_before[earlier]
                elif not keeping_order.issuperset(way[:-1]):
                    between = [dependencies.path(name) for name in way[:-1]]
                    warn_of_order(removal.construct, self.declared[earlier].construct, between)
        return dependencies


@jsii.implements(IAnyProducer)
class _DependsOn:
    """The `DependsOn` of a removal that waits for others."""

    def __init__(self, removals: StackRemovals, resource: CfnResource) -> None:
        self._removals = removals
        self._resource = resource

    def produce(self, context: IResolveContext) -> list[str] | None:
        """The logical ids, or None while the CDK only looks for references."""
        if context.preparing:
            self._removals.forget_order()
            return None
        return self._removals.depends_on(self._resource)


def _may_share_a_cluster(one: DeclaredRemoval, other: DeclaredRemoval) -> bool:
    return may_be_the_same(one.cluster.name, other.cluster.name)


def _element(removal: DeclaredRemoval) -> CfnResource:
    return cast("CfnResource", removal.construct.resource.node.default_child)
