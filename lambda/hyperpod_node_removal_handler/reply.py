"""Delivery of the one reply to a request, over HTTPS, to its presigned URL."""

import base64
import http.client
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from hyperpod_node_removal_contract import escape, telemetry
from hyperpod_node_removal_handler import announcement
from hyperpod_node_removal_handler.report import ID_MAX, Report
from hyperpod_node_removal_handler.request import Envelope
from hyperpod_node_removal_handler.timing import (
    EVENT_RETRY,
    REPLY_PAUSES,
    REPLY_TIMEOUT,
    SIGNAL_RESERVE,
    Clock,
    pauses,
)

_log = logging.getLogger(__name__)

_LEAST_TIMEOUT: Final = 0.5
_LATE_PAUSE: Final = 0.25
"""Seconds between checks whether a reply that is being sent has been delivered."""


class DeliveryError(Exception):
    """The reply did not arrive. Its text holds no part of the URL."""


class RepliedError(Exception):
    """The request has been answered already."""


class Responder:
    """One request of CloudFormation and its single reply.

    The first `reply` wins, from any thread; later ones do nothing.
    """

    def __init__(self, envelope: Envelope, *, clock: Clock, ends_at: float) -> None:
        """Respond to a request. `ends_at` is when the invocation ends, in seconds of the clock."""
        self.envelope = envelope
        self.closes_at = ends_at
        """When CloudFormation stops waiting for the reply."""
        self.after_success: Callable[[str], None] | None = None
        """What to do with the verdict of a success that has been delivered."""
        self._clock = clock
        self._ends_at = ends_at
        self._unanswered = threading.Lock()
        self._is_over = False

    @property
    def has_replied(self) -> bool:
        """Whether a reply is being sent, or another invocation is going to send it."""
        return self._unanswered.locked()

    def reply(self, report: Report) -> None:
        """Log the report, deliver it, then announce it. Never raises."""
        if not self._unanswered.acquire(blocking=False):
            return
        try:
            is_delivered = self._log_and_deliver(report)
            # A stack waits for the signal, so it comes first where there is little time. Otherwise
            # the event does not wait until the stack takes the signal.
            is_late = self._ends_at - self._clock.now() < SIGNAL_RESERVE + EVENT_RETRY
            if not is_late:
                self._announce(report)
            if is_delivered and report.signal_id and self.after_success:
                self.after_success(report.signal_id)
            if is_late:
                self._announce(report)
        finally:
            self._is_over = True

    def _announce(self, report: Report) -> None:
        if report.result and (bus := telemetry.event_bus()):
            announcement.send_event(
                report.result, self.envelope, bus=bus, clock=self._clock, expires_at=self._ends_at
            )

    def wait(self) -> None:
        """Wait until the reply that another thread is sending is delivered.

        Once the handler returns, Lambda freezes the process and all its threads.
        """
        while not self._is_over and self._clock.now() < self._ends_at:
            self._clock.sleep(_LATE_PAUSE)

    def _log_and_deliver(self, report: Report) -> bool:
        # The log comes first: once the reply is there, the CDK CLI fetches its last lines. Metrics
        # and the command's `explain` are made from them. Lambda drops lines below the function's
        # ApplicationLogLevel ("Log-level filtering", Lambda Developer Guide), so theirs is raised.
        least = _log.getEffectiveLevel()
        # The log may be that of the removals of many stacks.
        whose = {
            "stack_id": escape(self.envelope.stack_id, ID_MAX),
            "logical_id": escape(self.envelope.logical_resource_id, ID_MAX),
        }
        for line in report.lines:
            _log.log(max(line.level, least), line.text, extra={**line.fields, **whose})
        body = report.body(self.envelope)
        try:
            self._deliver(body)
        except DeliveryError as error:
            _log.error(
                "The response did not reach CloudFormation: %s. The stack will wait until its"
                " ServiceTimeout. The response was: %s",
                error,
                body.decode("ascii"),
            )
            return False
        return True

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep all threads from replying, for good unless the block raises.

        Raises:
            RepliedError: another thread has replied already.
        """
        if not self._unanswered.acquire(blocking=False):
            raise RepliedError
        try:
            yield
        except BaseException:
            self._unanswered.release()
            raise
        self._is_over = True

    def _deliver(self, body: bytes) -> None:
        backoff = pauses(*REPLY_PAUSES)
        while True:
            left = max(_LEAST_TIMEOUT, min(self.closes_at, self._ends_at) - self._clock.now())
            try:
                put(self.envelope.response_url, body, min(REPLY_TIMEOUT, left))
            except DeliveryError as error:
                pause = next(backoff)
                if pause >= min(self.closes_at, self._ends_at) - self._clock.now():
                    raise
                _log.warning("The response was not delivered: %s. Retrying.", error)
                self._clock.sleep(pause)
            else:
                return


def put(url: str, body: bytes, timeout: float) -> None:
    """Send `body` to `url` by PUT, through the proxy of the environment like the SDK's calls.

    `timeout` is for the whole exchange, in seconds, however slowly the server sends its answer.

    Raises:
        DeliveryError: it is not an HTTPS URL, no answer came, or the answer was not a 2xx. A
            redirect is not followed: a presigned URL is for one place.
    """
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError:
        host = None
    if not host or split.scheme != "https":
        raise DeliveryError("the ResponseURL is not an HTTPS URL")
    # An empty content type is part of what CloudFormation signed.
    headers = {"content-type": "", "content-length": str(len(body))}
    try:
        is_late = threading.Event()
        with closing(_connection(split.netloc, host, port, timeout)) as connection:
            guard = threading.Timer(timeout, _shut_down, [connection, is_late])
            guard.daemon = True
            guard.start()
            try:
                connection.connect()
                if not is_late.is_set():
                    connection.request("PUT", urlunsplit(("", "", *split[2:])), body, headers)
                    status = connection.getresponse().status
            finally:
                guard.cancel()
        if is_late.is_set():
            # A truncated answer may look like a complete one.
            raise TimeoutError
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DeliveryError(type(error).__name__) from None
    if not http.client.OK <= status < http.client.MULTIPLE_CHOICES:
        raise DeliveryError(f"HTTP status {status}")


def _connection(
    netloc: str, host: str, port: int | None, timeout: float
) -> http.client.HTTPSConnection:
    context = ssl.create_default_context()
    proxy = None if proxy_bypass(netloc) else getproxies().get("https")
    if not proxy:
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    via = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = http.client.HTTPSConnection(
        via.hostname or "", via.port or http.client.HTTP_PORT, timeout=timeout, context=context
    )
    credentials = f"{unquote(via.username or '')}:{unquote(via.password or '')}"
    encoded = base64.b64encode(credentials.encode()).decode("ascii")
    headers = {"Proxy-Authorization": f"Basic {encoded}"} if via.username else {}
    connection.set_tunnel(host, port or http.client.HTTPS_PORT, headers)
    return connection


def _shut_down(connection: http.client.HTTPSConnection, is_late: threading.Event) -> None:
    """End an exchange whose time is up."""
    is_late.set()
    if connection.sock:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
