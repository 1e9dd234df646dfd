"""The event of a removal that has ended, for those who act on it: one entry of PutEvents.

It is sent after the reply, so that nothing about it can delay or fail what CloudFormation waits
for. An event that does not arrive is in the log.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from hyperpod_node_removal_contract import Attribute, escape, telemetry
from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.envelope import Envelope
from hyperpod_node_removal_handler.requested_node import RequestedNode
from hyperpod_node_removal_handler.result import RemovalSummary
from hyperpod_node_removal_handler.timing import EVENT_RETRY, Clock, call_with_retry

_log = logging.getLogger(__name__)

_CODES_MAX: Final = 40
"""Codes that are told apart in one event. The service may answer any text."""
_GROUPS_MAX: Final = 100
"""Instance groups a cluster can have (quota)."""
_TEXT_MAX: Final = 1024
_NAME_MAX: Final = 64
"""Characters of a code or the name of a group. Longer ones are cut: the limit of the whole rests on
this and on the three above."""


def announce(
    summary: RemovalSummary, envelope: Envelope, *, bus: str, clock: Clock, expires_at: float
) -> None:
    """Send the event to `bus`. Never raises: the reply has been sent."""
    until = min(expires_at, clock.now() + EVENT_RETRY)
    try:
        entry = {
            "Source": telemetry.EVENT_SOURCE,
            "DetailType": telemetry.EVENT_DETAIL_TYPE,
            "Detail": detail(summary, envelope),
            "EventBusName": bus,
            "Resources": [envelope.stack_id],
        }
        client = aws.client("events")
        call_with_retry(lambda: _put(client, entry), clock=clock, until=until, denied_until=until)
    except Exception as error:  # noqa: BLE001
        what = escape(f"{type(error).__name__}: {error}", 400)
        _log.error("The event of this removal was not sent to %s: %s", escape(bus), what)


def _put(client: BaseClient, entry: dict[str, Any]) -> None:
    """PutEvents: one call. An entry is refused in an answer that is itself a success."""
    with aws.map_errors("PutEvents"):
        answer = client.put_events(Entries=[entry])
        for refused in aws.require_keys("PutEvents", answer, "Entries")["Entries"]:
            if code := refused.get("ErrorCode"):
                error = {"Code": code, "Message": refused.get("ErrorMessage", "")}
                status = 500 if code.startswith("Internal") else 400
                metadata = {"HTTPStatusCode": status}
                raise ClientError({"Error": error, "ResponseMetadata": metadata}, "PutEvents")


def detail(summary: RemovalSummary, envelope: Envelope) -> str:
    """`detail` as JSON in ASCII of at most `EVENT_DETAIL_MAX_BYTES`.

    Counts are exact whatever was cut; what lists leave out is counted in `OmittedCount`.
    """
    result, by_outcome = summary.result, summary.by_outcome
    failures = _by_code(summary.failed_by_code())
    told = {
        "Version": telemetry.EVENT_VERSION,
        "StackId": _text(envelope.stack_id),
        "LogicalResourceId": _text(envelope.logical_resource_id),
        "RequestId": _text(envelope.request_id),
        "Cluster": _text(summary.cluster),
        Attribute.CLUSTER_NAME: _text(result.cluster_name),
        "Status": summary.status,
        Attribute.OUTCOME: str(summary.outcome),
        "Summary": _text(summary.verdict),
        "DurationSeconds": round(result.elapsed, 3),
        Attribute.REQUESTED_COUNT: len(result.removal.nodes),
        Attribute.REMOVED_COUNT: len(by_outcome.removed),
        Attribute.ACCEPTED_COUNT: len(by_outcome.accepted),
        Attribute.ALREADY_ABSENT_COUNT: len(by_outcome.absent),
        Attribute.FAILED_COUNT: len(by_outcome.failed),
        Attribute.INSTANCE_GROUP_TARGET_COUNTS: {
            escape(name, _NAME_MAX): count
            for name, count in islice(result.target_counts.items(), _GROUPS_MAX)
        },
        "LogGroup": _text(summary.log.group),
        "LogStream": _text(summary.log.stream),
        "OmittedCount": len(result.removal.nodes),
    }
    empty = {
        "Failures": [_failure(code, nodes, ()) for code, nodes in failures.items()],
        Attribute.REMOVED_NODES: [],
        Attribute.ACCEPTED_NODES: [],
        Attribute.ALREADY_ABSENT_NODES: [],
    }
    room = _Room(telemetry.EVENT_DETAIL_MAX_BYTES - len(_encoded(told | empty)))
    full = {
        "Failures": [_failure(code, nodes, room.taken(nodes)) for code, nodes in failures.items()],
        Attribute.REMOVED_NODES: room.taken(by_outcome.removed),
        Attribute.ACCEPTED_NODES: room.taken(by_outcome.accepted),
        Attribute.ALREADY_ABSENT_NODES: room.taken(by_outcome.absent),
    }
    return _encoded(told | full | {"OmittedCount": room.omitted})


class _Room:
    """The bytes that are left for names, and how many names found none."""

    def __init__(self, size: int) -> None:
        self._left = size
        self.omitted = 0

    def taken(self, nodes: Sequence[RequestedNode]) -> list[str]:
        """As many names, from the first, as there is room for."""
        names: list[str] = []
        for node in nodes:
            self._left -= len(_encoded(node.name)) + 1  # with its comma
            if self._left < 0:
                break
            names.append(node.name)
        self.omitted += len(nodes) - len(names)
        return names


def _by_code(groups: Mapping[str, list[RequestedNode]]) -> Mapping[str, list[RequestedNode]]:
    """Groups of failed nodes, the largest first; those beyond `_CODES_MAX` as one."""
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    kept = dict(ordered[:_CODES_MAX])
    for _, nodes in ordered[_CODES_MAX:]:
        kept[telemetry.OTHER_CODE] = kept.get(telemetry.OTHER_CODE, []) + nodes
    return kept


def _failure(
    code: str, nodes: Sequence[RequestedNode], names: Sequence[str]
) -> Mapping[str, object]:
    """Failures of one code, with what was said of the first node."""
    refusal = nodes[0].refusal
    return {
        "Code": escape(code, _NAME_MAX),
        "Count": len(nodes),
        "Message": _text(refusal.message if refusal else ""),
        "Nodes": list(names),
    }


def _text(value: str) -> str:
    """Text that comes from elsewhere. None is this long."""
    return escape(value, _TEXT_MAX)


def _encoded(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
