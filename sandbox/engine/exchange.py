"""Requests to custom resources, the URLs they are answered at, and a record of both.

The record is two files of JSON lines, `requests.jsonl` and `replies.jsonl`, in order of sending
and of arrival; `sandbox.record` reads them.
"""

import base64
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PATH: Final = "/custom-resource-reply/"


@dataclass
class _Waiting:
    request_id: str
    signature: str
    arrived: threading.Event = field(default_factory=threading.Event)
    body: bytes = b""


class Exchange:
    """Every request that was sent, and what came back. Thread-safe."""

    def __init__(self, endpoint: str, directory: Path) -> None:
        self._endpoint = endpoint
        self._directory = directory
        self._lock = threading.Lock()
        self._waiting: dict[str, _Waiting] = {}

    def response_url(self, request_id: str) -> str:
        """A new URL to answer the request at, secret like a presigned one."""
        token, signature = secrets.token_hex(16), secrets.token_hex(32)
        with self._lock:
            self._waiting[token] = _Waiting(request_id, signature)
        return f"{self._endpoint}{PATH}{token}?X-Amz-Expires=7200&X-Amz-Signature={signature}"

    def sent(self, request: dict[str, Any]) -> None:
        """Record a request before the function gets it."""
        with self._lock:
            self._write("requests.jsonl", {"time": time.time(), "event": request})

    def wait(self, response_url: str, seconds: float) -> bytes | None:
        """The body of the first reply that was delivered, or None when the time is up."""
        waiting = self._waiting[_token(response_url.removeprefix(self._endpoint))]
        return waiting.body if waiting.arrived.wait(seconds) else None

    def deliver(self, method: str, path: str, query: str, content_type: str, body: bytes) -> int:
        """Take what was sent to a response URL. Returns the HTTP status to answer with.

        As with a presigned S3 URL, anything but a PUT without a content type fails the signature,
        and a second reply is stored like the first; CloudFormation looks at the first only.
        """
        with self._lock:
            waiting = self._waiting.get(_token(path))
            signed = waiting is not None and f"X-Amz-Signature={waiting.signature}" in query
            status = 200 if signed and method == "PUT" and not content_type else 403
            reply = {
                "time": time.time(),
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


def _token(url: str) -> str:
    return url.partition(PATH)[2].partition("?")[0]
