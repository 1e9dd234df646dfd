"""Where a thing is: partition, region and account.

A removal works in one place only: the function looks for the cluster and for the stack in its own
account and region, and CloudFormation accepts a `ServiceToken` of the stack's region only (User
Guide, "AWS::CloudFormation::CustomResource").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass

from aws_cdk import Stack

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal._validation import is_token


@dataclass(frozen=True)
class Place:
    """Where something is. What is known at deployment only is None."""

    partition: str | None = None
    region: str | None = None
    account: str | None = None

    @classmethod
    def of_arn(cls, arn: str) -> Place:
        """Return where the resource of an ARN is. An ARN with a token in it may be anywhere."""
        if is_token(arn):
            return cls()
        _, partition, _, region, account, *_ = arn.split(":")
        return cls(partition, region, account)

    @classmethod
    def of_stack(cls, stack: Stack) -> Place:
        """Return where a stack is deployed."""
        region = None if is_token(stack.region) else stack.region
        account = None if is_token(stack.account) else stack.account
        return cls(region and _partition(region), region, account)

    def differences(self, other: Place) -> Iterator[tuple[str, str]]:
        """Yield what surely differs, in words, here and there."""
        words = ("the partition {}", "{}", "account {}")
        for word, here, there in zip(words, astuple(self), astuple(other), strict=True):
            if here and there and here != there:
                yield word.format(here), word.format(there)


def check_place(path: str, name: str, what: tuple[str, Place], stack: Stack, why: str) -> None:
    """Raise `InvalidPropertyError` if something surely is in another place than a stack.

    Args:
        what: what it is, as the subject of a sentence, and its place.
        why: what is allowed, and why, as the end of the sentence.
    """
    shown, place = what
    for here, there in place.differences(Place.of_stack(stack)):
        problem = f"{shown} is in {here}, but the stack is in {there}; allowed: {why}"
        raise InvalidPropertyError(path, name, problem)


def check_arn_place(path: str, name: str, arn: str, stack: Stack, why: str) -> None:
    """Raise `InvalidPropertyError` if the resource of an ARN is in another place than a stack."""
    check_place(path, name, (contract.quote(arn), Place.of_arn(arn)), stack, why)


def _partition(region: str) -> str | None:
    """The partition of a region, None for one that the CDK does not know."""
    from aws_cdk.region_info import RegionInfo  # noqa: PLC0415

    return RegionInfo.get(region).partition
