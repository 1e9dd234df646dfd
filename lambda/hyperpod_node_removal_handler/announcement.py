"""What is announced after the reply: an event on a bus, and a verdict in the stack's events.

Neither can delay or fail what CloudFormation waits for, and what does not arrive is in the log.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from botocore.exceptions import ClientError

from hyperpod_node_removal_contract import Attribute, escape, escape_error, telemetry
from hyperpod_node_removal_handler import aws, timing
from hyperpod_node_removal_handler.outcome import Result, verdict
from hyperpod_node_removal_handler.report import FAILED, NODES_BY_PHASE, SUCCESS, counts
from hyperpod_node_removal_handler.request import Envelope
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode
from hyperpod_node_removal_handler.stack import StackNotUpdatingError, StackWatch

_log = logging.getLogger(__name__)

_CODES_MAX: Final = 40
"""Codes that are listed separately in one event. The service may return any text."""
_GROUPS_MAX: Final = 100
"""Instance groups a cluster can have (quota)."""
_TEXT_MAX: Final = 1024
_NAME_MAX: Final = 64
"""Characters of a code or the name of a group. Longer ones are cut: the limit of the whole rests on
this and on the three above."""


# The event of EventBridge --------------------------------------------------------------------


def send_event(
    result: Result, envelope: Envelope, *, bus: str, clock: timing.Clock, expires_at: float
) -> None:
    """Send the event to `bus`, until `expires_at` at the latest. Never raises."""
    until = min(expires_at, clock.now() + timing.EVENT_RETRY)
    try:
        entry = {
            "Source": telemetry.EVENT_SOURCE,
            "DetailType": telemetry.EVENT_DETAIL_TYPE,
            "Detail": detail(result, envelope),
            "EventBusName": bus,
            "Resources": [envelope.stack_id],
        }
        timing.call_with_retry(lambda: _put(entry), clock=clock, until=until, denied_until=until)
    except Exception as error:  # noqa: BLE001
        what = escape_error(error)
        _log.error("The event of this removal was not sent to %s: %s", escape(bus), what)


def _put(entry: dict[str, Any]) -> None:
    """Call PutEvents, once. An entry is refused in an answer that is itself a success."""
    client = aws.client("events")
    with aws.map_errors("PutEvents"):
        answer = client.put_events(Entries=[entry])
        for refused in aws.require_key("PutEvents", answer, "Entries"):
            if code := refused.get("ErrorCode"):
                error = {"Code": code, "Message": refused.get("ErrorMessage", "")}
                metadata = {"HTTPStatusCode": 500 if code.startswith("Internal") else 400}
                raise ClientError({"Error": error, "ResponseMetadata": metadata}, "PutEvents")


def detail(result: Result, envelope: Envelope) -> str:
    """Return `detail` as JSON in ASCII of at most `EVENT_DETAIL_MAX_BYTES`.

    Counts are exact whatever was cut; what lists leave out is counted in `OmittedCount`.
    """
    failures = _largest_first(result.failed_by_code)
    lists = {
        NODES_BY_PHASE[phase][1]: result.removal.by_phase[phase]
        for phase in (Phase.REMOVED, Phase.LEAVING, Phase.ABSENT)
    }
    whole: dict[str, object] = {
        "Version": telemetry.EVENT_VERSION,
        "StackId": _text(envelope.stack_id),
        "LogicalResourceId": _text(envelope.logical_resource_id),
        "RequestId": _text(envelope.request_id),
        "Cluster": _text(result.request.cluster),
        Attribute.CLUSTER_NAME: _text(result.cluster_name),
        "Status": SUCCESS if result.is_success else FAILED,
        Attribute.OUTCOME: str(result.outcome),
        "Summary": _text(verdict(result)),
        "DurationSeconds": round(result.elapsed, 3),
        # There is no event of a dry run.
        **{name: n for name, n in counts(result).items() if name != Attribute.PLANNED_COUNT},
        Attribute.INSTANCE_GROUP_TARGET_COUNTS: {
            escape(name, _NAME_MAX): count
            for name, count in islice(result.target_counts.items(), _GROUPS_MAX)
        },
        "LogGroup": _text(result.log.group),
        "LogStream": _text(result.log.stream),
        "OmittedCount": len(result.removal.nodes),
        "Failures": [_failure(code, nodes, ()) for code, nodes in failures.items()],
        **{attribute: [] for attribute in lists},
    }
    room = telemetry.EVENT_DETAIL_MAX_BYTES - len(_encoded(whole))
    named = [*failures.values(), *lists.values()]
    shown = _fitting_names(named, room)
    whole["OmittedCount"] = sum(map(len, named)) - sum(map(len, shown))
    of_failures, of_lists = shown[: len(failures)], shown[len(failures) :]
    whole["Failures"] = [
        _failure(code, nodes, names)
        for (code, nodes), names in zip(failures.items(), of_failures, strict=True)
    ]
    whole |= dict(zip(lists, of_lists, strict=True))
    return _encoded(whole)


def _fitting_names(groups: Iterable[Sequence[RequestedNode]], room: int) -> list[list[str]]:
    """Return the names of the nodes in each group, of which the first that fit into `room`."""
    shown: list[list[str]] = []
    for nodes in groups:
        shown.append([])
        for node in nodes:
            room -= len(_encoded(node.name)) + 1  # with its comma
            if room < 0:
                break
            shown[-1].append(node.name)
    return shown


def _largest_first(groups: Mapping[str, list[RequestedNode]]) -> Mapping[str, list[RequestedNode]]:
    """Return groups of failed nodes, the largest first; those beyond `_CODES_MAX` as one."""
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    kept = dict(ordered[:_CODES_MAX])
    for _, nodes in ordered[_CODES_MAX:]:
        kept[telemetry.OTHER_CODE] = kept.get(telemetry.OTHER_CODE, []) + nodes
    return kept


def _failure(
    code: str, nodes: Sequence[RequestedNode], names: Sequence[str]
) -> Mapping[str, object]:
    """Return the failures with one code, and what the service said about the first node."""
    refusal = nodes[0].refusal
    return {
        "Code": escape(code, _NAME_MAX),
        "Count": len(nodes),
        "Message": _text(refusal.message if refusal else ""),
        "Nodes": list(names),
    }


def _text(value: str) -> str:
    """Return text that comes from elsewhere. None is this long."""
    return escape(value, _TEXT_MAX)


def _encoded(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


# The verdict in the stack's events -----------------------------------------------------------


def signal(
    stack: StackWatch, condition: str, verdict: str, *, clock: timing.Clock, until: float
) -> None:
    """Signal a wait condition once it is in progress, which it is soon after the reply.

    The event reads `Received SUCCESS signal with UniqueId 5 of 5 removed` (docs/adr/0018). Before
    each attempt the stack is looked at: a later deployment of the same set has a condition of the
    same name. The last attempt is made at `until`. Never raises.
    """
    denied_until = min(until, clock.now() + timing.PROPAGATION)
    backoff = timing.pauses(*timing.SIGNAL_PAUSES)
    try:
        while True:
            stack.require_forward()
            try:
                with aws.map_errors("SignalResource"):
                    aws.client("cloudformation").signal_resource(
                        StackName=stack.stack_id,
                        LogicalResourceId=condition,
                        UniqueId=verdict,
                        Status="SUCCESS",
                    )
            except aws.AwsError as error:
                # A condition that is not in progress yet is refused like one that does not exist.
                is_denied = isinstance(error, aws.AccessDeniedError)
                if clock.now() >= (denied_until if is_denied else until):
                    raise
            else:
                _log.info("Signaled %s: %s", condition, verdict)
                return
            stack.sleep(min(next(backoff), until - clock.now()))
    except StackNotUpdatingError as error:
        _log.info("%s was not signaled, or its answer was lost: %s", condition, error)
    except Exception as error:  # noqa: BLE001
        _log.error(
            "%s was not signaled: %s. Unless an earlier attempt arrived, the condition times out"
            " and the stack fails although the removal succeeded. With rollback disabled, change"
            " RetryToken and deploy again.",
            condition,
            escape_error(error),
        )
