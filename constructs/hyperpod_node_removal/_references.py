"""What a value of a template refers to, by whichever intrinsic function, at any depth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from aws_cdk import (
    CfnElement,
    CfnParameter,
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

Referred = tuple[Stack, str]
"""A stack, and the logical id of an element in it."""


def names_referred_to(value: Any) -> Iterator[str]:
    """Yield the logical ids that a resolved value refers to; those of parameters are among them."""
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case {"Fn::GetAtt": str(name)}:
            yield name.partition(".")[0]
        case str():
            yield from _REFERENCE_IN_TEXT.findall(value)
        case dict():
            for item in value.values():
                yield from names_referred_to(item)
        case list():
            for item in value:
                yield from names_referred_to(item)


def referred_to(stack: Stack, value: Any) -> Iterator[Referred]:
    """Yield the elements to which a value in a stack refers, of this stack and of others.

    A parameter of a nested stack stands for the value that the stack around it passes. Ask when
    the app is synthesized: before, what a parameter is given may not be known.
    """
    collector = _Collector()
    rest = Tokenization.resolve(value, scope=stack, resolver=collector, preparing=False)
    found = [(Stack.of(one), Stack.of(one).resolve(one.logical_id)) for one in collector.targets]
    found += [(stack, name) for name in names_referred_to(rest)]
    for owner, name in found:
        yield owner, name
        parent, nested = owner.nested_stack_parent, owner.nested_stack_resource
        if parent is not None and nested is not None and _is_parameter(owner, name):
            passed = parent.resolve(nested.parameters) or {}  # type: ignore[attr-defined]
            yield from referred_to(parent, passed.get(name))


class _Collector(DefaultTokenResolver):
    """Resolves a value and keeps what its tokens refer to, wherever it is.

    A logical id in a resolved value does not tell the stack, so a reference leaves none there.
    """

    def __init__(self) -> None:
        super().__init__(StringConcat())
        self.targets: list[CfnElement] = []

    def resolve_token(
        self, token: IResolvable, context: IResolveContext, post_processor: IPostProcessor
    ) -> Any:
        """Resolve one token, and those in it by this method again."""
        if isinstance(token, Reference):
            if isinstance(token.target, CfnElement):
                self.targets.append(token.target)
            return ""
        return super().resolve_token(token, context, post_processor)


def _is_parameter(stack: Stack, logical_id: str) -> bool:
    return any(
        isinstance(one, CfnParameter) and stack.resolve(one.logical_id) == logical_id
        for one in stack.node.find_all()
    )
