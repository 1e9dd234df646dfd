"""Re-invoking the function when the time of this invocation runs out.

The next invocation gets the envelope of the request and a `Continuation`: the whole state of the
removal, compressed, since 3,000 nodes in plain JSON do not fit the payload of an asynchronous
invocation.
"""

import base64
import json
import logging
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Final, Self, get_args, get_origin

from hyperpod_node_removal_contract import Property, truncate_middle
from hyperpod_node_removal_handler import aws, timing
from hyperpod_node_removal_handler.invocation import Invocation
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.request import RemovalRequest, RequestError
from hyperpod_node_removal_handler.stack import Operation

_log = logging.getLogger(__name__)

KEY: Final = "Continuation"
"""Key of the event that holds the continuation. A template cannot set it: its values are all below
`ResourceProperties`."""
ANSWERED_KEY: Final = "IsAnswered"
"""Key of an event whose request has a response, so that only its verdict is to be signaled. Another
version may not be able to read the continuation, and must not respond again."""
MAX_INVOCATIONS: Final = 10
"""Invocations in one chain. Lambda stops a function that goes on invoking itself after about 16
(recursive loop detection); an hour takes 5."""
_TEXT_MAX: Final = 250_000
"""Characters of a continuation: the payload of an asynchronous invocation is at least 256 KB. Only
thousands of different messages of a hook are longer."""
_MESSAGES_CUT: Final = (100, 30, 0)
"""Characters that are kept of each message, in turn, until the whole fits."""
_MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes of a decompressed continuation. 3,000 nodes take about 1 MB."""


@dataclass(frozen=True)
class Continuation:
    """A removal between two invocations.

    Another version of the function may read it, after an update of the provider or its rollback.
    Unknown keys are ignored. A missing key is an error: it must not be read as "approved".
    """

    request: RemovalRequest
    removal: Removal
    started: float
    """When CloudFormation sent the request, in seconds since the epoch."""
    invocation: int
    """The number of the invocation that this is for; the first is 1."""
    target_counts_before: Mapping[str, int] = field(default_factory=dict)
    """Instances that each group was to have when the removal began."""
    operation: Operation | None = None
    """The stack operation that the request belongs to. None: not known yet."""
    approved_at: float | None = None
    """Since when nodes may be requested: the plan was made, its guards were met, and the hook, if
    there is one, did not veto it. None: that is still to come."""
    reached_at: float | None = None
    """When the last node was seen to have left."""
    verdict: str = ""
    """The verdict to signal, for a removal that has been reported."""

    def to_text(self) -> str:
        """Return it as text for an event. Messages about nodes are cut as far as necessary."""
        plain = asdict(self)
        text = _packed(plain)
        for most in _MESSAGES_CUT:
            if len(text) > _TEXT_MAX:
                _cut_messages(plain["removal"]["nodes"], most)
                text = _packed(plain)
        return text

    @classmethod
    def from_text(cls, text: object) -> Self:
        """Read what `to_text` returned.

        Raises:
            RequestError: it is something else, or lacks a key.
        """
        try:
            packed = base64.b64decode(str(text).encode("ascii"), validate=True)
            plain = json.loads(_printed(zlib.decompressobj().decompress(packed, _MAX_BYTES)))
            continuation: Self = _typed(cls, plain)
        except Exception as error:  # of many types, of which none may pass
            what = f"no {error}" if isinstance(error, KeyError) else type(error).__name__
            raise RequestError(
                f"The event's {KEY} is not from this version of the function ({what})."
            ) from error
        return continuation


def hand_over(
    invocation: Invocation, continuation: Continuation, retry_for: float = timing.HAND_OVER_RETRY
) -> None:
    """Invoke the function asynchronously with the state of the removal.

    Raises:
        aws.AwsError: it was not invoked, or that is not known.
    """
    properties = {str(Property.CLUSTER_NAME): continuation.request.cluster}
    event = invocation.envelope.as_event(properties) | {KEY: continuation.to_text()}
    if continuation.verdict:
        event[ANSWERED_KEY] = True
    payload = json.dumps(event, separators=(",", ":")).encode("ascii")

    def invoke() -> None:
        with aws.map_errors("Invoke"):
            aws.client("lambda").invoke(
                FunctionName=invocation.function, InvocationType="Event", Payload=payload
            )

    _log.info("Handing over to invocation %d of this removal.", continuation.invocation)
    until = invocation.clock.now() + retry_for
    timing.call_with_retry(invoke, clock=invocation.clock, until=until, denied_until=until)


def _packed(plain: Mapping[str, Any]) -> str:
    text = json.dumps(plain, separators=(",", ":"), default=sorted)
    return base64.b64encode(zlib.compress(text.encode("ascii"))).decode("ascii")


def _printed(unpacked: bytes) -> str:
    """Decode JSON that has only printable texts, as `to_text` writes it."""
    text = unpacked.decode("ascii")
    if not text.isprintable() or "\\" in text.replace(r"\\", "").replace(r"\"", ""):
        raise ValueError
    return text


def _cut_messages(nodes: Iterable[Mapping[str, Any]], most: int) -> None:
    for node in nodes:
        for said in (node["node"], node["accepted"], node["refusal"], node["deferral"]):
            if said:
                said["message"] = truncate_middle(said["message"], most)


def _typed(kind: Any, plain: Any) -> Any:
    """Make a value of type `kind` of its plain form.

    Raises `KeyError` if a dataclass lacks a key, and ignores keys that it does not have.
    """
    if get_origin(kind) is UnionType:  # or None
        return None if plain is None else _typed(get_args(kind)[0], plain)
    if get_origin(kind) is tuple:
        return tuple(_typed(get_args(kind)[0], one) for one in plain)
    if get_origin(kind) is Mapping:
        return {str(key): _typed(get_args(kind)[1], one) for key, one in plain.items()}
    if (members := _members(kind)) is not None:
        return kind(**{name: _typed(one, plain[name]) for name, one in members.items()})
    return (get_origin(kind) or kind)(plain)


@cache
def _members(kind: Any) -> Mapping[str, Any] | None:
    """Return the types of the fields of a dataclass by name. None: it is not a dataclass."""
    return {one.name: one.type for one in fields(kind)} if is_dataclass(kind) else None
