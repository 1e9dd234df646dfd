"""From the result of a removal to an answer: status, `Reason`, `Data`, and log lines.

The limit on the size of a body is kept here, those of its parts in `reason` and `attributes`. A cut
never goes through an id, and says how much is missing.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from hyperpod_node_removal_handler import attributes, log_lines, metrics, signals
from hyperpod_node_removal_handler.contract import (
    REASON_MAX_BYTES,
    RESPONSE_MAX_BYTES,
    Attribute,
    FailureCode,
    Outcome,
    PartialFailure,
    abbreviated,
    printable,
)
from hyperpod_node_removal_handler.envelope import Envelope
from hyperpod_node_removal_handler.log_lines import LogLine
from hyperpod_node_removal_handler.reason import (
    LogPlace,
    code_of,
    planned,
    reason,
    refused,
    verdict,
)
from hyperpod_node_removal_handler.request import RemovalRequest, Scope
from hyperpod_node_removal_handler.result import FinishedRemoval, Result, Tally

SUCCESS: Final = "SUCCESS"
FAILED: Final = "FAILED"
_ID_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Report:
    """An answer to CloudFormation, and what the log says of it."""

    status: str
    reason: str
    data: Mapping[str, str]
    lines: tuple[LogLine, ...] = ()
    finished: FinishedRemoval | None = None
    """What it is the end of. None: nothing was to be removed, or nothing had begun."""

    def body(self, envelope: Envelope) -> bytes:
        """The response body: JSON in ASCII of at most 4,096 bytes, whatever comes in."""
        data = dict(self.data)
        droppable = [
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
            physical_resource_id=printable(envelope.physical_resource_id, _ID_MAX),
            stack_id=printable(envelope.stack_id, _ID_MAX),
            request_id=printable(envelope.request_id, _ID_MAX),
            logical_resource_id=printable(envelope.logical_resource_id, _ID_MAX),
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
    tally = Tally.of(result.removal)
    outcome = _outcome(result, request, tally)
    is_success = outcome in {Outcome.COMPLETE, Outcome.ACCEPTED, Outcome.PLANNED} or (
        outcome is Outcome.PARTIAL and request.on_partial_failure is PartialFailure.REPORT
    )
    status = SUCCESS if is_success else FAILED
    head = _head(outcome, result, tally)
    has_metrics = signals.writes_metrics() and not request.is_dry_run
    finished = FinishedRemoval(request.cluster, outcome, status, head, result, tally, log)
    return Report(
        status=status,
        reason=reason(head, tally.failed, removed=len(tally.removed), log=log),
        data=attributes.data(outcome, result.cluster_name, attributes.of_result(result, tally)),
        lines=(
            *(metrics.lines(finished) if has_metrics else ()),
            *log_lines.of_result(result, tally),
            LogLine(
                logging.WARNING if tally.failed or not is_success else logging.INFO,
                f"{outcome}: {head}",
            ),
        ),
        finished=None if request.is_dry_run else finished,
    )


def _outcome(result: Result, request: RemovalRequest, tally: Tally) -> Outcome:
    if result.objections:
        return Outcome.FAILED
    if request.is_dry_run and not result.interruption:
        return Outcome.PLANNED
    if not tally.failed:
        return Outcome.ACCEPTED if tally.accepted else Outcome.COMPLETE
    if request.scope is Scope.NONE and all(
        code_of(node) == FailureCode.NOT_REQUESTED for node in tally.failed
    ):
        return Outcome.PARTIAL
    return Outcome.PARTIAL if len(tally.failed) < len(result.removal.nodes) else Outcome.FAILED


def _head(outcome: Outcome, result: Result, tally: Tally) -> str:
    if result.objections:
        return refused(result.cluster_name, result.objections)
    if outcome is Outcome.PLANNED:
        return planned(
            result.cluster_name,
            planned=len(tally.planned),
            leaving=len(tally.accepted),
            absent=len(tally.absent),
            refused=len(tally.failed),
        )
    return verdict(
        result.cluster_name,
        removed=len(tally.removed),
        accepted=len(tally.accepted),
        absent=len(tally.absent),
        failed=len(tally.failed),
        seconds=result.elapsed,
        interruption=result.interruption,
    )


def untouched(outcome: Outcome, cluster: object, sentence: str) -> Report:
    """The report on a request that leaves the cluster alone, and succeeds."""
    return Report(
        status=SUCCESS,
        reason=sentence,
        data=attributes.data(outcome, cluster),
        lines=(LogLine(logging.INFO, f"{outcome}: {sentence}"),),
    )


def failure(cluster: object, sentence: str, log: LogPlace) -> Report:
    """The report on a request that failed before any node was asked for."""
    text = printable(sentence)
    return Report(
        status=FAILED,
        reason=abbreviated(text, REASON_MAX_BYTES - len(log.sentence)) + log.sentence,
        data=attributes.data(Outcome.FAILED, cluster),
        lines=(LogLine(logging.ERROR, f"{Outcome.FAILED}: {text}"),),
    )
