"""Warnings of attributes that may be empty where an empty value is rejected.

CloudFormation rejects an empty export, and SSM an empty parameter. The CDK makes an export of each
attribute to which another stack refers, or a parameter if that stack is in another region. A
rejected export fails its stack when all resources are complete: the nodes are gone.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from aws_cdk import CfnOutput, CfnResource, Stack
from constructs import IConstruct

from hyperpod_node_removal._attributes import MAY_BE_EMPTY, DeclaredRemoval, RemovalAttributes
from hyperpod_node_removal._dependencies import is_in
from hyperpod_node_removal._warnings import RemovalWarning, warn
from hyperpod_node_removal_contract import Attribute

_PARAMETER: Final = "AWS::SSM::Parameter"
_PARAMETERS_OF_THE_CDK: Final = "Custom::CrossRegionExportWriter"

Source = tuple[str, str]
"""A logical id, and an attribute of it."""
Sources = Mapping[Source, tuple[RemovalAttributes, Attribute]]
"""What may be empty in a stack: the removal and its attribute."""


def warn_of_empty_exports(stack: Stack, removals: Sequence[DeclaredRemoval]) -> None:
    """Warn of the exports and parameters of a stack's removals. The CDK has made its own."""
    sources: Sources = {
        (stack.resolve(removal.resource.ref)["Ref"], attribute.value): (removal, attribute)
        for removal in (one.construct for one in removals)
        for attribute in MAY_BE_EMPTY
    }
    outer: Stack | None = stack
    while outer is not None and sources:
        constructs = outer.node.find_all()
        for construct in constructs:
            for value, place in _values_never_empty(outer, construct):
                for source in sorted(empty_sources(value, sources)):
                    removal, attribute = sources[source]
                    warn(removal, RemovalWarning.EMPTY_EXPORT, attribute=attribute, place=place)
        sources = _seen_from_outside(outer, constructs, sources)
        outer = outer.nested_stack_parent


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
