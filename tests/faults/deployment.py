"""CloudFormation: stacks with one removal each, what is asked of the function, what is answered."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.hyperpod import NodeView
from tests.faults.functions import Invocation
from tests.faults.timeline import Appointment, Timeline

LOGICAL_ID = "Removal4F2A91C0"
FORWARD = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
_PAUSE = 1.0
"""Seconds between a reply and what CloudFormation does about it."""

Properties = Mapping[str, Any]
Truth = tuple[NodeView, ...]
"""All nodes of the cluster at one moment."""


@dataclass
class Reply:
    """One PUT to the response URL of a request."""

    invocation: Invocation
    time: float
    body: bytes
    truth: Truth
    """The cluster when it was sent."""
    has_arrived: bool = False
    """CloudFormation has it, whatever the function was told."""
    is_acknowledged: bool = False
    """The function was told so, too."""

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content


@dataclass
class Request:
    """One request to the resource and what came back."""

    stack: "Stack"
    event: dict[str, Any]
    physical_id: str
    """What every reply has to say."""
    stack_status: str
    """The stack's, when it was sent."""
    on_end: Callable[[str], None]
    replies: list[Reply] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    """What CloudFormation acts on: the first reply that arrived in time."""
    closed_at: float = math.inf
    """When CloudFormation had its answer or stopped waiting for one."""
    timeout: Appointment | None = None

    @property
    def is_closed(self) -> bool:
        return self.closed_at < math.inf

    @property
    def is_forward(self) -> bool:
        """Whether nodes may be removed for it."""
        return self.stack_status in FORWARD

    @property
    def arrived(self) -> list[Reply]:
        return [reply for reply in self.replies if reply.has_arrived]

    def close(self, status: str) -> None:
        """CloudFormation has its answer, or waits for it no longer."""
        if not self.is_closed:
            self.closed_at = self.stack.now()
            if self.timeout:
                self.timeout.call_off()
            self.on_end(status)


class CloudFormation:
    """Sends requests to the function and takes the replies."""

    def __init__(
        self, timeline: Timeline, deliver: Callable[..., None], truth: Callable[[Properties], Truth]
    ) -> None:
        self.timeline = timeline
        self.deliver = deliver
        self.requests: list[Request] = []
        self.deliveries: tuple[float, ...] = (0.0,)
        """When each event is delivered, in seconds; two of them are a delivery twice."""
        self._truth = truth
        self._stacks: dict[str, Stack] = {}

    def stack(self, name: str = "ml-stack") -> "Stack":
        """A stack that is not deployed yet."""
        stack = Stack(self, name)
        self._stacks[stack.stack_id] = stack
        return stack

    def send(self, request: Request) -> None:
        """Let the function have a request."""
        self.requests.append(request)
        seconds = float(request.event["ResourceProperties"].get("ServiceTimeout", 3600))
        request.timeout = self.timeline.after(seconds, lambda: request.close("TIMEOUT"))
        for delay in self.deliveries:
            self.deliver(json.dumps(request.event).encode(), delay)

    def describe(self, stack_id: str) -> dict[str, Any]:
        return {"Stacks": [{"StackId": stack_id, "StackStatus": self._stacks[stack_id].status}]}

    def request_of(self, url: str) -> Request:
        (request,) = (r for r in self.requests if r.event["ResponseURL"] == url)
        return request

    def expect(self, url: str, body: bytes, invocation: Invocation) -> tuple[Request, Reply]:
        """A PUT is on its way."""
        request = self.request_of(url)
        truth = self._truth(request.event["ResourceProperties"])
        reply = Reply(invocation, self.timeline.now(), body, truth)
        request.replies.append(reply)
        return request, reply

    def receive(self, request: Request, reply: Reply) -> None:
        """The PUT has arrived. The first reply to a request counts, later ones are ignored."""
        reply.has_arrived = True
        if not request.is_closed and request.answer is None:
            request.answer = reply.content
            status = str(request.answer["Status"])
            self.timeline.after(_PAUSE, lambda: request.close(status))


class Stack:
    """One stack: what a deployment leads to, one request after the other."""

    def __init__(self, cloudformation: CloudFormation, name: str) -> None:
        self.stack_id = (
            f"arn:aws:cloudformation:us-east-1:123456789012:stack/{name}/"
            "6d1f0c2e-9a56-11ef-8d2b-0e1c5f5a7b11"
        )
        self.derived_id = f"hyperpod-node-removal/{name}/{LOGICAL_ID}/6d1f0c2e"
        self.properties: Properties | None = None
        """Of the resource as it is deployed. None: there is none."""
        self.forced_status = ""
        """What is shown in place of the status, if it is not empty."""
        self.history: list[tuple[float, str]] = []
        self.request_id = 0
        self.requests: list[Request] = []
        self._cloudformation = cloudformation
        self._physical_id = ""

    @property
    def status(self) -> str:
        return self.forced_status or (self.history[-1][1] if self.history else "")

    def now(self) -> float:
        return self._cloudformation.timeline.now()

    @property
    def request(self) -> Request:
        """The last one."""
        return self.requests[-1]

    @property
    def is_stuck(self) -> bool:
        """Whether it takes people to get it going again."""
        return self.status.endswith("_FAILED") or self.status.endswith("_IN_PROGRESS")

    # What a person does ----------------------------------------------------------------------

    def create(self, properties: Properties) -> None:
        def end(status: str) -> None:
            if status == "SUCCESS":
                self.properties = properties
                self._turn("CREATE_COMPLETE")
            else:
                self._turn("ROLLBACK_IN_PROGRESS")
                self._ask("Delete", properties, self._end_in("ROLLBACK_COMPLETE"))

        self._turn("CREATE_IN_PROGRESS")
        self._ask("Create", properties, end)

    def update(self, properties: Properties) -> None:
        def end(status: str) -> None:
            if status == "SUCCESS":
                self.properties = properties
                self._turn("UPDATE_COMPLETE")
            else:
                self.roll_back(properties)

        self._turn("UPDATE_IN_PROGRESS")
        self._ask("Update", properties, end, old=self.properties)

    def roll_back(self, properties: Properties) -> None:
        """Undo an update to `properties`; also what continues a rollback that failed."""
        assert self.properties is not None
        self._turn("UPDATE_ROLLBACK_IN_PROGRESS")
        end = self._end_in("UPDATE_ROLLBACK_COMPLETE")
        self._ask("Update", self.properties, end, old=properties)

    def delete(self) -> None:
        def end(status: str) -> None:
            self.properties = None
            self._end_in("DELETE_COMPLETE")(status)

        self._turn("DELETE_IN_PROGRESS")
        self._ask("Delete", self.properties or {}, end)

    def cancel(self) -> None:
        """Another resource fails, or a person cancels: the request's answer is not waited for."""
        if self.requests and self.request.is_forward and not self.request.is_closed:
            self.request.close("CANCELLED")

    # What it leads to ------------------------------------------------------------------------

    def _ask(
        self,
        request_type: str,
        properties: Properties,
        on_end: Callable[[str], None],
        old: Properties | None = None,
    ) -> None:
        self.request_id += 1
        number = len(self._cloudformation.requests)
        event: dict[str, Any] = {
            "RequestType": request_type,
            "StackId": self.stack_id,
            "RequestId": f"{self.request_id:08d}-3f9b-4a7c-9a41-5a6f0f5d1e11",
            "LogicalResourceId": LOGICAL_ID,
            "ResourceType": "Custom::HyperPodNodeRemoval",
            "ResponseURL": f"https://response.example/{number}?X-Amz-Signature=s3cret",
            "ResourceProperties": {"ServiceToken": "arn:aws:lambda:removal", **properties},
        }
        if request_type == "Create":
            self._physical_id = ""
        else:
            # Where a Create gave no answer CloudFormation makes up an id of its own.
            event["PhysicalResourceId"] = self._physical_id or f"ml-stack-{LOGICAL_ID}-1M4QWZ"
        if old is not None:
            event["OldResourceProperties"] = dict(old)
        expected = event.get("PhysicalResourceId", self.derived_id)

        def end(status: str) -> None:
            if request.answer is not None:
                self._physical_id = str(request.answer["PhysicalResourceId"])
            on_end(status)

        request = Request(self, event, expected, self.status, end)
        self.requests.append(request)
        self._cloudformation.send(request)

    def _end_in(self, status: str) -> Callable[[str], None]:
        failed = status.replace("COMPLETE", "FAILED")
        return lambda answer: self._turn(status if answer == "SUCCESS" else failed)

    def _turn(self, status: str) -> None:
        self.history.append((self.now(), status))
