"""From the properties of a custom resource event to a removal request, once."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self, TypeVar

from hyperpod_node_removal_handler import contract
from hyperpod_node_removal_handler.contract import (
    MissingNodes,
    PartialFailure,
    Property,
    RemovalStage,
    choice_problem,
    quoted,
)

Choice = TypeVar("Choice", bound=StrEnum)
Problem = Callable[[str], str | None]

_WHOLE_NUMBER: Final = "[0-9]{1,9}"
_FLAGS: Final = {"true": True, "false": False}


class RequestError(ValueError):
    """The properties do not describe a removal. Its text is a sentence for the stack event."""


class _Properties:
    """Reads properties by name. Every method raises `RequestError`.

    CloudFormation sends every scalar as a string. A list may be one comma-joined string, and an
    empty CommaDelimitedList parameter is a list of one empty string.
    """

    def __init__(self, properties: object) -> None:
        if not isinstance(properties, Mapping):
            raise RequestError("ResourceProperties is not a map of properties.")
        known = frozenset(Property)
        for name in properties:
            if name not in known:
                allowed = ", ".join(sorted(known))
                raise RequestError(f"Unknown property {quoted(name)}; allowed: {allowed}.")
        self._properties = properties

    def text(self, name: Property, default: str = "") -> str:
        """Any text."""
        return _text(name, self._properties.get(name, default))

    def choice(self, name: Property, default: Choice) -> Choice:
        """A value of the enumeration that `default` belongs to."""
        value = self.text(name, default)
        _refuse(name, choice_problem(value, type(default)))
        return type(default)(value)

    def flag(self, name: Property) -> bool:
        """`true` or `false`; false if it is not there."""
        value = self.text(name, "false").strip().lower()
        if value not in _FLAGS:
            raise RequestError(f"{name}: {quoted(value)} is unknown; allowed: true or false.")
        return _FLAGS[value]

    def number(self, name: Property, default: int, problem: Callable[[int], str | None]) -> int:
        """A whole number."""
        return _number(name, self.text(name, str(default)), problem)

    def limit(self, name: Property, problem: Callable[[int], str | None]) -> int | None:
        """A whole number; None if the property is not there, which is no limit."""
        return _number(name, self.text(name), problem) if name in self._properties else None

    def names(self, name: Property, problem: Problem) -> tuple[str, ...]:
        """A list of ids or names, each once, in order. Blanks do not count."""
        value = self._properties.get(name, ())
        if isinstance(value, str):
            items: Iterable[object] = value.split(",")
        elif isinstance(value, list | tuple):
            items = value
        else:
            raise RequestError(f"{name}: {quoted(value)} is not a list.")
        names: dict[str, None] = {}
        for item in items:
            if not isinstance(item, str):
                raise RequestError(f"{name}: {quoted(item)} is not text.")
            if stripped := item.strip():
                _refuse(name, problem(stripped))
                names[stripped] = None
        return tuple(names)

    def counts(
        self, name: Property, key: Problem, problem: Callable[[int], str | None]
    ) -> dict[str, int]:
        """A map of names to whole numbers. An empty one is refused: it guards nothing."""
        if name not in self._properties:
            return {}
        value = self._properties[name]
        if not isinstance(value, Mapping) or not value:
            what = "is empty" if value in ({}, [], "") else "is not a map of names to numbers"
            raise RequestError(
                f"{name}: {quoted(value)} {what}; allowed: instance groups and numbers of nodes, or"
                " leave the property out."
            )
        counts = {}
        for given, count in value.items():
            _refuse(name, key(str(given)))
            counts[str(given)] = _number(name, _text(name, count), problem)
        return counts


def _refuse(name: Property, problem: str | None) -> None:
    """Raise `RequestError` if there is a problem."""
    if problem:
        raise RequestError(f"{name}: {problem}.")


def _text(name: Property, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RequestError(f"{name}: {quoted(value)} is not text.")
    return str(value)


def _number(name: Property, text: str, problem: Callable[[int], str | None]) -> int:
    value = text.strip()
    if not re.fullmatch(_WHOLE_NUMBER, value):
        # The sentence about the range says what is allowed.
        allowed = (problem(-1) or "allowed: a whole number").partition("allowed: ")[2]
        raise RequestError(f"{name}: {quoted(text)} is not a whole number; allowed: {allowed}.")
    _refuse(name, problem(int(value)))
    return int(value)


class Scope(StrEnum):
    """Which nodes of the set a request may ask the service to remove."""

    ALL = "all"
    INSTANCE_IDS = "instance ids"
    """Those that are still the instance the set names: a logical id may name a new one by now."""
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Guards:
    """What a plan must not break. A guard that is broken refuses the whole set."""

    min_remaining: Mapping[str, int] = field(default_factory=dict)
    """Nodes that must remain, by instance group."""
    max_removals: int | None = None
    protected_groups: tuple[str, ...] = ()
    """Instance groups from which nothing is removed."""
    expected_groups: tuple[str, ...] = ()
    """The only instance groups from which nodes are removed. Empty: any."""
    missing_nodes: MissingNodes = MissingNodes.ACCEPT


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

    @property
    def changes_settings_only(self) -> bool:
        """Whether it is an update that does not ask for the removal of anything anew."""
        return self.scope is not Scope.ALL

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove. The cluster need not even exist."""
        return not self.node_ids and not self.node_logical_ids

    @classmethod
    def from_properties(cls, properties: object, old: object = None) -> Self:
        """Read `ResourceProperties`. An id that is listed twice counts once.

        Args:
            properties: of the resource.
            old: `OldResourceProperties` of an Update.

        Raises:
            RequestError: an unknown property, a bad value, or no `ClusterName`.
        """
        given = _Properties(properties)
        on_partial_failure = given.choice(Property.ON_PARTIAL_FAILURE, PartialFailure.FAIL)
        is_dry_run = given.flag(Property.DRY_RUN)
        request = cls(
            cluster=_cluster(given),
            node_ids=given.names(Property.NODE_IDS, contract.node_id_problem),
            node_logical_ids=given.names(
                Property.NODE_LOGICAL_IDS, contract.node_logical_id_problem
            ),
            on_partial_failure=on_partial_failure,
            scope=Scope.ALL if is_dry_run else _scope(properties, old, on_partial_failure),
            wait_for=given.choice(Property.WAIT_FOR, RemovalStage.REMOVED),
            guards=_guards(given),
            is_dry_run=is_dry_run,
            before_removal=_before_removal(given),
            retry_for=given.number(
                Property.RETRY_FOR, contract.RETRY_FOR_DEFAULT, _seconds(0, contract.RETRY_FOR_MAX)
            ),
            service_timeout=given.number(
                Property.SERVICE_TIMEOUT,
                contract.SERVICE_TIMEOUT_DEFAULT,
                _seconds(contract.SERVICE_TIMEOUT_MIN, contract.SERVICE_TIMEOUT_MAX),
            ),
        )
        _refuse(
            Property.RETRY_TOKEN, contract.retry_token_problem(given.text(Property.RETRY_TOKEN))
        )
        count = len(request.node_ids) + len(request.node_logical_ids)
        if count > contract.MAX_NODES:
            raise RequestError(
                f"{Property.NODE_IDS} and {Property.NODE_LOGICAL_IDS} name {count} nodes;"
                f" allowed: {contract.MAX_NODES} in one resource."
            )
        return request


def _scope(properties: object, old: object, policy: PartialFailure) -> Scope:
    """Tell what an Update may ask for again, where it changes nothing that says what to remove.

    A new `RetryFor` must neither remove a node that nobody asked for now nor fail a stack whose
    removal was done long ago. If no property differs at all, CloudFormation repeats an attempt that
    failed, and the set is converged as it is the first time.
    """
    if not isinstance(old, Mapping) or not isinstance(properties, Mapping) or old == properties:
        return Scope.ALL
    if _target(old) != _target(properties):
        return Scope.ALL
    return Scope.NONE if policy is PartialFailure.REPORT else Scope.INSTANCE_IDS


def _target(properties: Mapping[str, Any]) -> tuple[object, ...]:
    """What properties say about what to remove. Old ones need not be valid for this version."""

    def names(name: Property) -> frozenset[str]:
        value = properties.get(name) or ()
        items = value if isinstance(value, list | tuple) else str(value).split(",")
        return frozenset(str(item).strip() for item in items) - {""}

    return (
        str(properties.get(Property.CLUSTER_NAME, "")).strip(),
        names(Property.NODE_IDS),
        names(Property.NODE_LOGICAL_IDS),
        str(properties.get(Property.DRY_RUN, "false")).strip().lower(),
        str(properties.get(Property.RETRY_TOKEN, "")),
    )


def _cluster(given: _Properties) -> str:
    name = given.text(Property.CLUSTER_NAME).strip()
    if not name:
        raise RequestError(f"{Property.CLUSTER_NAME} is required: the name or ARN of the cluster.")
    _refuse(Property.CLUSTER_NAME, contract.cluster_name_problem(name))
    return name


def _before_removal(given: _Properties) -> str:
    arn = given.text(Property.BEFORE_REMOVAL).strip()
    if arn:
        _refuse(Property.BEFORE_REMOVAL, contract.function_arn_problem(arn))
    return arn


def _guards(given: _Properties) -> Guards:
    return Guards(
        min_remaining=given.counts(
            Property.MIN_REMAINING, contract.instance_group_problem, contract.count_problem
        ),
        max_removals=given.limit(Property.MAX_REMOVALS, contract.count_problem),
        protected_groups=given.names(Property.PROTECTED_GROUPS, contract.instance_group_problem),
        expected_groups=given.names(Property.EXPECTED_GROUPS, contract.instance_group_problem),
        missing_nodes=given.choice(Property.MISSING_NODES, MissingNodes.ACCEPT),
    )


def _seconds(least: int, most: int) -> Callable[[int], str | None]:
    return lambda value: contract.seconds_problem(value, least, most)
