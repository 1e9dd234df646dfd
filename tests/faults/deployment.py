"""CloudFormation: stacks with one removal each, what is asked of the function, what is answered."""

import json
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sandbox.hyperpod import NodeView, ServiceError
from tests.faults.functions import Invocation
from tests.faults.timeline import Appointment, Timeline

LOGICAL_ID = "Removal4F2A91C0"
FORWARD = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
_PAUSE = 1.0
"""Seconds between a reply and what CloudFormation does about it."""
_CLEANUP = 2.0
"""Seconds that it takes to clean up after an update or its rollback."""
_SIGNAL_TIMEOUT = 300.0
"""Seconds that a wait condition waits for its signal."""
URL_LIFETIME = 7200
"""Seconds for which a response URL is valid."""

Properties = Mapping[str, Any]
Truth = tuple[NodeView, ...]
"""All nodes of the cluster at one moment."""


@dataclass(frozen=True)
class View:
    """What DescribeStacks can show of a stack, from some time on."""

    since: float
    status: str
    created: float
    updated: float | None = None
    operations: tuple[tuple[str, str], ...] = ()
    """Types and ids, the latest first."""


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
    view: View
    """The stack, when it was sent."""
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
        return self.view.status in FORWARD

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
        self.url_form = "X-Amz-Date"
        """What tells in a response URL when it was made; or `Expires`, or nothing that does."""
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
        return {"Stacks": [self._stacks[stack_id].describe()]}

    def signal(self, stack_id: str, condition: str, text: str, url: str) -> dict[str, Any]:
        """SignalResource, for the request with this response URL."""
        self._stacks[stack_id].signal(condition, text, self.request_of(url))
        return {}

    def response_url(self) -> str:
        """A URL for the next request."""
        now = self.timeline.now()
        made = {
            "X-Amz-Date": f"X-Amz-Date={datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}"
            f"&X-Amz-Expires={URL_LIFETIME}&X-Amz-",
            "Expires": f"Expires={int(now) + URL_LIFETIME}&",
        }.get(self.url_form, "")
        return f"https://response.example/{len(self.requests)}?{made}Signature=s3cret"

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
        self.forced: View | None = None
        """What is shown in place of everything else."""
        self.history: list[View] = []
        self.lag_forward = 0.0
        """Seconds after which DescribeStacks shows that the stack is creating or updating."""
        self.lag_backward = 0.0
        """Seconds after which it shows any other status."""
        self.is_made_by_change_set = False
        """A new stack is then shown in review for as long as its first operation is not."""
        self.update_time_lag = 0.0
        """Seconds after which a stack that is made by a change set has a LastUpdatedTime."""
        self.shows_update_time = True
        self.shows_operations = True
        self.other_operations: tuple[tuple[str, str], ...] = ()
        """Operations that are shown before the stack's own, such as a change set of somebody."""
        self.condition = ""
        """The wait condition that is in progress."""
        self.condition_delay = 2.0
        """Seconds after which it is, once the resource is done."""
        self.signals: list[tuple[str, Request]] = []
        """What it was signaled with, and for which request."""
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
        """How the stack is."""
        return self.forced or (self.history or [View(self.now(), "", self.now())])[-1]

    @property
    def status(self) -> str:
        return self.view.status

    def describe(self) -> dict[str, Any]:
        """How DescribeStacks shows it: as it was some time ago, in every respect.

        Raises:
            ServiceError: it is not to be seen yet.
        """
        view = self.forced or self._seen()
        operations = (*self.other_operations, *view.operations)
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
                {"OperationType": kind, "OperationId": number} for kind, number in operations
            ]
        return shown

    def _seen(self) -> View:
        now = self.now()
        for view in reversed(self.history):
            lag = self.lag_forward if view.status in FORWARD else self.lag_backward
            if now - view.since >= lag:
                return view
        if not self.is_made_by_change_set:
            raise ServiceError("ValidationError", f"Stack with id {self.stack_id} does not exist")
        created = self.history[0].created
        return View(
            created, "REVIEW_IN_PROGRESS", created, None, (self._named("CREATE_CHANGESET"),)
        )

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
        def succeed() -> None:
            self.properties = properties
            self._turn("CREATE_COMPLETE")

        def fail() -> None:
            self._turn("ROLLBACK_IN_PROGRESS")
            self._ask("Delete", properties, self._end_in("ROLLBACK_COMPLETE"))

        def end(status: str) -> None:
            if status == "SUCCESS":
                self._await_signal(properties, succeed, fail)
            else:
                fail()

        self.history.clear()
        self._begin("CREATE_STACK", "CREATE_IN_PROGRESS")
        if self.is_made_by_change_set:
            began = self.now()
            self._later(self.update_time_lag, lambda: self._turn(self.status, updated=began))
        self._ask("Create", properties, end)

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
        self._ask("Update", properties, end, old=self.properties)

    def roll_back(self, properties: Properties) -> None:
        """Undo an update to `properties`; also what continues a rollback that failed."""
        assert self.properties is not None
        if self.status.endswith("_FAILED"):
            self._begin("CONTINUE_ROLLBACK", "UPDATE_ROLLBACK_IN_PROGRESS")
        else:
            self._turn("UPDATE_ROLLBACK_IN_PROGRESS")
        end = self._end_in("UPDATE_ROLLBACK_COMPLETE")
        self._ask("Update", self.properties, end, old=properties)

    def delete(self) -> None:
        def end(status: str) -> None:
            self.properties = None
            self._end_in("DELETE_COMPLETE")(status)

        self._begin("DELETE_STACK", "DELETE_IN_PROGRESS")
        self._ask("Delete", self.properties or {}, end)

    def cancel(self) -> None:
        """Another resource fails, or a person cancels: the request's answer is not waited for."""
        if self.condition:
            self._end_condition(self._on_no_signal)
        if self.requests and self.request.is_forward and not self.request.is_closed:
            self.request.close("CANCELLED")

    def cancel_and_redeploy(self, properties: Properties) -> None:
        """Cancel what is under way, and deploy another set once the stack is at rest."""
        self._next = properties
        self.cancel()
        self._go_on()

    def signal(self, condition: str, text: str, request: Request) -> None:
        """SignalResource.

        Raises:
            ServiceError: that condition is not in progress.
        """
        if condition != self.condition:
            raise ServiceError(
                "ValidationError", f"Resource {condition} is not waiting for signals", status=400
            )
        self.signals.append((text, request))
        self._end_condition(self._on_signal)

    # What it leads to ------------------------------------------------------------------------

    def _await_signal(
        self, properties: Properties, succeed: Callable[[], object], fail: Callable[[], object]
    ) -> None:
        """Create the wait condition of a verdict, if these properties bring a new one."""
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

    def _ask(
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
            # Where a Create gave no answer CloudFormation makes up an id of its own.
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
                self._turn(status.replace("COMPLETE", "FAILED"))
            elif status.startswith("UPDATE"):
                self._clean_up(status)
            else:
                self._turn(status)

        return end

    def _clean_up(self, status: str) -> None:
        self._turn(f"{status}_CLEANUP_IN_PROGRESS")
        self._later(_CLEANUP, lambda: self._turn(status))

    def _begin(self, kind: str, status: str) -> None:
        """An operation of its own."""
        self._operation_number += 1
        now = self.now()
        before = self.view if self.history else View(now, "", now)
        others = tuple(one for one in before.operations if one[0] != kind)
        self._turn(
            status,
            created=before.created,
            updated=now if kind == "UPDATE_STACK" else before.updated,
            operations=(self._named(kind), *others),
        )

    def _named(self, kind: str) -> tuple[str, str]:
        name = f"{self.stack_id}/{kind}/{self._operation_number}"
        return kind, str(uuid.uuid5(uuid.NAMESPACE_URL, name))

    def _turn(self, status: str, **more: Any) -> None:
        self.history.append(replace(self.view, since=self.now(), status=status, **more))
        self._go_on()

    def _go_on(self) -> None:
        """What is to be deployed next is deployed once the stack is at rest."""
        if self._next is not None and self.status.endswith("_COMPLETE"):
            self._later(_PAUSE, self._deploy_next)

    def _deploy_next(self) -> None:
        properties, self._next = self._next, None
        if properties is not None:
            (self.create if self.properties is None else self.update)(properties)

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something, unless another operation has begun by then."""
        number = self._operation_number

        def act() -> None:
            if number == self._operation_number:
                action()

        self._cloudformation.timeline.after(seconds, act)
