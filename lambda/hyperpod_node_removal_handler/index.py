"""The entry of the function: which request leads to what.

Create and Update run the removal. Delete, and everything a rollback sends, leave the cluster alone
and succeed: a removal cannot be undone, and a failure here would leave the stack stuck.
"""

import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hyperpod_node_removal_handler import aws, handover, report, signals
from hyperpod_node_removal_handler.asking import StackIsGoingBackError
from hyperpod_node_removal_handler.cluster import Cluster
from hyperpod_node_removal_handler.contract import Outcome
from hyperpod_node_removal_handler.custom_resource import (
    REPLY_MARGIN,
    CustomResource,
    LambdaContext,
    cluster_of,
    log_place,
)
from hyperpod_node_removal_handler.envelope import Envelope
from hyperpod_node_removal_handler.handover import Continuation
from hyperpod_node_removal_handler.patience import LAG, PROPAGATION, Span, SystemClock, patiently
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.report import Report
from hyperpod_node_removal_handler.request import RemovalRequest
from hyperpod_node_removal_handler.rounds import Rounds
from hyperpod_node_removal_handler.stack import Stack, StackAtRestError, StackDirection
from hyperpod_node_removal_handler.wire import RequestError

if TYPE_CHECKING:
    from hyperpod_node_removal_handler.before_removal import Hook

# Loaded when it is needed, were it not for this: what cannot be loaded must show before nodes are
# removed, where `entry` tells it, and not after.
if signals.writes_metrics():
    import hyperpod_node_removal_handler.metrics
if signals.event_bus():
    import hyperpod_node_removal_handler.removal_event  # noqa: F401

_log = logging.getLogger(__name__)

_HAND_OVER_TRIES: Final = 30.0
"""Seconds for which a hand-over that fails is tried again."""
_SHARE: Final = 0.9
"""Share of an invocation after which a longer removal is handed over: 105 s before the end of 15
minutes, with the margin for the reply."""

clock = SystemClock()
handler = CustomResource(clock, passed=[handover.KEY])


@handler.create
@handler.update
def remove(event: Mapping[str, Any], context: LambdaContext) -> str:
    """Remove the nodes of a new or changed resource, or go on with an earlier invocation's."""
    try:
        work = _work(event)
    except RequestError as error:
        return handler.answer(_refused(event, context, error))
    if work.request.is_empty:
        sentence = "The set of nodes is empty; nothing was called."
        return handler.answer(report.untouched(Outcome.EMPTY, work.request.cluster, sentence))
    if work.link == 1:
        handler.answer_within(work.request.service_timeout)
        if reason_not_to := _reason_not_to(work.request, event, context):
            return handler.answer(reason_not_to)
    return _carry_on(work, event, context)


@handler.delete
def delete(event: Mapping[str, Any], context: LambdaContext) -> str:  # noqa: ARG001
    """Let go of the resource. Nothing is called: the nodes stay as they are."""
    sentence = "The resource was deleted; the cluster was not touched."
    cluster = cluster_of(event["ResourceProperties"])
    return handler.answer(report.untouched(Outcome.DELETED, cluster, sentence))


def _work(event: Mapping[str, Any]) -> Continuation:
    if handover.KEY in event:
        return Continuation.from_text(event[handover.KEY])
    request = RemovalRequest.from_properties(event["ResourceProperties"])
    return Continuation(
        request=request,
        removal=Removal.of(request.node_ids, request.node_logical_ids),
        started=clock.now(),
        link=1,
    )


def _carry_on(work: Continuation, event: Mapping[str, Any], context: LambdaContext) -> str:
    """The rounds of this invocation, and then a report or a successor."""
    request, log = work.request, log_place(context)
    now, remaining = clock.now(), _remaining(context)
    deadline = work.started + request.service_timeout - REPLY_MARGIN
    is_enough = deadline <= now + remaining - REPLY_MARGIN
    rounds = Rounds(
        request,
        cluster=Cluster(request.cluster, aws.client("sagemaker")),
        stack=_stack(event),
        clock=clock,
        span=Span(
            started=work.started,
            deadline=deadline,
            pause_at=math.inf if is_enough else now + remaining * _SHARE - REPLY_MARGIN,
        ),
        removal=work.removal,
        target_counts_before=work.target_counts_before,
        cleared_at=work.cleared_at,
        hook=_hook(request, event),
    )

    def report_so_far(interruption: str) -> Report:
        return report.of_result(rounds.result_so_far(interruption), request, log)

    handler.unfinished = report_so_far
    handler.answer_within(work.started + request.service_timeout - now)
    try:
        result = rounds.run()
    except StackIsGoingBackError:
        return handler.answer(_rolled_back(event))
    if result is not None:
        return handler.answer(report.of_result(result, request, log))
    if work.link >= handover.MAX_LINKS:
        return handler.answer(
            report_so_far(f"It was handed over {work.link - 1} times, which is the limit.")
        )
    successor = replace(
        work,
        removal=rounds.removal,
        link=work.link + 1,
        target_counts_before=rounds.target_counts_before,
        cleared_at=rounds.cleared_at,
    )
    try:
        return handler.pass_on(lambda: _hand_over(successor, event, context))
    except aws.AwsError as error:
        return handler.answer(
            report_so_far(f"The removal could not be handed over to a fresh invocation ({error}).")
        )


def _hook(request: RemovalRequest, event: Mapping[str, Any]) -> "Hook | None":
    if not request.before_removal:
        return None
    from hyperpod_node_removal_handler.before_removal import Hook  # noqa: PLC0415 (most have none)

    return Hook(request.before_removal, Envelope.from_event(event), clock, aws.waiting_client)


def _hand_over(successor: Continuation, event: Mapping[str, Any], context: LambdaContext) -> None:
    _log.info("Handing over to invocation %d of this removal.", successor.link)
    patiently(
        lambda: handover.hand_over(
            aws.client("lambda"),
            context.invoked_function_arn,
            Envelope.from_event(event),
            successor,
        ),
        clock=clock,
        until=clock.now() + _HAND_OVER_TRIES,
        denied_until=clock.now() + _HAND_OVER_TRIES,
    )


def _reason_not_to(
    request: RemovalRequest, event: Mapping[str, Any], context: LambdaContext
) -> Report | None:
    """What to report instead of removing anything. None: go ahead."""
    try:
        direction = _direction(event, min(_remaining(context), request.service_timeout))
    except aws.AwsError as error:
        return report.failure(
            request.cluster,
            "Whether the stack is rolling back could not be found out, so nothing was removed"
            f" ({error}). The function's role needs cloudformation:DescribeStacks on the stack;"
            " deploy the same set again to retry.",
            log_place(context),
        )
    return _rolled_back(event) if direction is StackDirection.BACKWARD else None


def _rolled_back(event: Mapping[str, Any]) -> Report:
    return report.untouched(
        Outcome.ROLLED_BACK,
        cluster_of(event["ResourceProperties"]),
        "The stack is rolling back; no node was removed, and removed nodes do not come back.",
    )


def _refused(event: Mapping[str, Any], context: LambdaContext, error: RequestError) -> Report:
    """The report on properties that do not describe a removal.

    A rollback may bring back properties that an older version of the function accepted. They must
    not make it fail, so before an Update is refused the stack is asked.
    """
    untouched = "" if handover.KEY in event else "Nothing was removed."
    if event["RequestType"] == "Update":
        with suppress(aws.AwsError):
            if _direction(event, _remaining(context)) is StackDirection.BACKWARD:
                return _rolled_back(event)
    return report.failure(
        cluster_of(event["ResourceProperties"]), f"{error} {untouched}", log_place(context)
    )


def _direction(event: Mapping[str, Any], seconds: float) -> StackDirection:
    """Which way the stack is going, after some tries in so many seconds.

    Raises:
        aws.AwsError: it could not be found out.
    """
    began = clock.now()
    end = began + seconds - REPLY_MARGIN
    stack = _stack(event)

    def direction() -> StackDirection:
        try:
            return stack.direction()
        except StackAtRestError as error:
            if clock.now() < began + LAG:
                raise
            raise aws.RejectedError(error.operation, error.code, error.message) from error

    # An outage is waited out for as long as there is time: a rollback that fails leaves the stack
    # stuck.
    return patiently(direction, clock=clock, until=end, denied_until=min(end, began + PROPAGATION))


def _stack(event: Mapping[str, Any]) -> Stack:
    return Stack(event["StackId"], aws.client("cloudformation"))


def _remaining(context: LambdaContext) -> float:
    return context.get_remaining_time_in_millis() / 1000
