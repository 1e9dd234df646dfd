"""The function's structured log: what came of each removal, and how far one has got."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from hyperpod_node_removal_contract import Outcome, escape
from hyperpod_node_removal_handler import aws

ROUND: Final = "Round: "
"""How a line on a round begins."""
_CLOCK_SKEW: Final = timedelta(minutes=2)
"""By which the clocks of CloudFormation and of the log may differ."""
_OUTCOMES: Final = frozenset(Outcome) - {Outcome.DELETED, Outcome.ROLLED_BACK}
"""Of requests that may remove nodes."""


@dataclass(frozen=True)
class LogLine:
    """A line of the log."""

    event_id: str
    time: float
    """Seconds since the epoch."""
    fields: Mapping[str, str]
    """Of the JSON object that a line is, safe to print."""

    @property
    def message(self) -> str:
        """The text."""
        return self.fields.get("message", "")


@dataclass(frozen=True)
class LoggedRemoval:
    """What one invocation of the function says came of a removal."""

    outcome: str
    summary: str
    """The verdict, in a sentence or more. The Reason begins with it."""
    failures: tuple[Mapping[str, str], ...]
    """The fields of the line on each failed node: `node`, `code`, `why`, `group`, ..."""


def read_log(
    client: Any, group: str, since: datetime, *, stream: str = "", words: str = ""
) -> Iterator[LogLine]:
    """Read the lines of a log group since a time, oldest first.

    Args:
        client: of CloudWatch Logs.
        group: name of the log group.
        since: when what is looked for began, by CloudFormation's clock.
        stream: name of the one stream to read. Default: all.
        words: what the lines hold. Default: anything.

    Raises:
        aws.AwsError: the log could not be read.
    """
    request: dict[str, Any] = {
        "logGroupName": group,
        "startTime": int((since - _CLOCK_SKEW).timestamp() * 1000),
    }
    if stream:
        request["logStreamNames"] = [stream]
    if words:
        request["filterPattern"] = f'"{words}"'
    with aws.map_errors("FilterLogEvents"):
        for page in client.get_paginator("filter_log_events").paginate(**request):
            yield from _lines(page.get("events") or ())


def removals_in(lines: Iterable[LogLine]) -> tuple[LoggedRemoval, ...]:
    """Return what each invocation that reported on a removal says, in the order of the log."""
    failures: dict[str, dict[str, Mapping[str, str]]] = {}
    found = []
    for line in lines:
        of_invocation = failures.setdefault(line.fields.get("requestId", ""), {})
        outcome, _, summary = line.message.partition(": ")
        if line.fields.get("node") and line.fields.get("code"):
            of_invocation[line.fields["node"]] = line.fields
        elif outcome in _OUTCOMES:  # the last line of a report
            found.append(LoggedRemoval(outcome, summary, tuple(of_invocation.values())))
    return tuple(found)


def _lines(events: Iterable[Mapping[str, Any]]) -> Iterator[LogLine]:
    for event in events:
        try:
            fields = json.loads(str(event.get("message", "")))
        except ValueError:
            continue  # a line of the platform, or of something else
        if isinstance(fields, dict):
            shown = {str(key): escape(str(value)) for key, value in fields.items()}
            time = float(event.get("timestamp", 0)) / 1000
            yield LogLine(str(event.get("eventId", "")), time, shown)
