"""What each peer answers when some of the nodes fail, held against what is true."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from bench.reporting import Chapter, Verdict, table
from bench.runs import AWS_CUSTOM_RESOURCE, NAIVE, OURS, PROVIDER, Peer
from bench.scenario import Case, PeerResult
from hyperpod_node_removal_contract import RESPONSE_MAX_BYTES

PEERS: Final = (OURS, NAIVE, AWS_CUSTOM_RESOURCE, PROVIDER)
NODES: Final = 99
FAILING: Final = (0, 1, 24, 98, 99)
EVENT_MAX: Final = 1024
"""Characters of a reason that a stack event shows, CloudFormation's own words included."""
_AROUND: Final = (
    "Received response status [FAILED] from custom resource. Message returned: ",
    " (RequestId: 0d4c4f8a-3f9b-4a7c-9a41-5a6f0f5d1e11)",
)
_TOO_LONG: Final = "Response object is too long."
_WHOLE_ID: Final = re.compile(r"(?<![0-9a-z-])i-[0-9a-f]{17}(?![0-9a-z])")


@dataclass(frozen=True)
class Row:
    """What one peer answered in one case."""

    peer: str
    failing: int
    status: str
    body_bytes: int
    named: int
    """Failed nodes that are named in full where people read it."""
    wrong: str
    """What is wrong about it; empty if it is right."""


def _stack_event(result: PeerResult) -> str:
    """What people read."""
    if len(result.body) > RESPONSE_MAX_BYTES:
        return _TOO_LONG
    if result.status == "SUCCESS":
        return ""
    return f"{_AROUND[0]}{result.reason}{_AROUND[1]}"[:EVENT_MAX]


def _judged(peer: Peer, result: PeerResult) -> Row:
    """Hold what was answered against what is true.

    Right is: SUCCESS if and only if every node has left; a body that fits; and of a failure, in
    what a stack event shows, the exact number of failed nodes, at least one of them by its whole
    id, no id that is cut, no node that did not fail, and a number for those that are not named.
    """
    text = _stack_event(result)
    named = set(_WHOLE_ID.findall(text))
    return Row(
        peer=peer.name,
        failing=len(result.refused),
        status=result.status or "no answer",
        body_bytes=len(result.body),
        named=len(named.intersection(result.refused)),
        wrong=_wrong(result, text, named),
    )


def _wrong(result: PeerResult, text: str, named: set[str]) -> str:
    status, failing = result.status, result.refused
    if len(result.body) > RESPONSE_MAX_BYTES:
        return f"{status}, but the body is too long: the reason is lost and the resource fails"
    if status == "SUCCESS":
        if result.still_there:
            return f"SUCCESS with {result.still_there} of {NODES} nodes in the cluster"
        return ""
    problems = []
    if not failing:
        problems.append("FAILED although nothing failed")
    if named - set(failing):
        problems.append("names nodes that did not fail")
    if failing and not named:
        problems.append("names no node")
    if cut := _cut_ids(text, named):
        problems.append(f"cuts an id ({cut})")
    is_complete = named == set(failing)
    if not is_complete and not re.search(rf"\b{len(failing)} (?:of|nodes?)\b", text):
        problems.append("names some and does not say how many failed")
    elif not is_complete and not re.search(r"\+\d+ more", text):
        problems.append("does not say that names are left out")
    return "; ".join(problems)


def _cut_ids(text: str, named: set[str]) -> str:
    """The beginning or the end of an id at an end of the text, or at a cut inside of it."""
    if text == _TOO_LONG:
        return ""
    edge = re.search(r"(?:i-[0-9a-f]{0,16}|\bi)$", text) or re.search(
        r"truncated\) (?:[0-9a-f]{1,16}\b)", text
    )
    return edge[0] if edge and edge[0] not in named else ""


def measure(peers: Sequence[Peer] = PEERS, failing: Sequence[int] = FAILING) -> list[Row]:
    """A row for each peer and number of failing nodes."""
    return [
        _judged(peer, peer.run(Case(NODES, 130, refused=count)))
        for peer in peers
        for count in failing
    ]


def chapter(rows: Sequence[Row]) -> Chapter:
    """Section 2."""
    right = {
        peer.name: all(not row.wrong for row in rows if row.peer == peer.name) for peer in PEERS
    }
    others = sorted(name for name, is_right in right.items() if is_right and name != OURS.name)
    return Chapter(
        title="Truth under partial failure",
        what=(
            f"{NODES} nodes, of which some are refused for good (`NodeIdInUse`). Right is: SUCCESS if"
            " and only if every node has left; a body of at most 4,096 bytes; and of a failure, within"
            " the 1,024 characters that a stack event shows, the exact number of failed nodes, at least"
            " one of them by its whole id, no cut id, none that did not fail, and a word on those that"
            " are left out. AwsCustomResource and the Provider framework run the CDK's own code under Node.js; of"
            " Lambda, the state machine and time there are models."
            " Held by `tests/bench/test_truth.py`: that this product is right."
        ),
        verdicts=[
            Verdict(
                "this product is the only row that is right in every column",
                right[OURS.name] and not others,
                "right in every column: "
                + (", ".join(name for name, is_right in right.items() if is_right) or "none"),
            )
        ],
        tables=[
            "The answer, how many of the failed nodes it names, bytes of the body:\n\n"
            + table(
                ["peer", *(f"{count} of {NODES} fail" for count in FAILING)],
                (
                    [peer.name, *(_cell(row) for row in rows if row.peer == peer.name)]
                    for peer in PEERS
                ),
            )
        ],
        rows=[asdict(row) for row in rows],
    )


def _cell(row: Row) -> str:
    size = f", {row.body_bytes:,} bytes" if row.body_bytes else ""
    answer = f"{row.status}, {row.named} named{size}" if row.failing else f"{row.status}{size}"
    return f"{answer}. **Wrong:** {row.wrong}" if row.wrong else f"{answer}. Right"
