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
    abbreviated,
    printable,
    signals,
)
from hyperpod_node_removal_handler import log_lines
from hyperpod_node_removal_handler.envelope import Envelope
from hyperpod_node_removal_handler.log_lines import LogLine
from hyperpod_node_removal_handler.reason import (
    LogPlace,
    code_of,
    fitted,
    planned,
    reason,
    refused,
    signal_id,
    verdict,
)
from hyperpod_node_removal_handler.request import RemovalRequest, Scope
from hyperpod_node_removal_handler.result import FinishedRemoval, Result, Tally

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
    finished: FinishedRemoval | None = None
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
        data=data(outcome, result.cluster_name, _attributes(result, tally)),
        lines=(
            *(log_lines.of_metrics(finished) if has_metrics else ()),
            *log_lines.of_result(result, tally),
            LogLine(
                logging.WARNING if tally.failed or not is_success else logging.INFO,
                f"{outcome}: {head}",
            ),
        ),
        finished=None if request.is_dry_run else finished,
        signal_id=_signal_id(outcome, tally) if is_success else "",
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


def _signal_id(outcome: Outcome, tally: Tally) -> str:
    what = {Outcome.PLANNED: "would be removed", Outcome.ACCEPTED: "accepted"}
    done = len(tally.planned) + len(tally.accepted) + len(tally.removed)
    return signal_id(
        what.get(outcome, "removed"), tally.failed, done=done, absent=len(tally.absent)
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
    text = printable(sentence)
    return Report(
        status=FAILED,
        reason=abbreviated(text, REASON_MAX_BYTES - len(log.sentence)) + log.sentence,
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


def _attributes(result: Result, tally: Tally) -> Mapping[Attribute, str]:
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
