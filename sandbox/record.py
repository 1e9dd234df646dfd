"""What went between CloudFormation and custom resources, as the engine wrote it down."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
    """Something that was sent to a ResponseURL, in order of arrival."""

    time: float
    """Seconds since the epoch."""
    request_id: str
    """The request whose URL it was; empty for a URL that nobody gave out."""
    status: int
    """The HTTP status it got: 200, or 403 for what a presigned URL refuses."""
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body, which is expected to be a JSON object."""
        reply = json.loads(self.body)
        assert isinstance(reply, dict)
        return reply


def read_requests(directory: Path) -> list[SentRequest]:
    """The requests of a sandbox so far, in order of sending."""
    return [
        SentRequest(line["time"], line["event"]) for line in _lines(directory / "requests.jsonl")
    ]


def read_replies(directory: Path) -> list[ReceivedReply]:
    """The replies of a sandbox so far, in order of arrival."""
    return [
        ReceivedReply(
            time=line["time"],
            request_id=line["request_id"],
            status=line["status"],
            body=base64.b64decode(line["body"]),
        )
        for line in _lines(directory / "replies.jsonl")
    ]


def _lines(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    # a line that is being written has no end yet
    whole = file.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]
