"""The entry of the function: which request leads to what.

Create and Update run the removal. Delete, and everything a rollback sends, leave the cluster alone
and succeed: a removal cannot be undone, and a failure here would leave the stack stuck.
"""

from collections.abc import Mapping
from typing import Any

from hyperpod_node_removal_handler import aws, report
from hyperpod_node_removal_handler.cluster import Cluster
from hyperpod_node_removal_handler.contract import Outcome
from hyperpod_node_removal_handler.custom_resource import (
    REPLY_MARGIN,
    CustomResource,
    LambdaContext,
    cluster_of,
    log_place,
)
from hyperpod_node_removal_handler.patience import OUTAGE, PROPAGATION, SystemClock, patiently
from hyperpod_node_removal_handler.report import Report
from hyperpod_node_removal_handler.request import RemovalRequest, RequestError
from hyperpod_node_removal_handler.rounds import Rounds
from hyperpod_node_removal_handler.stack import Stack, StackDirection

clock = SystemClock()
handler = CustomResource(clock)


@handler.create
def create(event: Mapping[str, Any], context: LambdaContext) -> str:
    """Remove the nodes of a new resource. Bad properties fail before any call is made."""
    try:
        request = RemovalRequest.from_properties(event["ResourceProperties"])
    except RequestError as error:
        return handler.answer(_refused(event, context, error))
    return handler.answer(_removed(request, event, context))


@handler.update
def update(event: Mapping[str, Any], context: LambdaContext) -> str:
    """Remove the nodes of a changed resource.

    Properties that an older version of the function accepted may come back in a rollback. They
    must not make it fail, so the stack is asked before bad properties are refused.
    """
    try:
        request = RemovalRequest.from_properties(event["ResourceProperties"])
    except RequestError as error:
        try:
            is_going_back = _direction(event, context) is StackDirection.BACKWARD
        except aws.AwsError:
            is_going_back = False
        refused = _refused(event, context, error)
        return handler.answer(_rolled_back(event) if is_going_back else refused)
    return handler.answer(_removed(request, event, context))


@handler.delete
def delete(event: Mapping[str, Any], context: LambdaContext) -> str:  # noqa: ARG001
    """Let go of the resource. Nothing is called: the nodes stay as they are."""
    sentence = "The resource was deleted; the cluster was not touched."
    cluster = cluster_of(event["ResourceProperties"])
    return handler.answer(report.untouched(Outcome.DELETED, cluster, sentence))


def _removed(request: RemovalRequest, event: Mapping[str, Any], context: LambdaContext) -> Report:
    if request.is_empty:
        return report.untouched(
            Outcome.EMPTY, request.cluster, "The set of nodes is empty; nothing was called."
        )
    log = log_place(context)
    try:
        direction = _direction(event, context)
    except aws.AwsError as error:
        return report.failure(
            request.cluster,
            "Whether the stack is rolling back could not be found out, so nothing was removed"
            f" ({error}). The function's role needs cloudformation:DescribeStacks on the stack; a"
            " new RetryToken runs the set again.",
            log,
        )
    if direction is StackDirection.BACKWARD:
        return _rolled_back(event)
    rounds = Rounds(
        request,
        cluster=Cluster(request.cluster, aws.client("sagemaker")),
        stack=_stack(event),
        clock=clock,
        deadline=clock.now() + min(_remaining(context), request.service_timeout) - REPLY_MARGIN,
    )
    handler.unfinished = lambda: report.of_result(
        rounds.result_so_far("A call to AWS did not return before the function's time was up."),
        request,
        log,
    )
    return report.of_result(rounds.run(), request, log)


def _rolled_back(event: Mapping[str, Any]) -> Report:
    return report.untouched(
        Outcome.ROLLED_BACK,
        cluster_of(event["ResourceProperties"]),
        "The stack is rolling back; no node was removed, and removed nodes do not come back.",
    )


def _refused(event: Mapping[str, Any], context: LambdaContext, error: RequestError) -> Report:
    return report.failure(
        cluster_of(event["ResourceProperties"]), f"{error} Nothing was removed.", log_place(context)
    )


def _direction(event: Mapping[str, Any], context: LambdaContext) -> StackDirection:
    """Which way the stack is going, after some tries.

    Raises:
        aws.AwsError: it could not be found out.
    """
    end = clock.now() + _remaining(context) - REPLY_MARGIN
    return patiently(
        _stack(event).direction,
        clock=clock,
        until=min(end, clock.now() + OUTAGE),
        denied_until=min(end, clock.now() + PROPAGATION),
    )


def _stack(event: Mapping[str, Any]) -> Stack:
    return Stack(event["StackId"], aws.client("cloudformation"))


def _remaining(context: LambdaContext) -> float:
    return context.get_remaining_time_in_millis() / 1000
