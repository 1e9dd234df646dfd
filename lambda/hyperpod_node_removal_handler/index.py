"""The handlers of the three request types.

Create and Update run the removal. Delete, and every request of a rollback, leave the cluster alone
and succeed: a removal cannot be undone, and a failure would leave the stack stuck.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hyperpod_node_removal_contract import Outcome, join_names, validate_cluster_name
from hyperpod_node_removal_handler import announcement, aws, handover, report, timing
from hyperpod_node_removal_handler.before_removal import Hook
from hyperpod_node_removal_handler.cluster import Cluster
from hyperpod_node_removal_handler.custom_resource import (
    CustomResource,
    LambdaContext,
    cluster_of,
    log_place,
)
from hyperpod_node_removal_handler.handover import Continuation
from hyperpod_node_removal_handler.reconciler import Reconciler
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.reply import RepliedError
from hyperpod_node_removal_handler.report import Report
from hyperpod_node_removal_handler.request import (
    Envelope,
    RemovalRequest,
    RequestError,
    derived_physical_resource_id,
    hook_of,
    service_timeout_of,
)
from hyperpod_node_removal_handler.stack import Stack, StackNotUpdatingError, StackWatch

_log = logging.getLogger(__name__)

clock = timing.SystemClock()
handler = CustomResource(clock, extra_keys=["OldResourceProperties", handover.KEY])


@handler.create
@handler.update
def remove(event: Mapping[str, Any], context: LambdaContext) -> str:
    """Remove the nodes of a new or changed resource, or continue an earlier invocation."""
    try:
        work = _work(event)
    except RequestError as error:
        return handler.respond(_refused(event, context, error))
    if work.verdict and work.request.verdict_condition:
        return handler.hand_over(lambda: _signal(work, event, context))
    if work.request.is_empty:
        _await_dropped_hook(event, context)
        _on_success(lambda: replace(work, invocation=work.invocation + 1), event, context)
        sentence = "The set of nodes is empty; no calls were made."
        return handler.respond(
            report.untouched(
                Outcome.EMPTY, work.request.cluster, sentence, signal_id="0 of 0 removed: empty set"
            )
        )
    return _reconcile(work, event, context)


@handler.delete
def delete(event: Mapping[str, Any], context: LambdaContext) -> str:
    """Succeed without a call to AWS: the nodes stay as they are."""
    own_id = derived_physical_resource_id(event["StackId"], event["LogicalResourceId"])
    if event["PhysicalResourceId"] != own_id and hook_of(event["ResourceProperties"]):
        # CloudFormation has made it up: the creation was canceled, and its request still runs.
        _await_release(event, context)
    sentence = "The resource was deleted; the cluster was not changed."
    cluster = cluster_of(event["ResourceProperties"])
    return handler.respond(report.untouched(Outcome.DELETED, cluster, sentence))


def _work(event: Mapping[str, Any]) -> Continuation:
    """Parse the event.

    Raises:
        RequestError: the properties, or the continuation, do not describe a removal.
    """
    if handover.KEY in event:
        return Continuation.from_text(event[handover.KEY])
    request = RemovalRequest.from_properties(
        event["ResourceProperties"], event.get("OldResourceProperties")
    )
    return Continuation(
        request=request,
        removal=Removal.of(request.node_ids, request.node_logical_ids, request.scope),
        started=_sent_at(event),
        invocation=1,
    )


def _sent_at(event: Mapping[str, Any]) -> float:
    """Return when CloudFormation sent the request, from which all its time counts."""
    now, sent_at = clock.now(), Envelope.from_event(event).sent_at
    if sent_at is None:
        return now
    if not now - timing.max_event_age() - timing.SEND_TIME_SLACK <= sent_at <= now:
        _log.warning(
            "The ResponseURL says that the request was sent %d s ago, which is implausible;"
            " counting time from now instead.",
            now - sent_at,
        )
        return now
    return sent_at


def _deadlines(started: float, service_timeout: float, context: LambdaContext) -> timing.Deadlines:
    now, remaining = clock.now(), context.get_remaining_time_in_millis() / 1000
    deadline = started + service_timeout - timing.REPLY_MARGIN
    is_enough = deadline <= now + remaining - timing.REPLY_MARGIN
    hand_over_at = (
        math.inf if is_enough else now + remaining * timing.HAND_OVER_SHARE - timing.REPLY_MARGIN
    )
    return timing.Deadlines(started, deadline, hand_over_at)


def _reconcile(work: Continuation, event: Mapping[str, Any], context: LambdaContext) -> str:
    """Do this invocation's share of a removal, and then report or re-invoke the function."""
    request, log = work.request, log_place(context)
    deadlines = _deadlines(work.started, request.service_timeout, context)
    stack = _watch(event, deadlines, outage=max(timing.OUTAGE, request.retry_for), work=work)
    hook = None
    if request.before_removal:
        hook = Hook(request.before_removal, Envelope.from_event(event), clock, aws.waiting_client)
    reconciler = Reconciler(
        work,
        cluster=Cluster(request.cluster, aws.client("sagemaker")),
        stack=stack,
        clock=clock,
        deadlines=deadlines,
        hook=hook,
        has_replied=lambda: handler.has_replied,
    )

    def report_so_far(interruption: str) -> Report:
        return report.of_result(reconciler.result_so_far(interruption), request, log)

    _on_success(lambda: reconciler.continuation, event, context)
    handler.unfinished = report_so_far
    handler.respond_by(work.started + request.service_timeout)
    try:
        result = reconciler.run()
        if result is not None:
            done = report.of_result(result, request, log)
            if done.status == report.SUCCESS:
                _await_dropped_hook(event, context)
            return handler.respond(done)
        if work.invocation >= handover.MAX_INVOCATIONS:
            limit = f"The removal reached the limit of {work.invocation - 1} hand-overs."
            return handler.respond(report.of_result(reconciler.end(limit), request, log))
        return handler.hand_over(lambda: _hand_over(reconciler.continuation, event, context))
    except StackNotUpdatingError as error:
        if stack.operation is None and error.is_rolling_back:
            _await_dropped_hook(event, context)
        return handler.respond(_not_updating(event, context, error))
    except RepliedError:
        _log.info("CloudFormation already has a response; stopping.")
        return handler.stay_silent()
    except aws.AwsError as error:
        _log.error("%s", error)
        why = f"The removal could not be handed over to a fresh invocation ({error})."
        return handler.respond(report.of_result(reconciler.end(why), request, log))


def _on_success(
    work: Callable[[], Continuation], event: Mapping[str, Any], context: LambdaContext
) -> None:
    """Signal this deployment's wait condition, if it has one, once a success is reported.

    An invocation with little time left re-invokes the function for that.
    """

    def signal(verdict: str) -> None:
        successor = replace(work(), verdict=verdict)
        left = context.get_remaining_time_in_millis() / 1000
        if left >= timing.SIGNAL_RESERVE:
            _signal(successor, event, context)
            return
        try:
            # The rest of the time is for the event that announces the end.
            _hand_over(successor, event, context, min(timing.HAND_OVER_RETRY, left / 2))
        except aws.AwsError as error:
            _log.error("%s was not signaled: %s", successor.request.verdict_condition, error)

    if work().request.verdict_condition:
        handler.after_success(signal)


def _signal(work: Continuation, event: Mapping[str, Any], context: LambdaContext) -> None:
    """Signal the verdict of a removal that has been reported, for the stack's events."""
    now, remaining = clock.now(), context.get_remaining_time_in_millis() / 1000
    until = now + min(timing.SIGNAL_FOR, remaining - timing.REPLY_MARGIN)
    client = aws.client("cloudformation")
    announcement.signal(
        client,
        event["StackId"],
        work.request.verdict_condition,
        work.verdict,
        stack=_watch(event, timing.Deadlines(work.started, until), work=work),
        clock=clock,
        until=until,
    )


def _hand_over(
    successor: Continuation,
    event: Mapping[str, Any],
    context: LambdaContext,
    retry_for: float = timing.HAND_OVER_RETRY,
) -> None:
    _log.info("Handing over to invocation %d of this removal.", successor.invocation)
    until = clock.now() + retry_for
    timing.call_with_retry(
        lambda: handover.hand_over(
            aws.client("lambda"),
            context.invoked_function_arn,
            Envelope.from_event(event),
            successor,
        ),
        clock=clock,
        until=until,
        denied_until=until,
    )


def _watch(
    event: Mapping[str, Any],
    deadlines: timing.Deadlines,
    outage: float = timing.OUTAGE,
    work: Continuation | None = None,
) -> StackWatch:
    return StackWatch(
        Stack(event["StackId"], aws.client("cloudformation")),
        request_type=event["RequestType"],
        clock=clock,
        deadlines=deadlines,
        outage=outage,
        operation=work.operation if work else None,
    )


def _not_updating(
    event: Mapping[str, Any], context: LambdaContext, error: StackNotUpdatingError
) -> Report:
    cluster = cluster_of(event["ResourceProperties"])
    if error.is_rolling_back:
        return report.untouched(
            Outcome.ROLLED_BACK,
            cluster,
            f"{error} No node was removed, and a rollback does not restore removed nodes.",
        )
    return report.failure(cluster, f"{error} Nothing was removed.", log_place(context))


def _await_dropped_hook(event: Mapping[str, Any], context: LambdaContext) -> None:
    """Wait if this event drops a hook: its reply may be followed by the deletion of the hook.

    In a rollback, the request that brought the hook may not have noticed yet that it was canceled.
    Going forward, that may be so of the request before, even of one with the same hook.
    """
    dropped = hook_of(event.get("OldResourceProperties"))
    if dropped not in {"", hook_of(event["ResourceProperties"])}:
        _await_release(event, context)


def _await_release(event: Mapping[str, Any], context: LambdaContext) -> None:
    """Wait until a request that was canceled before this event has released its nodes."""
    sent_at = _sent_at(event)
    ends = sent_at + service_timeout_of(event["ResourceProperties"])
    handler.respond_by(ends)
    left = min(ends - clock.now(), context.get_remaining_time_in_millis() / 1000)
    clock.sleep(min(sent_at + timing.CANCELED - clock.now(), left - timing.REPLY_MARGIN))


def _refused(event: Mapping[str, Any], context: LambdaContext, error: RequestError) -> Report:
    """Report on properties that do not describe a removal.

    A rollback may send properties that an older version of the function accepted. They must not
    make it fail, so the stack is looked at before an Update is refused.
    """
    untouched = "" if handover.KEY in event else "Nothing was removed."
    cluster = cluster_of(event["ResourceProperties"])
    sentence = f"{error} {untouched}"
    handler.unfinished = lambda _: report.failure(cluster, sentence, log_place(context))
    started, timeout = _sent_at(event), service_timeout_of(event["ResourceProperties"])
    handler.respond_by(started + timeout)
    if event["RequestType"] == "Update":
        deadlines = _deadlines(started, timeout, context)
        with suppress(aws.AwsError):
            try:
                _watch(event, deadlines).require_forward()
            except StackNotUpdatingError as not_updating:
                if not_updating.is_rolling_back:
                    _await_dropped_hook(event, context)
                    return _not_updating(event, context, not_updating)
    if instances := _instances_on(error.host_names, cluster):
        sentence = f"{error} The cluster's listing shows {join_names(instances)}. {untouched}"
    return report.failure(cluster, sentence, log_place(context))


def _instances_on(host_names: Sequence[str], cluster: object) -> tuple[str, ...]:
    """Return the instances on hosts that were named in place of ids."""
    if not host_names or not isinstance(cluster, str) or validate_cluster_name(cluster):
        return ()
    with suppress(aws.AwsError):
        return Cluster(cluster, aws.client("sagemaker")).nodes().instances_on(host_names)
    return ()
