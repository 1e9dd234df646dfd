"""crhelper with another reply.

crhelper 2.0.12 dispatches requests to the decorated functions and catches what they raise. Its
reply is replaced: it cuts a reason to 256 characters, takes a 403 as delivered, retries without
end, and has no socket timeout. Its poller is not used: its events do not hold more than 120 ids,
and its rules outlive a crash. See docs/adr/0003.
"""

import logging
import math
import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol, cast

from crhelper import CfnResource

from hyperpod_node_removal_contract import Outcome, Property, escape, escape_error, quote
from hyperpod_node_removal_handler import report as reports
from hyperpod_node_removal_handler.outcome import LogPlace
from hyperpod_node_removal_handler.reply import Responder
from hyperpod_node_removal_handler.report import Report
from hyperpod_node_removal_handler.request import Envelope, EnvelopeError, unchecked
from hyperpod_node_removal_handler.timing import EXPIRY_MARGIN, Clock, SystemClock, Timer

_log = logging.getLogger(__name__)

_REQUEST_TYPES: Final = ("Create", "Update", "Delete")


class LambdaContext(Protocol):
    """The part of Lambda's context that is used."""

    log_group_name: str
    log_stream_name: str
    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the invocation times out."""
        ...


class CustomResource(CfnResource):
    """A custom resource that is answered with a `Report`.

    `create`, `update` and `delete` are crhelper's decorators, for functions that end with
    `return handler.respond(report)`. Whatever they do, each event is answered exactly once.
    """

    def __init__(self, clock: Clock | None = None, extra_keys: Iterable[str] = ()) -> None:
        """Make a handler that keeps `extra_keys` of an event besides CloudFormation's."""
        # No wait on Delete: the log group outlives the function.
        # crhelper sets the level of the root logger, here and at each event. If the function has an
        # ApplicationLogLevel, Lambda has set it.
        is_set = "AWS_LAMBDA_LOG_LEVEL" in os.environ
        level = logging.getLevelName(logging.root.level) if is_set else "INFO"
        super().__init__(log_level=level, boto_level="ERROR", sleep_on_delete=0)
        # crhelper logs the event, with the presigned URL in it.
        logging.getLogger("crhelper").setLevel(logging.CRITICAL)
        self._clock: Clock = clock or SystemClock()
        self._extra_keys = tuple(extra_keys)
        # Set by crhelper for each event, declared here for the type checker.
        self._event: Mapping[str, Any] = {}
        self._context: Any = None
        self._timer: Timer | None = None
        self._exchange: Responder | None = None
        self._report: Report | None = None
        self._is_silent = False
        self.unfinished: Callable[[str], Report] | None = None
        """What to report if the handler does not finish, given a sentence that says why."""

    @property
    def _sam_local(self) -> bool:
        """True: crhelper then makes no clients for its poller, 0.2 s of a cold start."""
        return True

    @_sam_local.setter
    def _sam_local(self, value: object) -> None:
        pass

    def __call__(self, event: object, context: LambdaContext) -> None:
        """Handle one event. Does not raise."""
        try:
            envelope = Envelope.from_event(event)
        except EnvelopeError as error:
            _log.error("%s There is no response URL, so no response was sent.", error)
            return
        remaining = context.get_remaining_time_in_millis() / 1000
        ends_at = self._clock.now() + remaining - 1
        self._exchange = Responder(envelope, log_place(context), clock=self._clock, ends_at=ends_at)
        self._report = self.unfinished = None
        self._is_silent = False
        event = cast("Mapping[str, Any]", event)
        properties = event.get("ResourceProperties")
        if envelope.request_type not in _REQUEST_TYPES:
            problem = f"RequestType {quote(envelope.request_type)} is unknown."
            self._exchange.reply(
                reports.failure(cluster_of(properties), problem, log_place(context))
            )
            return
        # Only what CloudFormation sends: crhelper acts on keys of its own in an event.
        super().__call__(
            envelope.as_event(properties)
            | {key: event[key] for key in self._extra_keys if key in event},
            context,
        )

    @property
    def has_replied(self) -> bool:
        """Whether the event at hand has been answered."""
        return self._exchange is not None and self._exchange.has_replied

    def respond_by(self, time: float) -> None:
        """Reply before `time`, when CloudFormation stops waiting, or before the invocation ends.

        Whichever is first counts.
        """
        if self._exchange:
            self._exchange.closes_at = time
        self._arm(time)

    def after_success(self, action: Callable[[str], None]) -> None:
        """Have `action` called with the verdict of a success, once it has been delivered."""
        if self._exchange:
            self._exchange.after_success = action

    def respond(self, report: Report) -> str:
        """Keep the report for the reply.

        Returns the physical resource id, which is what crhelper expects of a handler.
        """
        self._report = report
        return str(self._event["PhysicalResourceId"])

    def stay_silent(self) -> str:
        """Send nothing: the event has been answered, or another invocation will answer it."""
        self._is_silent = True
        return str(self._event["PhysicalResourceId"])

    def hand_over(self, invoke: Callable[[], None]) -> str:
        """Let another invocation reply, which `invoke` starts.

        Nothing replies in this invocation while it runs. If it raises, this invocation has to reply
        after all.

        Raises:
            RepliedError: the event has been answered.
        """
        if self._exchange:
            with self._exchange.claimed():
                invoke()
        return self.stay_silent()

    # What of crhelper is replaced ------------------------------------------------------------

    def _wrap_function(self, func: Callable[[Any, Any], bool | str | None] | None) -> None:
        try:
            if func:
                func(self._event, self._context)
        except Exception as error:  # noqa: BLE001
            # A defect of the function. Its message may contain input.
            _log.error("Unexpected error: %s", escape(traceback.format_exc()))
            what = escape_error(error)
            self._report = self._outcome_so_far(
                f"The function failed unexpectedly ({what})."
            ) or self._unexpected(what)

    def _set_timeout(self) -> None:
        self._arm()

    def _arm(self, time: float = math.inf) -> None:
        exchange = self._exchange
        if self._timer:
            self._timer.cancel()

        def expire() -> None:
            if exchange:
                exchange.reply(
                    self._outcome_so_far(
                        "A call to AWS did not return before the function ran out of time."
                    )
                    or self._unexpected("time ran out")
                )

        left = self._context.get_remaining_time_in_millis() / 1000
        left = min(time - self._clock.now(), left)
        # A request that Lambda kept almost until its end still gets a look at the stack: one of a
        # rollback must not fail.
        self._timer = self._clock.timer(max(0.0, left - EXPIRY_MARGIN, left / 4), expire)

    def _cfn_response(self, event: object) -> None:  # noqa: ARG002
        self._send()

    def _send(self, status: str | None = None, reason: str = "") -> None:
        """Reply. crhelper passes a status and a reason if it caught an error of its own."""
        if self._exchange is None:
            return
        if not self._is_silent:
            self._exchange.reply(
                self._unexpected(reason) if status or self._report is None else self._report
            )
        self._exchange.wait()

    def _outcome_so_far(self, why: str) -> Report | None:
        """Return the report on what has been done so far, if anything has begun."""
        try:
            return self.unfinished(why) if self.unfinished else None
        except Exception:  # noqa: BLE001
            _log.error("Unexpected error: %s", escape(traceback.format_exc()))
            return None

    def _unexpected(self, what: str) -> Report:
        cluster = cluster_of(self._event.get("ResourceProperties"))
        failed = f"The function failed unexpectedly ({what})."
        if self._event.get("RequestType") == "Delete":
            # A Delete that fails leaves the stack stuck, and there is nothing to undo.
            return reports.untouched(Outcome.DELETED, cluster, failed)
        sentence = (
            f"{failed} The log shows which nodes were removed. Redeploy the same set to retry."
        )
        return reports.failure(cluster, sentence, log_place(self._context))


def cluster_of(properties: object) -> object:
    """Return the cluster as the properties name it, unchecked."""
    return unchecked(properties, Property.CLUSTER_NAME)


def log_place(context: LambdaContext) -> LogPlace:
    """Return where the log of this invocation is."""
    return LogPlace(str(context.log_group_name or ""), str(context.log_stream_name or ""))
