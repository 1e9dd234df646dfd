"""What the stack is doing. The request does not say whether it comes from a rollback."""

from enum import Enum, auto
from typing import Any, Final, Protocol

from hyperpod_node_removal_handler import aws

_GOING_FORWARD: Final = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"})


class CloudFormationClient(Protocol):
    """The call that is used of botocore's CloudFormation client."""

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]: ...  # noqa: N803


class StackDirection(Enum):
    """Where a stack operation is heading."""

    FORWARD = auto()
    """Creating or updating: what the template asks for may be done."""
    BACKWARD = auto()
    """Rolling back, cancelling or deleting: nothing may be done that cannot be undone."""


class StackAtRestError(aws.TransientError):
    """No operation on the stack is under way, or the answer lags behind."""


class Stack:
    """The stack that holds the resource."""

    def __init__(self, stack_id: str, client: CloudFormationClient) -> None:
        self.stack_id = stack_id
        self._client = client

    def direction(self) -> StackDirection:
        """DescribeStacks: one call.

        Raises:
            StackAtRestError: the status fits no request that CloudFormation sends to a resource.
            aws.AwsError: the call failed.
        """
        with aws.translated("DescribeStacks"):
            answer = self._client.describe_stacks(StackName=self.stack_id)
        stacks = answer.get("Stacks") or [{}]
        status = str(stacks[0].get("StackStatus", ""))
        if status in _GOING_FORWARD:
            return StackDirection.FORWARD
        if status.endswith("_IN_PROGRESS") and ("ROLLBACK" in status or "DELETE" in status):
            return StackDirection.BACKWARD
        raise StackAtRestError(
            "DescribeStacks", "UnexpectedStackStatus", f"the stack is in {status or 'no status'}"
        )
