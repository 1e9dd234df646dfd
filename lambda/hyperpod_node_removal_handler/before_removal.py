"""The hook: a Lambda function that is invoked before any node is removed, and may veto.

Its event and its answers are a contract with users' code (docs/before-removal.md). Any answer other
than an explicit PROCEED counts as a veto. A hook opts in to version 2 by its answers: it may then
answer "not yet", and is notified of nodes that stay.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any, Final

from hyperpod_node_removal_contract import RELEASE_MAX_AGE, escape, quote, truncate_middle
from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.cluster import ClusterDescription, Node
from hyperpod_node_removal_handler.request import Envelope
from hyperpod_node_removal_handler.timing import HOOK_START, RELEASE_RETRY, Clock, call_with_retry

_log = logging.getLogger(__name__)

VERSION: Final = "1"
"""Of the event. It changes when a key changes its meaning or goes, not when one is added."""
VERSION_2: Final = "2"
"""Of the answers of a hook that may answer WAIT, and of the release that it is sent."""
RETRY_AFTER: Final = range(1, 301)
"""Seconds after which a hook that answered WAIT may want to be asked again."""
RELEASE_NODES: Final = 500
"""Nodes in one release: an asynchronous invocation takes at least 256 KB."""
ANSWER_MAX: Final = 2 * 1024 * 1024
"""Bytes of an answer. A veto of 3,000 nodes with a reason of 300 characters each takes 1.1 MB."""
_LOGGED: Final = 1000
"""Characters of an answer that are logged."""


class Decision(StrEnum):
    """What a hook may answer."""

    PROCEED = "PROCEED"
    """Every node may be removed but those in `VetoedNodes`."""
    VETO = "VETO"
    """No node may be removed."""
    WAIT = "WAIT"
    """Version 2: the nodes in `WaitingNodes` are not ready yet."""


class HookError(Exception):
    """The hook did not answer, or not validly. The text continues "the hook <name> "."""


@dataclass(frozen=True)
class Verdict:
    """What the hook answered."""

    decision: Decision
    reason: str = ""
    vetoed: Mapping[str, str] = field(default_factory=dict)
    """Reasons by the name of the node."""
    waiting: Mapping[str, str] = field(default_factory=dict)
    """What each node that is not ready waits for, by its name."""
    retry_after: int = 0
    """Seconds after which to ask again, if nodes are waiting."""
    takes_releases: bool = False
    """Whether the hook is to be notified of nodes that stay."""

    def veto_of(self, node: Node) -> str | None:
        """Return why the node must not be removed, if this is the last answer. None: it may be."""
        reason = self.reason or "no reason was given"
        if self.decision is Decision.VETO or node.name in self.vetoed:
            return self.vetoed.get(node.name) or reason
        if node.name in self.waiting:
            why = self.waiting[node.name] or reason
            return truncate_middle(f"not ready in time: {why}", aws.MESSAGE_MAX)
        return None


@dataclass(frozen=True)
class Hook:
    """The hook of one removal."""

    function: str
    """Its ARN."""
    envelope: Envelope
    clock: Clock

    @property
    def name(self) -> str:
        """The function's name, with the version or alias."""
        return self.function.partition(":function:")[2]

    def ask(
        self,
        description: ClusterDescription,
        nodes: Sequence[Node],
        *,
        deadline: float,
        denied_until: float,
    ) -> Verdict:
        """Invoke the function and wait for its answer, until `deadline` at the latest.

        Raises:
            HookError: it failed, or its answer did not come or was not understood.
        """
        seconds = deadline - self.clock.now()
        if seconds < 1:
            raise HookError("could not be invoked: no time was left for it")
        payload = _packed(event(self.envelope, description, nodes, deadline))
        _log.info("Invoking %s for %d nodes, for up to %d s.", self.function, len(nodes), seconds)
        began = self.clock.now()
        try:
            answer = call_with_retry(
                lambda: self._invoked(payload, deadline - self.clock.now()),
                clock=self.clock,
                # The last try is at the very end, and still has to have time.
                until=min(deadline - seconds / 2, began + HOOK_START),
                denied_until=min(deadline - seconds / 2, denied_until),
            )
        except aws.AwsError as error:
            raise HookError(_not_invoked(error)) from error
        took = self.clock.now() - began
        _log.info("It responded after %d s: %s", took, escape(_decoded(answer), _LOGGED))
        return verdict(answer, nodes)

    def release(
        self, description: ClusterDescription, nodes: Sequence[Node], *, until: float
    ) -> None:
        """Notify the function that `nodes` stay in the cluster.

        It is waited for until a moment of the clock, since a rollback may delete it once
        CloudFormation has a reply. What is not confirmed by then is left to Lambda to deliver.

        Raises:
            aws.AwsError: it was not notified of all of them, or that is not known.
        """
        now = self.clock.now()
        for start in range(0, len(nodes), RELEASE_NODES):
            batch = nodes[start : start + RELEASE_NODES]
            asked = event(self.envelope, description, batch, now + RELEASE_MAX_AGE)
            payload = _packed({**asked, "Version": VERSION_2, "Action": "RELEASE"})
            if not self._is_released(payload, until - self.clock.now()):
                call_with_retry(
                    partial(self._queue, payload),
                    clock=self.clock,
                    until=self.clock.now() + RELEASE_RETRY,
                    denied_until=now,
                )

    def _is_released(self, payload: bytes, seconds: float) -> bool:
        try:
            if seconds >= 1:
                self._invoked(payload, seconds)
        except (HookError, aws.AwsError) as error:
            _log.warning("%s did not confirm a release: it %s", self.name, error)
            return False
        return seconds >= 1

    def _queue(self, payload: bytes) -> None:
        with aws.map_errors("Invoke"):
            aws.waiting_client(RELEASE_RETRY).invoke(
                FunctionName=self.function, InvocationType="Event", Payload=payload
            )

    def _invoked(self, payload: bytes, seconds: float) -> bytes:
        try:
            with aws.map_errors("Invoke"):
                answer = aws.waiting_client(seconds).invoke(
                    FunctionName=self.function, InvocationType="RequestResponse", Payload=payload
                )
                body = bytes(answer["Payload"].read(ANSWER_MAX + 1)) if "Payload" in answer else b""
        except (aws.ConflictError, aws.ThrottledError):
            raise  # It did not run.
        except aws.TransientError as error:
            # It may have run, or still be running: a second run at the same time could do harm.
            what = f"did not respond within {seconds:.0f} s and may still be running"
            raise HookError(f"{what} ({error.code})") from error
        if answer.get("FunctionError"):
            raise HookError(f"failed: {_error_of(body)}")
        return body


def event(
    envelope: Envelope, description: ClusterDescription, nodes: Iterable[Node], deadline: float
) -> dict[str, Any]:
    """Return the event for the hook. Every key is always present; unknown values are empty."""
    until = datetime.fromtimestamp(deadline, UTC)
    return {
        "Version": VERSION,
        "ClusterName": description.name,
        "ClusterArn": description.arn,
        "EksClusterArn": description.eks_cluster_arn,
        "StackId": envelope.stack_id,
        "LogicalResourceId": envelope.logical_resource_id,
        "RequestId": envelope.request_id,
        "Deadline": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Nodes": [
            {
                "NodeId": node.instance_id,
                "NodeLogicalId": node.logical_id,
                "InstanceGroupName": node.group,
                "InstanceType": node.instance_type,
                "Status": node.status,
                "PrivateDnsHostname": node.private_dns_hostname,
            }
            for node in nodes
        ],
    }


def verdict(answer: bytes, nodes: Iterable[Node]) -> Verdict:
    """Parse an answer about `nodes`.

    Raises:
        HookError: anything in it, down to a key, is unknown: a mistyped veto must not pass as an
            approval.
    """
    if len(answer) > ANSWER_MAX:
        raise HookError(f"returned more than {ANSWER_MAX} bytes")
    try:
        given = json.loads(_decoded(answer) or "null", object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise HookError("returned something that is not JSON") from None
    if not given or not isinstance(given, dict):
        shown = quote(_decoded(answer).strip() or "nothing")
        raise HookError(f'returned {shown}; allowed: {{"Decision": "PROCEED"}} or "VETO"')
    is_2 = given.get("Version") == VERSION_2
    more = ("Version", "WaitingNodes", "RetryAfter") if is_2 else ()
    _only(given, ("Decision", "Reason", "VetoedNodes", *more))
    decision = given.get("Decision")
    allowed = [one for one in Decision if is_2 or one is not Decision.WAIT]
    if decision not in allowed:
        raise HookError(f"returned Decision {quote(decision)}; allowed: {' or '.join(allowed)}")
    known = {("NodeId", node.instance_id): node for node in nodes if node.instance_id}
    known |= {("NodeLogicalId", node.logical_id): node for node in nodes if node.logical_id}
    retry_after = given.get("RetryAfter", 0)
    waiting = _entries(given, "WaitingNodes", known)
    if decision == Decision.WAIT:
        if not waiting:
            raise HookError("returned WAIT without WaitingNodes")
        if type(retry_after) is not int or retry_after not in RETRY_AFTER:
            most = f"a whole number of seconds from {RETRY_AFTER[0]} to {RETRY_AFTER[-1]}"
            raise HookError(f"returned RetryAfter {quote(retry_after)}; allowed: {most}")
    elif waiting:
        raise HookError(f"returned WaitingNodes with {decision}, which is for WAIT only")
    vetoed = _entries(given, "VetoedNodes", known)
    return Verdict(Decision(decision), _reason(given), vetoed, waiting, retry_after, is_2)


def _packed(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode("ascii")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object with unique keys. JSON does not define which of two duplicates counts."""
    given: dict[str, Any] = {}
    for key, value in pairs:
        if key in given:
            raise HookError(f"returned the key {quote(key)} more than once")
        given[key] = value
    return given


def _entries(
    given: Mapping[str, Any], key: str, known: Mapping[tuple[str, str], Node]
) -> dict[str, str]:
    """Return the reasons of a list of nodes, by the name of the node."""
    entries = given.get(key, [])
    if not isinstance(entries, list):
        raise HookError(f"returned {key} that is not a list")
    return dict(_entry(one, key, known) for one in entries)


def _entry(entry: object, key: str, known: Mapping[tuple[str, str], Node]) -> tuple[str, str]:
    if not isinstance(entry, dict):
        raise HookError(f"returned {key} with {quote(entry)}, which is not an object")
    _only(entry, ("NodeId", "NodeLogicalId", "Reason"))
    named = [(key, entry[key]) for key in ("NodeId", "NodeLogicalId") if entry.get(key)]
    found = {known.get((key, str(value))) for key, value in named}
    node = found.pop() if len(found) == 1 else None
    if node is None:
        ids = ", ".join(quote(value) for _, value in named) or "no node"
        did = "vetoed" if key == "VetoedNodes" else "waits for"
        raise HookError(f"{did} {ids}, which is not a node that it was asked about")
    return node.name, _reason(entry)


def _reason(given: Mapping[str, Any]) -> str:
    reason = given.get("Reason", "")
    if not isinstance(reason, str):
        raise HookError(f"returned Reason {quote(reason)}, which is not text")
    return truncate_middle(escape(reason.strip()), aws.MESSAGE_MAX)


def _only(given: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for key in given:
        if key not in allowed:
            raise HookError(f"returned the unknown key {quote(key)}; allowed: {', '.join(allowed)}")


def _not_invoked(error: aws.AwsError) -> str:
    is_missing = isinstance(error, aws.AccessDeniedError) and error.is_missing_permission
    what = ": the function's role needs lambda:InvokeFunction on it" if is_missing else ""
    return f"could not be invoked{what} ({error.code}: {error.message})"


def _error_of(body: bytes) -> str:
    """Return Lambda's message about a function that raised an error or timed out."""
    try:
        given = json.loads(body)
        text = f"{given.get('errorType') or 'error'}: {given['errorMessage']}"
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        text = _decoded(body)
    return escape(text, 200)


def _decoded(body: bytes) -> str:
    return body.decode("utf-8", "backslashreplace")
