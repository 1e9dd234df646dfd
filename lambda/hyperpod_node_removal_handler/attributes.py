"""`Data`: the attributes of the resource, all strings, all there on every path."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from hyperpod_node_removal_handler.contract import Attribute, Outcome, printable
from hyperpod_node_removal_handler.reason import fitted
from hyperpod_node_removal_handler.result import Result, Tally

# Shares of a body of 4,096 bytes. What CloudFormation's ids take of it is not in our hands.
_NODE_LISTS_MAX: Final = 1300
_TARGET_COUNTS_MAX: Final = 400
_WARNINGS_MAX: Final = 400


def data(
    outcome: Outcome, cluster: object, given: Mapping[Attribute, str] | None = None
) -> Mapping[str, str]:
    """`Data` with every attribute: those that are not given are empty or zero."""
    zero = {key: "0" if key.endswith("Count") else "" for key in Attribute}
    zero[Attribute.INSTANCE_GROUP_TARGET_COUNTS] = "{}"
    named = {
        Attribute.OUTCOME: str(outcome),
        Attribute.CLUSTER_NAME: printable(cluster, 256) if isinstance(cluster, str) else "",
    }
    return {str(key): value for key, value in (zero | named | dict(given or {})).items()}


def _target_counts(counts: Mapping[str, int]) -> str:
    """A JSON object of as many whole entries as there is room for."""
    kept: dict[str, int] = {}
    for name, count in counts.items():
        # Inside the body the quotation marks are escaped, so they count twice.
        if len(json.dumps(json.dumps(kept | {name: count}))) > _TARGET_COUNTS_MAX:
            break
        kept[name] = count
    return json.dumps(kept)


def of_result(result: Result, tally: Tally) -> Mapping[Attribute, str]:
    """Counts, and as many names as there is room for: those of failed nodes before all others."""
    counts = {
        Attribute.REQUESTED_COUNT: len(result.removal.nodes),
        Attribute.PLANNED_COUNT: len(tally.planned),
        Attribute.REMOVED_COUNT: len(tally.removed),
        Attribute.ACCEPTED_COUNT: len(tally.accepted),
        Attribute.ALREADY_ABSENT_COUNT: len(tally.absent),
        Attribute.FAILED_COUNT: len(tally.failed),
    }
    lists = {
        Attribute.FAILED_NODES: tally.failed,
        Attribute.PLANNED_NODES: tally.planned,
        Attribute.REMOVED_NODES: tally.removed,
        Attribute.ACCEPTED_NODES: tally.accepted,
        Attribute.ALREADY_ABSENT_NODES: tally.absent,
    }
    room = _NODE_LISTS_MAX
    names: dict[Attribute, str] = {}
    for attribute, nodes in lists.items():
        # Half of what is left, so that no list crowds out those behind it.
        names[attribute] = listed([node.name for node in nodes], room // 2)
        room -= len(names[attribute])
    return {
        **{attribute: str(count) for attribute, count in counts.items()},
        **names,
        Attribute.INSTANCE_GROUP_TARGET_COUNTS: _target_counts(result.target_counts),
        Attribute.WARNINGS: fitted(" ".join(result.warnings), _WARNINGS_MAX),
    }


def listed(ids: Sequence[str], room: int) -> str:
    """`ids` joined by commas in at most `room` characters; the last entry may be `+31 more`."""
    whole = ",".join(ids)
    if len(whole) <= room:
        return whole
    shown: list[str] = []
    length = 0
    for index, identifier in enumerate(ids):
        rest = f"+{len(ids) - index} more"
        if length + len(identifier) + 1 + len(rest) > room:
            shown.append(rest)
            break
        shown.append(identifier)
        length += len(identifier) + 1
    return ",".join(shown)
