"""Warnings of attributes that may be empty where an empty value is rejected.

CloudFormation rejects an empty export, and SSM an empty parameter. The CDK makes an export of each
attribute to which another stack refers, or a parameter if that stack is in another region. A
rejected export fails its stack when all resources are complete: the nodes are gone.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import jsii
from aws_cdk import CfnOutput, CfnResource, Stack
from constructs import IConstruct, IValidation

from hyperpod_node_removal._attributes import (
    MAY_BE_EMPTY,
    DeclaredRemoval,
    RemovalAttributes,
)
from hyperpod_node_removal._dependencies import is_in
from hyperpod_node_removal._warnings import warn_of_empty_value
from hyperpod_node_removal_contract import Attribute

_PARAMETER: Final = "AWS::SSM::Parameter"
_PARAMETERS_OF_THE_CDK: Final = "Custom::CrossRegionExportWriter"

Source = tuple[str, str]
"""A logical id, and an attribute of it."""
Sources = Mapping[Source, tuple[RemovalAttributes, Attribute]]
"""What may be empty in a stack: the removal and its attribute."""


@jsii.implements(IValidation)
class EmptyExports:
    """Warns of such exports and parameters. The CDK validates when it has made its exports."""

    def __init__(self, stack: Stack, removals: Sequence[DeclaredRemoval]) -> None:
        """Read `removals` when the app is synthesized, so it may still grow."""
        self._stack = stack
        self._removals = removals

    def validate(self) -> list[str]:
        """Return nothing: a warning does not fail the synth."""
        stack: Stack | None = self._stack
        sources: Sources = {
            (self._stack.resolve(removal.resource.ref)["Ref"], attribute.value): (
                removal,
                attribute,
            )
            for removal in (one.construct for one in self._removals)
            for attribute in MAY_BE_EMPTY
        }
        while stack is not None and sources:
            constructs = stack.node.find_all()
            for construct in constructs:
                for value, place in _values_never_empty(stack, construct):
                    for source in sorted(empty_sources(value, sources)):
                        warn_of_empty_value(*sources[source], place)
            sources = _seen_from_outside(stack, constructs, sources)
            stack = stack.nested_stack_parent
        return []


def _values_never_empty(stack: Stack, construct: IConstruct) -> Iterator[tuple[Any, str]]:
    """Yield the resolved values of a construct that must not be empty, each with a description."""
    if isinstance(construct, CfnOutput):
        if construct.export_name is not None and is_in(stack, construct):
            name = stack.resolve(construct.logical_id)
            yield stack.resolve(construct.value), f"the exported Output {name}"
    elif (
        isinstance(construct, CfnResource)
        and construct.cfn_resource_type in {_PARAMETER, _PARAMETERS_OF_THE_CDK}
        and is_in(stack, construct)
    ):
        properties = stack.resolve(construct._cfn_properties)  # noqa: SLF001
        exports = properties.get("WriterProps", {}).get("exports", {})
        for value in (properties.get("value"), properties.get("Value"), *exports.values()):
            yield value, f"an SSM parameter of {construct.node.path}"


def _seen_from_outside(stack: Stack, constructs: Sequence[IConstruct], sources: Sources) -> Sources:
    """Return the sources of a nested stack as its parent stack refers to them; none without one."""
    parent, nested = stack.nested_stack_parent, stack.nested_stack_resource
    if parent is None or nested is None:
        return {}
    logical_id = parent.resolve(nested.logical_id)
    return {
        (logical_id, f"Outputs.{stack.resolve(output.logical_id)}"): sources[source]
        for output in constructs
        if isinstance(output, CfnOutput) and is_in(stack, output)
        for source in empty_sources(stack.resolve(output.value), sources)
    }


def empty_sources(value: Any, sources: Collection[Source]) -> set[Source]:
    """Return the sources because of which a resolved value may be empty or white space.

    There are none if it has literal text, or refers to something else, which counts as text.
    """
    match value:
        case {"Fn::GetAtt": [str(logical_id), str(attribute)]}:
            return {(logical_id, attribute)}.intersection(sources)
        case {"Fn::Join": [str(delimiter), [*parts]]}:
            if delimiter.strip() and len(parts) > 1:
                return set()
            found = [empty_sources(part, sources) for part in parts if not _is_blank(part)]
            return set().union(*found) if all(found) else set()
        case dict():
            return set().union(*(empty_sources(item, sources) for item in value.values()))
        case list():
            return set().union(*(empty_sources(item, sources) for item in value))
    return set()


def _is_blank(part: Any) -> bool:
    return isinstance(part, str) and not part.strip()
