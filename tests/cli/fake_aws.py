"""CloudFormation and its logs with responses that a test sets: for what the sandbox cannot do."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from hyperpod_node_removal_cli.connection import Connection
from hyperpod_node_removal_contract import RESOURCE_TYPE
from sandbox.hyperpod.client import client_error

NAME = "maintenance"
STACK_ID = f"arn:aws:cloudformation:us-east-1:111122223333:stack/{NAME}/6d1f0c2e-9a56-11ef"
STACK = "AWS::CloudFormation::Stack"
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
LOG = " Log group: /g. CloudWatch Log Stream: s"


def replied(reason: str) -> str:
    """The text of an event for a reason of the function."""
    return (
        "Received response status [FAILED] from custom resource. Message returned:"
        f" {reason} (RequestId: 6d1f0c2e)"
    )


@dataclass
class FakeAws:
    """All clients in one: a stack, its events and its log."""

    status: str = "UPDATE_COMPLETE"
    outputs: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(
        default_factory=lambda: {RESOURCE_TYPE: "removal", "AWS::Logs::LogGroup": "/g"}
    )
    events: list[dict[str, Any]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)
    """By operation: what is raised instead of a response."""
    calls: list[str] = field(default_factory=list)
    before_each_describe: Callable[[], object] = lambda: None

    @property
    def connection(self) -> Connection:
        """A connection whose every client is this object."""
        session = SimpleNamespace(region_name="us-east-1", client=lambda *_, **__: self)
        return Connection(make_session=lambda **_: session)

    def add_event(
        self,
        status: str,
        logical_id: str = NAME,
        kind: str = STACK,
        why: str = "",
        physical_id: str = STACK_ID,
    ) -> None:
        """Add an event, a second after the last one."""
        number = len(self.events)
        self.events.append(
            {
                "StackId": STACK_ID,
                "EventId": str(number),
                "Timestamp": START + timedelta(seconds=number),
                "LogicalResourceId": logical_id,
                "PhysicalResourceId": physical_id,
                "ResourceType": kind,
                "ResourceStatus": status,
                "ResourceStatusReason": why,
            }
        )
        if kind == STACK:
            self.status = status

    def add_removal_event(self, status: str, why: str = "") -> None:
        """Add an event of the removal."""
        self.add_event(status, "Removal", RESOURCE_TYPE, why, "hyperpod-node-removal/maintenance/1")

    def log_line(self, message: str, request: str = "1", **fields: object) -> None:
        """Add a line to the log."""
        number = len(self.log)
        self.log.append(
            {
                "eventId": f"log-{number}",
                "timestamp": int((START + timedelta(seconds=number)).timestamp() * 1000),
                "message": json.dumps({"message": message, "requestId": request, **fields}),
            }
        )

    # The clients -----------------------------------------------------------------------------

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803
        self.before_each_describe()
        self._called("DescribeStacks")
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in self.outputs.items()]
        stack = {
            "StackName": NAME,
            "StackId": STACK_ID,
            "StackStatus": self.status,
            "CreationTime": START,
            "LastUpdatedTime": START + timedelta(seconds=len(self.events)),
        }
        return {"Stacks": [{**stack, "Outputs": outputs}]}

    def describe_stack_resources(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803
        self._called("DescribeStackResources")
        keys = ("ResourceType", "PhysicalResourceId")
        found = [dict(zip(keys, pair, strict=True)) for pair in self.resources.items()]
        return {"StackResources": found}

    def get_paginator(self, operation: str) -> SimpleNamespace:
        return SimpleNamespace(paginate=getattr(self, f"_{operation}"))

    def _describe_stack_events(self, *, StackName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        """Each event is a page."""
        assert StackName == STACK_ID
        for event in reversed(self.events):
            self._called("DescribeStackEvents")
            yield {"StackEvents": [event]}

    def _filter_log_events(self, **request: Any) -> Iterator[dict[str, Any]]:
        self._called("FilterLogEvents")
        assert request["logGroupName"] == "/g"
        assert request.get("logStreamNames", ["s"]) == ["s"]
        words = request.get("filterPattern", "").strip('"')
        for event in self.log:
            if event["timestamp"] >= request["startTime"] and words in event["message"]:
                yield {"events": [event]}

    def _called(self, operation: str) -> None:
        self.calls.append(operation)
        if error := self.errors.get(operation):
            raise error


def denied(operation: str) -> ClientError:
    return client_error(operation, "AccessDeniedException", "not you", status=403)


def failures(aws: FakeAws, names: Iterable[str], head: str, request: str = "1") -> None:
    """Log a removal that failed."""
    for name in names:
        aws.log_line(
            f"{name}: not removed: NodeIdInUse: busy. Group workers, status Running.",
            request,
            node=name,
            cluster="ml-cluster",
            code="NodeIdInUse",
            why="busy",
            group="workers",
            status="Running",
        )
    aws.log_line(f"PARTIAL: {head}", request)
