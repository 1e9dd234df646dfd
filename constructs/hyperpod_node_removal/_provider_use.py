"""Which removals use a provider, and what they should have been warned of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import jsii
from aws_cdk import Stack
from constructs import Construct, IValidation

from hyperpod_node_removal._cluster import is_arn
from hyperpod_node_removal._declared import DeclaredRemoval
from hyperpod_node_removal._provider_interface import ProviderParts
from hyperpod_node_removal._stack_removals import StackRemovals
from hyperpod_node_removal._validation import is_token
from hyperpod_node_removal._warnings import warn_of_idle_provider, warn_of_reserved


@jsii.implements(IValidation)
class ProviderUse:
    """Looks at the removals of a provider when the app is synthesized."""

    def __init__(
        self,
        provider: Construct,
        parts: ProviderParts,
        reserved: Any,
        stacks_elsewhere: Collection[str],
    ) -> None:
        """`reserved` is how many removals can run at once, None for no limit, or a token.
        `stacks_elsewhere` are those that have removals but are not of this app; it may grow."""
        self._provider = provider
        self._parts = parts
        self._reserved: int | None = None if is_token(reserved) else reserved
        self._stacks_elsewhere = stacks_elsewhere

    def validate(self) -> list[str]:
        """Nothing: a warning does not fail the synth."""
        at_once = self._at_once()
        if self._reserved is not None and self._reserved < at_once:
            warn_of_reserved(self._provider, self._reserved, at_once)
        if not at_once and (others := _removals_below(Stack.of(self._provider))):
            warn_of_idle_provider(self._provider, others[0].construct, others[0].provider)
        return []

    def _at_once(self) -> int:
        """How many removals may run at once: of a stack, those that do not wait for each other."""
        clusters: dict[str, set[str]] = defaultdict(set)
        for removal in self._parts.removals:
            clusters[Stack.of(removal.construct).node.path].add(removal.cluster.name)
        return len(self._stacks_elsewhere) + sum(map(_apart, clusters.values()))


def _apart(clusters: set[str]) -> int:
    """The most of these names and ARNs that are of different clusters for certain."""
    literal = [name for name in clusters if not is_token(name)]
    arns = sum(map(is_arn, literal))
    return max(1, arns, len(literal) - arns)


def _removals_below(stack: Stack) -> list[DeclaredRemoval]:
    """The removals of a stack and of those that are nested in it."""
    found = (one for one in stack.node.find_all() if isinstance(one, StackRemovals))
    return [removal for removals in found for removal in removals.declared]
