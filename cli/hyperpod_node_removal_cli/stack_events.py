"""A stack and the events of its last operation, oldest first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.contract import RESOURCE_TYPE, printable

_STACK: Final = "AWS::CloudFormation::Stack"
_LOG_GROUP: Final = "AWS::Logs::LogGroup"
# With one of these an operation begins. A rollback, and what continues one, belongs to the
# operation that failed.
_BEGINNINGS: Final = frozenset(
    {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS"}
)
_CANCELLED: Final = ("Resource creation cancelled", "Resource update cancelled")


@dataclass(frozen=True)
class StackEvent:
    """A line of a stack's events."""

    event_id: str
    time: datetime
    logical_id: str
    physical_id: str
    resource_type: str
    status: str
    reason: str

    @property
    def is_removal(self) -> bool:
        """Whether it is about a node removal."""
        return self.resource_type == RESOURCE_TYPE

    @property
    def is_stack(self) -> bool:
        """Whether it is about a stack as a whole."""
        return self.resource_type == _STACK

    @property
    def is_failure(self) -> bool:
        """Whether a resource failed by itself, and was not given up because of another one."""
        return (
            self.status.endswith("_FAILED")
            and not self.is_stack
            and not self.reason.startswith(_CANCELLED)
        )


@dataclass(frozen=True)
class StackState:
    """A stack as DescribeStacks shows it."""

    name: str
    stack_id: str
    status: str
    outputs: Mapping[str, str]

    @property
    def is_undone(self) -> bool:
        """Whether the stack was rolled back or deleted, or is stuck in that."""
        return "ROLLBACK" in self.status or self.status.startswith("DELETE_")

    @property
    def is_in_progress(self) -> bool:
        """Whether an operation is under way. A stack under review has not begun."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"


class Stacks:
    """Stacks through a client of CloudFormation. Every method raises `aws.AwsError`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def state(self, stack: str) -> StackState:
        """The stack of this name or id: one call."""
        with aws.translated("DescribeStacks"):
            found = self._client.describe_stacks(StackName=stack)["Stacks"][0]
        return StackState(
            name=str(found["StackName"]),
            stack_id=str(found["StackId"]),
            status=str(found["StackStatus"]),
            outputs={
                str(output["OutputKey"]): str(output.get("OutputValue", ""))
                for output in found.get("Outputs") or ()
            },
        )

    def last_operation(self, stack_id: str) -> tuple[StackEvent, ...]:
        """The events of the last operation, oldest first: pages back to its beginning."""
        events = []
        for event in self._newest_first(stack_id):
            events.append(event)
            if event.physical_id == stack_id and event.status in _BEGINNINGS:
                break
        return tuple(reversed(events))

    def log_groups(self, stack_id: str) -> tuple[str, ...]:
        """The log groups that are resources of the stack: one call."""
        with aws.translated("DescribeStackResources"):
            found = self._client.describe_stack_resources(StackName=stack_id)
        return tuple(
            str(resource["PhysicalResourceId"])
            for resource in found.get("StackResources") or ()
            if resource.get("ResourceType") == _LOG_GROUP and resource.get("PhysicalResourceId")
        )

    def _newest_first(self, stack_id: str) -> Iterator[StackEvent]:
        token: str | None = None
        while True:
            more = {"NextToken": token} if token else {}
            with aws.translated("DescribeStackEvents"):
                page = self._client.describe_stack_events(StackName=stack_id, **more)
            yield from (_event(event) for event in page.get("StackEvents") or ())
            token = page.get("NextToken")
            if not token:
                return


def _event(event: Mapping[str, Any]) -> StackEvent:
    return StackEvent(
        event_id=str(event["EventId"]),
        time=event["Timestamp"],
        logical_id=str(event.get("LogicalResourceId", "")),
        physical_id=str(event.get("PhysicalResourceId", "")),
        resource_type=str(event.get("ResourceType", "")),
        status=str(event.get("ResourceStatus", "")),
        reason=printable(str(event.get("ResourceStatusReason", ""))),
    )
