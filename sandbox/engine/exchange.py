"""Requests to custom resources, the URLs they respond to, and a record of both."""

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

PATH: Final = "/custom-resource-reply/"
URL_SECONDS: Final = 7200
"""How long a URL accepts a reply: CloudFormation presigns it for two hours."""


@dataclass(frozen=True)
class ReceivedReply:
    """A request to a ResponseURL."""

    request_id: str
    """The request whose URL it was; empty for an unknown URL."""
    status: int
    """The HTTP status of its response: 200, or 403 for what a presigned URL refuses."""
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object."""
        reply = json.loads(self.body)
        assert isinstance(reply, dict)
        return reply


class Canceled(Exception):  # noqa: N818 - it is no error
    """The stack no longer waits for the reply."""


@dataclass
class _Waiting:
    request_id: str
    signature: str
    expires: float
    arrived: threading.Event = field(default_factory=threading.Event)
    body: bytes = b""
    canceled: bool = False

    def cancel(self) -> None:
        if not self.arrived.is_set():
            self.canceled = True
            self.arrived.set()


@dataclass
class Operation:
    """A deployment of a stack: its requests are waited for until it is canceled."""

    canceled: bool = False
    waiting: list[_Waiting] = field(default_factory=list)


class Exchange:
    """Every request that was sent, and the replies to it. Thread-safe.

    Args:
        clock: returns seconds since the epoch.
    """

    def __init__(self, endpoint: str, clock: Callable[[], float] = time.time) -> None:
        self.requests: list[dict[str, Any]] = []
        """In order of sending."""
        self.replies: list[ReceivedReply] = []
        """Everything that was sent to a ResponseURL, in order of arrival."""
        self.sends_failed_attempt = False
        """Whether the first Update after one that failed with rollback disabled has the
        OldResourceProperties of the failed attempt, not of the last success. What AWS sends is
        unknown."""
        self._endpoint = endpoint
        self._clock = clock
        self._lock = threading.Lock()
        self._urls: dict[str, _Waiting] = {}

    def response_url(self, request_id: str) -> str:
        """Return a new URL for replies to a request, secret and dated like a presigned one."""
        token, signature = secrets.token_hex(16), secrets.token_hex(32)
        now = self._clock()
        with self._lock:
            self._urls[token] = _Waiting(request_id, signature, now + URL_SECONDS)
        date = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        query = f"X-Amz-Date={date}&X-Amz-Expires={URL_SECONDS}&X-Amz-Signature={signature}"
        return f"{self._endpoint}{PATH}{token}?{query}"

    def wait(
        self, response_url: str, seconds: float, operation: Operation | None = None
    ) -> bytes | None:
        """Return the body of the first reply that was accepted, or None after a timeout.

        Raises:
            Canceled: the operation was canceled before a reply came.
        """
        waiting = self._urls[_token(response_url.removeprefix(self._endpoint))]
        if operation is not None:
            with self._lock:
                operation.waiting.append(waiting)
                if operation.canceled:
                    waiting.cancel()
        arrived = waiting.arrived.wait(seconds)
        if waiting.canceled:
            raise Canceled
        return waiting.body if arrived else None

    def cancel(self, operation: Operation) -> None:
        """Stop waiting for the requests of an operation, including those it sends later."""
        with self._lock:
            operation.canceled = True
            for waiting in operation.waiting:
                waiting.cancel()

    def deliver(self, method: str, path: str, query: str, content_type: str, body: bytes) -> int:
        """Accept a request to a response URL. Returns the HTTP status of the response.

        As with a presigned S3 URL, anything but a PUT without a content type fails the signature,
        nothing is accepted after two hours, and a second reply is stored like the first.
        CloudFormation reads the first only, and none after a cancellation.
        """
        with self._lock:
            waiting = self._urls.get(_token(path))
            signed = waiting is not None and f"X-Amz-Signature={waiting.signature}" in query
            in_time = waiting is not None and self._clock() < waiting.expires
            accepted = signed and in_time and method == "PUT" and not content_type
            status = 200 if accepted else 403
            self.replies.append(ReceivedReply(waiting.request_id if waiting else "", status, body))
            if waiting is not None and accepted and not waiting.arrived.is_set():
                waiting.body = body
                waiting.arrived.set()
            return status


def _token(url: str) -> str:
    return url.partition(PATH)[2].partition("?")[0]
