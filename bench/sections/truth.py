"""The replies of each peer when some of the nodes fail, compared with what is true."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from bench.peers import AWS_CUSTOM_RESOURCE, NAIVE, OURS, PROVIDER, Peer
from bench.reporting import Chapter, Verdict, table
from bench.scenario import Case, PeerResult
from hyperpod_node_removal_contract import RESPONSE_MAX_BYTES

PEERS: Final = (OURS, NAIVE, AWS_CUSTOM_RESOURCE, PROVIDER)
NODES: Final = 99
FAILING: Final = (0, 1, 24, 98, 99)
EVENT_MAX: Final = 1024
"""Characters of a reason that a stack event shows, CloudFormation's own words included."""
_EVENT: Final = (
    "Received response status [FAILED] from custom resource. Message returned: {}"
    " (RequestId: 0d4c4f8a-3f9b-4a7c-9a41-5a6f0f5d1e11)"
)
_WHOLE_ID: Final = re.compile(r"(?<![0-9a-z-])i-[0-9a-f]{17}(?![0-9a-z])")
_CUT_ID: Final = re.compile(r"(?:i-[0-9a-f]{0,16}|\bi)$|truncated\) [0-9a-f]{1,16}\b")
"""A part of an id at the end of a text, or at a cut inside of it."""


@dataclass(frozen=True)
class Row:
    """The reply of one peer in one case."""

    peer: str
    failing: int
    status: str
    body_bytes: int
    named: int
    """Failed nodes whose whole ids are in the stack event."""
    wrong: str
    """What is wrong about it; empty if it is right."""


def measure(peers: Sequence[Peer] = PEERS, failing: Sequence[int] = FAILING) -> list[Row]:
    """Return a row for each peer and number of failing nodes."""
    return [
        _judge(peer, peer.run(Case(NODES, 130, refused=count)))
        for peer in peers
        for count in failing
    ]


def _judge(peer: Peer, result: PeerResult) -> Row:
    """Compare a reply with what is true; `chapter` says what is right."""
    is_too_long = len(result.body) > RESPONSE_MAX_BYTES
    shows_reason = not is_too_long and result.status != "SUCCESS"
    text = _EVENT.format(result.reason)[:EVENT_MAX] if shows_reason else ""
    named = set(_WHOLE_ID.findall(text))
    if is_too_long:
        wrong = (
            f"{result.status}, but the body is too long: the reason is lost and the resource fails"
        )
    elif shows_reason:
        wrong = "; ".join(_problems(text, named, set(result.refused)))
    else:
        there = result.still_there
        wrong = f"SUCCESS with {there} of {NODES} nodes in the cluster" if there else ""
    return Row(
        peer=peer.name,
        failing=len(result.refused),
        status=result.status or "no reply",
        body_bytes=len(result.body),
        named=len(named.intersection(result.refused)),
        wrong=wrong,
    )


def _problems(text: str, named: set[str], failing: set[str]) -> list[str]:
    problems = []
    if not failing:
        problems.append("FAILED although nothing failed")
    if named - failing:
        problems.append("names nodes that did not fail")
    if failing and not named:
        problems.append("names no node")
    if cut := _CUT_ID.search(text):
        problems.append(f"cuts an id ({cut[0]})")
    if named != failing:
        if not re.search(rf"\b{len(failing)} (?:of|nodes?)\b", text):
            problems.append("names some and does not say how many failed")
        elif not re.search(r"\+\d+ more", text):
            problems.append("does not say that names are left out")
    return problems


def chapter(rows: Sequence[Row]) -> Chapter:
    """Return section 2."""
    wrong = {row.peer for row in rows if row.wrong}
    right = [peer.name for peer in PEERS if peer.name not in wrong]
    return Chapter(
        title="Truth under partial failure",
        what=(
            f"{NODES} nodes, some of which the service always refuses (`NodeIdInUse`). A reply is right if"
            " it is SUCCESS if and only if every node has left, its body has at most 4,096 bytes, and, for"
            " a failure, the 1,024 characters that a stack event shows have the exact number of failed"
            " nodes, the whole id of at least one of them, no truncated id, no node that did not fail, and"
            " the number of those that are left out. AwsCustomResource and the Provider framework run the"
            " CDK's own code under Node.js, with models of Lambda, the state machine, and time. Asserted"
            " by `tests/bench/test_truth.py`: this product is right."
        ),
        verdicts=[
            Verdict(
                "this product is the only row that is right in every column",
                right == [OURS.name],
                "right in every column: " + (", ".join(right) or "none"),
            )
        ],
        tables=[
            "The reply, how many of the failed nodes it names, and bytes of the body:\n\n"
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
    reply = f"{row.status}, {row.named} named{size}" if row.failing else f"{row.status}{size}"
    return f"{reply}. **Wrong:** {row.wrong}" if row.wrong else f"{reply}. Right"
