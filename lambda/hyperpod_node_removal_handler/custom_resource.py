"""crhelper with another reply.

crhelper 2.0.12 dispatches requests to the decorated functions and catches what they raise. Its
reply is replaced: it cuts a reason to 256 characters, takes a 403 as delivered, retries without
end, and has no socket timeout. Its poller is not used: its events do not hold more than 120 ids,
and its rules outlive a crash. See docs/adr/0003.
"""

import logging
import os
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from crhelper import CfnResource

from hyperpod_node_removal_contract import escape, escape_error, quote
from hyperpod_node_removal_handler.invocation import Invocation, LambdaContext
from hyperpod_node_removal_handler.report import Report
from hyperpod_node_removal_handler.request import Envelope, EnvelopeError
from hyperpod_node_removal_handler.timing import SystemClock

_log = logging.getLogger(__name__)

_REQUEST_TYPES: Final = ("Create", "Update", "Delete")


class CustomResource(CfnResource):
    """A custom resource that is answered with a `Report`.

    `create`, `update` and `delete` are crhelper's decorators, for functions that take an
    `Invocation` and return a report, or None if another invocation or thread responds. Whatever
    they do, each event is answered exactly once.
    """

    _invocation: Invocation
    """That of the event at hand."""

    def __init__(self) -> None:
        # No wait on Delete: the log group outlives the function.
        # crhelper sets the level of the root logger, here and at each event. If the function has an
        # ApplicationLogLevel, Lambda has set it.
        is_set = "AWS_LAMBDA_LOG_LEVEL" in os.environ
        level = logging.getLevelName(logging.root.level) if is_set else "INFO"
        super().__init__(log_level=level, boto_level="ERROR", sleep_on_delete=0)
        # crhelper logs the event, with the presigned URL in it.
        logging.getLogger("crhelper").setLevel(logging.CRITICAL)
        self._clock = SystemClock()

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
        given = cast("Mapping[str, Any]", event)
        self._invocation = invocation = Invocation(envelope, given, context, self._clock)
        if envelope.request_type not in _REQUEST_TYPES:
            problem = f"RequestType {quote(envelope.request_type)} is unknown."
            invocation.responder.reply(invocation.failure(problem))
            return
        invocation.respond_by()
        try:
            # Only what CloudFormation sends: crhelper acts on keys of its own in an event.
            super().__call__(envelope.as_event(invocation.properties), context)
        finally:
            invocation.stop_timer()

    # What of crhelper is replaced ------------------------------------------------------------

    def _set_timeout(self) -> None:
        pass  # The invocation has a timer of its own.

    def _wrap_function(self, func: Callable[[Invocation], Report | None]) -> None:
        invocation = self._invocation
        try:
            report = func(invocation)
        except Exception as error:  # noqa: BLE001
            # A defect of the function. Its message may contain input.
            _log.error("Unexpected error: %s", escape(traceback.format_exc()))
            report = invocation.interrupted(_unexpected(escape_error(error)))
        if report:
            invocation.responder.reply(report)

    def _cfn_response(self, event: object) -> None:  # noqa: ARG002
        self._send()

    def _send(self, status: str | None = None, reason: str = "") -> None:
        """Wait for the reply. crhelper passes a status and a reason if it caught an error."""
        responder = self._invocation.responder
        if status:
            responder.reply(self._invocation.interrupted(_unexpected(reason)))
        responder.wait()


def _unexpected(what: str) -> str:
    return f"The function failed unexpectedly ({what})."
