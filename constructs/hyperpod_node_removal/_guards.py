"""What a removal must not break: guards at synth, and as properties of the resource.

The function applies them to the whole set before it asks for any node. A guard that is broken
refuses the set.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hyperpod_node_removal._validation import (
    check_choice,
    check_flag,
    checked_count,
    checked_counts,
    checked_names,
)
from hyperpod_node_removal_handler import contract
from hyperpod_node_removal_handler.contract import MissingNodes, Property


def guard_properties(
    path: str,
    *,
    min_remaining: Mapping[str, int] | None,
    max_removals: int | None,
    protected_groups: Sequence[str],
    expected_groups: Sequence[str],
    missing_nodes: MissingNodes,
    dry_run: bool,
) -> dict[str, Any]:
    """Properties of the resource for those guards of the removal at `path` that are set.

    Raises:
        InvalidPropertyError: the text names the property, its value and what is allowed.
    """
    group_problem = contract.instance_group_problem
    properties = {
        Property.PROTECTED_GROUPS: checked_names(
            path, "protected_groups", protected_groups, group_problem
        ),
        Property.EXPECTED_GROUPS: checked_names(
            path, "expected_groups", expected_groups, group_problem
        ),
    }
    set_ones: dict[str, Any] = {name.value: value for name, value in properties.items() if value}
    if min_remaining is not None:
        set_ones[Property.MIN_REMAINING.value] = checked_counts(
            path, "min_remaining", min_remaining, group_problem
        )
    if max_removals is not None:  # 0 is a limit
        set_ones[Property.MAX_REMOVALS.value] = checked_count(path, "max_removals", max_removals)
    check_choice(path, "missing_nodes", missing_nodes, MissingNodes)
    if missing_nodes != MissingNodes.ACCEPT:
        set_ones[Property.MISSING_NODES.value] = str(missing_nodes)
    check_flag(path, "dry_run", dry_run)
    if dry_run:
        set_ones[Property.DRY_RUN.value] = dry_run
    return set_ones
