"""The function's structured log: the progress and the outcome of each removal."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from hyperpod_node_removal_contract import Outcome, escape
from hyperpod_node_removal_handler import aws

ROUND: Final = "Round: "
"""The beginning of a progress line."""
_CLOCK_SKEW: Final = timedelta(minutes=2)
"""How much the clocks of CloudFormation and of the log may differ."""
_OUTCOMES: Final = frozenset(Outcome) - {Outcome.DELETED, Outcome.ROLLED_BACK}
"""Outcomes of requests that may remove nodes."""


@dataclass(frozen=True)
class LogLine:
    """A line of the log that is a JSON object."""

    event_id: str
    time: float
    """Seconds since the epoch."""
    message: str
    fields: Mapping[str, str]
    """All members of the object, safe to print."""


@dataclass(frozen=True)
class LoggedRemoval:
    """The outcome of a removal, as one invocation of the function logged it."""

    outcome: str
    summary: str
    """One or more sentences, with which the Reason begins."""
    failures: tuple[Mapping[str, str], ...]
    """The fields of the line on each failed node: `node`, `code`, `why`, `group`, ..."""
    stack_id: str
    """The stack of the removal. Empty in the log of a function of an older version."""
    logical_id: str
    """Of the removal in its stack. Empty, too."""


def read_log(
    client: Any, group: str, since: datetime, *, stream: str = "", words: str = ""
) -> Iterator[LogLine]:
    """Yield the lines of a log group since a time (of CloudFormation's clock), oldest first.

    Args:
        client: a client of CloudWatch Logs.
        group: the name of the log group.
        since: the time of the first line.
        stream: the name of the only stream to read. Default: all streams.
        words: text that the lines contain. Default: any.

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
    """Return the outcome that each invocation logged, in the order of the log."""
    failures: dict[str, dict[str, Mapping[str, str]]] = {}
    found = []
    for line in lines:
        of_invocation = failures.setdefault(line.fields.get("requestId", ""), {})
        outcome, _, summary = line.message.partition(": ")
        if line.fields.get("node") and line.fields.get("code"):
            of_invocation[line.fields["node"]] = line.fields
        elif outcome in _OUTCOMES:  # the last line of a report
            found.append(
                LoggedRemoval(
                    outcome,
                    summary,
                    failures=tuple(of_invocation.values()),
                    stack_id=line.fields.get("stack_id", ""),
                    logical_id=line.fields.get("logical_id", ""),
                )
            )
    return tuple(found)


def _lines(events: Iterable[Mapping[str, Any]]) -> Iterator[LogLine]:
    for event in events:
        try:
            fields = json.loads(str(event.get("message", "")))
        except ValueError:
            continue  # for example a line of the Lambda platform
        if isinstance(fields, dict):
            shown = {str(key): escape(str(value)) for key, value in fields.items()}
            yield LogLine(
                event_id=str(event.get("eventId", "")),
                time=float(event.get("timestamp", 0)) / 1000,
                message=shown.get("message", ""),
                fields=shown,
            )
