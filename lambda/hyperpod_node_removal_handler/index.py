"""The handlers of the three request types.

Create and Update run the removal. Delete, and every request of a rollback, leave the cluster alone
and succeed: a removal cannot be undone, and a failure would leave the stack stuck.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from hyperpod_node_removal_contract import Outcome, join_names, validate_cluster_name
from hyperpod_node_removal_handler import announcement, aws, handover, report, timing
from hyperpod_node_removal_handler.cluster import Cluster
from hyperpod_node_removal_handler.custom_resource import CustomResource
from hyperpod_node_removal_handler.handover import Continuation
from hyperpod_node_removal_handler.invocation import Invocation
from hyperpod_node_removal_handler.reconciler import Reconciler
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.reply import RepliedError
from hyperpod_node_removal_handler.report import Report
from hyperpod_node_removal_handler.request import (
    RemovalRequest,
    RequestError,
    derived_physical_resource_id,
    hook_of,
    service_timeout_of,
)
from hyperpod_node_removal_handler.stack import StackNotUpdatingError, StackWatch

_log = logging.getLogger(__name__)

handler = CustomResource()


# crhelper's own functions take an event and a context.
@handler.create
@handler.update  # type: ignore[arg-type]
def remove(invocation: Invocation) -> Report | None:
    """Remove the nodes of a new or changed resource, or continue an earlier invocation."""
    try:
        work = _work(invocation)
    except RequestError as error:
        if handover.ANSWERED_KEY not in invocation.event:
            return _refused(invocation, error)
        with invocation.responder.claimed():
            _log.error("The success of this removal was not signaled: %s", error)
        return None
    if work.verdict and work.request.verdict_condition:
        with invocation.responder.claimed():
            _signal(invocation, work)
        return None
    if work.request.is_empty:
        _await_dropped_hook(invocation)
        _on_success(invocation, lambda: replace(work, invocation=work.invocation + 1))
        return invocation.untouched(
            Outcome.EMPTY,
            "The set of nodes is empty; no calls were made.",
            signal_id="0 of 0 removed: empty set",
        )
    return _reconcile(invocation, work)


@handler.delete  # type: ignore[arg-type]
def delete(invocation: Invocation) -> Report:
    """Succeed without a call to AWS: the nodes stay as they are."""
    envelope = invocation.envelope
    own_id = derived_physical_resource_id(envelope.stack_id, envelope.logical_resource_id)
    if envelope.physical_resource_id != own_id and hook_of(invocation.properties):
        # CloudFormation has made it up: the creation was canceled, and its request still runs.
        _await_release(invocation)
    sentence = "The resource was deleted; the cluster was not changed."
    return invocation.untouched(Outcome.DELETED, sentence)


def _work(invocation: Invocation) -> Continuation:
    """Parse the event.

    Raises:
        RequestError: the properties, or the continuation, do not describe a removal.
    """
    event = invocation.event
    if handover.KEY in event:
        return Continuation.from_text(event[handover.KEY])
    request = RemovalRequest.from_properties(
        invocation.properties, event.get("OldResourceProperties")
    )
    return Continuation(
        request=request,
        removal=Removal.of(request.node_ids, request.node_logical_ids, request.scope),
        started=invocation.sent_at,
        invocation=1,
    )


def _reconcile(invocation: Invocation, work: Continuation) -> Report | None:
    """Do this invocation's share of a removal. Returns None if another one, or thread, responds."""
    reconciler = Reconciler(invocation, work)
    _on_success(invocation, lambda: reconciler.continuation)
    invocation.unfinished = lambda why: report.of_result(reconciler.result_so_far(why))
    invocation.respond_by(work.started + work.request.service_timeout)
    try:
        result = reconciler.run()
        if result is None and work.invocation >= handover.MAX_INVOCATIONS:
            limit = f"The removal reached the limit of {work.invocation - 1} hand-overs."
            result = reconciler.end(limit)
        if result is None:
            with invocation.responder.claimed():
                handover.hand_over(invocation, reconciler.continuation)
    except StackNotUpdatingError as error:
        if not error.is_rolling_back:
            return invocation.failure(f"{error} Nothing was removed.")
        if reconciler.stack.operation is None:
            _await_dropped_hook(invocation)
        return _rolled_back(invocation, error)
    except RepliedError:
        _log.info("CloudFormation already has a response; stopping.")
        return None
    except aws.AwsError as error:
        _log.error("%s", error)
        why = f"The removal could not be handed over to a fresh invocation ({error})."
        result = reconciler.end(why)
    if result is None:
        return None
    if result.is_success:
        _await_dropped_hook(invocation)
    return report.of_result(result)


def _on_success(invocation: Invocation, work: Callable[[], Continuation]) -> None:
    """Signal this deployment's wait condition, if it has one, once a success is reported.

    An invocation with little time left re-invokes the function for that.
    """

    def signal(verdict: str) -> None:
        successor = replace(work(), verdict=verdict)
        left = invocation.remaining
        if left >= timing.SIGNAL_RESERVE:
            _signal(invocation, successor)
            return
        try:
            # The rest of the time is for the event that announces the end.
            handover.hand_over(invocation, successor, min(timing.HAND_OVER_RETRY, left / 2))
        except aws.AwsError as error:
            _log.error("%s was not signaled: %s", successor.request.verdict_condition, error)

    if work().request.verdict_condition:
        invocation.responder.after_success = signal


def _signal(invocation: Invocation, work: Continuation) -> None:
    """Signal the verdict of a removal that has been reported, for the stack's events."""
    left = invocation.remaining - timing.REPLY_MARGIN
    until = invocation.clock.now() + min(timing.SIGNAL_FOR, left)
    deadlines = timing.Deadlines(work.started, until)
    announcement.signal(
        StackWatch(invocation.envelope, invocation.clock, deadlines, work.operation),
        work.request.verdict_condition,
        work.verdict,
        clock=invocation.clock,
        until=until,
    )


def _rolled_back(invocation: Invocation, error: StackNotUpdatingError) -> Report:
    sentence = (
        f"{error} This invocation removed no node, and a rollback does not restore those that"
        " earlier ones removed."
    )
    return invocation.untouched(Outcome.ROLLED_BACK, sentence)


def _await_dropped_hook(invocation: Invocation) -> None:
    """Wait if this event drops a hook: its reply may be followed by the deletion of the hook.

    In a rollback, the request that brought the hook may not have noticed yet that it was canceled.
    Going forward, that may be so of the request before, even of one with the same hook.
    """
    dropped = hook_of(invocation.event.get("OldResourceProperties"))
    if dropped not in {"", hook_of(invocation.properties)}:
        _await_release(invocation)


def _await_release(invocation: Invocation) -> None:
    """Wait until a request that was canceled before this event has released its nodes."""
    invocation.respond_by(invocation.closes_at)
    now = invocation.clock.now()
    left = min(invocation.closes_at - now, invocation.remaining)
    released_at = invocation.sent_at + timing.CANCELED
    invocation.clock.sleep(min(released_at - now, left - timing.REPLY_MARGIN))


def _refused(invocation: Invocation, error: RequestError) -> Report:
    """Report on properties that do not describe a removal.

    A rollback may send properties that an older version of the function accepted. They must not
    make it fail, so the stack is looked at before an Update is refused.
    """
    # What earlier invocations removed is not known.
    untouched = [] if handover.KEY in invocation.event else ["Nothing was removed."]
    failure = invocation.failure(" ".join([str(error), *untouched]))
    invocation.unfinished = lambda _: failure
    invocation.respond_by(invocation.closes_at)
    envelope = invocation.envelope
    if envelope.request_type == "Update":
        timeout = service_timeout_of(invocation.properties)
        deadlines = invocation.deadlines(invocation.sent_at, timeout)
        try:
            StackWatch(envelope, invocation.clock, deadlines).require_forward()
        except aws.AwsError:
            pass  # Whether it is a rollback is not known.
        except StackNotUpdatingError as not_updating:
            if not_updating.is_rolling_back:
                _await_dropped_hook(invocation)
                return _rolled_back(invocation, not_updating)
    if instances := _instances_on(error.host_names, invocation.cluster):
        shown = f"The cluster's listing shows {join_names(instances)}."
        return invocation.failure(" ".join([str(error), shown, *untouched]))
    return failure


def _instances_on(host_names: Sequence[str], cluster: object) -> tuple[str, ...]:
    """Return the instances on hosts that were named in place of ids."""
    if not host_names or not isinstance(cluster, str) or validate_cluster_name(cluster):
        return ()
    with suppress(aws.AwsError):
        return Cluster(cluster, aws.client("sagemaker")).nodes().instances_on(host_names)
    return ()
