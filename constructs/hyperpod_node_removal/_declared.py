"""A removal as the other constructs of an app know it."""

from dataclasses import dataclass

from constructs import Construct

from hyperpod_node_removal._attributes import RemovalAttributes
from hyperpod_node_removal._cluster import NamedCluster


@dataclass(frozen=True)
class DeclaredRemoval:
    """What a removal is, and of what."""

    construct: RemovalAttributes
    cluster: NamedCluster
    provider: Construct
    may_remove: bool
    """Whether it can remove a node, as far as is known at synth."""
