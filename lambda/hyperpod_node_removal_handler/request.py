"""From a custom resource event to an envelope and a removal request, once."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self, TypeVar

from hyperpod_node_removal_handler.contract import (
    MAX_NODES,
    PHYSICAL_RESOURCE_ID_MAX,
    RETRY_FOR_DEFAULT,
    RETRY_FOR_MAX,
    RETRY_TOKEN_MAX,
    SERVICE_TIMEOUT_DEFAULT,
    SERVICE_TIMEOUT_MAX,
    PartialFailure,
    Property,
    RemovalStage,
    choice_problem,
    cluster_name_problem,
    node_id_problem,
    node_logical_id_problem,
    printable,
    quoted,
    seconds_problem,
)

Choice = TypeVar("Choice", bound=StrEnum)

_ENVELOPE: Final = ("StackId", "RequestId", "LogicalResourceId", "ResponseURL")
_STACK_ID: Final = re.compile(r"arn:[a-z-]+:cloudformation:[^:/]*:[^:/]*:stack/([^/]+)/([^/]+)")
_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


class RequestError(ValueError):
    """The properties do not describe a removal. Its text is a sentence for the stack event."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What surrounds the properties: whom the reply goes to, and which resource it is about."""

    request_type: str
    """`Create`, `Update` or `Delete`."""
    stack_id: str
    request_id: str
    logical_resource_id: str
    response_url: str = field(repr=False)
    """Presigned: whoever has it can answer in our name. Never logged."""
    physical_resource_id: str
    """The same in every reply of the resource, or CloudFormation takes it for a replacement."""

    @classmethod
    def from_event(cls, event: object) -> Self:
        """Read an event.

        Raises:
            RequestError: it lacks what is needed to answer it at all.
        """
        if not isinstance(event, Mapping):
            raise RequestError("The event is not a map.")
        for key in _ENVELOPE:
            if not isinstance(event.get(key), str) or not event[key]:
                raise RequestError(f"The event has no {key}: it is not from CloudFormation.")
        stack_id, logical_id = event["StackId"], event["LogicalResourceId"]
        given = event.get("PhysicalResourceId")
        return cls(
            request_type=str(event.get("RequestType", "")),
            stack_id=stack_id,
            request_id=event["RequestId"],
            logical_resource_id=logical_id,
            response_url=event["ResponseURL"],
            physical_resource_id=given
            if isinstance(given, str) and given
            else derived_physical_resource_id(stack_id, logical_id),
        )


def derived_physical_resource_id(stack_id: str, logical_resource_id: str) -> str:
    """The physical resource id of a resource that is being created.

    It depends on nothing that can change while the resource lives, so a reply after a crash or a
    timeout carries the same one. For example
    `hyperpod-node-removal/ml-stack/Removal4F2A91C0/6d1f0c2e`.
    """
    stack = _STACK_ID.match(stack_id)
    name, unique = (stack[1], stack[2].split("-")[0]) if stack else (stack_id, "0")
    readable = f"hyperpod-node-removal/{name}/{logical_resource_id}/{unique}"
    return printable(readable, PHYSICAL_RESOURCE_ID_MAX)


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovalRequest:
    """What one custom resource asks for."""

    cluster: str
    """Name or ARN of the cluster."""
    node_ids: tuple[str, ...] = ()
    """Instance ids, each once, in the template's order."""
    node_logical_ids: tuple[str, ...] = ()
    """Logical ids, each once, in the template's order."""
    on_partial_failure: PartialFailure = PartialFailure.FAIL
    wait_for: RemovalStage = RemovalStage.REMOVED
    """How far the removal must get."""
    retry_for: int = RETRY_FOR_DEFAULT
    """Seconds for which transient refusals are retried."""
    service_timeout: int = SERVICE_TIMEOUT_DEFAULT
    """Seconds after which CloudFormation stops waiting for the reply."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove. The cluster need not even exist."""
        return not self.node_ids and not self.node_logical_ids

    @classmethod
    def from_properties(cls, properties: object) -> Self:
        """Read `ResourceProperties` as CloudFormation sends them.

        Every scalar is a string there, and a list may be one comma-joined string. An id that is
        listed twice counts once.

        Raises:
            RequestError: an unknown property, a bad value, or no `ClusterName`.
        """
        if not isinstance(properties, Mapping):
            raise RequestError("ResourceProperties is not a map of properties.")
        known = frozenset(Property)
        for name in properties:
            if name not in known:
                allowed = ", ".join(sorted(known))
                raise RequestError(f"Unknown property {quoted(name)}; allowed: {allowed}.")
        request = cls(
            cluster=_cluster(properties),
            node_ids=_ids(properties, Property.NODE_IDS, node_id_problem),
            node_logical_ids=_ids(properties, Property.NODE_LOGICAL_IDS, node_logical_id_problem),
            on_partial_failure=_choice(
                properties, Property.ON_PARTIAL_FAILURE, PartialFailure, PartialFailure.FAIL
            ),
            wait_for=_choice(properties, Property.WAIT_FOR, RemovalStage, RemovalStage.REMOVED),
            retry_for=_seconds(properties, Property.RETRY_FOR, RETRY_FOR_DEFAULT, 0, RETRY_FOR_MAX),
            service_timeout=_seconds(
                properties,
                Property.SERVICE_TIMEOUT,
                SERVICE_TIMEOUT_DEFAULT,
                1,
                SERVICE_TIMEOUT_MAX,
            ),
        )
        token = _text(properties, Property.RETRY_TOKEN, "")
        if len(token) > RETRY_TOKEN_MAX:
            raise RequestError(
                f"{Property.RETRY_TOKEN} has {len(token)} characters; allowed: {RETRY_TOKEN_MAX}."
            )
        count = len(request.node_ids) + len(request.node_logical_ids)
        if count > MAX_NODES:
            raise RequestError(
                f"{Property.NODE_IDS} and {Property.NODE_LOGICAL_IDS} name {count} nodes;"
                f" allowed: {MAX_NODES} in one resource."
            )
        return request


def _cluster(properties: Mapping[str, object]) -> str:
    name = _text(properties, Property.CLUSTER_NAME, "").strip()
    if not name:
        raise RequestError(f"{Property.CLUSTER_NAME} is required: the name or ARN of the cluster.")
    _refuse(Property.CLUSTER_NAME, cluster_name_problem(name))
    return name


def _choice(
    properties: Mapping[str, object], name: Property, kind: type[Choice], default: Choice
) -> Choice:
    value = _text(properties, name, default)
    _refuse(name, choice_problem(value, kind))
    return kind(value)


def _seconds(
    properties: Mapping[str, object], name: Property, default: int, least: int, most: int
) -> int:
    value = _text(properties, name, str(default)).strip()
    if not _WHOLE_NUMBER.fullmatch(value):
        raise RequestError(
            f"{name}: {quoted(value)} is not a whole number; allowed: {least} to {most} seconds."
        )
    _refuse(name, seconds_problem(int(value), least, most))
    return int(value)


def _ids(
    properties: Mapping[str, object], name: Property, problem: Callable[[str], str | None]
) -> tuple[str, ...]:
    value = properties.get(name, ())
    if isinstance(value, str):
        items: Iterable[object] = value.split(",")
    elif isinstance(value, list | tuple):
        items = value
    else:
        raise RequestError(f"{name}: {quoted(value)} is not a list of ids.")
    ids: dict[str, None] = {}
    for item in items:
        if not isinstance(item, str):
            raise RequestError(f"{name}: {quoted(item)} is not an id; allowed: text.")
        # An empty CommaDelimitedList parameter arrives as a list of one empty string.
        if identifier := item.strip():
            _refuse(name, problem(identifier))
            ids[identifier] = None
    return tuple(ids)


def _text(properties: Mapping[str, object], name: Property, default: str) -> str:
    value = properties.get(name, default)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RequestError(f"{name}: {quoted(value)} is not text.")
    return str(value)


def _refuse(name: Property, problem: str | None) -> None:
    if problem:
        raise RequestError(f"{name}: {problem}.")
