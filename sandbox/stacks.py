"""Stacks deployed without the CDK CLI: a template straight to CloudFormation."""

import io
import json
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

ASSET_BUCKET: Final = "sandbox-assets"
"""The bucket that assets go to, each under the key it was given."""
DEPLOY_SECONDS: Final = 180.0
"""How long an operation may take before waiting for it is given up."""
TEMPLATE_BODY_MAX: Final = 51_200
"""Bytes of a template in a request (CloudFormation quota); a URL allows 1 MB."""

_POLL: Final = 0.05
_GONE: Final = "DELETE_COMPLETE"


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
    """Empty where there is none."""
    operation_id: str
    """The operation of the stack that it belongs to; a rollback is one of its own."""
    properties: dict[str, Any] | None
    """The resource's properties; None for the stack's own events."""


@dataclass(frozen=True)
class Deployment:
    """How an operation on a stack ended."""

    stack_id: str
    status: str
    """The stack's status."""
    events: tuple[StackEvent, ...]
    """The events of this operation, oldest first."""
    outputs: dict[str, str]
    """The stack's outputs by key; those of the last success after a rollback."""

    @property
    def succeeded(self) -> bool:
        return self.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", _GONE}

    def failures(self) -> list[StackEvent]:
        """Events of resources that failed."""
        return [event for event in self.events if event.status.endswith("_FAILED")]


class Stacks:
    """The stacks of an embedded AWS."""

    def __init__(self, cloudformation: Any, s3: Any) -> None:
        self._cloudformation = cloudformation
        self._s3 = s3

    def deploy(
        self,
        stack_name: str,
        template: Mapping[str, Any],
        *,
        parameters: Mapping[str, str] | None = None,
        assets: Mapping[str, Path] | None = None,
        rollback: bool = True,
    ) -> Deployment:
        """Create or update a stack and wait for the end of it.

        A stack in ROLLBACK_COMPLETE is deleted first, as the CDK CLI does.

        Args:
            assets: directories to zip and upload to ASSET_BUCKET, by object key.
            rollback: False leaves what was made in place after a failure.
        """
        for key, directory in (assets or {}).items():
            self._upload(key, directory)
        stack = self._find(stack_name)
        if stack is not None and stack["StackStatus"] == "ROLLBACK_COMPLETE":
            self.delete(stack_name)
            stack = None
        request = {
            "StackName": stack_name,
            **self._template(stack_name, json.dumps(template)),
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in (parameters or {}).items()
            ],
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
            "DisableRollback": not rollback,
        }
        known = self._event_ids(stack)
        if stack is None:
            stack_id = self._cloudformation.create_stack(**request)["StackId"]
        else:
            try:
                stack_id = self._cloudformation.update_stack(**request)["StackId"]
            except ClientError as error:
                if "No updates are to be performed" not in str(error):
                    raise
                stack_id = stack["StackId"]
        return self._await_end(stack_id, known)

    def delete(self, stack_name: str) -> Deployment:
        """Delete a stack and wait for the end of it."""
        stack = self._find(stack_name)
        if stack is None:
            raise KeyError(stack_name)
        known = self._event_ids(stack)
        self._cloudformation.delete_stack(StackName=stack["StackId"])
        return self._await_end(stack["StackId"], known)

    def status(self, stack_name: str) -> str | None:
        """The stack's status, or None when there is no such stack (any more)."""
        stack = self._find(stack_name)
        return None if stack is None else str(stack["StackStatus"])

    def stack_id(self, stack_name: str) -> str | None:
        """The stack's ARN, or None when there is no such stack (any more)."""
        stack = self._find(stack_name)
        return None if stack is None else str(stack["StackId"])

    def outputs(self, stack_name: str) -> dict[str, str]:
        """The stack's outputs by key."""
        stack = self._find(stack_name) or {}
        return {out["OutputKey"]: out["OutputValue"] for out in stack.get("Outputs", ())}

    def events(self, stack: str) -> list[StackEvent]:
        """All events of a stack, named by name or id, oldest first; none for a stack unheard of."""
        pages = self._cloudformation.get_paginator("describe_stack_events")
        try:
            found = [e for page in pages.paginate(StackName=stack) for e in page["StackEvents"]]
        except ClientError:
            return []
        return [_event(event) for event in reversed(found)]

    def _find(self, stack: str) -> dict[str, Any] | None:
        try:
            found = self._cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError:
            return None
        assert isinstance(found, dict)
        by_name = not stack.startswith("arn:")
        return None if by_name and found["StackStatus"] == _GONE else found

    def _event_ids(self, stack: Mapping[str, Any] | None) -> set[str]:
        return set() if stack is None else {e.event_id for e in self.events(stack["StackId"])}

    def _await_end(self, stack_id: str, known: Iterable[str]) -> Deployment:
        deadline = time.monotonic() + DEPLOY_SECONDS
        while True:
            stack = self._find(stack_id) or {"StackStatus": _GONE}
            status = stack["StackStatus"]
            if not status.endswith("_IN_PROGRESS"):
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"{stack_id} is {status} after {DEPLOY_SECONDS:.0f} seconds")
            time.sleep(_POLL)
        events = tuple(e for e in self.events(stack_id) if e.event_id not in known)
        outputs = {out["OutputKey"]: out["OutputValue"] for out in stack.get("Outputs", ())}
        return Deployment(stack_id, status, events, outputs)

    def _template(self, stack_name: str, text: str) -> dict[str, str]:
        """The template in the request itself or, if it is too long for that, by its URL."""
        if len(text) <= TEMPLATE_BODY_MAX:
            return {"TemplateBody": text}
        key = f"{stack_name}.template.json"
        self._put(key, text.encode())
        return {"TemplateURL": f"https://s3.amazonaws.com/{ASSET_BUCKET}/{key}"}

    def _upload(self, key: str, directory: Path) -> None:
        self._put(key, _zipped(directory))

    def _put(self, key: str, body: bytes) -> None:
        if ASSET_BUCKET not in {b["Name"] for b in self._s3.list_buckets()["Buckets"]}:
            self._s3.create_bucket(Bucket=ASSET_BUCKET)
        self._s3.put_object(Bucket=ASSET_BUCKET, Key=key, Body=body)


def _event(event: Mapping[str, Any]) -> StackEvent:
    properties = event.get("ResourceProperties")
    return StackEvent(
        event_id=event["EventId"],
        time=event["Timestamp"],
        logical_id=event["LogicalResourceId"],
        physical_id=event.get("PhysicalResourceId", ""),
        resource_type=event["ResourceType"],
        status=event["ResourceStatus"],
        reason=event.get("ResourceStatusReason", ""),
        operation_id=event.get("OperationId", ""),
        properties=None if properties is None else json.loads(properties),
    )


def _zipped(directory: Path) -> bytes:
    """The files of a directory as an archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(directory.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(directory))
    return buffer.getvalue()
