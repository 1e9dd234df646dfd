"""The log of a plan and of its outcome: a line for each node, failures last, and metrics.

A line is a metric if the whole log event is one JSON object with `_aws` at its root (CloudWatch's
embedded metric format). Lambda's JSON log format makes such an object of a log record, with the
record's extra fields at the root.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from hyperpod_node_removal_contract import telemetry
from hyperpod_node_removal_contract.failure_codes import what_happened
from hyperpod_node_removal_contract.telemetry import Dimension, Metric
from hyperpod_node_removal_handler.outcome import Result, code_of
from hyperpod_node_removal_handler.plan import Plan
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode

_UNITS: Final = {Metric.DURATION: "Seconds"}
_SUCCESSES: Final = {
    Phase.REMOVED: "removed",
    Phase.LEAVING: "leaving",
    Phase.ABSENT: "already absent",
}
_HEADER: Final = ("ACTION", "NODE", "GROUP", "TYPE", "STATUS", "REASON")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the function's log."""

    level: int
    text: str
    fields: Mapping[str, object] = field(default_factory=dict)


def of_plan(plan: Plan) -> Iterator[LogLine]:
    """Yield a row for each node under a header, then a line for each group.

    Each line has its values as fields too, for CloudWatch Logs Insights.
    """
    rows = plan.rows()
    table = [_HEADER, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]

    def line(cells: tuple[str, ...]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"Plan: {'  '.join(padded)}".rstrip()

    yield LogLine(logging.INFO, line(_HEADER))
    for row in rows:
        yield LogLine(logging.INFO, line(row.cells), row._asdict())
    for name, group in plan.by_group().items():
        yield LogLine(
            logging.INFO,
            f"Plan: {name}: {group.to_remove + group.remaining} nodes, {group.to_remove} to remove,"
            f" {group.remaining} remain",
            {"group": name, **group._asdict()},
        )


def of_result(result: Result) -> Iterator[LogLine]:
    """Yield a line for each node and group, but not the summary."""
    for phase, how in _SUCCESSES.items():
        for node in result.by_phase[phase]:
            group = f" (group {node.node.group})" if node.node else ""
            yield LogLine(logging.INFO, f"{node.name}: {how}{group}", {"node": node.name})
    for group, count in sorted(result.removal.lowered_by_group.items()):
        if (after := result.target_counts.get(group)) is not None:
            yield _target_count_line(group, count, result.target_counts_before.get(group), after)
    for node in result.failed:
        yield _failure_line(node, result.cluster_name)


def _failure_line(node: RequestedNode, cluster: str) -> LogLine:
    said = node.refusal.message if node.refusal else ""
    message = (said or what_happened(code_of(node))).rstrip(".")
    where = f" Group {node.node.group}, status {node.node.status}." if node.node else ""
    tries = f" Requested {node.attempts} times." if node.attempts > 1 else ""
    return LogLine(
        logging.WARNING,
        f"{node.name}: not removed: {code_of(node)}: {message}.{where}{tries}",
        {
            "node": node.name,
            "cluster": cluster,
            "code": code_of(node),
            "why": message,
            "attempts": node.attempts,
            "group": node.node.group if node.node else "",
            "status": node.node.status if node.node else "",
        },
    )


def _target_count_line(group: str, count: int, before: int | None, after: int) -> LogLine:
    """Return what to change in the cluster's template, or its next update adds nodes again."""
    if before is None:
        before = after + count
    fields = {"group": group, "instance_count_before": before, "instance_count": after}
    if after > before - count:
        return LogLine(
            logging.WARNING,
            f"{group}: TargetCount is {after} (was {before}) although {count} removals were"
            " accepted: the service has not lowered the count yet, or somebody raised it. Check it"
            " before you change InstanceCount in the cluster's template.",
            fields,
        )
    others = f" (of these, {count} removed here)" if after < before - count else ""
    return LogLine(
        logging.INFO,
        f"{group}: InstanceCount {before} -> {after}{others}: update the cluster's"
        " template, or its next update adds the nodes again.",
        fields,
    )


# Metrics -------------------------------------------------------------------------------------


def of_metrics(result: Result, cluster: str) -> Iterator[LogLine]:
    """Yield a line with all metrics, and one for each code of failure.

    `cluster` is the name or ARN that the template has.
    """
    dimensions = {Dimension.CLUSTER_NAME: cluster}
    values = {
        Metric.REMOVED_NODES: len(result.by_phase[Phase.REMOVED]),
        Metric.FAILED_NODES: len(result.failed),
        Metric.ALREADY_ABSENT_NODES: len(result.by_phase[Phase.ABSENT]),
        Metric.DURATION: round(result.elapsed, 3),
    }
    yield _metric_line("Metrics of the removal.", result.ended, dimensions, values)
    codes: Counter[str] = Counter()
    for code, nodes in result.failed_by_code.items():
        codes[code if code in telemetry.METRIC_CODES else telemetry.OTHER_CODE] += len(nodes)
    for code, count in codes.items():
        yield _metric_line(
            f"Metrics of the failures with {code}.",
            result.ended,
            dimensions | {Dimension.CODE: code},
            {Metric.FAILED_NODES: count},
        )


def _metric_line(
    text: str,
    ended: float,
    dimensions: Mapping[Dimension, str],
    values: Mapping[Metric, float],
) -> LogLine:
    """Return one document of the format: each combination of dimensions needs its own."""
    directive = {
        "Namespace": telemetry.METRIC_NAMESPACE,
        "Dimensions": [[str(name) for name in dimensions]],
        "Metrics": [{"Name": str(name), "Unit": _UNITS.get(name, "Count")} for name in values],
    }
    return LogLine(
        logging.INFO,
        text,
        {
            "_aws": {"Timestamp": round(ended * 1000), "CloudWatchMetrics": [directive]},
            **{str(name): value for name, value in (*dimensions.items(), *values.items())},
        },
    )
