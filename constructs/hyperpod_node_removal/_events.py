"""Events at the end of a removal: on EventBridge, and among the events of its stack."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack, cast

from aws_cdk import (
    CfnCreationPolicy,
    CfnResource,
    CfnResourceSignal,
    CfnWaitCondition,
    CustomResource,
    IResolveContext,
    Stack,
)
from constructs import Construct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal._validation import construct_path, is_token, show, value_at_synth
from hyperpod_node_removal_contract import Attribute, Outcome, PartialFailure, Property
from hyperpod_node_removal_contract.properties import TARGET
from hyperpod_node_removal_contract.telemetry import EVENT_DETAIL_TYPE, EVENT_SOURCE

if TYPE_CHECKING:
    from aws_cdk import aws_events as events

Detail = Mapping[str, Sequence[str]]
"""What the detail of an event must have: values by member."""

_FAILURES: Final[Detail] = {
    Attribute.OUTCOME.value: [Outcome.FAILED.value, Outcome.PARTIAL.value],
}


class RuleOptions(TypedDict, total=False):
    """Options of a rule."""

    target: events.IRuleTarget
    """What to invoke, such as `SnsTopic(topic)`. Default: nothing, until `rule.add_target`."""
    description: str
    """Default: none."""
    rule_name: str
    """Default: one that CloudFormation generates."""


class EventMethods:
    """Methods that create rules of EventBridge."""

    def on_finished(self, construct_id: str, **options: Unpack[RuleOptions]) -> events.Rule:
        """Create a rule for removals that have ended, successfully or not.

        It can be narrowed with `rule.add_event_pattern(detail={...})`.

        Args:
            construct_id: unique within this construct.
            options: `target`, `description`, `rule_name`; see `RuleOptions`.

        Raises:
            NodeRemovalError: the provider has no event bus.
        """
        return self._add_rule(construct_id, {}, options)

    def on_failed(self, construct_id: str, **options: Unpack[RuleOptions]) -> events.Rule:
        """Create a rule for removals that left a node in the cluster; see `on_finished`."""
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
    """Create a rule on the event bus, for events with that detail."""
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
        problem = (
            f"{show(event_bus)} is not an event bus; allowed: an IEventBus, such as"
            " EventBus.from_event_bus_name(stack, 'Bus', 'default')"
        )
        raise InvalidPropertyError(path, "event_bus", problem)


def verdict_condition(
    scope: Construct, construct_id: str, properties: Mapping[str, Any]
) -> CfnWaitCondition:
    """Add the wait condition whose event shows the result of a removal that succeeds.

    Its logical id is made from what is to be removed. It is in the scope of the removal, not in the
    removal itself: what depends on the removal does not wait for it.

    Args:
        scope: of the removal.
        construct_id: of the removal.
        properties: of the custom resource, by their names in the template.

    Raises:
        InvalidPropertyError: a failure fails the stack anyway, or what is to be removed is known
            only at deployment, too late for the logical id.
    """
    _check_verdict(construct_path(scope, construct_id), properties)
    given = [properties.get(name) for name in TARGET]
    text = json.dumps(Stack.of(scope).resolve(given))
    digest = sha256(text.encode()).hexdigest()[:8]
    condition = CfnWaitCondition(scope, f"{construct_id}Verdict{digest}")
    condition.cfn_options.creation_policy = CfnCreationPolicy(
        resource_signal=CfnResourceSignal(count=1, timeout=f"PT{contract.VERDICT_TIMEOUT}S")
    )
    return condition


def await_removal(condition: CfnWaitCondition, resource: CustomResource) -> None:
    """Make a wait condition wait for the resource of its removal, and exist only if that does.

    Without the resource nobody would signal it, and it would fail the stack.
    """
    condition.node.add_dependency(resource)
    element = cast("CfnResource", resource.node.default_child)

    def condition_of_resource(_: IResolveContext) -> str | None:
        given = element.cfn_options.condition
        return given.logical_id if given else None

    # The app may give the resource a condition until the template is written.
    condition.add_override("Condition", value_at_synth(condition_of_resource))


def _check_verdict(path: str, properties: Mapping[str, Any]) -> None:
    if properties.get(Property.ON_PARTIAL_FAILURE) != PartialFailure.REPORT:
        problem = (
            "is True without on_partial_failure=REPORT; allowed: with REPORT only, since under FAIL"
            " the stack's events show each failure anyway"
        )
        raise InvalidPropertyError(path, "verdict_event", problem)
    for name, row in TARGET.items():
        value = properties.get(name)
        items = value if isinstance(value, list) else [value]
        # The name of a cluster may be a token: its text in the template identifies it.
        is_open = is_token(value) or any(is_token(item) for item in items)
        if is_open and name is not Property.CLUSTER_NAME:
            problem = (
                f"is True, but {row.key} is known only at deployment; allowed: literal"
                " values, since the wait condition needs a new name for each set. Pass them as CDK"
                " context (-c node_ids=ID,ID) or in a removal file instead of a CloudFormation"
                " parameter"
            )
            raise InvalidPropertyError(path, "verdict_event", problem)
