"""From the result of a removal to what people read: `Reason`, `Data` and log lines.

All limits on size are kept here. A cut never goes through an id, and says how much is missing.
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
    FailureCode,
    Outcome,
    PartialFailure,
    printable,
)
from hyperpod_node_removal_handler.request import Envelope, RemovalRequest
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode
from hyperpod_node_removal_handler.rounds import Result

SUCCESS: Final = "SUCCESS"
FAILED: Final = "FAILED"

# Shares of a body of 4,096 bytes: the reason has 1,000 of its own, and what CloudFormation's ids
# take is not in our hands.
_FAILED_NODES_MAX: Final = 700
_NODE_LISTS_MAX: Final = 1300
_TARGET_COUNTS_MAX: Final = 400
_ID_MAX: Final = 256
# Of a reason: whatever else there is to tell, some nodes are named.
_INTERRUPTION_MAX: Final = 320

_NEXT_STEPS: Final = {
    FailureCode.CONTROLLER_NODE: "Take Slurm controllers out of the set.",
    FailureCode.STILL_PRESENT: (
        "Accepted removals go on by themselves; a new RetryToken checks on them."
    ),
}
_NEXT_STEP: Final = "A new RetryToken asks for them again."
"""What to do about every other code."""


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
            (Attribute.REMOVED_NODES, ""),
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
class LogPlace:
    """Where the log of this invocation is."""

    group: str = ""
    stream: str = ""

    @property
    def sentence(self) -> str:
        """With the literal by which the CDK CLI finds and opens the stream (aws-cdk-cli #1645)."""
        if not self.stream:
            return ""
        group = f" Log group: {printable(self.group, 100)}." if self.group else ""
        return f"{group} CloudWatch Log Stream: {printable(self.stream, 150)}"


def of_result(result: Result, request: RemovalRequest, log: LogPlace) -> Report:
    """The report on a removal that was carried out, wholly or in part."""
    nodes = result.removal.nodes
    removed = [node for node in nodes if node.phase is Phase.REMOVED]
    absent = [node for node in nodes if node.phase is Phase.ABSENT]
    failed = [node for node in nodes if node.phase is Phase.FAILED]
    if not failed:
        outcome = Outcome.COMPLETE
    elif len(failed) < len(nodes):
        outcome = Outcome.PARTIAL
    else:
        outcome = Outcome.FAILED
    is_success = outcome is Outcome.COMPLETE or (
        outcome is Outcome.PARTIAL and request.on_partial_failure is PartialFailure.REPORT
    )
    head = _verdict(result, removed, absent, failed)
    middle = f" {_fitted(result.interruption, _INTERRUPTION_MAX)}" if result.interruption else ""
    reason = _reason(head + middle, failed, len(removed), log)
    lines = [
        *(_went_well(node, "removed") for node in removed),
        *(_went_well(node, "already absent") for node in absent),
        *_target_count_lines(result),
        *(_failure_line(node) for node in failed),
        LogLine(
            logging.INFO if outcome is Outcome.COMPLETE else logging.WARNING,
            f"{outcome}: {head}{middle}",
        ),
    ]
    room = _NODE_LISTS_MAX
    failed_nodes = listed([node.name for node in failed], _FAILED_NODES_MAX)
    room -= len(failed_nodes)
    removed_nodes = listed([node.name for node in removed], room * 2 // 3)
    room -= len(removed_nodes)
    return Report(
        status=SUCCESS if is_success else FAILED,
        reason=reason,
        data=_data(
            outcome,
            result.cluster_name,
            {
                Attribute.REQUESTED_COUNT: str(len(nodes)),
                Attribute.REMOVED_COUNT: str(len(removed)),
                Attribute.ALREADY_ABSENT_COUNT: str(len(absent)),
                Attribute.FAILED_COUNT: str(len(failed)),
                Attribute.REMOVED_NODES: removed_nodes,
                Attribute.ALREADY_ABSENT_NODES: listed([node.name for node in absent], room),
                Attribute.FAILED_NODES: failed_nodes,
                Attribute.INSTANCE_GROUP_TARGET_COUNTS: _target_counts(result.target_counts),
            },
        ),
        lines=tuple(lines),
    )


def untouched(outcome: Outcome, cluster: object, reason: str) -> Report:
    """The report on a request that leaves the cluster alone, and succeeds."""
    return Report(
        status=SUCCESS,
        reason=reason,
        data=_data(outcome, cluster),
        lines=(LogLine(logging.INFO, f"{outcome}: {reason}"),),
    )


def failure(cluster: object, sentence: str, log: LogPlace) -> Report:
    """The report on a request that failed before any node was asked for."""
    text = printable(sentence)
    return Report(
        status=FAILED,
        reason=_fitted(text, REASON_MAX_BYTES - len(log.sentence)) + log.sentence,
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


# The reason ----------------------------------------------------------------------------------


def _verdict(
    result: Result,
    removed: Sequence[RequestedNode],
    absent: Sequence[RequestedNode],
    failed: Sequence[RequestedNode],
) -> str:
    total = len(result.removal.nodes)
    cluster = printable(result.cluster_name)
    also = f", {len(absent)} already absent" if absent else ""
    if failed:
        nodes = "node" if total == 1 else "nodes"
        counts = f"({len(removed)} removed{also})"
        return f"{len(failed)} of {total} {nodes} not removed from {cluster} {counts}."
    nodes = "node" if len(removed) == 1 else "nodes"
    return f"{len(removed)} {nodes} removed from {cluster}{also} in {round(result.elapsed)} s."


def _reason(head: str, failed: Sequence[RequestedNode], removed_count: int, log: LogPlace) -> str:
    """Verdict, nodes by code, the log stream; in what is left, what the service said and what to
    do next."""
    room = REASON_MAX_BYTES - len(log.sentence)
    head = _fitted(head, room)
    if not failed:
        return head + log.sentence
    by_code: dict[str, list[RequestedNode]] = {}
    for node in failed:
        by_code.setdefault(_code(node), []).append(node)
    groups = {code: [node.name for node in nodes] for code, nodes in by_code.items()}
    text = head + _by_code(groups, room - len(head))
    for extra in _extras(by_code, removed_count):
        if len(text) + len(extra) <= room:
            text += extra
    return text + log.sentence


def _by_code(groups: Mapping[str, Sequence[str]], room: int) -> str:
    """` Code: i-1, i-2; Code: i-3, +31 more.`, with as many ids of each code as there is room."""

    def text(most: int) -> str:
        return " " + "; ".join(_group(code, ids, most) for code, ids in groups.items()) + "."

    least, most = 0, max(len(ids) for ids in groups.values())
    while least < most:
        middle = (least + most + 1) // 2
        if len(text(middle)) <= room:
            least = middle
        else:
            most = middle - 1
    shortest = text(least)
    if len(shortest) <= room:
        return shortest
    # More codes than there is room for.
    return _fitted(shortest, room)


def _group(code: str, ids: Sequence[str], most: int) -> str:
    if most == 0:
        return f"{code}: {len(ids)} nodes" if len(ids) > 1 else f"{code}: 1 node"
    rest = [f"+{len(ids) - most} more"] if len(ids) > most else []
    return f"{code}: {', '.join([*ids[:most], *rest])}"


def _extras(by_code: Mapping[str, Sequence[RequestedNode]], removed_count: int) -> list[str]:
    extras = []
    for code, nodes in by_code.items():
        first = nodes[0]
        if first.refusal and first.refusal.message and code not in set(FailureCode):
            tries = f" ({first.attempts} attempts)" if first.attempts > 1 else ""
            extras.append(f' {code}: "{first.refusal.message}"{tries}.')
    steps = dict.fromkeys(
        _NEXT_STEPS[FailureCode(code)]
        if code in set(FailureCode) and FailureCode(code) in _NEXT_STEPS
        else _NEXT_STEP
        for code in by_code
    )
    extras += [f" {step}" for step in steps]
    if removed_count:
        extras.append(" A rollback does not bring removed nodes back.")
    return extras


def _fitted(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - 3)] + "..."


# Data ----------------------------------------------------------------------------------------


def _data(
    outcome: Outcome, cluster: object, given: Mapping[Attribute, str] | None = None
) -> Mapping[str, str]:
    zero = dict.fromkeys(Attribute, "") | {
        Attribute.REQUESTED_COUNT: "0",
        Attribute.REMOVED_COUNT: "0",
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
    message = node.refusal.message if node.refusal else ""
    where = f" Group {node.node.group}, status {node.node.status}." if node.node else ""
    tries = f" Asked for {node.attempts} times." if node.attempts > 1 else ""
    return LogLine(
        logging.WARNING,
        f"{node.name}: not removed: {_code(node)}: {message}.{where}{tries}",
        {"node": node.name, "code": _code(node), "attempts": node.attempts},
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


def _code(node: RequestedNode) -> str:
    return str(node.refusal.code) if node.refusal else "Unknown"
