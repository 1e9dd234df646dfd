"""What the resources of a stack depend on and refer to in its template.

It is read while the template is written: by then an app has added all of its dependencies, and the
CDK has made the parameters and outputs of nested stacks.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, TypeGuard

from aws_cdk import (
    CfnElement,
    CfnParameter,
    CfnResource,
    DefaultTokenResolver,
    IPostProcessor,
    IResolvable,
    IResolveContext,
    Reference,
    Stack,
    StringConcat,
    Tokenization,
)

_REFERENCE_IN_TEXT: Final = re.compile(r"\$\{([A-Za-z0-9]+)")
"""A reference in the text of `Fn::Sub`."""


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
        """Return the logical id of a resource of the stack."""
        return str(self._stack.resolve(resource.logical_id))

    def of_type(self, resource_type: str) -> list[CfnResource]:
        """Return the resources of the stack that have a type."""
        resources = self._resources.values()
        return [one for one in resources if one.cfn_resource_type == resource_type]

    def construct_path(self, logical_id: str) -> str:
        """Return the construct path of a resource, for a warning."""
        return self._resources[logical_id].node.path

    def depends_on(self, logical_id: str) -> list[str]:
        """Return the `DependsOn` of a resource: what the CDK would write, and what was added."""
        explicit = {
            self.logical_id(other)
            for other in self._resources[logical_id].obtain_dependencies()
            # A policy without statements is not a resource of the template.
            if self._has(other) and other._should_synthesize()  # noqa: SLF001
        }
        return sorted(explicit | self._added.get(logical_id, set()))

    def add(self, logical_id: str, other: str) -> None:
        """Make a resource depend on another one."""
        self._added.setdefault(logical_id, set()).add(other)

    def chain(self, source: str, target: str) -> list[str]:
        """Return the shortest chain of resources by which `source` depends on `target`.

        The chain has `target` and not `source`. It is empty if there is no dependency.
        """
        if source not in self._resources:
            return []  # a parameter
        came_from = {source: source}
        waiting = deque([source])
        while waiting and target not in came_from:
            here = waiting.popleft()
            for other in sorted(self._all_of(here) - came_from.keys()):
                came_from[other] = here
                waiting.append(other)
        chain = []
        while target in came_from and target != source:
            chain.append(target)
            target = came_from[target]
        return chain[::-1]

    def _all_of(self, logical_id: str) -> set[str]:
        """Return what a resource depends on, explicitly or by a reference in a property."""
        if logical_id not in self._found:
            # An override is not seen: the CDK has no way to read it.
            properties = self._resources[logical_id]._cfn_properties  # noqa: SLF001
            referred = set(_logical_ids(self._stack.resolve(properties)))
            explicit = self.depends_on(logical_id)
            self._found[logical_id] = self._resources.keys() & referred.union(explicit)
        return self._found[logical_id] | self._added.get(logical_id, set())

    def _has(self, construct: object) -> TypeGuard[CfnResource]:
        return isinstance(construct, CfnResource) and is_in(self._stack, construct)


def is_in(stack: Stack, element: CfnElement) -> bool:
    """Return whether an element is in the template of a stack, not in that of a nested stack."""
    # A stack that was not created by Python code is another object each time.
    return element.stack is stack or element.stack.node.path == stack.node.path


def referred_to(stack: Stack, value: Any) -> Iterator[tuple[Stack, str]]:
    """Yield the elements to which a value in a stack refers, each as its stack and logical id.

    A parameter of a nested stack counts as the value that the parent stack passes, which may not
    be known before the app is synthesized.
    """
    collector = _Collector()
    rest = Tokenization.resolve(value, scope=stack, resolver=collector, preparing=False)
    found = [(Stack.of(one), Stack.of(one).resolve(one.logical_id)) for one in collector.targets]
    found += [(stack, name) for name in _logical_ids(rest)]
    for owner, name in found:
        yield owner, name
        parent, nested = owner.nested_stack_parent, owner.nested_stack_resource
        if parent is not None and nested is not None and _is_parameter(owner, name):
            passed = parent.resolve(nested.parameters) or {}  # type: ignore[attr-defined]
            yield from referred_to(parent, passed.get(name))


class _Collector(DefaultTokenResolver):
    """Resolves a value and collects what its tokens refer to, in any stack.

    A logical id in a resolved value does not say in which stack it is, so references are left out
    of the resolved value.
    """

    def __init__(self) -> None:
        super().__init__(StringConcat())
        self.targets: list[CfnElement] = []

    def resolve_token(
        self, token: IResolvable, context: IResolveContext, post_processor: IPostProcessor
    ) -> Any:
        """Resolve one token. The CDK calls this method for the tokens in it, too."""
        if isinstance(token, Reference):
            if isinstance(token.target, CfnElement):
                self.targets.append(token.target)
            return ""
        return super().resolve_token(token, context, post_processor)


def _logical_ids(value: Any) -> Iterator[str]:
    """Yield the logical ids to which a resolved value refers by any intrinsic function."""
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case {"Fn::GetAtt": str(name)}:
            yield name.partition(".")[0]
        case str():
            yield from _REFERENCE_IN_TEXT.findall(value)
        case dict():
            for item in value.values():
                yield from _logical_ids(item)
        case list():
            for item in value:
                yield from _logical_ids(item)


def _is_parameter(stack: Stack, logical_id: str) -> bool:
    return any(
        isinstance(one, CfnParameter) and stack.resolve(one.logical_id) == logical_id
        for one in stack.node.find_all()
    )
