"""What people read in a stack event: the `Reason`, one text of at most 900 bytes, and the verdict
of a success, of which CloudFormation shows no reason, in 64 characters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hyperpod_node_removal_contract import (
    REASON_MAX_BYTES,
    SIGNAL_ID_MAX,
    FailureCode,
    escape,
    truncate_middle,
)
from hyperpod_node_removal_contract.failure_codes import next_step
from hyperpod_node_removal_handler.requested_node import RequestedNode

# Of a reason: whatever else there is to tell, some nodes are named.
_INTERRUPTION_MAX: Final = 360
_GUARDS_MAX: Final = 480

_OUR_CODES: Final = frozenset(str(code) for code in FailureCode)


@dataclass(frozen=True)
class LogPlace:
    """Where the log of this invocation is."""

    group: str = ""
    stream: str = ""

    @property
    def sentence(self) -> str:
        """With the literal by which the CDK CLI finds and opens the stream (aws-cdk-cli #1645)."""
        if not self.stream:
            return ""
        group = f" Log group: {escape(self.group, 100)}." if self.group else ""
        return f"{group} CloudWatch Log Stream: {escape(self.stream, 150)}"


def verdict(
    cluster: str,
    *,
    removed: int,
    accepted: int,
    absent: int,
    failed: int,
    seconds: float,
    interruption: str = "",
) -> str:
    """What came of it, with the counts. For example
    `2 of 7 nodes not removed from ml-cluster (5 removed).`"""
    leaving = f", {accepted} accepted and leaving" if accepted else ""
    also = leaving + (f", {absent} already absent" if absent else "")
    if failed:
        total = removed + accepted + absent + failed
        counts = f"{failed} of {total} {'node' if total == 1 else 'nodes'}"
        text = f"{counts} not removed from {escape(cluster)} ({removed} removed{also})."
    else:
        counts = f"{removed} {'node' if removed == 1 else 'nodes'}"
        text = f"{counts} removed from {escape(cluster)}{also} in {round(seconds)} s."
    return f"{text} {truncate_middle(interruption, _INTERRUPTION_MAX)}" if interruption else text


def refused(cluster: str, phrases: Sequence[str]) -> str:
    """That nothing was removed, and what forbade it. For example
    `Nothing was removed from ml-cluster: removing 6 of 8 nodes of group workers leaves 2, fewer
    than 4 (MinRemaining).`"""
    text = f"Nothing was removed from {escape(cluster)}: {'; '.join(phrases)}"
    return f"{truncate_middle(text, _GUARDS_MAX)}."


def planned(cluster: str, *, planned: int, leaving: int, absent: int, refused: int) -> str:
    """What a dry run found."""
    others = {"already leaving": leaving, "already absent": absent, "refused": refused}
    also = "".join(f", {count} {what}" for what, count in others.items() if count)
    nodes = "node" if planned == 1 else "nodes"
    return (
        f"Dry run: {planned} {nodes} of {escape(cluster)} would be removed{also}; nothing was"
        " removed."
    )


def signal_id(what: str, failed: Sequence[RequestedNode], *, done: int, absent: int) -> str:
    """Return a verdict in the 64 characters of a signal, for example `5 of 5 removed` or
    `1 of 5 not removed: NodeIdInUse i-0123456789abcdef0`.

    Args:
        what: was to become of the nodes, a few words.
        failed: those of which it did not. The last code that there is room for may be `+2 more`.
        done: how many nodes it became of.
        absent: how many were gone to begin with.
    """
    total = done + absent + len(failed)
    if not failed:
        also = f", {absent} already absent" if absent else ""
        return f"{done} of {total} {what}{also}"
    head = f"{len(failed)} of {total} not {what}: "
    groups = by_code(failed)
    ((code, nodes), *others) = groups.items()
    if not others and len(nodes) == 1 and len(head + code + nodes[0].name) < SIGNAL_ID_MAX:
        return f"{head}{code} {nodes[0].name}"
    counts = [f"{code} {len(nodes)}" for code, nodes in groups.items()]
    for shown in range(len(counts), 0, -1):
        rest = [f"+{len(counts) - shown} more"] if shown < len(counts) else []
        text = head + ", ".join(counts[:shown] + rest)
        if len(text) <= SIGNAL_ID_MAX:
            return text
    return head.removesuffix(": ")


def reason(head: str, failed: Sequence[RequestedNode], *, removed: int, log: LogPlace) -> str:
    """`head`, the failed nodes by code, the log stream; in the room that is left, what the service
    said and what to do next."""
    room = REASON_MAX_BYTES - len(log.sentence)
    head = truncate(head, room)
    if not failed:
        return head + log.sentence
    groups = by_code(failed)
    ids = {code: [node.name for node in nodes] for code, nodes in groups.items()}
    text = head + _ids_by_code(ids, room - len(head))
    for extra in _extras(groups, removed, head):
        if len(text) + len(extra) <= room:
            text += extra
    return text + log.sentence


def _ids_by_code(groups: Mapping[str, Sequence[str]], room: int) -> str:
    """` Code: i-1, i-2; Code: i-3, +31 more.`, with as many ids of each code as there is room."""

    def text(most: int) -> str:
        return " " + "; ".join(_group(code, ids, most) for code, ids in groups.items()) + "."

    least, most = 0, max(len(ids) for ids in groups.values())
    while least < most:
        middle = (least + most + 1) // 2
        if len(text(middle)) <= room:
            least = middle
        else:
            most = middle - 1
    return truncate(text(least), room)  # cut if there are more codes than there is room for


def _group(code: str, ids: Sequence[str], most: int) -> str:
    if most == 0:
        return f"{code}: {len(ids)} nodes" if len(ids) > 1 else f"{code}: 1 node"
    rest = [f"+{len(ids) - most} more"] if len(ids) > most else []
    return f"{code}: {', '.join([*ids[:most], *rest])}"


def _extras(by_code: Mapping[str, Sequence[RequestedNode]], removed: int, head: str) -> list[str]:
    extras = []
    for code, nodes in by_code.items():
        first = nodes[0]
        if first.refusal and first.refusal.message and code not in _OUR_CODES:
            tries = f" ({first.attempts} attempts)" if first.attempts > 1 else ""
            extras.append(f' {code}: "{first.refusal.message.rstrip(".")}"{tries}.')
        if code == FailureCode.VETOED and first.refusal and first.refusal.message not in head:
            extras.append(f' {first.name}: "{first.refusal.message.rstrip(".")}".')
    steps = dict.fromkeys(next_step(code) for code in by_code)
    extras += [f" {step}" for step in steps]
    if removed:
        extras.append(" A rollback does not bring removed nodes back.")
    return extras


def truncate(text: str, room: int) -> str:
    """`text`, cut with an ellipsis if it is longer than `room`."""
    return text if len(text) <= room else text[: max(0, room - 3)] + "..."


def by_code(failed: Iterable[RequestedNode]) -> Mapping[str, list[RequestedNode]]:
    """The failed nodes by their code, in the order of the set."""
    groups: dict[str, list[RequestedNode]] = {}
    for node in failed:
        groups.setdefault(code_of(node), []).append(node)
    return groups


def code_of(node: RequestedNode) -> str:
    """The code under which a node failed."""
    return str(node.refusal.code) if node.refusal else "Unknown"
