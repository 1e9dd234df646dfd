"""Rules on the event that ends a removal, for whatever EventBridge can call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from constructs import Construct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal_contract import Attribute, Outcome
from hyperpod_node_removal_contract.telemetry import (
    EVENT_BUS_VARIABLE,
    EVENT_DETAIL_TYPE,
    EVENT_SOURCE,
)

if TYPE_CHECKING:
    from aws_cdk import aws_events as events

Detail = Mapping[str, Sequence[str]]
"""What the detail of an event has to have: values by member."""

_FAILURES: Final[Detail] = {
    Attribute.OUTCOME.value: [Outcome.FAILED.value, Outcome.PARTIAL.value],
}


class RuleOptions(TypedDict, total=False):
    """Options of a rule."""

    target: events.IRuleTarget
    """What to call, such as `SnsTopic(topic)`. Default: nothing, until `rule.add_target`."""
    description: str
    """Default: none."""
    rule_name: str
    """Default: one that CloudFormation makes."""


class EventMethods:
    """`on_finished` and `on_failed`."""

    def on_finished(self, construct_id: str, **options: Unpack[RuleOptions]) -> events.Rule:
        """A rule for removals that have ended, well or not.

        It can be narrowed with `rule.add_event_pattern(detail={...})`.

        Args:
            construct_id: unique within this construct.
            options: `target`, `description`, `rule_name`; see `RuleOptions`.

        Raises:
            NodeRemovalError: the provider has no event bus.
        """
        return self._add_rule(construct_id, {}, options)

    def on_failed(self, construct_id: str, **options: Unpack[RuleOptions]) -> events.Rule:
        """A rule for removals that left a node of their set in the cluster; see `on_finished`."""
        return self._add_rule(construct_id, _FAILURES, options)

    def _add_rule(self, construct_id: str, detail: Detail, options: RuleOptions) -> events.Rule:
        raise NotImplementedError


def finished_rule(
    scope: Construct,
    construct_id: str,
    event_bus: events.IEventBus,
    detail: Detail,
    options: RuleOptions,
) -> events.Rule:
    """A rule on the event bus, for events with that detail."""
    from aws_cdk import aws_events as events  # noqa: PLC0415

    target = options.get("target")
    return events.Rule(
        scope,
        construct_id,
        event_bus=event_bus,
        event_pattern=events.EventPattern(
            source=[EVENT_SOURCE],
            detail_type=[EVENT_DETAIL_TYPE],
            detail={member: list(values) for member, values in detail.items()} or None,
        ),
        targets=[] if target is None else [target],
        description=options.get("description"),
        rule_name=options.get("rule_name"),
    )


def check_event_bus(path: str, event_bus: object) -> None:
    """Raise `InvalidPropertyError` unless it is an event bus, or None."""
    if event_bus is not None and not hasattr(event_bus, "event_bus_arn"):
        shown = contract.quote(f"{event_bus} ({type(event_bus).__name__})")
        problem = (
            f"{shown} is not an event bus; allowed: an IEventBus, such as"
            " EventBus.from_event_bus_name(stack, 'Bus', 'default')"
        )
        raise InvalidPropertyError(path, "event_bus", problem)


def event_variables(event_bus: events.IEventBus | None) -> dict[str, str]:
    """What the function is told of the event bus. Nothing if there is none."""
    return {} if event_bus is None else {EVENT_BUS_VARIABLE: event_bus.event_bus_arn}
