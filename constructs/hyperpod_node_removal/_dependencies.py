"""What the resources of a stack depend on, as the template will say it.

It is asked while a template is written: all that an app adds to its dependencies is there by then,
and so are the parameters and outputs that the CDK makes for nested stacks.
"""

from collections import deque
from typing import TypeGuard

from aws_cdk import CfnElement, CfnResource, Stack

from hyperpod_node_removal._references import names_referred_to


class StackDependencies:
    """The dependencies between the resources of one stack, by logical id."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        resources = [one for one in stack.node.find_all() if self._has(one)]
        ids = stack.resolve([resource.logical_id for resource in resources])
        self._resources: dict[str, CfnResource] = dict(zip(ids, resources, strict=True))
        self._found: dict[str, set[str]] = {}
        self._added: dict[str, set[str]] = {}

    def logical_id(self, resource: CfnResource) -> str:
        """The name of a resource of the stack in its template."""
        return str(self._stack.resolve(resource.logical_id))

    def of_type(self, resource_type: str) -> list[CfnResource]:
        """The resources of the stack that are of a type."""
        resources = self._resources.values()
        return [one for one in resources if one.cfn_resource_type == resource_type]

    def path(self, logical_id: str) -> str:
        """The construct path of a resource, for a sentence."""
        return self._resources[logical_id].node.path

    def depends_on(self, logical_id: str) -> list[str]:
        """The `DependsOn` of a resource: what the CDK would write, and what was added here."""
        stated = {
            self.logical_id(other)
            for other in self._resources[logical_id].obtain_dependencies()
            # A policy without statements is no resource of the template.
            if self._has(other) and other._should_synthesize()  # noqa: SLF001
        }
        return sorted(stated | self._added.get(logical_id, set()))

    def add(self, logical_id: str, other: str) -> None:
        """Have a resource depend on another one."""
        self._added.setdefault(logical_id, set()).add(other)

    def way(self, source: str, target: str) -> list[str]:
        """The shortest way by which `source` depends on `target`, without `source` and with
        `target`. Empty if it does not depend on it."""
        if source not in self._resources:
            return []  # a parameter
        came_from = {source: source}
        waiting = deque([source])
        while waiting and target not in came_from:
            here = waiting.popleft()
            for other in sorted(self._all_of(here) - came_from.keys()):
                came_from[other] = here
                waiting.append(other)
        steps = []
        while target in came_from and target != source:
            steps.append(target)
            target = came_from[target]
        return steps[::-1]

    def _all_of(self, logical_id: str) -> set[str]:
        """What a resource depends on, said or implied by a reference in a property."""
        if logical_id not in self._found:
            # An override is not seen: the CDK lets nobody read it.
            properties = self._resources[logical_id]._cfn_properties  # noqa: SLF001
            referred = set(names_referred_to(self._stack.resolve(properties)))
            stated = self.depends_on(logical_id)
            self._found[logical_id] = self._resources.keys() & referred.union(stated)
        return self._found[logical_id] | self._added.get(logical_id, set())

    def _has(self, construct: object) -> TypeGuard[CfnResource]:
        return isinstance(construct, CfnResource) and is_in(self._stack, construct)


def is_in(stack: Stack, element: CfnElement) -> bool:
    """Whether an element is of the template of a stack, and not of one that is nested in it."""
    # A stack that no Python code has made is another object each time.
    return element.stack is stack or element.stack.node.path == stack.node.path
