"""What CloudFormation requests: the envelope of a custom resource event, and its properties."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract import (
    MissingNodes,
    PartialFailure,
    Property,
    WaitFor,
    escape,
    quote,
)
from hyperpod_node_removal_contract.properties import (
    BY_NAME,
    FLAGS,
    TARGET,
    WHOLE_NUMBER,
    Kind,
    Row,
)

_REQUIRED: Final = ("StackId", "RequestId", "LogicalResourceId", "ResponseURL")
_URL_LIFETIME: Final = 7200.0
"""Seconds for which a presigned response URL is good."""
_STACK_ID: Final = r"arn:[a-z-]+:cloudformation:[^:/]*:[^:/]*:stack/([^/]+)/([^/]+)"


class EnvelopeError(ValueError):
    """The event lacks what is needed to answer it at all."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """An event without its properties."""

    request_type: str
    """`Create`, `Update` or `Delete`."""
    stack_id: str
    request_id: str
    logical_resource_id: str
    response_url: str = field(repr=False)
    """Presigned: anyone who has it can reply in the function's name. Never logged."""
    physical_resource_id: str
    """The same in every reply for the resource: CloudFormation takes a new one as a replacement."""

    @classmethod
    def from_event(cls, event: object) -> Self:
        """Read an event.

        Raises:
            EnvelopeError: it lacks what is needed to answer it at all.
        """
        if not isinstance(event, Mapping):
            raise EnvelopeError("The event is not a map.")
        for key in _REQUIRED:
            if not isinstance(event.get(key), str) or not event[key]:
                raise EnvelopeError(f"The event has no {key}, so it is not from CloudFormation.")
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

    @property
    def sent_at(self) -> float | None:
        """When CloudFormation sent the request, in seconds since the epoch.

        None if the URL has neither `X-Amz-Date` nor `Expires`.
        """
        try:
            query = parse_qs(urlsplit(self.response_url).query)
            if dates := query.get("X-Amz-Date"):
                date = datetime.strptime(dates[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                return date.timestamp()
            return float(int(query["Expires"][0])) - _URL_LIFETIME
        except (KeyError, ValueError, OverflowError):
            return None

    def response(self, status: str, reason: str, data: Mapping[str, str]) -> bytes:
        """Return the body of a response: JSON in ASCII."""
        body = {
            "Status": status,
            "Reason": reason,
            "PhysicalResourceId": self.physical_resource_id,
            "StackId": self.stack_id,
            "RequestId": self.request_id,
            "LogicalResourceId": self.logical_resource_id,
            "NoEcho": False,
            "Data": data,
        }
        return json.dumps(body, separators=(",", ":")).encode("ascii")

    def as_event(self, properties: object) -> dict[str, object]:
        """Return the event with these properties and the keys that CloudFormation sends."""
        return {
            "RequestType": self.request_type,
            "StackId": self.stack_id,
            "RequestId": self.request_id,
            "LogicalResourceId": self.logical_resource_id,
            "PhysicalResourceId": self.physical_resource_id,
            "ResponseURL": self.response_url,
            "ResourceProperties": properties,
        }


def derived_physical_resource_id(stack_id: str, logical_resource_id: str) -> str:
    """Return the physical resource id of a resource that is being created.

    It depends on nothing that can change during the life of the resource, so a reply after a crash
    or a timeout has the same one. For example
    `hyperpod-node-removal/ml-stack/Removal4F2A91C0/6d1f0c2e`.
    """
    stack = re.match(_STACK_ID, stack_id)
    name, unique = (stack[1], stack[2].split("-")[0]) if stack else (stack_id, "0")
    readable = f"hyperpod-node-removal/{name}/{logical_resource_id}/{unique}"
    return escape(readable, contract.PHYSICAL_RESOURCE_ID_MAX)


# The properties -------------------------------------------------------------------------------


class RequestError(ValueError):
    """The properties do not describe a removal. Its text is a sentence for the stack event."""

    def __init__(self, text: str, host_names: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.host_names = host_names
        """Host names that were given in place of ids."""


# Values as CloudFormation sends them: every scalar as a string. A list may be one comma-joined
# string, and an empty CommaDelimitedList parameter is a list of one empty string.


def _values(properties: object) -> dict[Property, Any]:
    """Read every property by its row. What is not set has its default."""
    if not isinstance(properties, Mapping):
        raise RequestError("ResourceProperties is not a map of properties.")
    for name in properties:
        if name not in BY_NAME:
            allowed = ", ".join(sorted(BY_NAME))
            raise RequestError(f"Unknown property {quote(name)}; allowed: {allowed}.")
    return {
        name: _READERS[row.kind](row, properties[name]) if name in properties else row.default
        for name, row in BY_NAME.items()
    }


def unchecked(properties: object, name: Property) -> Any:
    """Return a property as it is given, whatever is wrong with the properties. None: it is not."""
    return properties.get(name) if isinstance(properties, Mapping) else None


def service_timeout_of(properties: object) -> int:
    """Return how long CloudFormation waits for the reply, whatever is wrong with the properties."""
    text = str(unchecked(properties, Property.SERVICE_TIMEOUT)).strip()
    return int(text) if re.fullmatch(WHOLE_NUMBER, text) else contract.SERVICE_TIMEOUT_DEFAULT


def hook_of(properties: object) -> str:
    """Return the hook as the properties name it, unchecked. Empty: none."""
    return str(unchecked(properties, Property.BEFORE_REMOVAL) or "").strip()


def _refuse(row: Row, problem: str | None) -> None:
    """Raise `RequestError` if there is a problem."""
    if problem:
        raise RequestError(f"{row.name}: {problem}.")


def _string(row: Row, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RequestError(f"{row.name}: {quote(value)} is not text.")
    return str(value)


def _text(row: Row, value: object) -> str:
    if text := _string(row, value).strip():
        _refuse(row, row.validate(text))
    return text


def _choice(row: Row, value: object) -> str:
    text = _string(row, value)
    _refuse(row, row.validate(text))
    return row.choices(text) if row.choices else text


def _flag(row: Row, value: object) -> bool:
    text = _string(row, value).strip().lower()
    if text not in FLAGS:
        raise RequestError(f"{row.name}: {quote(value)} is unknown; allowed: true or false.")
    return FLAGS[text]


def _number(row: Row, value: object) -> int:
    text = _string(row, value).strip()
    if not re.fullmatch(WHOLE_NUMBER, text):
        allowed = row.allowed_numbers
        raise RequestError(f"{row.name}: {quote(value)} is not a whole number; allowed: {allowed}.")
    _refuse(row, row.validate_number(int(text)))
    return int(text)


def _names(row: Row, value: object) -> tuple[str, ...]:
    """Read a list: each name once, in order, without blanks."""
    if not isinstance(value, str | list | tuple):
        raise RequestError(f"{row.name}: {quote(value)} is not a list.")
    for item in value:
        if not isinstance(item, str):
            raise RequestError(f"{row.name}: {quote(item)} is not text.")
    if not isinstance(value, str) and not any(map(row.validate, value)):
        return tuple(dict.fromkeys(value))  # as nearly all lists are
    names = tuple(dict.fromkeys(row.names_in(_joined(value))))
    for name in names:
        if problem := row.validate(name):
            hosts = tuple(filter(contract.is_host_name, names))
            raise RequestError(f"{row.name}: {problem}.", hosts)
    return names


def _joined(value: object) -> str:
    """Return a list as one text: it may be the pieces of a text pasted into a parameter."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _counts(row: Row, value: object) -> dict[str, int]:
    """Read a map of names to whole numbers. An empty one is refused: it would guard nothing."""
    if not isinstance(value, Mapping) or not value:
        what = "is empty" if value in ({}, [], "") else "is not a map of names to numbers"
        raise RequestError(
            f"{row.name}: {quote(value)} {what}; allowed: instance groups and numbers of nodes, or"
            " leave the property out."
        )
    for name in value:
        _refuse(row, row.validate(str(name)))
    return {str(name): _number(row, count) for name, count in value.items()}


_READERS: Final[Mapping[Kind, Callable[[Row, object], object]]] = {
    Kind.TEXT: _text,
    Kind.CHOICE: _choice,
    Kind.FLAG: _flag,
    Kind.NAMES: _names,
    Kind.COUNT: _number,
    Kind.COUNTS: _counts,
    Kind.SECONDS: _number,
}


class Scope(StrEnum):
    """Which nodes of the set may be requested."""

    ALL = "all"
    INSTANCE_IDS = "instance ids"
    """Only instances that the set names by id: a logical id may name a new instance by now."""
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Guards:
    """The guards of a removal. One that is violated refuses the whole set."""

    min_remaining: Mapping[str, int] = field(default_factory=dict)
    """Nodes that must remain, by instance group."""
    max_removals: int | None = None
    protected_groups: tuple[str, ...] = ()
    """Instance groups from which nothing is removed."""
    expected_groups: tuple[str, ...] = ()
    """The only instance groups from which nodes are removed. Empty: any."""
    missing_nodes: MissingNodes = MissingNodes.ACCEPT


@dataclass(frozen=True, kw_only=True)
class RemovalRequest:
    """The properties of one custom resource, parsed."""

    cluster: str
    """Name or ARN of the cluster."""
    node_ids: tuple[str, ...] = ()
    """Instance ids, each once, in the template's order."""
    node_logical_ids: tuple[str, ...] = ()
    """Logical ids, each once, in the template's order."""
    on_partial_failure: PartialFailure = PartialFailure.FAIL
    wait_for: WaitFor = WaitFor.REMOVED
    """How far the removal must get."""
    guards: Guards = field(default_factory=Guards)
    is_dry_run: bool = False
    """Plan and report; remove nothing."""
    before_removal: str = ""
    """ARN of the function that is asked first. Empty: none."""
    retry_for: int = contract.RETRY_FOR_DEFAULT
    """Seconds for which transient refusals are retried."""
    service_timeout: int = contract.SERVICE_TIMEOUT_DEFAULT
    """Seconds after which CloudFormation stops waiting for the reply."""
    scope: Scope = Scope.ALL
    verdict_condition: str = ""
    """Logical id of the wait condition to be signaled after a success. Empty: none, or not one of
    this deployment."""

    @property
    def changes_settings_only(self) -> bool:
        """Whether it is an update that does not change what is to be removed."""
        return self.scope is not Scope.ALL

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove. The cluster need not exist."""
        return not self.node_ids and not self.node_logical_ids

    @classmethod
    def from_properties(cls, properties: object, old: object = None) -> Self:
        """Read `ResourceProperties` and, of an Update, `OldResourceProperties`.

        Raises:
            RequestError: an unknown property, a bad value, or no `ClusterName`.
        """
        given = _values(properties)
        if not given[Property.CLUSTER_NAME]:
            raise RequestError(
                f"{Property.CLUSTER_NAME} is required: the name or ARN of the cluster."
            )
        is_dry_run, policy = given[Property.DRY_RUN], given[Property.ON_PARTIAL_FAILURE]
        request = cls(
            cluster=given[Property.CLUSTER_NAME],
            node_ids=given[Property.NODE_IDS],
            node_logical_ids=given[Property.NODE_LOGICAL_IDS],
            on_partial_failure=policy,
            scope=Scope.ALL if is_dry_run else _scope(properties, old, policy),
            wait_for=given[Property.WAIT_FOR],
            guards=Guards(
                min_remaining=given[Property.MIN_REMAINING] or {},
                max_removals=given[Property.MAX_REMOVALS],
                protected_groups=given[Property.PROTECTED_GROUPS],
                expected_groups=given[Property.EXPECTED_GROUPS],
                missing_nodes=given[Property.MISSING_NODES],
            ),
            is_dry_run=is_dry_run,
            before_removal=given[Property.BEFORE_REMOVAL] or "",
            retry_for=given[Property.RETRY_FOR],
            service_timeout=given[Property.SERVICE_TIMEOUT],
            verdict_condition=_new_condition(properties, old),
        )
        count = len(request.node_ids) + len(request.node_logical_ids)
        if count > contract.MAX_NODES:
            raise RequestError(
                f"{Property.NODE_IDS} and {Property.NODE_LOGICAL_IDS} name {count} nodes;"
                f" allowed: {contract.MAX_NODES} in one resource."
            )
        return request


def _scope(properties: object, old: object, policy: PartialFailure) -> Scope:
    """Return which nodes an Update may request again if it does not change what is to be removed.

    A new `RetryFor` must neither remove a node that nobody wants removed now nor fail a stack whose
    removal was completed long ago. If no property differs at all, CloudFormation repeats a failed
    attempt, and the set is converged as the first time.
    """
    if not isinstance(old, Mapping) or not isinstance(properties, Mapping) or old == properties:
        return Scope.ALL
    if _target(old) != _target(properties):
        return Scope.ALL
    return Scope.NONE if policy is PartialFailure.REPORT else Scope.INSTANCE_IDS


def _new_condition(properties: object, old: object) -> str:
    """Return the wait condition that is created after this request's reply, if there is one.

    One that the old properties name already exists and waits for nothing, unless no property
    differs: then a failed attempt is repeated, which did not create it.
    """
    new, before = (
        str(unchecked(one, Property.VERDICT_CONDITION) or "").strip() for one in (properties, old)
    )
    return new if new != before or properties == old else ""


def _target(properties: Mapping[str, Any]) -> list[object]:
    """Return what is to be removed. Old properties need not be valid for this version."""

    def read(row: Row, given: object) -> object:
        given = row.default if given is None else given
        if row.kind is Kind.NAMES:
            return frozenset(row.names_in(_joined(given)))
        text = "" if given is None else str(given).strip()
        return text.lower() if row.kind is Kind.FLAG else text

    return [read(row, properties.get(name)) for name, row in TARGET.items()]
