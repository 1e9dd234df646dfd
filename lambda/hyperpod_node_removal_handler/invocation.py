"""One invocation of the function: its event, the time it has, and its response."""

import logging
import math
import traceback
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Protocol

from hyperpod_node_removal_contract import Outcome, Property, escape
from hyperpod_node_removal_handler import report, timing
from hyperpod_node_removal_handler.outcome import LogPlace
from hyperpod_node_removal_handler.reply import Responder
from hyperpod_node_removal_handler.report import Report
from hyperpod_node_removal_handler.request import Envelope, service_timeout_of, unchecked

_log = logging.getLogger(__name__)


class LambdaContext(Protocol):
    """The part of Lambda's context that is used."""

    log_group_name: str
    log_stream_name: str
    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the invocation times out."""
        ...


class Invocation:
    """One event, from CloudFormation or from an earlier invocation, and the response to it."""

    def __init__(
        self,
        envelope: Envelope,
        event: Mapping[str, Any],
        context: LambdaContext,
        clock: timing.Clock,
    ) -> None:
        self.envelope = envelope
        self.event = event
        self.properties: object = event.get("ResourceProperties")
        """Unchecked, as is everything in the event."""
        self.clock = clock
        self.function = context.invoked_function_arn
        self.log = LogPlace(str(context.log_group_name or ""), str(context.log_stream_name or ""))
        self.unfinished: Callable[[str], Report] | None = None
        """What to report if the handler does not finish, given a sentence that says why."""
        self._context = context
        self._timer: timing.Timer | None = None
        ends_at = clock.now() + self.remaining - 1
        self.responder = Responder(envelope, clock=clock, ends_at=ends_at)

    # Time ------------------------------------------------------------------------------------

    @property
    def remaining(self) -> float:
        """Seconds until Lambda ends the invocation."""
        return self._context.get_remaining_time_in_millis() / 1000

    @cached_property
    def sent_at(self) -> float:
        """When CloudFormation sent the request, from which all its time counts."""
        now, sent_at = self.clock.now(), self.envelope.sent_at
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

    @property
    def closes_at(self) -> float:
        """When CloudFormation stops waiting, whatever is wrong with the properties."""
        return self.sent_at + service_timeout_of(self.properties)

    def deadlines(
        self, started: float, service_timeout: float, retry_for: float = 0.0
    ) -> timing.Deadlines:
        """Return the deadlines of a removal whose request was sent at `started`."""
        now, remaining = self.clock.now(), self.remaining
        deadline = started + service_timeout - timing.REPLY_MARGIN
        is_enough = deadline <= now + remaining - timing.REPLY_MARGIN
        hand_over_at = now + remaining * timing.HAND_OVER_SHARE - timing.REPLY_MARGIN
        return timing.Deadlines(
            started,
            deadline,
            hand_over_at=math.inf if is_enough else hand_over_at,
            outage=max(timing.OUTAGE, retry_for),
        )

    def respond_by(self, time: float = math.inf) -> None:
        """Respond before the invocation ends and before `time`, when CloudFormation stops waiting.

        If the handler does not, what it has done until then is reported.
        """
        self.responder.closes_at = time
        self.stop_timer()
        left = min(time - self.clock.now(), self.remaining)
        # A request that Lambda kept almost until its end still gets a look at the stack: one of a
        # rollback must not fail.
        pause = max(0.0, left - timing.EXPIRY_MARGIN, left / 4)
        self._timer = self.clock.timer(pause, self._expire)

    def stop_timer(self) -> None:
        """Leave the response to the handler."""
        if self._timer:
            self._timer.cancel()

    def _expire(self) -> None:
        why = "A call to AWS did not return before the function ran out of time."
        self.responder.reply(self.interrupted(why))

    # Reports ---------------------------------------------------------------------------------

    @property
    def cluster(self) -> object:
        """The cluster as the properties name it."""
        return unchecked(self.properties, Property.CLUSTER_NAME)

    def untouched(self, outcome: Outcome, sentence: str, *, signal_id: str = "") -> Report:
        """Report that the cluster was left alone, which is a success."""
        return report.untouched(outcome, self.cluster, sentence, signal_id=signal_id)

    def failure(self, sentence: str) -> Report:
        """Report a failure before any node was requested."""
        return report.failure(self.cluster, sentence, self.log)

    def interrupted(self, why: str) -> Report:
        """Report what has been done so far. `why` is a sentence."""
        try:
            if self.unfinished:
                return self.unfinished(why)
        except Exception:  # noqa: BLE001
            _log.error("Unexpected error: %s", escape(traceback.format_exc()))
        if self.envelope.request_type == "Delete":
            # A Delete that fails leaves the stack stuck, and there is nothing to undo.
            return self.untouched(Outcome.DELETED, why)
        return self.failure(
            f"{why} The log shows which nodes were removed. Redeploy the same set to retry."
        )
