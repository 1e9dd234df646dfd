"""The reason of a failed removal, read back: the inverse of the handler's `reason`.

What the function writes, in the words of `hyperpod_node_removal_handler.reason`::

    event   = "Received response status [FAILED] from custom resource. Message returned: "
              reason " (RequestId: " id ")"
    reason  = head [" " groups "."] {" " extra} [log]
    head    = a sentence or more: the verdict with the counts, the broken guards, ...
    groups  = group {"; " group}
    group   = code ": " (node {", " node} [", +" n " more"] | n " node" | n " nodes")
    extra   = code ': "' message '"' [" (" n " attempts)"] "." | a sentence
    log     = [" Log group: " name "."] " CloudWatch Log Stream: " name

The head and the messages hold words of others, so a piece of them can look like groups. After a
verdict, groups count only if their nodes are as many as it says; where the whole set was refused,
only the last groups of our own codes count; after any other head there are none.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from hyperpod_node_removal_handler.contract import FailureCode
from hyperpod_node_removal_handler.reason import LogPlace

_CODE: Final = r"[A-Za-z][A-Za-z0-9._-]*"
_ID: Final = r"[A-Za-z0-9][A-Za-z0-9-]*"
_GROUP: Final = rf"{_CODE}: (?:\d+ nodes?|{_ID}(?:, {_ID})*(?:, \+\d+ more)?)"
_GROUPS: Final = re.compile(rf" ({_GROUP}(?:; {_GROUP})*)\.(?= |$)")
_LOG: Final = re.compile(
    r"(?: Log group: (?P<group>[!-~]+)\.)? CloudWatch Log Stream: (?P<stream>[!-~]+)$"
)
_VERDICT: Final = re.compile(r"(\d+) of \d+ nodes? not removed from (\S+) \(")
_REFUSAL: Final = re.compile(r"Nothing was removed from (\S+): ")
_EVENT: Final = re.compile(
    r"Received response status \[FAILED\] from custom resource\. Message returned: (.*)", re.DOTALL
)
_OUR_CODES: Final = frozenset(str(code) for code in FailureCode)
_REQUEST: Final = " (RequestId: "
_CUT: Final = "..."


@dataclass(frozen=True)
class FailedGroup:
    """Nodes that failed under one code."""

    code: str
    nodes: tuple[str, ...]
    """Those that are named."""
    count: int
    """How many there are in all."""


@dataclass(frozen=True)
class Reason:
    """What a reason says."""

    head: str
    """What happened, in the function's words."""
    groups: tuple[FailedGroup, ...] = ()
    messages: Mapping[str, str] = field(default_factory=dict)
    """What the service said, by code."""
    log: LogPlace = field(default_factory=LogPlace)
    """Where the function's log is. Parts that are not known are empty."""
    failed: int | None = None
    """How many nodes failed. None: the reason does not say."""
    cluster: str = ""
    """The cluster's name. Empty: the reason does not say."""

    @property
    def is_complete(self) -> bool:
        """Whether every failed node is named."""
        named = sum(len(group.nodes) for group in self.groups)
        return self.failed is not None and named == self.failed


def from_event(text: str) -> str | None:
    """The reason within the text of a stack event; None if the function did not give it."""
    match = _EVENT.match(text)
    if not match:
        return None
    reason, mark, _ = match[1].rpartition(_REQUEST)
    return reason if mark else match[1]


def read_reason(text: str) -> Reason:
    """What a reason says. A text of another kind is all head."""
    log = LogPlace()
    if match := _LOG.search(text):
        text = text[: match.start()]
        log = LogPlace(_whole(match["group"] or ""), _whole(match["stream"]))
    verdict, refusal = _VERDICT.match(text), _REFUSAL.match(text)
    failed = int(verdict[1]) if verdict else None
    cluster = verdict[2] if verdict else refusal[1] if refusal else ""
    candidates = _candidates(text) if verdict else reversed(list(_candidates(text)))
    for match in candidates if verdict or refusal else ():
        groups = tuple(_group(part) for part in match[1].split("; "))
        count = sum(group.count for group in groups)
        if count == failed or (refusal and all(group.code in _OUR_CODES for group in groups)):
            messages = dict(_messages(groups, text[match.end() :]))
            return Reason(text[: match.start()], groups, messages, log, count, cluster)
    return Reason(text, log=log, failed=failed, cluster=cluster)


def _candidates(text: str) -> Iterator[re.Match[str]]:
    position = 0
    while match := _GROUPS.search(text, position):
        yield match
        position = match.start() + 1


def _group(text: str) -> FailedGroup:
    code, _, nodes = text.partition(": ")
    if number := re.fullmatch(r"(\d+) nodes?", nodes):
        return FailedGroup(code, (), int(number[1]))
    *named, last = nodes.split(", ")
    if more := re.fullmatch(r"\+(\d+) more", last):
        return FailedGroup(code, tuple(named), len(named) + int(more[1]))
    return FailedGroup(code, (*named, last), len(named) + 1)


def _messages(groups: tuple[FailedGroup, ...], text: str) -> Iterator[tuple[str, str]]:
    for group in groups:
        pattern = rf' {re.escape(group.code)}: "(.*?)"(?: \(\d+ attempts\))?\.(?= |$)'
        if match := re.search(pattern, text):
            yield group.code, match[1]


def _whole(name: str) -> str:
    """A name, or nothing if it was cut."""
    return "" if name.endswith(_CUT) else name
