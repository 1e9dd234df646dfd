"""The plan of a removal, made for the whole set before the first request, and its guards."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

from hyperpod_node_removal_contract import MissingNodes, Property, join_names
from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.cluster import ClusterDescription, Listing, Node
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.request import Guards
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode

_WORDS: Final = {
    Phase.WAITING: "remove",
    Phase.LEAVING: "already leaving",
    Phase.ABSENT: "already absent",
    Phase.FAILED: "refused",
}
_HEADER: Final = ("ACTION", "NODE", "GROUP", "TYPE", "STATUS", "REASON")
_MAX_LISTINGS: Final = 10
"""Listings for one plan. Two are enough if they agree."""


class PlanRow(NamedTuple):
    """What would happen to one node. Where a value is not known, it is empty."""

    action: str
    """remove, already leaving, already absent, refused or unknown."""
    node: str
    """The id by which the template names it."""
    group: str = ""
    instance_type: str = ""
    status: str = ""
    reason: str = ""
    """Code of the refusal, and what it says."""


class GroupPlan(NamedTuple):
    """What would happen to an instance group. Nodes that are leaving already do not count."""

    to_remove: int
    remaining: int


@dataclass(frozen=True)
class Plan:
    """What would happen to each requested node."""

    removal: Removal
    """As the nodes looked when the plan was made."""
    remaining: Counter[str]
    """Nodes that would remain in each instance group. Those without an instance, in `Failure`, or
    already leaving do not count: they do no work."""
    groups: frozenset[str]
    """All instance groups of the cluster."""

    @classmethod
    def of(cls, removal: Removal, listing: Listing, description: ClusterDescription) -> Self:
        """Make the plan for a removal that has observed `listing`."""
        to_remove = {node.node for node in removal.by_phase[Phase.WAITING]}
        return cls(
            removal=removal,
            remaining=Counter(
                node.group for node in listing.nodes if node not in to_remove and node.is_serving
            ),
            groups=description.groups | {node.group for node in listing.nodes},
        )

    @property
    def to_remove(self) -> tuple[Node, ...]:
        """The nodes that would be requested."""
        waiting = self.removal.by_phase[Phase.WAITING]
        return tuple(node.node for node in waiting if node.node)

    def broken(self, guards: Guards) -> tuple[str, ...]:
        """Return a phrase for each guard that the plan violates; none if it may be carried out.

        A plan that removes nothing can violate only `MissingNodes`.
        """
        if not self.to_remove:
            return tuple(self._missing(guards))
        return (
            *self._unknown_groups(guards),
            *self._missing(guards),
            *self._too_many(guards),
            *self._wrong_groups(guards),
            *self._too_few_remaining(guards),
        )

    def lines(self) -> Iterator[tuple[str, Mapping[str, object]]]:
        """Yield the plan for the log: a row for each node under a header, then the groups.

        Each line comes with its values as fields, for CloudWatch Logs Insights.
        """
        rows = self.rows()
        table = [_HEADER, *rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for cells, fields in zip(table, ({}, *(row._asdict() for row in rows)), strict=True):
            padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            yield f"Plan: {'  '.join(padded)}".rstrip(), fields
        for name, group in self.by_group().items():
            counts = f"{group.to_remove} to remove, {group.remaining} remain"
            text = f"Plan: {name}: {group.to_remove + group.remaining} nodes, {counts}"
            yield text, {"group": name, **group._asdict()}

    def rows(self) -> tuple[PlanRow, ...]:
        """Return the plan as a table, in the order of the set."""
        return tuple(_row(node) for node in self.removal.nodes)

    def by_group(self) -> dict[str, GroupPlan]:
        """Return the instance groups that would lose nodes, by name."""
        going = Counter(node.group for node in self.to_remove)
        return {group: GroupPlan(going[group], self.remaining[group]) for group in sorted(going)}

    def _unknown_groups(self, guards: Guards) -> Iterator[str]:
        named = {
            Property.MIN_REMAINING: tuple(guards.min_remaining),
            Property.PROTECTED_GROUPS: guards.protected_groups,
            Property.EXPECTED_GROUPS: guards.expected_groups,
        }
        for guard, groups in named.items():
            for group in groups:
                if group not in self.groups:
                    known = join_names(sorted(self.groups))
                    yield f"{guard} names group {group}, but the cluster has {known}"

    def _missing(self, guards: Guards) -> Iterator[str]:
        missing = [node.name for node in self.removal.by_phase[Phase.ABSENT]]
        if guards.missing_nodes is MissingNodes.FAIL and missing:
            yield f"not in the cluster ({Property.MISSING_NODES}): {join_names(missing)}"

    def _too_many(self, guards: Guards) -> Iterator[str]:
        count = len(self.to_remove)
        if guards.max_removals is not None and count > guards.max_removals:
            yield (
                f"removing {count} nodes is more than {guards.max_removals}"
                f" ({Property.MAX_REMOVALS})"
            )

    def _wrong_groups(self, guards: Guards) -> Iterator[str]:
        by_group: dict[str, list[str]] = {}
        for node in self.removal.by_phase[Phase.WAITING]:
            if node.node:
                by_group.setdefault(node.node.group, []).append(node.name)
        for group, names in by_group.items():
            if group in guards.protected_groups:
                ids = join_names(names)
                yield f"group {group} is protected ({Property.PROTECTED_GROUPS}): {ids}"
            if guards.expected_groups and group not in guards.expected_groups:
                yield (
                    f"group {group} is not among {join_names(guards.expected_groups)}"
                    f" ({Property.EXPECTED_GROUPS}): {join_names(names)}"
                )

    def _too_few_remaining(self, guards: Guards) -> Iterator[str]:
        going = self.by_group()
        for name, least in guards.min_remaining.items():
            group = going.get(name)
            if group and group.remaining < least:
                yield (
                    f"removing {group.to_remove} of {group.to_remove + group.remaining} nodes of"
                    f" group {name} leaves {group.remaining}, fewer than {least}"
                    f" ({Property.MIN_REMAINING})"
                )


def make_plan(
    removal: Removal, description: ClusterDescription, nodes: Callable[[], Listing]
) -> Plan:
    """Look at the cluster and plan.

    `nodes` lists its nodes. That is repeated as long as a node of the set was missing only once: it
    must not escape the guards and the hook.

    Raises:
        aws.AwsError: the nodes could not be listed, or the listings do not agree.
    """
    removal = replace(removal, controller_groups=description.controller_groups)
    for _ in range(_MAX_LISTINGS):
        listing = nodes()
        removal = removal.observe(listing)
        if not any(node.is_unsettled_look for node in removal.nodes):
            return Plan.of(removal, listing, description)
    raise aws.AwsError(
        "ListClusterNodes",
        "UnsettledListing",
        f"{_MAX_LISTINGS} listings in a row did not agree on which nodes are in the cluster",
    )


def _row(node: RequestedNode) -> PlanRow:
    action = _WORDS.get(node.phase, "unknown")
    if node.node is None:
        return PlanRow(action, node.name)
    why = f"{node.refusal.code}: {node.refusal.message}" if node.refusal else node.node.message
    return PlanRow(
        action, node.name, node.node.group, node.node.instance_type, node.node.status, why
    )
