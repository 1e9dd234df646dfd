"""What the hooks of this project share: the event, the response, and calls to a scheduler.

The contract is version 2 of docs/before-removal.md. Standard library only.
"""

import http.client
import logging
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, Self, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

log: Final = logging.getLogger(__name__)
log.setLevel(logging.INFO)
# At DEBUG, which an ApplicationLogLevel may set, it logs secrets and the parts of tokens.
logging.getLogger("botocore").setLevel(logging.INFO)

_RETRY_AFTER: Final = 20
"""Seconds after which a hook that is not done is invoked again."""
_REASON_MAX: Final = 300
"""Characters of a reason that the removal function keeps."""
_AT_ONCE: Final = 10
"""Nodes that are worked on at a time, each over one connection: as many as a client of botocore
has. One after the other, thousands of nodes would take longer than an invocation."""
_PROPAGATION: Final = 60.0
"""Seconds for which a permission that was just granted may have no effect yet."""
_DENIED_PAUSE: Final = 5.0
_RESPONSE_MARGIN: Final = 15.0
"""Seconds before the response is due after which a check that was denied is not repeated."""
NOT_REACHED: Final = "not reached in time"
"""Why a node is waited for that the time of one invocation was too short for."""


class LambdaContext(Protocol):
    """The part of Lambda's context that is used."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the invocation times out."""
        ...


class SchedulerError(Exception):
    """A scheduler did not do what was requested. The text is a sentence, shown as the reason."""

    def __init__(self, sentence: str, *, is_transient: bool = False) -> None:
        super().__init__(sentence)
        self.is_transient = is_transient
        """Whether a retry may succeed."""


class DeniedError(SchedulerError):
    """A scheduler denied a call. The permission may be new, and have no effect yet."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node that would be removed."""

    node_id: str
    hostname: str
    """`PrivateDnsHostname`. Empty if it is not known."""

    @property
    def kubernetes_name(self) -> str:
        """Its name in an EKS cluster (Amazon SageMaker Developer Guide, HyperPod on EKS)."""
        return f"hyperpod-{self.node_id}"

    @property
    def slurm_name(self) -> str:
        """Its name in Slurm: the first label of its host name. Empty if it is not known."""
        return self.hostname.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Event:
    """The event of a hook."""

    is_release: bool
    nodes: tuple[Node, ...]
    """Without those that have no instance yet: nothing runs on them."""
    removal: str
    """The stack and the logical id of the removal, with which each of its marks begins."""
    mark: str
    """The removal and the request, to recognize what was drained for it."""
    deadline: float
    """When the response is due, or a release expires, in seconds since the epoch."""
    ends: float
    """When the invocation ends, in seconds since the epoch."""
    eks_cluster_arn: str

    def takes_over(self, mark: str) -> bool:
        """Return whether a node with this mark was drained for another request of the removal.

        It gets the mark of this one. The other request may have been canceled without having
        noticed it yet, and must not release the node when it does.
        """
        return mark != self.mark and mark.startswith(self.removal)

    def has_time(self, margin: float) -> bool:
        """Return whether there is time for another step, and `margin` seconds for what follows.

        A hook that does not respond in time is not asked again, and nothing is removed.
        """
        return time.time() < min(self.deadline, self.ends) - margin

    @classmethod
    def parse(cls, payload: Mapping[str, Any], ends: float) -> Self:
        """Parse the payload of an invocation that ends at `ends`.

        Raises:
            ValueError: its version is unknown.
        """
        version, action = payload["Version"], payload.get("Action", "")
        if (version, action) not in {("1", ""), ("2", "RELEASE")}:
            raise ValueError(
                f"version {version} of the event, action '{action}', is unknown; allowed: 1, or 2"
                " with RELEASE"
            )
        stack, _, identifier = payload["StackId"].partition(":stack/")[2].partition("/")
        resource = f"{stack}/{payload['LogicalResourceId']} {identifier.partition('-')[0]}"
        removal = f"hyperpod-node-removal {resource}"
        return cls(
            is_release=action == "RELEASE",
            nodes=tuple(
                Node(node["NodeId"], node["PrivateDnsHostname"])
                for node in payload["Nodes"]
                if node["NodeId"]
            ),
            removal=removal,
            # A provider of an earlier version does not send the request.
            mark=f"{removal} {payload.get('RequestId', '')}".rstrip(),
            deadline=datetime.fromisoformat(payload["Deadline"]).timestamp(),
            ends=ends,
            eks_cluster_arn=payload["EksClusterArn"],
        )


@dataclass
class Response:
    """Why nodes must not be removed (yet), by instance id. All other nodes may be."""

    vetoed: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)


def respond(
    payload: Mapping[str, Any],
    context: LambdaContext,
    check: Callable[[Event], Response],
    release: Callable[[Event], None],
) -> dict[str, Any]:
    """Check or drain the nodes of an event, or release them. Returns what the hook returns.

    Args:
        payload: the payload of the invocation.
        context: the context of the invocation.
        check: takes the next step with the nodes, and returns what is in the way.
        release: undoes what `check` has done to the nodes.

    Raises:
        ValueError: the version of the event is unknown.
        SchedulerError: a release was not carried out. Lambda retries it.
    """
    ends = time.time() + context.get_remaining_time_in_millis() / 1000
    event = Event.parse(payload, ends)
    if event.is_release:
        if time.time() <= event.deadline:
            release(event)
        return {}
    try:
        response = _checked(check, event)
    except SchedulerError as error:
        log.error("%s", error)  # noqa: TRY400 (the text says it all)
        if not error.is_transient:
            return {"Version": "2", "Decision": "VETO", "Reason": str(error)[:_REASON_MAX]}
        response = Response(waiting={node.node_id: str(error) for node in event.nodes})
    for node in event.nodes:
        reason = response.vetoed.get(node.node_id) or response.waiting.get(node.node_id)
        log.info("%s (%s): %s", node.node_id, node.hostname, reason or "ready to be removed")
    answer: dict[str, Any] = {
        "Version": "2",
        "Decision": "WAIT" if response.waiting else "PROCEED",
        "VetoedNodes": _entries(event, response.vetoed),
    }
    if response.waiting:
        answer |= {"WaitingNodes": _entries(event, response.waiting), "RetryAfter": _RETRY_AFTER}
    return answer


def _checked(check: Callable[[Event], Response], event: Event) -> Response:
    """Check the nodes. A check that is denied is repeated for a minute."""
    denied_until = time.time() + _PROPAGATION
    while True:
        try:
            return check(event)
        except DeniedError as error:
            if time.time() >= denied_until or not event.has_time(_DENIED_PAUSE + _RESPONSE_MARGIN):
                raise
            log.warning("%s. Retrying: the permission may be new.", error)
        time.sleep(_DENIED_PAUSE)


def for_each(nodes: Sequence[Node], step: Callable[[Node], T]) -> list[T]:
    """Return the results of a step for each node, in order. It runs in several threads."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(step, nodes))


def release_each(event: Event, release: Callable[[Node], None]) -> None:
    """Release the nodes of an event, each even if another one cannot be released.

    Raises:
        SchedulerError: a release failed.
    """

    def attempt(node: Node) -> SchedulerError | None:
        try:
            release(node)
        except SchedulerError as error:
            log.error("%s", error)  # noqa: TRY400 (the text says it all)
            return error
        return None

    for failed in filter(None, for_each(event.nodes, attempt)):
        raise failed


class Server:
    """An HTTP server. Its connections stay open, one for each thread that sends at a time."""

    def __init__(self, url: str, *, timeout: float, context: ssl.SSLContext | None = None) -> None:
        """Specify the server, without connecting to it.

        Args:
            url: `https://` or `http://`, host and port, and what all paths begin with.
            timeout: seconds for connecting, and for each read.
            context: which certificates are trusted. Default: those of public authorities, or of
                `SSL_CERT_FILE`.
        """
        self._url = urlsplit(url.rstrip("/"))
        self._timeout = timeout
        self._context = context
        self._idle: list[http.client.HTTPConnection] = []

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: str | None = None
    ) -> tuple[int, bytes]:
        """Send a request. Returns the status and the body of the response.

        A redirect is not followed: the token in `headers` is for one server.

        Raises:
            SchedulerError: there is no response.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connection()
        try:
            connection.request(method, self._url.path + path, body, dict(headers))
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise SchedulerError(
                f"{self._url.netloc} does not respond: {type(error).__name__} {error}",
                is_transient=True,
            ) from error
        self._idle.append(connection)
        return response.status, content

    def close(self) -> None:
        """Close the connections that are open."""
        while self._idle:
            self._idle.pop().close()

    def _connection(self) -> http.client.HTTPConnection:
        host = self._url.netloc
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, timeout=self._timeout)
        return http.client.HTTPSConnection(host, timeout=self._timeout, context=self._context)


def _entries(event: Event, reasons: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {"NodeId": node.node_id, "Reason": reasons[node.node_id][:_REASON_MAX]}
        for node in event.nodes
        if node.node_id in reasons
    ]
