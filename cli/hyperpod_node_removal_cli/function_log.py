"""The function's log: what became of each node, and how far a removal has got."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.contract import printable

_MARGIN: Final = timedelta(minutes=2)
"""By which clocks may differ."""
ROUND: Final = "Round: "
"""How a line on a round begins."""
_CUT: Final = "..."


@dataclass(frozen=True)
class LogRecord:
    """A line of the log."""

    event_id: str
    time: float
    """Seconds since the epoch."""
    fields: Mapping[str, Any]
    """Of the JSON object that a line is."""

    @property
    def message(self) -> str:
        """The text."""
        return printable(str(self.fields.get("message", "")))


@dataclass(frozen=True)
class LoggedFailure:
    """A node that failed, as the log tells it."""

    node: str
    code: str
    why: str
    group: str
    status: str


class FunctionLog:
    """Logs through a client of CloudWatch Logs. Every method raises `aws.AwsError`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def stream(self, group: str, stream: str, since: datetime) -> Iterator[LogRecord]:
        """The lines of one stream since a time, oldest first."""
        token: str | None = None
        while True:
            more: dict[str, str] = {"nextToken": token} if token else {}
            with aws.translated("GetLogEvents"):
                page = self._client.get_log_events(
                    logGroupName=group,
                    logStreamName=stream,
                    startTime=_milliseconds(since),
                    startFromHead=True,
                    **more,
                )
            yield from _records(page.get("events") or ())
            # At the end, the token is the one that was given (API reference, GetLogEvents).
            if page.get("nextForwardToken") in {None, token}:
                return
            token = page["nextForwardToken"]

    def search(self, group: str, words: str, since: datetime) -> Iterator[LogRecord]:
        """The lines of all streams since a time that hold these words."""
        token: str | None = None
        while True:
            more: dict[str, str] = {"nextToken": token} if token else {}
            with aws.translated("FilterLogEvents"):
                page = self._client.filter_log_events(
                    logGroupName=group,
                    startTime=_milliseconds(since),
                    filterPattern=f'"{words}"',
                    **more,
                )
            yield from _records(page.get("events") or ())
            token = page.get("nextToken")
            if not token:
                return


def failures(records: Iterable[LogRecord], head: str) -> tuple[LoggedFailure, ...]:
    """The failed nodes of the removal whose summary begins with `head`.

    A stream holds the lines of one invocation after another: those count that belong to the last
    one with this summary.
    """
    known = tuple(records)
    start = head.removesuffix(_CUT)
    requests = [
        record.fields.get("requestId")
        for record in known
        if start and record.message.partition(": ")[2].startswith(start)
    ]
    return _failures(
        record for record in known if requests and record.fields.get("requestId") == requests[-1]
    )


def latest_failures(records: Iterable[LogRecord]) -> tuple[LoggedFailure, ...]:
    """The failed nodes of the last invocation that told of any."""
    known = tuple(records)
    requests = [
        record.fields.get("requestId")
        for record in known
        if record.fields.keys() >= {"node", "code"}
    ]
    return _failures(
        record for record in known if requests and record.fields.get("requestId") == requests[-1]
    )


def _failures(records: Iterable[LogRecord]) -> tuple[LoggedFailure, ...]:
    found = {}
    for record in records:
        fields = {key: printable(str(value)) for key, value in record.fields.items()}
        if fields.get("node") and fields.get("code"):
            found[fields["node"]] = LoggedFailure(
                node=fields["node"],
                code=fields["code"],
                why=fields.get("why", ""),
                group=fields.get("group", ""),
                status=fields.get("status", ""),
            )
    return tuple(found.values())


def _records(events: Iterable[Mapping[str, Any]]) -> Iterator[LogRecord]:
    for event in events:
        try:
            fields = json.loads(str(event.get("message", "")))
        except ValueError:
            continue  # a line of the platform, or of something else
        if isinstance(fields, dict):
            time = float(event.get("timestamp", 0)) / 1000
            yield LogRecord(str(event.get("eventId", "")), time, fields)


def _milliseconds(time: datetime) -> int:
    return int((time - _MARGIN).timestamp() * 1000)
