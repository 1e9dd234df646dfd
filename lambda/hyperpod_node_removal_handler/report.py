"""From the result of a removal to an answer: status, `Reason`, `Data`, and log lines.

The limit on the size of a body is kept here, that of its `Reason` in `reason`. A cut
never goes through an id, and says how much is missing.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hyperpod_node_removal_contract import (
    REASON_MAX_BYTES,
    RESPONSE_MAX_BYTES,
    Attribute,
    FailureCode,
    Outcome,
    PartialFailure,
    escape,
    telemetry,
    truncate_middle,
)
from hyperpod_node_removal_handler import log_lines
from hyperpod_node_removal_handler.envelope import Envelope
from hyperpod_node_removal_handler.log_lines import LogLine
from hyperpod_node_removal_handler.reason import (
    LogPlace,
    code_of,
    planned,
    reason,
    refused,
    signal_id,
    truncate,
    verdict,
)
from hyperpod_node_removal_handler.request import RemovalRequest, Scope
from hyperpod_node_removal_handler.result import NodesByOutcome, RemovalSummary, Result

SUCCESS: Final = "SUCCESS"
FAILED: Final = "FAILED"
_ID_MAX: Final = 256

# Shares of a body of 4,096 bytes. What CloudFormation's ids take of it is not in our hands.
_NODE_LISTS_MAX: Final = 1300
_TARGET_COUNTS_MAX: Final = 400
_WARNINGS_MAX: Final = 400


@dataclass(frozen=True)
class Report:
    """An answer to CloudFormation, and what the log says of it."""

    status: str
    reason: str
    data: Mapping[str, str]
    lines: tuple[LogLine, ...] = ()
    summary: RemovalSummary | None = None
    """What it is the end of. None: nothing was to be removed, or nothing had begun."""
    signal_id: str = ""
    """The verdict of a success that the stack's events are to show. Empty: there is none, as of a
    rollback."""

    def body(self, envelope: Envelope) -> bytes:
        """The response body: JSON in ASCII of at most 4,096 bytes, whatever comes in."""
        data = dict(self.data)
        droppable = [
            (Attribute.REQUESTED_NODES, ""),
            (Attribute.PLANNED_NODES, ""),
            (Attribute.REMOVED_NODES, ""),
            (Attribute.ACCEPTED_NODES, ""),
            (Attribute.ALREADY_ABSENT_NODES, ""),
            (Attribute.WARNINGS, ""),
            (Attribute.INSTANCE_GROUP_TARGET_COUNTS, "{}"),
            (Attribute.FAILED_NODES, ""),
            (Attribute.CLUSTER_NAME, ""),
        ]
        body = self._encoded(envelope, data)
        for key, empty in droppable:
            if len(body) <= RESPONSE_MAX_BYTES:
                return body
            data[key] = empty
            body = self._encoded(envelope, data)
        if len(body) <= RESPONSE_MAX_BYTES:
            return body
        # Ids longer than CloudFormation's own: nobody is listening, but the promise holds.
        cut = replace(
            envelope,
            physical_resource_id=escape(envelope.physical_resource_id, _ID_MAX),
            stack_id=escape(envelope.stack_id, _ID_MAX),
            request_id=escape(envelope.request_id, _ID_MAX),
            logical_resource_id=escape(envelope.logical_resource_id, _ID_MAX),
        )
        return self._encoded(cut, data)

    def _encoded(self, envelope: Envelope, data: Mapping[str, str]) -> bytes:
        return json.dumps(
            {
                "Status": self.status,
                "Reason": self.reason,
                "PhysicalResourceId": envelope.physical_resource_id,
                "StackId": envelope.stack_id,
                "RequestId": envelope.request_id,
                "LogicalResourceId": envelope.logical_resource_id,
                "NoEcho": False,
                "Data": data,
            },
            separators=(",", ":"),
        ).encode("ascii")


def of_result(result: Result, request: RemovalRequest, log: LogPlace) -> Report:
    """The report on a removal that was planned, or carried out wholly or in part."""
    by_outcome = NodesByOutcome.of(result.removal)
    outcome = _outcome(result, request, by_outcome)
    is_success = outcome in {Outcome.COMPLETE, Outcome.ACCEPTED, Outcome.PLANNED} or (
        outcome is Outcome.PARTIAL and request.on_partial_failure is PartialFailure.REPORT
    )
    status = SUCCESS if is_success else FAILED
    head = _head(outcome, result, by_outcome)
    has_metrics = telemetry.writes_metrics() and not request.is_dry_run
    summary = RemovalSummary(request.cluster, outcome, status, head, result, by_outcome, log)
    return Report(
        status=status,
        reason=reason(head, by_outcome.failed, removed=len(by_outcome.removed), log=log),
        data=data(outcome, result.cluster_name, _attributes(result, by_outcome)),
        lines=(
            *(log_lines.of_metrics(summary) if has_metrics else ()),
            *log_lines.of_result(result, by_outcome),
            LogLine(
                logging.WARNING if by_outcome.failed or not is_success else logging.INFO,
                f"{outcome}: {head}",
            ),
        ),
        summary=None if request.is_dry_run else summary,
        signal_id=_signal_id(outcome, by_outcome) if is_success else "",
    )


def _outcome(result: Result, request: RemovalRequest, by_outcome: NodesByOutcome) -> Outcome:
    if result.objections:
        return Outcome.FAILED
    if request.is_dry_run and not result.interruption:
        return Outcome.PLANNED
    if not by_outcome.failed:
        return Outcome.ACCEPTED if by_outcome.accepted else Outcome.COMPLETE
    if request.scope is Scope.NONE and all(
        code_of(node) == FailureCode.NOT_REQUESTED for node in by_outcome.failed
    ):
        return Outcome.PARTIAL
    return Outcome.PARTIAL if len(by_outcome.failed) < len(result.removal.nodes) else Outcome.FAILED


def _head(outcome: Outcome, result: Result, by_outcome: NodesByOutcome) -> str:
    if result.objections:
        return refused(result.cluster_name, result.objections)
    if outcome is Outcome.PLANNED:
        return planned(
            result.cluster_name,
            planned=len(by_outcome.planned),
            leaving=len(by_outcome.accepted),
            absent=len(by_outcome.absent),
            refused=len(by_outcome.failed),
        )
    return verdict(
        result.cluster_name,
        removed=len(by_outcome.removed),
        accepted=len(by_outcome.accepted),
        absent=len(by_outcome.absent),
        failed=len(by_outcome.failed),
        seconds=result.elapsed,
        interruption=result.interruption,
    )


def _signal_id(outcome: Outcome, by_outcome: NodesByOutcome) -> str:
    what = {Outcome.PLANNED: "would be removed", Outcome.ACCEPTED: "accepted"}
    done = len(by_outcome.planned) + len(by_outcome.accepted) + len(by_outcome.removed)
    return signal_id(
        what.get(outcome, "removed"), by_outcome.failed, done=done, absent=len(by_outcome.absent)
    )


def untouched(outcome: Outcome, cluster: object, sentence: str, *, signal_id: str = "") -> Report:
    """The report on a request that leaves the cluster alone, and succeeds."""
    return Report(
        status=SUCCESS,
        reason=sentence,
        signal_id=signal_id,
        data=data(outcome, cluster),
        lines=(LogLine(logging.INFO, f"{outcome}: {sentence}"),),
    )


def failure(cluster: object, sentence: str, log: LogPlace) -> Report:
    """The report on a request that failed before any node was asked for."""
    text = escape(sentence)
    return Report(
        status=FAILED,
        reason=truncate_middle(text, REASON_MAX_BYTES - len(log.sentence)) + log.sentence,
        data=data(Outcome.FAILED, cluster),
        lines=(LogLine(logging.ERROR, f"{Outcome.FAILED}: {text}"),),
    )


# `Data`: the attributes of the resource, all strings, all there on every path -----------------


def data(
    outcome: Outcome, cluster: object, given: Mapping[Attribute, str] | None = None
) -> Mapping[str, str]:
    """`Data` with every attribute: those that are not given are empty or zero."""
    zero = {key: "0" if key.endswith("Count") else "" for key in Attribute}
    zero[Attribute.INSTANCE_GROUP_TARGET_COUNTS] = "{}"
    named = {
        Attribute.OUTCOME: str(outcome),
        Attribute.CLUSTER_NAME: escape(cluster, 256) if isinstance(cluster, str) else "",
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


def _attributes(result: Result, by_outcome: NodesByOutcome) -> Mapping[Attribute, str]:
    """Counts, and as many names as there is room for: those of failed nodes before all others."""
    counts = {
        Attribute.REQUESTED_COUNT: len(result.removal.nodes),
        Attribute.PLANNED_COUNT: len(by_outcome.planned),
        Attribute.REMOVED_COUNT: len(by_outcome.removed),
        Attribute.ACCEPTED_COUNT: len(by_outcome.accepted),
        Attribute.ALREADY_ABSENT_COUNT: len(by_outcome.absent),
        Attribute.FAILED_COUNT: len(by_outcome.failed),
    }
    lists = {
        Attribute.FAILED_NODES: by_outcome.failed,
        Attribute.PLANNED_NODES: by_outcome.planned,
        Attribute.REMOVED_NODES: by_outcome.removed,
        Attribute.ACCEPTED_NODES: by_outcome.accepted,
        Attribute.ALREADY_ABSENT_NODES: by_outcome.absent,
        Attribute.REQUESTED_NODES: result.removal.nodes,
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
        Attribute.WARNINGS: truncate(" ".join(result.warnings), _WARNINGS_MAX),
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
