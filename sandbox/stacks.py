"""Stacks deployed without the CDK CLI: a template or a synthesized app, sent to CloudFormation."""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

ASSET_BUCKET: Final = "sandbox-assets"
"""The bucket that assets are uploaded to."""
DEPLOY_SECONDS: Final = 180.0
"""How long an operation may take."""
TEMPLATE_BODY_MAX: Final = 51_200
"""Bytes of a template in a request (CloudFormation quota); a URL allows 1 MB."""

_BOOTSTRAP_BUCKET: Final = re.compile(
    r"cdk-[a-z0-9]+-assets-\$\{AWS::AccountId\}-\$\{AWS::Region\}"
)
_GONE: Final = "DELETE_COMPLETE"


@dataclass(frozen=True)
class StackEvent:
    """An event of a stack."""

    event_id: str
    time: datetime
    logical_id: str
    physical_id: str
    resource_type: str
    status: str
    reason: str
    """Empty if there is none."""
    operation_id: str
    """The operation of the stack that it belongs to; a rollback is one of its own."""
    properties: dict[str, Any] | None
    """The resource's properties; None for the stack's own events."""


@dataclass(frozen=True)
class Deployment:
    """The result of an operation on a stack."""

    stack_id: str
    status: str
    """The stack's status."""
    events: tuple[StackEvent, ...]
    """The events of this operation, oldest first."""
    outputs: dict[str, str]
    """The stack's outputs by key; after a rollback, those of the last success."""

    @property
    def succeeded(self) -> bool:
        return self.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", _GONE}

    def failures(self) -> list[StackEvent]:
        """Return the events of resources that failed."""
        return [event for event in self.events if event.status.endswith("_FAILED")]


@dataclass(frozen=True)
class AssembledStack:
    """A template, and the directories of its functions by object key."""

    template: dict[str, Any]
    assets: dict[str, Path]


def read_assembly(directory: Path, stack_name: str) -> AssembledStack:
    """Read one stack from a `cdk.out`, with its assets expected in ASSET_BUCKET.

    The check of the bootstrap version is removed: no bootstrap is needed.
    """
    text = (directory / f"{stack_name}.template.json").read_text(encoding="utf-8")
    template: dict[str, Any] = json.loads(_BOOTSTRAP_BUCKET.sub(ASSET_BUCKET, text))
    for section, name in (("Parameters", "BootstrapVersion"), ("Rules", "CheckBootstrapVersion")):
        template.get(section, {}).pop(name, None)
    manifest = json.loads((directory / f"{stack_name}.assets.json").read_text(encoding="utf-8"))
    assets = {}
    for file in manifest.get("files", {}).values():
        if file["source"]["packaging"] == "zip":
            (destination,) = file["destinations"].values()
            assets[destination["objectKey"]] = directory / file["source"]["path"]
    return AssembledStack(template, assets)


class Stacks:
    """The stacks of an embedded AWS."""

    def __init__(
        self, cloudformation: Any, s3: Any, await_rest: Callable[[str, float], None]
    ) -> None:
        """`await_rest` waits until the stack with an id is not in progress, or for seconds."""
        self._cloudformation = cloudformation
        self._s3 = s3
        self._await_rest = await_rest

    def deploy(
        self,
        stack_name: str,
        template: Mapping[str, Any],
        *,
        parameters: Mapping[str, str] | None = None,
        assets: Mapping[str, Path] | None = None,
        rollback: bool = True,
    ) -> Deployment:
        """Create or update a stack and wait until it is done.

        A stack in ROLLBACK_COMPLETE is deleted first, as the CDK CLI does.

        Args:
            assets: directories to zip and upload to ASSET_BUCKET, by object key.
            rollback: whether a failure is rolled back.
        """
        for key, directory in (assets or {}).items():
            self._put(key, _zipped(directory))
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
        if stack is None:
            return self._await_end(self._cloudformation.create_stack(**request)["StackId"], set())
        known = self._event_ids(stack["StackId"])
        try:
            self._cloudformation.update_stack(**request)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
        return self._await_end(stack["StackId"], known)

    def deploy_assembly(
        self,
        directory: Path,
        stack_name: str,
        *,
        parameters: Mapping[str, str] | None = None,
        rollback: bool = True,
    ) -> Deployment:
        """Deploy one stack of a `cdk.out`, including assets; no bootstrap is needed."""
        stack = read_assembly(directory, stack_name)
        return self.deploy(
            stack_name,
            stack.template,
            parameters=parameters,
            assets=stack.assets,
            rollback=rollback,
        )

    def delete(self, stack_name: str) -> Deployment:
        """Delete a stack and wait until it is done; KeyError if there is no such stack."""
        stack = self._find(stack_name)
        if stack is None:
            raise KeyError(stack_name)
        known = self._event_ids(stack["StackId"])
        self._cloudformation.delete_stack(StackName=stack["StackId"])
        return self._await_end(stack["StackId"], known)

    def status(self, stack_name: str) -> str | None:
        """Return the stack's status, or None if there is no such stack."""
        stack = self._find(stack_name)
        return None if stack is None else str(stack["StackStatus"])

    def stack_id(self, stack_name: str) -> str | None:
        """Return the stack's ARN, or None if there is no such stack."""
        stack = self._find(stack_name)
        return None if stack is None else str(stack["StackId"])

    def outputs(self, stack_name: str) -> dict[str, str]:
        """Return the stack's outputs by key."""
        return _outputs(self._find(stack_name) or {})

    def events(self, stack: str) -> list[StackEvent]:
        """Return all events of a stack, by its name or id, oldest first; none if it is unknown."""
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

    def _event_ids(self, stack_id: str) -> set[str]:
        return {event.event_id for event in self.events(stack_id)}

    def _await_end(self, stack_id: str, known: Iterable[str]) -> Deployment:
        self._await_rest(stack_id, DEPLOY_SECONDS)
        stack = self._find(stack_id) or {"StackStatus": _GONE}
        status = stack["StackStatus"]
        if status.endswith("_IN_PROGRESS"):
            raise TimeoutError(f"{stack_id} is {status} after {DEPLOY_SECONDS:.0f} seconds")
        events = tuple(e for e in self.events(stack_id) if e.event_id not in known)
        return Deployment(stack_id, status, events, _outputs(stack))

    def _template(self, stack_name: str, text: str) -> dict[str, str]:
        """Return the request's member with the template itself or, if it is too long, its URL."""
        if len(text) <= TEMPLATE_BODY_MAX:
            return {"TemplateBody": text}
        key = f"{stack_name}.template.json"
        self._put(key, text.encode())
        return {"TemplateURL": f"https://s3.amazonaws.com/{ASSET_BUCKET}/{key}"}

    def _put(self, key: str, body: bytes) -> None:
        if ASSET_BUCKET not in {b["Name"] for b in self._s3.list_buckets()["Buckets"]}:
            self._s3.create_bucket(Bucket=ASSET_BUCKET)
        self._s3.put_object(Bucket=ASSET_BUCKET, Key=key, Body=body)


def _outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}


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


@cache
def _zipped(directory: Path) -> bytes:
    """Return an archive of the files of a directory, which do not change once they are deployed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(directory.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(directory))
    return buffer.getvalue()
