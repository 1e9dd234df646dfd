"""The attributes of a deployed removal, and what other constructs use of a removal.

All attributes are strings, as in CloudFormation: a number token would have to be converted to a
string for an Output or a condition.
"""

from dataclasses import dataclass
from typing import Final, Self, overload

from aws_cdk import CustomResource
from constructs import Construct

from hyperpod_node_removal._cluster import NamedCluster
from hyperpod_node_removal_contract import Attribute

MAY_BE_EMPTY: Final = (
    Attribute.PLANNED_NODES,
    Attribute.REMOVED_NODES,
    Attribute.ACCEPTED_NODES,
    Attribute.ALREADY_ABSENT_NODES,
    Attribute.FAILED_NODES,
    Attribute.REQUESTED_NODES,
    Attribute.WARNINGS,
)
"""Attributes that are empty if there is nothing to report."""


class _Token:
    """An attribute of the custom resource, by the name of the Python attribute in capitals."""

    def __set_name__(self, _: object, name: str) -> None:
        self._attribute = Attribute[name.upper()].value

    @overload
    def __get__(self, removal: None, _: object) -> Self: ...

    @overload
    def __get__(self, removal: "RemovalAttributes", _: object) -> str: ...

    def __get__(self, removal: "RemovalAttributes | None", _: object) -> Self | str:
        return self if removal is None else removal.resource.get_att_string(self._attribute)


class RemovalAttributes(Construct):
    """The attributes of a removal, each a token."""

    _resource: CustomResource

    outcome = _Token()
    """The outcome of the removal, one of `hyperpod_node_removal.Outcome`."""
    cluster_name = _Token()
    """Name of the cluster, even if it was specified by ARN."""
    requested_count = _Token()
    """How many nodes are in the set, as decimal digits."""
    planned_count = _Token()
    """How many nodes a dry run would have removed, as decimal digits."""
    removed_count = _Token()
    """How many nodes this deployment removed, as decimal digits."""
    accepted_count = _Token()
    """How many nodes were still leaving at the end, as decimal digits."""
    already_absent_count = _Token()
    """How many nodes were already gone, as decimal digits."""
    failed_count = _Token()
    """How many nodes could not be removed, as decimal digits."""
    planned_nodes = _Token()
    """The nodes a dry run would have removed, joined by commas."""
    removed_nodes = _Token()
    """The nodes this deployment removed, joined by commas."""
    accepted_nodes = _Token()
    """The nodes that were still leaving at the end, joined by commas."""
    already_absent_nodes = _Token()
    """The nodes that were already gone, joined by commas."""
    failed_nodes = _Token()
    """The nodes that could not be removed, joined by commas."""
    requested_nodes = _Token()
    """The nodes that the other attributes are about, joined by commas."""
    instance_group_target_counts = _Token()
    """The target counts to copy to the cluster's template, by group, as JSON."""
    warnings = _Token()
    """What may add instances again where nodes were removed, in sentences."""

    @property
    def resource(self) -> CustomResource:
        """The custom resource."""
        return self._resource


@dataclass(frozen=True)
class DeclaredRemoval:
    """A removal of the app, and its cluster."""

    construct: RemovalAttributes
    cluster: NamedCluster
    provider: Construct
    may_remove: bool
    """Whether it can remove a node, as far as is known at synth."""
