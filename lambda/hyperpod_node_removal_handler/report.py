"""From the result of a removal to an answer: status, `Reason`, `Data`, and log lines.

The limits on size of a body are kept here, those of its reason in `reason`. A cut never goes
through an id, and says how much is missing.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from hyperpod_node_removal_handler.contract import (
    REASON_MAX_BYTES,
    RESPONSE_MAX_BYTES,
    Attribute,
    Outcome,
    PartialFailure,
    printable,
)
from hyperpod_node_removal_handler.envelope import Envelope
from hyperpod_node_removal_handler.reason import (
    LogPlace,
    code_of,
    fitted,
    guarded,
    planned,
    reason,
    verdict,
)
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.request import RemovalRequest
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode
from hyperpod_node_removal_handler.result import Result

SUCCESS: Final = "SUCCESS"
FAILED: Final = "FAILED"

# Shares of a body of 4,096 bytes: the reason has 900 of its own, and what CloudFormation's ids
# take is not in our hands.
_NODE_LISTS_MAX: Final = 1300
_TARGET_COUNTS_MAX: Final = 400
_ID_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the function's log."""

    level: int
    text: str
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """An answer to CloudFormation, and what the log says of it."""

    status: str
    reason: str
    data: Mapping[str, str]
    lines: tuple[LogLine, ...] = ()

    def body(self, envelope: Envelope) -> bytes:
        """The response body: JSON in ASCII of at most 4,096 bytes, whatever comes in."""
        data = dict(self.data)
        droppable = [
            (Attribute.PLANNED_NODES, ""),
            (Attribute.REMOVED_NODES, ""),
            (Attribute.ACCEPTED_NODES, ""),
            (Attribute.ALREADY_ABSENT_NODES, ""),
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


@dataclass(frozen=True, slots=True)
class _Tally:
    """The nodes of a removal by where they ended."""

    planned: tuple[RequestedNode, ...]
    removed: tuple[RequestedNode, ...]
    accepted: tuple[RequestedNode, ...]
    absent: tuple[RequestedNode, ...]
    failed: tuple[RequestedNode, ...]

    @classmethod
    def of(cls, removal: Removal) -> "_Tally":
        def ended(phase: Phase) -> tuple[RequestedNode, ...]:
            return tuple(node for node in removal.nodes if node.phase is phase)

        return cls(
            planned=ended(Phase.WAITING),
            removed=ended(Phase.REMOVED),
            accepted=ended(Phase.LEAVING),
            absent=ended(Phase.ABSENT),
            failed=ended(Phase.FAILED),
        )


def of_result(result: Result, request: RemovalRequest, log: LogPlace) -> Report:
    """The report on a removal that was planned, or carried out wholly or in part."""
    tally = _Tally.of(result.removal)
    outcome = _outcome(result, request, tally)
    is_success = outcome in {Outcome.COMPLETE, Outcome.ACCEPTED, Outcome.PLANNED} or (
        outcome is Outcome.PARTIAL and request.on_partial_failure is PartialFailure.REPORT
    )
    head = _head(outcome, result, tally)
    return Report(
        status=SUCCESS if is_success else FAILED,
        reason=reason(head, tally.failed, removed=len(tally.removed), log=log),
        data=_data(outcome, result.cluster_name, _attributes(result, tally)),
        lines=(
            *(_went_well(node, "removed") for node in tally.removed),
            *(_went_well(node, "leaving") for node in tally.accepted),
            *(_went_well(node, "already absent") for node in tally.absent),
            *_target_count_lines(result),
            *(_failure_line(node) for node in tally.failed),
            LogLine(
                logging.WARNING if tally.failed or not is_success else logging.INFO,
                f"{outcome}: {head}",
            ),
        ),
    )


def _outcome(result: Result, request: RemovalRequest, tally: _Tally) -> Outcome:
    if result.broken_guards:
        return Outcome.FAILED
    if request.is_dry_run and not result.interruption:
        return Outcome.PLANNED
    if not tally.failed:
        return Outcome.ACCEPTED if tally.accepted else Outcome.COMPLETE
    return Outcome.PARTIAL if len(tally.failed) < len(result.removal.nodes) else Outcome.FAILED


def _head(outcome: Outcome, result: Result, tally: _Tally) -> str:
    if result.broken_guards:
        return guarded(result.cluster_name, result.broken_guards)
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


def _attributes(result: Result, tally: _Tally) -> Mapping[Attribute, str]:
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
    }


def untouched(outcome: Outcome, cluster: object, sentence: str) -> Report:
    """The report on a request that leaves the cluster alone, and succeeds."""
    return Report(
        status=SUCCESS,
        reason=sentence,
        data=_data(outcome, cluster),
        lines=(LogLine(logging.INFO, f"{outcome}: {sentence}"),),
    )


def failure(cluster: object, sentence: str, log: LogPlace) -> Report:
    """The report on a request that failed before any node was asked for."""
    text = printable(sentence)
    return Report(
        status=FAILED,
        reason=fitted(text, REASON_MAX_BYTES - len(log.sentence)) + log.sentence,
        data=_data(Outcome.FAILED, cluster),
        lines=(LogLine(logging.ERROR, f"{Outcome.FAILED}: {text}"),),
    )


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


# Data ----------------------------------------------------------------------------------------


def _data(
    outcome: Outcome, cluster: object, given: Mapping[Attribute, str] | None = None
) -> Mapping[str, str]:
    zero = dict.fromkeys(Attribute, "") | {
        Attribute.REQUESTED_COUNT: "0",
        Attribute.PLANNED_COUNT: "0",
        Attribute.REMOVED_COUNT: "0",
        Attribute.ACCEPTED_COUNT: "0",
        Attribute.ALREADY_ABSENT_COUNT: "0",
        Attribute.FAILED_COUNT: "0",
        Attribute.INSTANCE_GROUP_TARGET_COUNTS: "{}",
    }
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


# Log lines -----------------------------------------------------------------------------------


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
