"""A stack, the events of its last operation, and what its status means after a removal."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

from hyperpod_node_removal_cli.report import StackReport
from hyperpod_node_removal_contract import RESOURCE_TYPE, escape
from hyperpod_node_removal_handler import aws

LOG_GROUP: Final = "AWS::Logs::LogGroup"
_STACK: Final = "AWS::CloudFormation::Stack"
_WAIT_CONDITION: Final = "AWS::CloudFormation::WaitCondition"
_SIGNAL: Final = re.compile(r"Received SUCCESS signal with UniqueId ([0-9]+ of [0-9]+ .+)")
# The cleanup after an update shows every custom resource under this type.
_CUSTOM_RESOURCE: Final = "AWS::CloudFormation::CustomResource"
_PHYSICAL_ID_PREFIX: Final = "hyperpod-node-removal/"
# An operation begins with one of these. A rollback, even one that is continued, belongs to the
# operation that failed.
_BEGINNINGS: Final = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "IMPORT_IN_PROGRESS"})
_DELETION: Final = "DELETE_IN_PROGRESS"
_CANCELLED: Final = ("Resource creation cancelled", "Resource update cancelled")
_BY_USER: Final = "User Initiated"

_REDEPLOY: Final = (
    "Redeploy the same set; nodes that have left in the meantime count as done. Or roll back:"
    " aws cloudformation rollback-stack --stack-name {name}"
)
# The meaning of each status after a removal, and what to do. The statuses are those of the
# CloudFormation user guide, "Stack status codes".
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "CREATE_COMPLETE": ("the deployment succeeded.", ""),
    "UPDATE_COMPLETE": ("the deployment succeeded.", ""),
    "IMPORT_COMPLETE": ("resources were imported.", ""),
    "DELETE_COMPLETE": ("the stack was deleted, which does not change the cluster.", ""),
    "ROLLBACK_COMPLETE": (
        "its creation failed and was rolled back; a rollback does not restore removed nodes.",
        (
            "Redeploy: cdk deploy replaces such a stack. With the AWS CLI, delete it first:"
            " aws cloudformation delete-stack --stack-name {name}"
        ),
    ),
    "UPDATE_ROLLBACK_COMPLETE": (
        "the update failed and was rolled back; a rollback does not restore removed nodes.",
        "The stack is as it was before the update and can be deployed again.",
    ),
    "UPDATE_ROLLBACK_FAILED": (
        "the update failed, and so did its rollback: the stack is stuck.",
        (
            "Fix what failed in the rollback, then: aws cloudformation continue-update-rollback"
            " --stack-name {name} (with --resources-to-skip LOGICAL_ID for what cannot be fixed)"
        ),
    ),
    "ROLLBACK_FAILED": (
        "its creation failed, and so did its rollback.",
        (
            "Delete it, keeping what cannot be deleted: aws cloudformation delete-stack"
            " --stack-name {name}"
        ),
    ),
    "CREATE_FAILED": ("its creation failed and was not rolled back.", _REDEPLOY),
    "UPDATE_FAILED": ("the update failed and was not rolled back.", _REDEPLOY),
    "DELETE_FAILED": (
        "it could not be deleted.",
        (
            "Delete it again, keeping what cannot be deleted: aws cloudformation delete-stack"
            " --stack-name {name} --retain-resources LOGICAL_ID"
        ),
    ),
    "IMPORT_ROLLBACK_COMPLETE": (
        "an import of resources failed and was rolled back.",
        "The stack is as it was before the import and can be deployed again.",
    ),
    "IMPORT_ROLLBACK_FAILED": (
        "an import of resources failed, and so did its rollback: the stack is stuck.",
        "Fix what failed in the rollback, then import again.",
    ),
    "REVIEW_IN_PROGRESS": (
        "a change set has yet to be executed; nothing was deployed.",
        (
            "Execute the change set, or delete it. If its creation failed, see why: aws"
            " cloudformation describe-events --stack-name {name}"
        ),
    ),
}


@dataclass(frozen=True)
class StackEvent:
    """One of a stack's events."""

    event_id: str
    time: datetime
    logical_id: str
    physical_id: str
    resource_type: str
    status: str
    """The status of the resource, or of a hook that failed (`HOOK_COMPLETE_FAILED`)."""
    reason: str
    stack_id: str
    """The stack that the event belongs to."""

    @property
    def is_removal(self) -> bool:
        """Whether it is about a node removal."""
        return self.resource_type == RESOURCE_TYPE or (
            self.resource_type == _CUSTOM_RESOURCE
            and self.physical_id.startswith(_PHYSICAL_ID_PREFIX)
        )

    @property
    def verdict(self) -> str:
        """The text that a success was signaled with (ADR 18); empty for other events."""
        signal = _SIGNAL.fullmatch(self.reason)
        return signal[1] if signal and self.resource_type == _WAIT_CONDITION else ""

    @property
    def is_stack(self) -> bool:
        """Whether it is about the stack itself, not about a nested stack."""
        return self.resource_type == _STACK and self.physical_id == self.stack_id

    @property
    def is_nested_stack(self) -> bool:
        """Whether it is about a nested stack."""
        return self.resource_type == _STACK and not self.is_stack

    @property
    def is_reason_of_stack(self) -> bool:
        """Whether it says why the whole operation did not succeed."""
        is_undone = self.status.endswith("ROLLBACK_COMPLETE")
        return self.is_stack and not is_undone and self.reason not in {"", _BY_USER}

    @property
    def is_failure(self) -> bool:
        """Whether a resource failed, rather than being canceled because of another one."""
        return (
            self.status.endswith("_FAILED")
            and not self.is_stack
            and not self.reason.startswith(_CANCELLED)
        )

    @property
    def text(self) -> str:
        """The event in one line, with its reason unchanged."""
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.logical_id} ({self.resource_type}): {self.status}{reason}"


@dataclass(frozen=True)
class StackState:
    """A stack as DescribeStacks shows it."""

    name: str
    stack_id: str
    status: str
    changed_at: str
    """When the last operation began."""
    outputs: Mapping[str, str]

    @property
    def has_failed(self) -> bool:
        """Whether the last operation was rolled back, failed, or deleted the stack."""
        return "ROLLBACK" in self.status or self.status.endswith("_FAILED") or self.is_deleted

    @property
    def is_deleted(self) -> bool:
        """Whether the stack was deleted."""
        return self.status == "DELETE_COMPLETE"

    @property
    def is_in_progress(self) -> bool:
        """Whether an operation is in progress. A stack under review has none yet."""
        return self.status.endswith("_IN_PROGRESS") and not self.is_under_review

    @property
    def is_under_review(self) -> bool:
        """Whether no change set of the stack has been executed."""
        return self.status == "REVIEW_IN_PROGRESS"

    def with_end(self, events: Sequence[StackEvent]) -> Self:
        """Return the stack with the status of its newest event, if that ends the operation.

        DescribeStacks may still show the operation in progress (aws-cdk-cli #1803).
        """
        own = [event.status for event in events if event.physical_id == self.stack_id]
        ended = replace(self, status=own[-1]) if own else self
        return ended if self.is_in_progress and not ended.is_in_progress else self

    def report(self) -> StackReport:
        """Return the stack, with the meaning of its status and what to do."""
        meaning, next_step = STATUSES.get(self.status, ("CloudFormation gives no details.", ""))
        if self.is_in_progress:
            meaning = "an operation is in progress."
            next_step = "Follow it: hyperpod-node-removal watch {name}"
        return StackReport(
            name=self.name,
            stack_id=self.stack_id,
            status=self.status,
            meaning=meaning,
            next_step=next_step.format(name=self.name),
        )


class Stacks:
    """The calls to CloudFormation. Every method raises `aws.AwsError`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def state(self, stack: str) -> StackState:
        """Return the stack of this name or id, with one call."""
        with aws.map_errors("DescribeStacks"):
            found = self._client.describe_stacks(StackName=stack)["Stacks"][0]
        return StackState(
            name=str(found["StackName"]),
            stack_id=str(found["StackId"]),
            status=str(found["StackStatus"]),
            changed_at=str(found.get("LastUpdatedTime") or found["CreationTime"]),
            outputs={
                str(output["OutputKey"]): str(output.get("OutputValue", ""))
                for output in found.get("Outputs") or ()
            },
        )

    def last_operation(self, stack_id: str) -> tuple[StackEvent, ...]:
        """Return the events of the last operation, oldest first, reading back to its beginning.

        A stack that is deleted because its creation failed (`--on-failure DELETE`) goes from
        CREATE_IN_PROGRESS to DELETE_IN_PROGRESS with no end in between: that is one operation.
        """
        events: list[StackEvent] = []
        deletion: int | None = None
        for event in self._newest_first(stack_id):
            if event.physical_id == stack_id and deletion is not None:
                if event.status == "CREATE_IN_PROGRESS":
                    events.append(event)
                else:
                    del events[deletion:]
                break
            events.append(event)
            if event.physical_id == stack_id:
                if event.status in _BEGINNINGS:
                    break
                deletion = len(events) if event.status == _DELETION else None
        return tuple(reversed(events))

    def resources(self, stack_id: str) -> tuple[tuple[str, str], ...]:
        """Return the types and physical ids of the first 100 resources, with one call."""
        with aws.map_errors("DescribeStackResources"):
            found = self._client.describe_stack_resources(StackName=stack_id)
        return tuple(
            (str(resource.get("ResourceType")), str(resource.get("PhysicalResourceId") or ""))
            for resource in found.get("StackResources") or ()
        )

    def _newest_first(self, stack_id: str) -> Iterator[StackEvent]:
        with aws.map_errors("DescribeStackEvents"):
            pages = self._client.get_paginator("describe_stack_events")
            for page in pages.paginate(StackName=stack_id):
                for event in page.get("StackEvents") or ():
                    if "HookStatus" not in event or _is_failed_hook(event):
                        yield _event(event)


def _is_failed_hook(event: Mapping[str, Any]) -> bool:
    """Return whether a hook refused the resource, rather than passed or warned."""
    has_failed = str(event.get("HookStatus", "")).endswith("_FAILED")
    return has_failed and event.get("HookFailureMode") != "WARN"


def _event(event: Mapping[str, Any]) -> StackEvent:
    hook = f"{event.get('HookType', '')}: {event.get('HookStatusReason', '')}"
    return StackEvent(
        event_id=str(event["EventId"]),
        time=event["Timestamp"],
        logical_id=str(event.get("LogicalResourceId", "")),
        physical_id=str(event.get("PhysicalResourceId", "")),
        resource_type=str(event.get("ResourceType", "")),
        status=str(event.get("HookStatus") or event.get("ResourceStatus", "")),
        reason=escape(
            hook if "HookStatus" in event else str(event.get("ResourceStatusReason", ""))
        ),
        stack_id=str(event["StackId"]),
    )
