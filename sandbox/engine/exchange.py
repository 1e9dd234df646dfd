"""Requests to custom resources, the URLs they are answered at, and a record of both.

The record is two files of JSON lines, `requests.jsonl` and `replies.jsonl`, in order of sending
and of arrival; `sandbox.record` reads them.
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
"""How long a URL takes a reply: CloudFormation presigns it for two hours."""


class Cancelled(Exception):  # noqa: N818 - it is no error
    """The stack no longer waits for the reply."""


@dataclass
class _Waiting:
    request_id: str
    signature: str
    expires: float
    arrived: threading.Event = field(default_factory=threading.Event)
    body: bytes = b""
    cancelled: bool = False


@dataclass
class Operation:
    """A deployment of a stack, whose requests are waited for until it is cancelled."""

    cancelled: bool = False
    waiting: list[_Waiting] = field(default_factory=list)


class Exchange:
    """Every request that was sent, and what came back. Thread-safe.

    Args:
        clock: seconds since the epoch.
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
        """A new URL to answer the request at, secret like a presigned one and dated like it."""
        token, signature = secrets.token_hex(16), secrets.token_hex(32)
        now = self._clock()
        with self._lock:
            self._urls[token] = _Waiting(request_id, signature, now + URL_SECONDS)
        query = {
            "X-Amz-Date": datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ"),
            "X-Amz-Expires": URL_SECONDS,
            "X-Amz-Signature": signature,
        }
        text = "&".join(f"{name}={value}" for name, value in query.items())
        return f"{self._endpoint}{PATH}{token}?{text}"

    def sent(self, request: dict[str, Any]) -> None:
        """Record a request before the function gets it."""
        with self._lock:
            self._write("requests.jsonl", {"time": self._clock(), "event": request})

    def wait(
        self, response_url: str, seconds: float, operation: Operation | None = None
    ) -> bytes | None:
        """The body of the first reply that was delivered, or None when the time is up.

        Raises:
            Cancelled: the operation was cancelled before a reply came.
        """
        waiting = self._urls[_token(response_url.removeprefix(self._endpoint))]
        if operation is not None:
            with self._lock:
                operation.waiting.append(waiting)
                if operation.cancelled:
                    _cancel(waiting)
        arrived = waiting.arrived.wait(seconds)
        if waiting.cancelled:
            raise Cancelled
        return waiting.body if arrived else None

    def cancel(self, operation: Operation) -> None:
        """Wait no longer for what an operation has sent, nor for what it is about to send."""
        with self._lock:
            operation.cancelled = True
            for waiting in operation.waiting:
                _cancel(waiting)

    def deliver(self, method: str, path: str, query: str, content_type: str, body: bytes) -> int:
        """Take what was sent to a response URL. Returns the HTTP status to answer with.

        As with a presigned S3 URL, anything but a PUT without a content type fails the signature,
        nothing is taken after two hours, and a second reply is stored like the first;
        CloudFormation looks at the first only, and at none that comes after a cancelling.
        """
        with self._lock:
            waiting = self._urls.get(_token(path))
            signed = waiting is not None and f"X-Amz-Signature={waiting.signature}" in query
            in_time = waiting is not None and self._clock() < waiting.expires
            status = 200 if signed and in_time and method == "PUT" and not content_type else 403
            reply = {
                "time": self._clock(),
                "request_id": waiting.request_id if waiting else "",
                "status": status,
                "body": base64.b64encode(body).decode(),
            }
            self._write("replies.jsonl", reply)
            if waiting is not None and status == 200 and not waiting.arrived.is_set():  # noqa: PLR2004
                waiting.body = body
                waiting.arrived.set()
            return status

    def _write(self, name: str, line: dict[str, Any]) -> None:
        with (self._directory / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _cancel(waiting: _Waiting) -> None:
    if not waiting.arrived.is_set():
        waiting.cancelled = True
        waiting.arrived.set()


def _token(url: str) -> str:
    return url.partition(PATH)[2].partition("?")[0]
