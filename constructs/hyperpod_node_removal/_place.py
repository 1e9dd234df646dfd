"""The place of a resource: its partition, region and account.

A removal works in one place: the function looks for the cluster and the stack in its own account
and region, and CloudFormation accepts a `ServiceToken` of the stack's region only (User Guide,
"AWS::CloudFormation::CustomResource").
"""

from __future__ import annotations

from typing import NamedTuple

from aws_cdk import Arn, ArnFormat, Stack

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal._validation import is_token


class Place(NamedTuple):
    """Where a resource is. What is known at deployment only is a token."""

    resource: str
    """The resource, as the subject of a sentence."""
    partition: str
    region: str
    account: str

    @classmethod
    def of_arn(cls, arn: str) -> Place:
        """Return where the resource of an ARN is."""
        parts = Arn.split(arn, ArnFormat.NO_RESOURCE_NAME)
        return cls(contract.quote(arn), *map(str, (parts.partition, parts.region, parts.account)))

    @classmethod
    def of_stack(cls, resource: str, stack: Stack) -> Place:
        """Return where a stack, and a resource in it, is deployed."""
        from aws_cdk.region_info import RegionInfo  # noqa: PLC0415

        region = stack.region
        partition = None if is_token(region) else RegionInfo.get(region).partition
        return cls(resource, partition or stack.partition, region, stack.account)


def check_place(path: str, name: str, place: Place, stack: Stack, allowed: str) -> None:
    """Raise `InvalidPropertyError` if a place is certainly not that of a stack.

    Args:
        path: the construct whose argument is checked.
        name: the argument.
        place: where the value of the argument is.
        stack: the stack that has the construct.
        allowed: what is allowed, and why, as the end of the sentence.
    """
    here = Place.of_stack("the stack", stack)
    for word, there, expected in (
        ("the partition {}", place.partition, here.partition),
        ("{}", place.region, here.region),
        ("account {}", place.account, here.account),
    ):
        # The ARN of a role has no region.
        if there not in {"", expected} and not is_token(there) and not is_token(expected):
            problem = (
                f"{place.resource} is in {word.format(there)}, but {here.resource} is in"
                f" {word.format(expected)}; allowed: {allowed}"
            )
            raise InvalidPropertyError(path, name, problem)
