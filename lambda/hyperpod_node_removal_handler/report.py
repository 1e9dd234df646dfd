"""The report on a removal: the response with its `Reason` and `Data`, and the log lines.

The limit on the size of a body is kept here, that of its `Reason` in `outcome`. No id is ever cut,
and what is left out is counted.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from hyperpod_node_removal_contract import (
    REASON_MAX_BYTES,
    RESPONSE_MAX_BYTES,
    Attribute,
    Outcome,
    escape,
    telemetry,
    truncate_middle,
)
from hyperpod_node_removal_contract.failure_codes import what_happened
from hyperpod_node_removal_contract.telemetry import Dimension, Metric
from hyperpod_node_removal_handler.outcome import (
    LogPlace,
    Result,
    code_of,
    join_fitting,
    reason,
    signal_id,
    verdict,
)
from hyperpod_node_removal_handler.request import Envelope
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode

SUCCESS: Final = "SUCCESS"
FAILED: Final = "FAILED"
ID_MAX: Final = 256
"""Characters of CloudFormation's ids in the log, and in a body that would otherwise be too long."""

# Shares of a body of 4,096 bytes. CloudFormation's ids take the rest.
_NODE_LISTS_MAX: Final = 1300
_TARGET_COUNTS_MAX: Final = 400
_WARNINGS_MAX: Final = 400
_SUCCESSES: Final = {
    Phase.REMOVED: "removed",
    Phase.LEAVING: "leaving",
    Phase.ABSENT: "already absent",
}
NODES_BY_PHASE: Final = {
    Phase.FAILED: (Attribute.FAILED_COUNT, Attribute.FAILED_NODES),
    Phase.WAITING: (Attribute.PLANNED_COUNT, Attribute.PLANNED_NODES),
    Phase.REMOVED: (Attribute.REMOVED_COUNT, Attribute.REMOVED_NODES),
    Phase.LEAVING: (Attribute.ACCEPTED_COUNT, Attribute.ACCEPTED_NODES),
    Phase.ABSENT: (Attribute.ALREADY_ABSENT_COUNT, Attribute.ALREADY_ABSENT_NODES),
}
"""The attributes that count and name the nodes that ended in a phase, the most important first."""
_EMPTY: Final = {key: "0" if key.endswith("Count") else "" for key in Attribute} | {
    Attribute.INSTANCE_GROUP_TARGET_COUNTS: "{}"
}
_DROPPED_FIRST: Final = (
    Attribute.REQUESTED_NODES,
    Attribute.PLANNED_NODES,
    Attribute.REMOVED_NODES,
    Attribute.ACCEPTED_NODES,
    Attribute.ALREADY_ABSENT_NODES,
    Attribute.WARNINGS,
    Attribute.INSTANCE_GROUP_TARGET_COUNTS,
    Attribute.FAILED_NODES,
    Attribute.CLUSTER_NAME,
)
"""The attributes that a body that would be too long does without, in this order."""
_UNITS: Final = {Metric.DURATION: "Seconds"}


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the function's log."""

    level: int
    text: str
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """A response to CloudFormation, with its log lines."""

    status: str
    reason: str
    data: Mapping[str, str]
    lines: tuple[LogLine, ...] = ()
    result: Result | None = None
    """The removal that ended with it. None: nothing was to be removed, or nothing had begun."""
    signal_id: str = ""
    """The verdict of a success for the stack's events. Empty: none, as for a rollback."""

    def body(self, envelope: Envelope) -> bytes:
        """Return the response body: JSON in ASCII of at most 4,096 bytes, whatever comes in."""
        data = dict(self.data)
        body = envelope.response(self.status, self.reason, data)
        for key in _DROPPED_FIRST:
            if len(body) <= RESPONSE_MAX_BYTES:
                return body
            data[key] = _EMPTY[key]
            body = envelope.response(self.status, self.reason, data)
        if len(body) <= RESPONSE_MAX_BYTES:
            return body
        # Ids longer than CloudFormation's own: a forged request, but the limit holds.
        cut = replace(
            envelope,
            physical_resource_id=escape(envelope.physical_resource_id, ID_MAX),
            stack_id=escape(envelope.stack_id, ID_MAX),
            request_id=escape(envelope.request_id, ID_MAX),
            logical_resource_id=escape(envelope.logical_resource_id, ID_MAX),
        )
        return cut.response(self.status, self.reason, data)


def of_result(result: Result) -> Report:
    """Return the report on a removal that was planned, or carried out wholly or in part."""
    is_dry_run = result.request.is_dry_run
    has_metrics = telemetry.writes_metrics() and not is_dry_run
    level = logging.WARNING if result.failed or not result.is_success else logging.INFO
    return Report(
        status=SUCCESS if result.is_success else FAILED,
        reason=reason(result),
        data=data(result.outcome, result.cluster_name, _attributes(result)),
        lines=(
            *(_metric_lines(result) if has_metrics else ()),
            *_node_lines(result),
            LogLine(level, f"{result.outcome}: {verdict(result)}"),
        ),
        result=None if is_dry_run else result,
        signal_id=signal_id(result) if result.is_success else "",
    )


def untouched(outcome: Outcome, cluster: object, sentence: str, *, signal_id: str = "") -> Report:
    """Return the report on a request that leaves the cluster alone, and succeeds."""
    return Report(
        status=SUCCESS,
        reason=sentence,
        signal_id=signal_id,
        data=data(outcome, cluster),
        lines=(LogLine(logging.INFO, f"{outcome}: {sentence}"),),
    )


def failure(cluster: object, sentence: str, log: LogPlace) -> Report:
    """Return the report on a request that failed before any node was requested."""
    text = escape(sentence)
    return Report(
        status=FAILED,
        reason=truncate_middle(text, REASON_MAX_BYTES - len(log.sentence)) + log.sentence,
        data=data(Outcome.FAILED, cluster),
        lines=(LogLine(logging.ERROR, f"{Outcome.FAILED}: {text}"),),
    )


# `Data`: the attributes of the resource, all strings, all present in every response ------------


def data(
    outcome: Outcome, cluster: object, given: Mapping[Attribute, str] | None = None
) -> Mapping[str, str]:
    """Return `Data` with every attribute: those that are not given are empty or zero."""
    named = {
        Attribute.OUTCOME: str(outcome),
        Attribute.CLUSTER_NAME: escape(cluster, 256) if isinstance(cluster, str) else "",
    }
    return {str(key): value for key, value in (_EMPTY | named | dict(given or {})).items()}


def _target_counts(counts: Mapping[str, int]) -> str:
    """Return a JSON object of as many whole entries as there is room for."""
    kept: dict[str, int] = {}
    for name, count in counts.items():
        # Inside the body the quotation marks are escaped, so they count twice.
        if len(json.dumps(json.dumps(kept | {name: count}))) > _TARGET_COUNTS_MAX:
            break
        kept[name] = count
    return json.dumps(kept)


def counts(result: Result) -> Mapping[Attribute, int]:
    """Return how many nodes ended in which way."""
    return {
        Attribute.REQUESTED_COUNT: len(result.removal.nodes),
        **{
            count: len(result.removal.by_phase[phase])
            for phase, (count, _) in NODES_BY_PHASE.items()
        },
    }


def _attributes(result: Result) -> Mapping[Attribute, str]:
    """Return counts, and as many names as there is room for."""
    lists = {names: result.removal.by_phase[phase] for phase, (_, names) in NODES_BY_PHASE.items()}
    lists[Attribute.REQUESTED_NODES] = result.removal.nodes
    room = _NODE_LISTS_MAX
    joined: dict[Attribute, str] = {}
    for attribute, nodes in lists.items():
        # Half of what is left, so that no list crowds out those behind it.
        joined[attribute] = join_fitting([node.name for node in nodes], room // 2)
        room -= len(joined[attribute])
    return {
        **{attribute: str(count) for attribute, count in counts(result).items()},
        **joined,
        Attribute.INSTANCE_GROUP_TARGET_COUNTS: _target_counts(result.target_counts),
        Attribute.WARNINGS: escape(" ".join(result.warnings), _WARNINGS_MAX),
    }


# Log lines ------------------------------------------------------------------------------------


def _node_lines(result: Result) -> Iterator[LogLine]:
    """Yield a line for each node and group, but not the summary."""
    for phase, how in _SUCCESSES.items():
        for node in result.removal.by_phase[phase]:
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


def _metric_lines(result: Result) -> Iterator[LogLine]:
    """Yield a line with all metrics, and one for each code of failure.

    A log event is a metric if it is one JSON object with `_aws` at its root (CloudWatch's embedded
    metric format). Lambda's JSON log format makes such an object of a log record, with the record's
    extra fields at the root. The dimension is the name or ARN that the template has.
    """
    dimensions = {Dimension.CLUSTER_NAME: result.request.cluster}
    values = {
        Metric.REMOVED_NODES: len(result.removal.by_phase[Phase.REMOVED]),
        Metric.FAILED_NODES: len(result.failed),
        Metric.ALREADY_ABSENT_NODES: len(result.removal.by_phase[Phase.ABSENT]),
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
