"""A model of CloudFormation: stacks with one removal each, its requests, and the replies."""

import json
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sandbox.hyperpod import Node, ServiceError
from tests.faults.functions import Invocation
from tests.faults.timeline import Appointment, Timeline

LOGICAL_ID = "Removal4F2A91C0"
FORWARD = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
_PAUSE = 1.0
"""Seconds after which CloudFormation acts on a reply."""
_CLEANUP = 2.0
"""Seconds that the cleanup after an update or its rollback takes."""
_SIGNAL_TIMEOUT = 300.0
"""Seconds that a wait condition waits for its signal."""

Properties = Mapping[str, Any]
Truth = tuple[Node, ...]
"""All nodes of the cluster at one moment."""


@dataclass(frozen=True)
class View:
    """What DescribeStacks can show of a stack, as of a certain time."""

    since: float
    status: str
    created: float
    updated: float | None = None
    operations: tuple[tuple[str, str], ...] = ()
    """Types and ids, latest first."""


@dataclass
class Reply:
    """One PUT to the response URL of a request."""

    invocation: Invocation
    time: float
    body: bytes
    truth: Truth
    """The nodes of the cluster when it was sent."""
    has_arrived: bool = False
    """Whether CloudFormation has it, even if the function got an error."""
    is_acknowledged: bool = False
    """Whether the function got a 2xx for it."""

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content


@dataclass
class Request:
    """One request to the resource, and its replies."""

    stack: "Stack"
    event: dict[str, Any]
    physical_id: str
    """The id that every reply must have."""
    view: View
    """The stack when it was sent."""
    on_end: Callable[[str], None]
    replies: list[Reply] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    """The reply that CloudFormation acts on: the first that arrived in time."""
    closed_at: float = math.inf
    """When CloudFormation acted on a reply, or stopped waiting for one."""
    timeout: Appointment | None = None

    @property
    def is_closed(self) -> bool:
        return self.closed_at < math.inf

    @property
    def is_forward(self) -> bool:
        """Whether nodes may be removed for it."""
        return self.view.status in FORWARD

    @property
    def arrived(self) -> list[Reply]:
        return [reply for reply in self.replies if reply.has_arrived]

    def close(self, status: str) -> None:
        """Act on the reply, or stop waiting for one."""
        if not self.is_closed:
            self.closed_at = self.stack.now()
            if self.timeout:
                self.timeout.cancel()
            self.on_end(status)


class CloudFormation:
    """Sends requests to the function, and receives the replies."""

    def __init__(
        self, timeline: Timeline, deliver: Callable[..., None], truth: Callable[[Properties], Truth]
    ) -> None:
        self.timeline = timeline
        self.deliver = deliver
        self.requests: list[Request] = []
        self.deliveries: tuple[float, ...] = (0.0,)
        """Seconds after which each event is delivered; two of them deliver it twice."""
        self._truth = truth
        self._stacks: dict[str, Stack] = {}

    def stack(self, name: str = "ml-stack") -> "Stack":
        """Return a new stack that is not deployed yet."""
        stack = Stack(self, name)
        self._stacks[stack.stack_id] = stack
        return stack

    def send(self, request: Request) -> None:
        """Send a request to the function."""
        self.requests.append(request)
        seconds = float(request.event["ResourceProperties"].get("ServiceTimeout", 3600))
        request.timeout = self.timeline.after(seconds, lambda: request.close("TIMEOUT"))
        for delay in self.deliveries:
            self.deliver(json.dumps(request.event).encode(), delay)

    def describe(self, stack_id: str) -> dict[str, Any]:
        return {"Stacks": [self._stacks[stack_id].describe()]}

    def signal(self, stack_id: str, condition: str, text: str, url: str) -> dict[str, Any]:
        """Carry out SignalResource for the request with this response URL."""
        self._stacks[stack_id].signal(condition, text, self.request_of(url))
        return {}

    def response_url(self) -> str:
        """Return the response URL of the next request."""
        date = f"{datetime.fromtimestamp(self.timeline.now(), UTC):%Y%m%dT%H%M%SZ}"
        query = f"X-Amz-Date={date}&X-Amz-Expires=7200&X-Amz-Signature=s3cret"
        return f"https://response.example/{len(self.requests)}?{query}"

    def request_of(self, url: str) -> Request:
        (request,) = (r for r in self.requests if r.event["ResponseURL"] == url)
        return request

    def expect(self, url: str, body: bytes, invocation: Invocation) -> tuple[Request, Reply]:
        """Record that a PUT is being sent."""
        request = self.request_of(url)
        truth = self._truth(request.event["ResourceProperties"])
        reply = Reply(invocation, self.timeline.now(), body, truth)
        request.replies.append(reply)
        return request, reply

    def receive(self, request: Request, reply: Reply) -> None:
        """Receive the PUT. The first reply to a request counts; later ones are ignored."""
        reply.has_arrived = True
        if not request.is_closed and request.answer is None:
            request.answer = reply.content
            status = str(request.answer["Status"])
            self.timeline.after(_PAUSE, lambda: request.close(status))


class Stack:
    """One stack: its operations, and the requests that they send, one after the other."""

    def __init__(self, cloudformation: CloudFormation, name: str) -> None:
        self.stack_id = (
            f"arn:aws:cloudformation:us-east-1:123456789012:stack/{name}/"
            "6d1f0c2e-9a56-11ef-8d2b-0e1c5f5a7b11"
        )
        self.derived_id = f"hyperpod-node-removal/{name}/{LOGICAL_ID}/6d1f0c2e"
        self.properties: Properties | None = None
        """The properties of the deployed resource. None: it is not deployed."""
        self.forced: View | None = None
        """If set, DescribeStacks shows this and not the history."""
        self.history: list[View] = []
        self.lag_forward = 0.0
        """Seconds after which DescribeStacks shows that a creation or update is in progress."""
        self.lag_backward = 0.0
        """Seconds after which it shows any other status."""
        self.shows_update_time = True
        self.shows_operations = True
        self.condition = ""
        """The wait condition that is in progress."""
        self.condition_delay = 2.0
        """Seconds between the end of the request and the wait condition."""
        self.signals: list[tuple[str, Request]] = []
        """The signals that it received, and their requests."""
        self.request_id = 0
        self.requests: list[Request] = []
        self._cloudformation = cloudformation
        self._physical_id = ""
        self._operation_number = 0
        self._next: Properties | None = None
        self._on_signal: Callable[[], object] = lambda: None
        self._on_no_signal: Callable[[], object] = lambda: None

    @property
    def view(self) -> View:
        """The stack as it is now."""
        return self.forced or (self.history or [View(self.now(), "", self.now())])[-1]

    @property
    def status(self) -> str:
        return self.view.status

    def describe(self) -> dict[str, Any]:
        """Return the stack as DescribeStacks shows it: as it was some time ago.

        Raises:
            ServiceError: it is not visible yet.
        """
        view = self.forced or self._visible_view()
        shown: dict[str, Any] = {
            "StackId": self.stack_id,
            "StackName": self.stack_id.split("/")[1],
            "CreationTime": datetime.fromtimestamp(view.created, UTC),
            "StackStatus": view.status,
        }
        if view.updated is not None and self.shows_update_time:
            shown["LastUpdatedTime"] = datetime.fromtimestamp(view.updated, UTC)
        if self.shows_operations:
            shown["LastOperations"] = [
                {"OperationType": kind, "OperationId": number} for kind, number in view.operations
            ]
        return shown

    def _visible_view(self) -> View:
        now = self.now()
        for view in reversed(self.history):
            lag = self.lag_forward if view.status in FORWARD else self.lag_backward
            if now - view.since >= lag:
                return view
        raise ServiceError("ValidationError", f"Stack with id {self.stack_id} does not exist")

    def now(self) -> float:
        return self._cloudformation.timeline.now()

    @property
    def request(self) -> Request:
        """The last request."""
        return self.requests[-1]

    @property
    def is_stuck(self) -> bool:
        """Whether it needs manual work to be deployed again."""
        return self.status.endswith("_FAILED") or self.status.endswith("_IN_PROGRESS")

    # Operations ------------------------------------------------------------------------------

    def create(self, properties: Properties) -> None:
        def succeed() -> None:
            self.properties = properties
            self._set_status("CREATE_COMPLETE")

        def fail() -> None:
            self._set_status("ROLLBACK_IN_PROGRESS")
            self._send("Delete", properties, self._end_in("ROLLBACK_COMPLETE"))

        def end(status: str) -> None:
            if status == "SUCCESS":
                self._await_signal(properties, succeed, fail)
            else:
                fail()

        self.history.clear()
        self._begin("CREATE_STACK", "CREATE_IN_PROGRESS")
        self._send("Create", properties, end)

    def update(self, properties: Properties) -> None:
        def succeed() -> None:
            self.properties = properties
            self._clean_up("UPDATE_COMPLETE")

        def end(status: str) -> None:
            if status == "SUCCESS":
                self._await_signal(properties, succeed, lambda: self.roll_back(properties))
            else:
                self.roll_back(properties)

        self._begin("UPDATE_STACK", "UPDATE_IN_PROGRESS")
        self._send("Update", properties, end, old=self.properties)

    def roll_back(self, properties: Properties) -> None:
        """Roll back an update to `properties`, or continue a rollback that failed."""
        assert self.properties is not None
        if self.status.endswith("_FAILED"):
            self._begin("CONTINUE_ROLLBACK", "UPDATE_ROLLBACK_IN_PROGRESS")
        else:
            self._set_status("UPDATE_ROLLBACK_IN_PROGRESS")
        end = self._end_in("UPDATE_ROLLBACK_COMPLETE")
        self._send("Update", self.properties, end, old=properties)

    def delete(self) -> None:
        def end(status: str) -> None:
            self.properties = None
            self._end_in("DELETE_COMPLETE")(status)

        self._begin("DELETE_STACK", "DELETE_IN_PROGRESS")
        self._send("Delete", self.properties or {}, end)

    def cancel(self) -> None:
        """Cancel the operation without waiting for a reply, as if another resource had failed."""
        if self.condition:
            self._end_condition(self._on_no_signal)
        if self.requests and self.request.is_forward and not self.request.is_closed:
            self.request.close("CANCELED")

    def cancel_and_redeploy(self, properties: Properties) -> None:
        """Cancel the operation, and deploy other properties as soon as the stack is stable."""
        self._next = properties
        self.cancel()
        self._continue()

    def signal(self, condition: str, text: str, request: Request) -> None:
        """Signal a wait condition.

        Raises:
            ServiceError: it is not in progress.
        """
        if condition != self.condition:
            raise ServiceError(
                "ValidationError", f"Resource {condition} is not waiting for signals", status=400
            )
        self.signals.append((text, request))
        self._end_condition(self._on_signal)

    # Steps of an operation -------------------------------------------------------------------

    def _await_signal(
        self, properties: Properties, succeed: Callable[[], object], fail: Callable[[], object]
    ) -> None:
        """Create the wait condition of a verdict, if these properties have a new one."""
        condition = properties.get("VerdictCondition", "")
        if condition in ("", (self.properties or {}).get("VerdictCondition")):
            succeed()
            return

        def begin() -> None:
            self.condition, self._on_signal, self._on_no_signal = condition, succeed, fail
            self._later(_SIGNAL_TIMEOUT, time_out)

        def time_out() -> None:
            if self.condition:
                self._end_condition(fail)

        self._later(self.condition_delay, begin)

    def _end_condition(self, action: Callable[[], object]) -> None:
        self.condition = ""
        action()

    def _send(
        self,
        request_type: str,
        properties: Properties,
        on_end: Callable[[str], None],
        old: Properties | None = None,
    ) -> None:
        self.request_id += 1
        event: dict[str, Any] = {
            "RequestType": request_type,
            "StackId": self.stack_id,
            "RequestId": f"{self.request_id:08d}-3f9b-4a7c-9a41-5a6f0f5d1e11",
            "LogicalResourceId": LOGICAL_ID,
            "ResourceType": "Custom::HyperPodNodeRemoval",
            "ResponseURL": self._cloudformation.response_url(),
            "ResourceProperties": {"ServiceToken": "arn:aws:lambda:removal", **properties},
        }
        if request_type == "Create":
            self._physical_id = ""
        else:
            # CloudFormation generates an id if a Create had no reply.
            event["PhysicalResourceId"] = self._physical_id or f"ml-stack-{LOGICAL_ID}-1M4QWZ"
        if old is not None:
            event["OldResourceProperties"] = dict(old)
        expected = event.get("PhysicalResourceId", self.derived_id)

        def end(status: str) -> None:
            if request.answer is not None:
                self._physical_id = str(request.answer["PhysicalResourceId"])
            on_end(status)

        request = Request(self, event, expected, self.view, end)
        self.requests.append(request)
        self._cloudformation.send(request)

    def _end_in(self, status: str) -> Callable[[str], None]:
        def end(answer: str) -> None:
            if answer != "SUCCESS":
                self._set_status(status.replace("COMPLETE", "FAILED"))
            elif status.startswith("UPDATE"):
                self._clean_up(status)
            else:
                self._set_status(status)

        return end

    def _clean_up(self, status: str) -> None:
        self._set_status(f"{status}_CLEANUP_IN_PROGRESS")
        self._later(_CLEANUP, lambda: self._set_status(status))

    def _begin(self, kind: str, status: str) -> None:
        """Begin an operation."""
        self._operation_number += 1
        now = self.now()
        before = self.view if self.history else View(now, "", now)
        others = tuple(one for one in before.operations if one[0] != kind)
        name = f"{self.stack_id}/{kind}/{self._operation_number}"
        identity = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        self._set_status(
            status,
            created=before.created,
            updated=now if kind == "UPDATE_STACK" else before.updated,
            operations=((kind, identity), *others),
        )

    def _set_status(self, status: str, **more: Any) -> None:
        self.history.append(replace(self.view, since=self.now(), status=status, **more))
        self._continue()

    def _continue(self) -> None:
        """Deploy the next properties, if there are any, as soon as the stack is stable."""
        if self._next is not None and self.status.endswith("_COMPLETE"):
            self._later(_PAUSE, self._deploy_next)

    def _deploy_next(self) -> None:
        properties, self._next = self._next, None
        if properties is not None:
            (self.create if self.properties is None else self.update)(properties)

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        """Schedule an action, unless another operation begins before that."""
        number = self._operation_number

        def act() -> None:
            if number == self._operation_number:
                action()

        self._cloudformation.timeline.after(seconds, act)
