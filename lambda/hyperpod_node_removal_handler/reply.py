"""Delivery of the one reply to a request, over HTTPS, to the presigned URL it came with."""

import http.client
import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from hyperpod_node_removal_handler import signals
from hyperpod_node_removal_handler.contract import printable
from hyperpod_node_removal_handler.envelope import Envelope
from hyperpod_node_removal_handler.patience import Backoff, Clock
from hyperpod_node_removal_handler.report import Report

_log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 8
"""With the pauses between them they span about two minutes, if the invocation has that long."""
SOCKET_TIMEOUT: Final = 10.0
"""Seconds, for connecting and for each read."""

_LEAST_TIMEOUT: Final = 0.5


class DeliveryError(Exception):
    """The reply did not arrive. Its text holds no part of the URL."""


class RepliedError(Exception):
    """The request has been answered already."""


class Exchange:
    """One request of CloudFormation and its single reply.

    The first `reply` wins, from whatever thread; later ones do nothing.
    """

    def __init__(self, envelope: Envelope, *, clock: Clock, expires_at: float) -> None:
        self.envelope = envelope
        self._clock = clock
        self._expires_at = expires_at
        self._unanswered = threading.Lock()
        self._is_over = threading.Event()

    def reply(self, report: Report) -> None:
        """Log the report, deliver it, then announce it. Never raises: there is nobody to tell.

        Who comes too late waits for the delivery: once the handler returns, Lambda freezes the
        process and whatever thread is still at it.
        """
        if not self._unanswered.acquire(blocking=False):
            self._is_over.wait(max(0.0, self._expires_at - self._clock.now()))
            return
        try:
            self._log_and_deliver(report)
            if report.finished and (bus := signals.event_bus()):
                from hyperpod_node_removal_handler import removal_event  # noqa: PLC0415 (optional)

                removal_event.announce(
                    report.finished,
                    self.envelope,
                    bus=bus,
                    clock=self._clock,
                    expires_at=self._expires_at,
                )
        finally:
            self._is_over.set()

    def _log_and_deliver(self, report: Report) -> None:
        # The log comes first: once the reply is there, the CDK CLI fetches the last lines of it.
        # Metrics and the command's `explain` live on these lines. Lambda drops what is below the
        # function's ApplicationLogLevel by the line's own level ("Log-level filtering", Lambda
        # Developer Guide), so theirs is never less.
        least = _log.getEffectiveLevel()
        for line in report.lines:
            _log.log(max(line.level, least), line.text, extra=dict(line.fields))
        body = report.body(self.envelope)
        try:
            self._deliver(body)
        except DeliveryError as error:
            _log.error(
                "The reply did not reach CloudFormation: %s. The stack will wait until its"
                " ServiceTimeout. The reply was: %s",
                error,
                body.decode("ascii"),
            )

    @contextmanager
    def withheld(self) -> Iterator[None]:
        """Keep anyone from replying, for good unless the block raises.

        Raises:
            RepliedError: somebody has replied already.
        """
        if not self._unanswered.acquire(blocking=False):
            raise RepliedError
        try:
            yield
        except BaseException:
            self._unanswered.release()
            raise
        self._is_over.set()

    def _deliver(self, body: bytes) -> None:
        backoff = Backoff(first=1.0, factor=2.0, most=30.0)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                left = max(_LEAST_TIMEOUT, self._expires_at - self._clock.now())
                put(self.envelope.response_url, body, min(SOCKET_TIMEOUT, left))
            except DeliveryError as error:
                pause = backoff.pause()
                if attempt == MAX_ATTEMPTS or self._clock.now() + pause >= self._expires_at:
                    raise
                _log.warning("Attempt %d to reply failed: %s; trying again.", attempt, error)
                self._clock.sleep(pause)
            else:
                return


def put(url: str, body: bytes, timeout: float) -> None:
    """PUT `body` to `url`.

    Raises:
        DeliveryError: it is not an HTTPS URL, no answer came, or the answer was not a 2xx. A
            redirect is not followed: a presigned URL is for one place.
    """
    try:
        split = urlsplit(url)
    except ValueError:
        split = urlsplit("")
    if split.scheme != "https" or not split.hostname:
        raise DeliveryError("the ResponseURL is not an HTTPS URL")
    # An empty content type is part of what CloudFormation signed.
    headers = {"content-type": "", "content-length": str(len(body))}
    try:
        connection = http.client.HTTPSConnection(
            split.netloc, timeout=timeout, context=ssl.create_default_context()
        )
        with closing(connection):
            connection.request("PUT", urlunsplit(("", "", *split[2:])), body, headers)
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DeliveryError(type(error).__name__) from None
    if not http.client.OK <= status < http.client.MULTIPLE_CHOICES:
        raise DeliveryError(f"HTTP status {status}")


def safe_text(error: BaseException) -> str:
    """An unexpected error in one printable line."""
    return printable(f"{type(error).__name__}: {error}", 400)
