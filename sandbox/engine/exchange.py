"""Requests to custom resources, the URLs they respond to, and a record of both.

The engine writes the record, two files of JSON lines, in order of sending and of arrival; the
parent process reads it.
"""

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

PATH: Final = "/custom-resource-reply/"
URL_SECONDS: Final = 7200
"""How long a URL accepts a reply: CloudFormation presigns it for two hours."""
_REQUESTS: Final = "requests.jsonl"
_REPLIES: Final = "replies.jsonl"


@dataclass(frozen=True)
class SentRequest:
    """A request that a function was invoked with."""

    time: float
    """Seconds since the epoch."""
    event: dict[str, Any]

    @property
    def request_id(self) -> str:
        return str(self.event["RequestId"])

    @property
    def request_type(self) -> str:
        """Create, Update or Delete."""
        return str(self.event["RequestType"])


@dataclass(frozen=True)
class ReceivedReply:
    """A request to a ResponseURL."""

    time: float
    """Seconds since the epoch."""
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


def read_requests(directory: Path) -> list[SentRequest]:
    """Return the requests of a sandbox so far, in order of sending."""
    return [SentRequest(**line) for line in _lines(directory / _REQUESTS)]


def read_replies(directory: Path) -> list[ReceivedReply]:
    """Return the replies of a sandbox so far, in order of arrival."""
    return [
        ReceivedReply(**{**line, "body": base64.b64decode(line["body"])})
        for line in _lines(directory / _REPLIES)
    ]


def _lines(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    # a line that is being written has no end yet
    complete = file.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in complete.splitlines()]


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

    def __init__(
        self, endpoint: str, directory: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._endpoint = endpoint
        self._directory = directory
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

    def sent(self, request: dict[str, Any]) -> None:
        """Record a request before the function gets it."""
        with self._lock:
            self._write(_REQUESTS, {"time": self._clock(), "event": request})

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
            reply = {
                "time": self._clock(),
                "request_id": waiting.request_id if waiting else "",
                "status": 200 if accepted else 403,
                "body": base64.b64encode(body).decode(),
            }
            self._write(_REPLIES, reply)
            if waiting is not None and accepted and not waiting.arrived.is_set():
                waiting.body = body
                waiting.arrived.set()
            return 200 if accepted else 403

    def _write(self, name: str, line: dict[str, Any]) -> None:
        with (self._directory / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _token(url: str) -> str:
    return url.partition(PATH)[2].partition("?")[0]
