"""The attributes of a deployed removal, and what other constructs know of a removal.

The attributes are strings in CloudFormation and so they are here: a number token could neither be
an Output nor be compared in a condition without being converted to a string again.
"""

from dataclasses import dataclass
from typing import Final

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


class RemovalAttributes(Construct):
    """The attributes of a removal, one property each."""

    _resource: CustomResource

    @property
    def resource(self) -> CustomResource:
        """The custom resource."""
        return self._resource

    @property
    def outcome(self) -> str:
        """The outcome of the removal, one of `hyperpod_node_removal.Outcome`. A token."""
        return self._attribute(Attribute.OUTCOME)

    @property
    def cluster_name(self) -> str:
        """Name of the cluster, even if it was specified by ARN. A token."""
        return self._attribute(Attribute.CLUSTER_NAME)

    @property
    def requested_count(self) -> str:
        """How many nodes are in the set, as decimal digits. A token."""
        return self._attribute(Attribute.REQUESTED_COUNT)

    @property
    def planned_count(self) -> str:
        """How many nodes a dry run would have removed, as decimal digits. A token."""
        return self._attribute(Attribute.PLANNED_COUNT)

    @property
    def removed_count(self) -> str:
        """How many nodes this deployment removed, as decimal digits. A token."""
        return self._attribute(Attribute.REMOVED_COUNT)

    @property
    def accepted_count(self) -> str:
        """How many nodes were still leaving at the end, as decimal digits. A token."""
        return self._attribute(Attribute.ACCEPTED_COUNT)

    @property
    def already_absent_count(self) -> str:
        """How many nodes were already gone, as decimal digits. A token."""
        return self._attribute(Attribute.ALREADY_ABSENT_COUNT)

    @property
    def failed_count(self) -> str:
        """How many nodes could not be removed, as decimal digits. A token."""
        return self._attribute(Attribute.FAILED_COUNT)

    @property
    def planned_nodes(self) -> str:
        """The nodes a dry run would have removed, joined by commas. A token."""
        return self._attribute(Attribute.PLANNED_NODES)

    @property
    def removed_nodes(self) -> str:
        """The nodes this deployment removed, joined by commas. A token."""
        return self._attribute(Attribute.REMOVED_NODES)

    @property
    def accepted_nodes(self) -> str:
        """The nodes that were still leaving at the end, joined by commas. A token."""
        return self._attribute(Attribute.ACCEPTED_NODES)

    @property
    def already_absent_nodes(self) -> str:
        """The nodes that were already gone, joined by commas. A token."""
        return self._attribute(Attribute.ALREADY_ABSENT_NODES)

    @property
    def failed_nodes(self) -> str:
        """The nodes that could not be removed, joined by commas. A token."""
        return self._attribute(Attribute.FAILED_NODES)

    @property
    def requested_nodes(self) -> str:
        """The nodes that the other attributes are about, joined by commas. A token."""
        return self._attribute(Attribute.REQUESTED_NODES)

    @property
    def instance_group_target_counts(self) -> str:
        """The target counts to copy to the cluster's template, by group, as JSON. A token."""
        return self._attribute(Attribute.INSTANCE_GROUP_TARGET_COUNTS)

    @property
    def warnings(self) -> str:
        """What may add instances again where nodes were removed, in sentences. A token."""
        return self._attribute(Attribute.WARNINGS)

    def _attribute(self, attribute: Attribute) -> str:
        return self._resource.get_att_string(attribute.value)


@dataclass(frozen=True)
class DeclaredRemoval:
    """A removal of the app, and its cluster."""

    construct: RemovalAttributes
    cluster: NamedCluster
    provider: Construct
    may_remove: bool
    """Whether it can remove a node, as far as is known at synth."""
