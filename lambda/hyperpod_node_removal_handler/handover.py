"""Handing a removal over to a fresh invocation of the function, when its own time is running out.

The successor gets the request's envelope and a `Continuation`: all it needs to go on, compressed,
since 3,000 nodes in plain JSON would not fit the payload of an asynchronous invocation.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.aws import LambdaClient
from hyperpod_node_removal_handler.cluster import Node, Refusal
from hyperpod_node_removal_handler.contract import (
    MissingNodes,
    PartialFailure,
    Property,
    RemovalStage,
    printable,
)
from hyperpod_node_removal_handler.envelope import Envelope
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.request import Guards, RemovalRequest
from hyperpod_node_removal_handler.requested_node import RequestedNode
from hyperpod_node_removal_handler.wire import RequestError

KEY: Final = "Continuation"
"""Key of the event that marks a successor's. A template cannot set it: what comes from a template
is below `ResourceProperties`."""
MAX_LINKS: Final = 10
"""Invocations in one chain. Lambda stops a function that goes on invoking itself after about 16
(recursive loop detection); an hour takes 5."""
_TEXT_MAX: Final = 250_000
"""Characters of a continuation: the payload of an asynchronous invocation is 256 KB at the least.
Only what a hook says of thousands of nodes, to each another thing, can be longer."""
_MESSAGES_CUT: Final = (100, 30, 0)
"""Characters that are left of each message, in turn, until the whole fits."""
_MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes a continuation may unfold to. 3,000 nodes take about 1 MB."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """A removal between two invocations."""

    request: RemovalRequest
    removal: Removal
    started: float
    """When the removal began, in seconds since the epoch."""
    link: int
    """The invocation this is for; the first of a chain is 1."""
    target_counts_before: Mapping[str, int] = field(default_factory=dict)
    """Instances that each group was to have when the removal began."""
    cleared_at: float | None = None
    """Since when nodes may be asked for: the plan was made, its guards held and the hook, if there
    is one, did not veto it. None: that is still to come."""

    def to_text(self) -> str:
        """As text for an event. What was said of nodes is cut, as far as it must be to fit."""
        nodes = [asdict(node) for node in self.removal.nodes]
        plain = {
            "request": asdict(self.request),
            "nodes": nodes,
            "started": self.started,
            "link": self.link,
            "target_counts_before": dict(self.target_counts_before),
            "cleared_at": self.cleared_at,
        }
        text = _packed(plain)
        for most in _MESSAGES_CUT:
            if len(text) > _TEXT_MAX:
                _cut_messages(nodes, most)
                text = _packed(plain)
        return text

    @classmethod
    def from_text(cls, text: object) -> Self:
        """What `to_text` gave.

        Raises:
            RequestError: it is something else.
        """
        try:
            packed = base64.b64decode(str(text).encode("ascii"), validate=True)
            plain = json.loads(_printed(zlib.decompressobj().decompress(packed, _MAX_BYTES)))
            request = plain["request"]
            return cls(
                request=RemovalRequest(
                    **{
                        **request,
                        "node_ids": tuple(request["node_ids"]),
                        "node_logical_ids": tuple(request["node_logical_ids"]),
                        "on_partial_failure": PartialFailure(request["on_partial_failure"]),
                        "wait_for": RemovalStage(request["wait_for"]),
                        "guards": _guards(request["guards"]),
                    }
                ),
                removal=Removal(tuple(_requested_node(node) for node in plain["nodes"])),
                started=float(plain["started"]),
                link=int(plain["link"]),
                # An invocation of an earlier version does not know of these.
                target_counts_before=dict(plain.get("target_counts_before", {})),
                cleared_at=_moment(plain.get("cleared_at", plain["started"])),
            )
        except (binascii.Error, zlib.error, KeyError, TypeError, ValueError) as error:
            raise RequestError(
                f"The event's {KEY} is not one of this function's ({type(error).__name__})."
            ) from error


def hand_over(
    client: LambdaClient, function: str, envelope: Envelope, continuation: Continuation
) -> None:
    """Invoke `function` (an ARN) asynchronously with all it needs to go on.

    Raises:
        aws.AwsError: it was not invoked, or that is not known.
    """
    event = envelope.as_event({str(Property.CLUSTER_NAME): continuation.request.cluster})
    event[KEY] = continuation.to_text()
    with aws.translated("Invoke"):
        client.invoke(
            FunctionName=function,
            InvocationType="Event",
            Payload=json.dumps(event, separators=(",", ":")).encode("ascii"),
        )


def _packed(plain: Mapping[str, Any]) -> str:
    packed = zlib.compress(json.dumps(plain, separators=(",", ":")).encode("ascii"))
    return base64.b64encode(packed).decode("ascii")


def _printed(unpacked: bytes) -> str:
    """JSON of printable texts only, as all are by the time that a removal is handed over."""
    text = unpacked.decode("ascii")
    if not text.isprintable() or "\\" in text.replace(r"\\", "").replace(r"\"", ""):
        raise ValueError
    return text


def _cut_messages(nodes: Iterable[Mapping[str, Any]], most: int) -> None:
    for node in nodes:
        for said in (node["node"], node["accepted"], node["refusal"], node["obstacle"]):
            if said:
                said["message"] = printable(said["message"], most)


def _moment(plain: object) -> float | None:
    return None if plain is None else float(str(plain))


def _guards(plain: Mapping[str, Any]) -> Guards:
    return Guards(
        **{
            **plain,
            "protected_groups": tuple(plain["protected_groups"]),
            "expected_groups": tuple(plain["expected_groups"]),
            "missing_nodes": MissingNodes(plain["missing_nodes"]),
        }
    )


def _requested_node(plain: Mapping[str, Any]) -> RequestedNode:
    def rebuilt(kind: type[Any], key: str) -> Any:
        return kind(**plain[key]) if plain[key] is not None else None

    return RequestedNode(
        **{
            **plain,
            "node": rebuilt(Node, "node"),
            "accepted": rebuilt(Node, "accepted"),
            "refusal": rebuilt(Refusal, "refusal"),
            "obstacle": rebuilt(Refusal, "obstacle"),
        }
    )
