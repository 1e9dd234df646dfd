"""What a removal needs of a function, wherever that function was created."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, Self, cast

import jsii
from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct, IDependable

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._attributes import DeclaredRemoval
from hyperpod_node_removal._cluster import is_arn
from hyperpod_node_removal._errors import InvalidPropertyError, NodeRemovalError
from hyperpod_node_removal._events import (
    Detail,
    EventMethods,
    RuleOptions,
    check_event_bus,
    finished_rule,
)
from hyperpod_node_removal._function import check_role
from hyperpod_node_removal._function_role import FunctionRole
from hyperpod_node_removal._place import Place, check_place
from hyperpod_node_removal._stack_removals import StackRemovals
from hyperpod_node_removal._validation import check_flag, check_text, construct_path, is_token, show
from hyperpod_node_removal._warnings import RemovalWarning, warn

if TYPE_CHECKING:
    from aws_cdk import aws_events as events
    from aws_cdk import aws_logs as logs

_ALLOWED: Final = (
    "a function in the stack's account and region, where it looks for the stack and the cluster"
)


class ProviderParts(Construct):
    """What the constructs of this package need of a provider, and its users do not.

    It is a child of the provider and adds no resource to the template.
    """

    _ID: Final = "Parts"

    def __init__(self, provider: Construct, *, writes_metrics: bool) -> None:
        super().__init__(provider, self._ID)
        self._provider = provider.node.path
        self._writes_metrics = writes_metrics
        self.created_by = type(provider).__name__
        """What to call with other arguments, for an error."""
        self.created_for: str | None = None
        """Path of the removal for which the provider was created, if it was for one."""
        self.place = Place.of_stack(provider.node.path, Stack.of(provider))
        """Where the function is, as far as is known at synth."""
        self.role: FunctionRole | None = None
        """The role to which removals add the permissions they need. None: it is not known."""
        self.needed: list[IDependable] = []
        """What must exist before the function is invoked."""
        self.removals: list[DeclaredRemoval] = []
        """The removals of this app that use the function."""
        self.stacks_elsewhere: set[str] = set()
        """ARNs of stacks that use the function and are not of this app."""

    @classmethod
    def of(cls, provider: INodeRemovalProvider) -> Self:
        """Return the parts of a provider."""
        return cast("Self", provider.node.find_child(cls._ID))

    def removals_at_once(self) -> int:
        """Return how many removals may run at once; those of a stack may wait for each other."""
        clusters: dict[str, set[str]] = defaultdict(set)
        for removal in self.removals:
            clusters[Stack.of(removal.construct).node.path].add(removal.cluster.name)
        return len(self.stacks_elsewhere) + sum(map(_distinct, clusters.values()))

    def require_metrics(self) -> None:
        """Raise `NodeRemovalError` if the function writes no metrics.

        A graph of them would stay empty, and an alarm silent.
        """
        if self._writes_metrics is False:
            raise NodeRemovalError(
                f"{self._provider} writes no metrics; give {self.created_by} metrics=True"
            )


@jsii.implements(iam.IGrantable)
class INodeRemovalProvider(EventMethods, Construct):
    """The function that removes nodes, created by this app or elsewhere.

    A `NodeRemovalProvider`, or one that was created elsewhere, from
    `NodeRemovalProvider.from_service_token`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        metrics: bool,
        event_bus: events.IEventBus | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._parts = ProviderParts(self, writes_metrics=metrics)
        self._event_bus = event_bus
        self._log_group: logs.ILogGroup | None = None

    @property
    def service_token(self) -> str:
        """ARN of the function. May be a token."""
        raise NotImplementedError

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The principal of permissions that are granted to the provider.

        As in `topic.grant_publish(provider)`: the role of the function, or none if it is not known.
        """
        if self._parts.role is None:
            return cast("iam.IPrincipal", iam.UnknownPrincipal(resource=self))
        return self._parts.role.role

    @property
    def role(self) -> iam.IRole:
        """The role of the function. It may write its logs; each removal adds what it needs.

        Raises:
            NodeRemovalError: it is not known.
        """
        if self._parts.role is None:
            raise NodeRemovalError(
                f"the role of {self.node.path} is not known; give from_service_token a role, such"
                " as Role.from_role_name(stack, 'Role', 'name')"
            )
        return self._parts.role.role

    @property
    def log_group(self) -> logs.ILogGroup:
        """The log group in which the function records what happened to each node.

        Raises:
            NodeRemovalError: it is not known.
        """
        if self._log_group is None:
            raise NodeRemovalError(
                f"the log group of {self.node.path} is not known; give from_service_token a"
                " log_group, such as LogGroup.from_log_group_name(stack, 'Log', 'name')"
            )
        return self._log_group

    @property
    def event_bus(self) -> events.IEventBus:
        """The event bus to which the function sends an event at the end of a removal.

        Raises:
            NodeRemovalError: it sends none.
        """
        if self._event_bus is None:
            raise NodeRemovalError(
                f"{self.node.path} sends no events; give {self._parts.created_by} an event_bus,"
                " such as EventBus.from_event_bus_name(stack, 'Bus', 'default')"
            )
        return self._event_bus

    def _add_rule(self, construct_id: str, detail: Detail, options: RuleOptions) -> events.Rule:
        return finished_rule(self, construct_id, self.event_bus, detail, options)


class ProviderElsewhere(INodeRemovalProvider):
    """A function that another app or a template has created; see `from_service_token`."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        service_token: str,
        *,
        role: iam.IRole | None,
        log_group: logs.ILogGroup | None,
        metrics: bool,
        event_bus: events.IEventBus | None,
    ) -> None:
        path = construct_path(scope, construct_id)
        check_text(path, "service_token", service_token, contract.validate_function_arn)
        place = Place.of_arn(service_token)
        check_place(path, "service_token", place, Stack.of(scope), _ALLOWED)
        check_role(path, role, Stack.of(scope))
        check_flag(path, "metrics", metrics)
        check_event_bus(path, event_bus)
        super().__init__(scope, construct_id, metrics=metrics, event_bus=event_bus)
        self._service_token = service_token
        self._log_group = log_group
        self._parts.created_by = "from_service_token"
        if not is_token(service_token):
            self._parts.place = place
        if role is not None:
            self._parts.role = FunctionRole(self, role, is_given=True)

    @property
    def service_token(self) -> str:
        """ARN of the function. May be a token."""
        return self._service_token


def check_provider(path: str, stack: Stack, provider: object) -> None:
    """Raise `InvalidPropertyError` unless it is None or a provider that the stack can use."""
    if provider is None:
        return
    if not isinstance(provider, INodeRemovalProvider):
        problem = (
            f"{show(provider)} is not a provider; allowed: a NodeRemovalProvider, or for the ARN of"
            " a function NodeRemovalProvider.from_service_token(...)"
        )
        raise InvalidPropertyError(path, "provider", problem)
    check_place(path, "provider", ProviderParts.of(provider).place, stack, _ALLOWED)


def warn_of_use(provider: INodeRemovalProvider, reserved: int | None, max_event_age: int) -> None:
    """Warn of a provider that no removal uses, or that too many removals use at once.

    Args:
        provider: the provider.
        reserved: how many can run at once, None for no limit, or a token.
        max_event_age: seconds for which one more waits.
    """
    at_once = ProviderParts.of(provider).removals_at_once()
    if reserved is not None and not is_token(reserved) and reserved < at_once:
        warn(
            provider,
            RemovalWarning.RESERVED_CONCURRENCY,
            provider=provider.node.path,
            reserved=reserved,
            at_once=at_once,
            dropped_after=max_event_age,
        )
    if not at_once:
        # Those of the stack and of the stacks that are nested in it.
        for found in Stack.of(provider).node.find_all():
            if isinstance(found, StackRemovals):
                removal = found.declared[0]
                warn(
                    provider,
                    RemovalWarning.PROVIDER_NOT_USED,
                    provider=provider.node.path,
                    removal=removal.construct.node.path,
                    used=removal.provider.node.path,
                )
                break


def _distinct(clusters: set[str]) -> int:
    """Return how many of these names and ARNs certainly are of different clusters."""
    literal = [name for name in clusters if not is_token(name)]
    arns = sum(map(is_arn, literal))
    return max(1, arns, len(literal) - arns)
