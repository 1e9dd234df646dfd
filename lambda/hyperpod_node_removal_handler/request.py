"""From the properties of a custom resource event to a removal request, once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from hyperpod_node_removal_handler import contract
from hyperpod_node_removal_handler.contract import (
    MissingNodes,
    PartialFailure,
    Property,
    RemovalStage,
)
from hyperpod_node_removal_handler.wire import Properties, RequestError, refuse


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
        given = Properties(properties)
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
        refuse(Property.RETRY_TOKEN, contract.retry_token_problem(given.text(Property.RETRY_TOKEN)))
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


def _cluster(given: Properties) -> str:
    name = given.text(Property.CLUSTER_NAME).strip()
    if not name:
        raise RequestError(f"{Property.CLUSTER_NAME} is required: the name or ARN of the cluster.")
    refuse(Property.CLUSTER_NAME, contract.cluster_name_problem(name))
    return name


def _before_removal(given: Properties) -> str:
    arn = given.text(Property.BEFORE_REMOVAL).strip()
    if arn:
        refuse(Property.BEFORE_REMOVAL, contract.function_arn_problem(arn))
    return arn


def _guards(given: Properties) -> Guards:
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
