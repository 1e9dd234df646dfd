"""The wait condition whose events show what came of a removal that succeeded."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from aws_cdk import CfnCreationPolicy, CfnResourceSignal, CfnWaitCondition, Stack
from constructs import Construct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal._validation import construct_path, is_token
from hyperpod_node_removal_contract import PartialFailure, Property
from hyperpod_node_removal_contract.properties import BY_NAME

_WHAT_TO_REMOVE: Final = (
    Property.CLUSTER_NAME,
    Property.NODE_IDS,
    Property.NODE_LOGICAL_IDS,
    Property.DRY_RUN,
    Property.RETRY_TOKEN,
)
"""A change of these runs the set, and needs a new condition: one cannot be updated."""
_NAME: Final = "verdict_event"


def verdict_condition(
    scope: Construct, construct_id: str, properties: Mapping[str, Any]
) -> CfnWaitCondition:
    """Add a wait condition whose logical id is made of what is to be removed.

    It stands beside the removal, not in it: what depends on the removal does not wait for it.

    Args:
        scope: of the removal.
        construct_id: of the removal.
        properties: of the custom resource, by their names on the wire.

    Raises:
        InvalidPropertyError: a failure fails the stack anyway, or what is to be removed is known
            only at deployment, when the condition must have its name.
    """
    _check(construct_path(scope, construct_id), properties)
    given = [properties.get(key) for key in _WHAT_TO_REMOVE]
    text = json.dumps(Stack.of(scope).resolve(given))
    digest = sha256(text.encode()).hexdigest()[:8]
    condition = CfnWaitCondition(scope, f"{construct_id}Verdict{digest}")
    condition.cfn_options.creation_policy = CfnCreationPolicy(
        resource_signal=CfnResourceSignal(count=1, timeout=f"PT{contract.VERDICT_TIMEOUT}S")
    )
    return condition


def _check(path: str, properties: Mapping[str, Any]) -> None:
    if properties.get(Property.ON_PARTIAL_FAILURE) != PartialFailure.REPORT:
        raise InvalidPropertyError(
            path,
            _NAME,
            "is True without on_partial_failure=REPORT; allowed: with REPORT only, since under FAIL"
            " the stack's events show each failure anyway",
        )
    for name in _WHAT_TO_REMOVE:
        value = properties.get(name)
        items = value if isinstance(value, list) else [value]
        # The name of a cluster may be a token: its text in the template tells it from others.
        is_open = is_token(value) or any(is_token(item) for item in items)
        if is_open and name is not Property.CLUSTER_NAME:
            raise InvalidPropertyError(
                path,
                _NAME,
                f"is True, but {BY_NAME[name].key} is known only at deployment; allowed: literal"
                " values, since the wait condition needs a new name for each set. Pass them as CDK"
                " context (-c node_ids=ID,ID) or in a removal file instead of a CloudFormation"
                " parameter",
            )
