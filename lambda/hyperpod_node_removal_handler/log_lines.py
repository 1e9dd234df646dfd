"""What the log says of a removal, a line for each node: failures last, then the summary."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from hyperpod_node_removal_handler.reason import code_of
from hyperpod_node_removal_handler.requested_node import RequestedNode
from hyperpod_node_removal_handler.result import Result, Tally


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the function's log."""

    level: int
    text: str
    fields: Mapping[str, object] = field(default_factory=dict)


def of_result(result: Result, tally: Tally) -> tuple[LogLine, ...]:
    """A line for each node, but not the summary."""
    return (
        *(_went_well(node, "removed") for node in tally.removed),
        *(_went_well(node, "leaving") for node in tally.accepted),
        *(_went_well(node, "already absent") for node in tally.absent),
        *_target_count_lines(result),
        *(_failure_line(node) for node in tally.failed),
    )


def _went_well(node: RequestedNode, how: str) -> LogLine:
    place = f" (group {node.node.group})" if node.node else ""
    return LogLine(logging.INFO, f"{node.name}: {how}{place}", {"node": node.name})


def _failure_line(node: RequestedNode) -> LogLine:
    message = node.refusal.message.rstrip(".") if node.refusal else ""
    where = f" Group {node.node.group}, status {node.node.status}." if node.node else ""
    tries = f" Asked {node.attempts} times." if node.attempts > 1 else ""
    return LogLine(
        logging.WARNING,
        f"{node.name}: not removed: {code_of(node)}: {message}.{where}{tries}",
        {"node": node.name, "code": code_of(node), "attempts": node.attempts},
    )


def _target_count_lines(result: Result) -> list[LogLine]:
    """So that people can bring their template in line before the next update adds nodes again."""
    removed = result.removal.removed_by_group
    return [
        LogLine(
            logging.INFO,
            f"Group {group}: {count} removed; its target count is now {target}."
            " Write that into the cluster's template, or its next update adds the nodes again.",
            {"group": group, "target_count": target},
        )
        for group, count in removed.items()
        if (target := result.target_counts.get(group)) is not None
    ]
