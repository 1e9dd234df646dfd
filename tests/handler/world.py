"""The function, and the AWS around it: time, a cluster, and a stack that a test controls."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from hyperpod_node_removal_contract import Attribute
from hyperpod_node_removal_handler import index, report
from hyperpod_node_removal_handler.handover import Continuation
from hyperpod_node_removal_handler.invocation import Invocation
from hyperpod_node_removal_handler.outcome import LogPlace, Result
from hyperpod_node_removal_handler.reconciler import Reconciler
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.report import Report
from hyperpod_node_removal_handler.request import Envelope, RemovalRequest
from hyperpod_node_removal_handler.timing import REPLY_MARGIN
from sandbox.hyperpod import Cluster as ClusterModel
from sandbox.hyperpod import HyperPod, ServiceError
from tests.aws_transport import Answer, Parameters, Sent, Service, answered_by
from tests.handler.endpoint import Endpoint
from tests.handler.function import PROCEED, Context, EventBus, Lambda

STACK_ID = (
    "arn:aws:cloudformation:us-east-1:123456789012:stack/ml-stack/"
    "6d1f0c2e-9a56-11ef-8d2b-0e1c5f5a7b11"
)
PHYSICAL_ID = "hyperpod-node-removal/ml-stack/Removal4F2A91C0/6d1f0c2e"
ENVELOPE = Envelope(
    request_type="Create",
    stack_id=STACK_ID,
    request_id="0d4c4f8a-3f9b-4a7c-9a41-5a6f0f5d1e11",
    logical_resource_id="Removal4F2A91C0",
    response_url="https://example.com/",
    physical_resource_id=PHYSICAL_ID,
)
LOG = LogPlace("/aws/lambda/removal", "2026/11/23/[$LATEST]4f2a91c0")


@dataclass
class VirtualTimer:
    """Runs its action when a sleep passes its time, or when a test calls it."""

    time: float
    action: Callable[[], object]
    is_canceled: bool = False

    def cancel(self) -> None:
        self.is_canceled = True


class VirtualClock:
    """Time that passes only during a sleep."""

    def __init__(self) -> None:
        self.time = 1_000_000.0
        self._timers: list[VirtualTimer] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        until = self.time + max(0.0, seconds)
        while due := [timer for timer in self.timers if timer.time <= until]:
            timer = min(due, key=lambda timer: timer.time)
            timer.cancel()
            self.time = max(self.time, timer.time)
            timer.action()
        self.time = max(self.time, until)

    def timer(self, seconds: float, action: Callable[[], object]) -> VirtualTimer:
        self._timers.append(VirtualTimer(self.time + max(0.0, seconds), action))
        return self._timers[-1]

    @property
    def timers(self) -> list[VirtualTimer]:
        """The timers that have neither run nor been canceled."""
        self._timers = [timer for timer in self._timers if not timer.is_canceled]
        return self._timers


@dataclass(frozen=True)
class Shown:
    """A stack as DescribeStacks shows it."""

    status: str = ""
    """Empty: there is no such stack, or it is not visible yet."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """`LastOperations`: an OperationId by OperationType."""
    updated_at: float | None = None
    """`LastUpdatedTime`, in seconds of the clock. None: not shown."""

    def answer(self, stack_id: str) -> Answer:
        if not self.status:
            raise ServiceError("ValidationError", f"Stack with id {stack_id} does not exist")
        stack: Answer = {"StackId": stack_id, "StackStatus": self.status}
        if self.updated_at is not None:
            stack["LastUpdatedTime"] = datetime.fromtimestamp(self.updated_at, UTC)
        if self.ids:
            stack["LastOperations"] = [
                {"OperationType": kind, "OperationId": one} for kind, one in self.ids.items()
            ]
        return {"Stacks": [stack]}


class CloudFormation:
    """CloudFormation with one stack: a status for each call, of which the last stays, or by time.

    It shows neither operations nor times unless `show` is set.
    """

    def __init__(self, *statuses: str | Exception) -> None:
        self.statuses = list(statuses) or ["UPDATE_IN_PROGRESS"]
        self.show: Callable[[], Shown | Exception] | None = None
        self.calls = 0

    def answer(self, sent: Sent) -> Answer:
        self.calls += 1
        shown = self.show() if self.show else self._next()
        if isinstance(shown, Exception):
            raise shown
        return shown.answer(sent.parameters["StackName"])

    def _next(self) -> Shown | Exception:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return Shown(status) if isinstance(status, str) else status


@dataclass
class World:
    """The function in an AWS with one stack and a model of HyperPod, on a virtual clock."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    cloudformation: CloudFormation = field(default_factory=CloudFormation)
    aws_lambda: Lambda = field(default_factory=Lambda)
    event_bus: EventBus = field(default_factory=EventBus)
    hp: HyperPod = field(init=False)
    endpoint: Endpoint = field(init=False)
    """Where responses go. Set, like the log, by the fixture `world`."""
    log: pytest.LogCaptureFixture = field(init=False)

    def __post_init__(self) -> None:
        self.hp = HyperPod(clock=self.clock.now, sleep=self.clock.sleep)
        self.journal: list[tuple[str, float]] = []
        """Every request and its time."""
        self.services: dict[str, Service] = {
            "DescribeStacks": self.cloudformation.answer,
            "Invoke": self.aws_lambda.answer,
            "PutEvents": self.event_bus.answer,
        }
        """The services of operations that the model of HyperPod does not answer."""
        self.invocations = 0
        self.shutdown_seconds = 5.0
        """Seconds that nodes take to leave a new cluster: few, so that few looks are needed."""
        self._cluster: ClusterModel | None = None
        self._before: defaultdict[str, list[Callable[[Parameters], object]]] = defaultdict(list)
        self._after: defaultdict[str, list[Callable[[Parameters, Answer], object]]]
        self._after = defaultdict(list)

    # The cluster

    def make_cluster(self, groups: int | dict[str, int], *args: Any, **more: Any) -> ClusterModel:
        """Create `ml-cluster` with these groups, or a group `workers` with this number of nodes."""
        more = {"shutdown_seconds": self.shutdown_seconds} | more
        counts = groups if isinstance(groups, dict) else {"workers": groups}
        if self._cluster:
            self._cluster.delete()
        self._cluster = self.hp.create_cluster("ml-cluster", counts, *args, **more)
        return self._cluster

    @property
    def cluster(self) -> ClusterModel:
        """The cluster that the test created, or one of 8 workers."""
        return self._cluster or self.make_cluster(8)

    @property
    def nodes(self) -> list[str]:
        """Instance ids of the workers that are listed."""
        return list(self.cluster.node_ids("workers"))

    @property
    def logical_ids(self) -> list[str]:
        """Logical ids of the workers that are listed."""
        return list(self.cluster.logical_ids("workers"))

    # What is sent, and what answers it

    def before(self, operation: str, action: Callable[[Parameters], object]) -> None:
        """Run `action` before each request is answered. What it raises is the answer."""
        self._before[operation].append(action)

    def after(self, operation: str, action: Callable[[Parameters, Answer], object]) -> None:
        """Run `action` after each request is carried out. It may change the answer."""
        self._after[operation].append(action)

    def fail_for(
        self, seconds: float, operation: str, code: str | None = None, *, status: int = 400
    ) -> None:
        """Fail the requests of an operation of HyperPod for this many seconds."""
        until = self.clock.now() + seconds
        self.hp.fail_while(operation, lambda _: self.clock.now() < until, code, status=status)

    def reached(self) -> AbstractContextManager[None]:
        """Send all requests of the SDK to this world."""
        return answered_by(self._answer)

    def shows(self, *since: tuple[float, Shown | str]) -> None:
        """Show the stack in these ways, each from this many seconds from now until the next."""
        now = self.clock.now()

        def show() -> Shown:
            begun = [shown for seconds, shown in since if now + seconds <= self.clock.now()]
            shown = begun[-1]
            return shown if isinstance(shown, Shown) else Shown(shown)

        self.cloudformation.show = show

    def hide_host_names(self) -> None:
        """Leave the host names out of listings.

        A public AWS text says that only DescribeClusterNode has them.
        """

        def edit(_: Parameters, answer: Answer) -> None:
            for summary in answer["ClusterNodeSummaries"]:
                summary.pop("PrivateDnsHostname", None)

        self.after("ListClusterNodes", edit)

    def times(self, operation: str) -> list[float]:
        """Return the times of the requests of this operation."""
        return [time for name, time in self.journal if name == operation]

    @property
    def request_times(self) -> list[float]:
        """Times at which removals were requested."""
        return self.times("BatchDeleteClusterNodes")

    def _answer(self, sent: Sent) -> Answer:
        self.journal.append((sent.operation, self.clock.now()))
        for action in self._before[sent.operation]:
            action(sent.parameters)
        if service := self.services.get(sent.operation):
            answer = service(sent)
        else:
            answer = self.hp.call(sent.operation, sent.parameters)
        for edit in self._after[sent.operation]:
            edit(sent.parameters, answer)
        return answer

    # The function

    def event(self, request_type: str, properties: Any, **more: Any) -> dict[str, Any]:
        return {
            "RequestType": request_type,
            "StackId": STACK_ID,
            "RequestId": "0d4c4f8a-3f9b-4a7c-9a41-5a6f0f5d1e11",
            "LogicalResourceId": "Removal4F2A91C0",
            "ResourceType": "Custom::HyperPodNodeRemoval",
            "ResponseURL": self.endpoint.url,
            "ResourceProperties": properties,
            **({} if request_type == "Create" else {"PhysicalResourceId": PHYSICAL_ID}),
            **more,
        }

    def send(
        self,
        request_type: str,
        *,
        seconds: Any = 900.0,
        query: Any = "",
        old: Any = None,
        **properties: Any,
    ) -> Any:
        """Return the reply to one request about `ml-cluster`.

        Args:
            seconds: how long each invocation may take.
            query: what the ResponseURL ends with.
            old: the properties that an Update changes.
        """
        named = {"ClusterName": "ml-cluster"}
        more = {} if old is None else {"OldResourceProperties": named | old}
        url = self.endpoint.url + query
        event = self.event(request_type, named | properties, ResponseURL=url, **more)
        return self.reply_to(event, seconds)

    def succeeds(self, request_type: str, **more: Any) -> dict[str, str]:
        """Return the attributes of a request that must succeed. Arguments as for `send`."""
        answer = self.send(request_type, **more)
        assert answer["Status"] == "SUCCESS", answer["Reason"]
        data: dict[str, str] = answer["Data"]
        return data

    def fails(self, request_type: str, **more: Any) -> str:
        """Return the Reason of a request that must fail. Arguments as for `send`."""
        answer = self.send(request_type, **more)
        assert answer["Status"] == "FAILED"
        return str(answer["Reason"])

    def reply_to(self, event: Any, seconds: float = 900.0) -> Any:
        """Return the one reply to an event, however many invocations it takes."""
        before = len(self.endpoint.requests)
        self.run(event, seconds)
        (request,) = self.endpoint.requests[before:]
        answer = json.loads(request[2])
        assert answer["PhysicalResourceId"] == PHYSICAL_ID
        assert set(answer["Data"]) == set(Attribute)
        return answer

    def run(self, event: Any, seconds: float = 900.0) -> None:
        """Run an invocation and those that follow it, of this many seconds each."""
        self.aws_lambda.queue.append(json.dumps(event).encode())
        while self.aws_lambda.queue:
            self.invocations += 1
            end = self.clock.now() + seconds
            index.handler(json.loads(self.aws_lambda.queue.pop(0)), Context(seconds))
            assert self.clock.now() <= end, "the invocation would have timed out"

    def set_hook(
        self,
        answer: Any = PROCEED,
        *,
        seconds: float = 0.0,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        """Have the hook return `answer` after this many seconds, and call `meanwhile` before."""

        def hook(_: object) -> Any:
            self.clock.sleep(seconds)
            meanwhile()
            return answer

        self.aws_lambda.hook = hook

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that the hook was invoked with."""
        return self.aws_lambda.asked

    @property
    def released(self) -> list[str]:
        """Instance ids of which the hook was notified that they stay."""
        return [node["NodeId"] for event in self.aws_lambda.released for node in event["Nodes"]]

    @property
    def calls(self) -> int:
        """Calls to HyperPod and CloudFormation."""
        return self.hp.calls.total() + self.cloudformation.calls

    # A removal without a request of CloudFormation

    def reconciler(
        self,
        node_ids: Iterable[str] = (),
        node_logical_ids: Iterable[str] = (),
        *,
        cluster: str = "ml-cluster",
        seconds: int = 825,
        request_type: str = "Create",
        **more: Any,
    ) -> Reconciler:
        self.request = RemovalRequest(
            cluster=cluster,
            node_ids=tuple(node_ids),
            node_logical_ids=tuple(node_logical_ids),
            service_timeout=seconds + int(REPLY_MARGIN),
            **more,
        )
        work = Continuation(
            request=self.request,
            removal=Removal.of(
                self.request.node_ids, self.request.node_logical_ids, self.request.scope
            ),
            started=self.clock.now(),
            invocation=1,
        )
        envelope = replace(ENVELOPE, request_type=request_type)
        context = Context(self.request.service_timeout)
        return Reconciler(Invocation(envelope, {}, context, self.clock), work)

    def remove(self, *args: Any, **more: Any) -> Result:
        with self.reached():
            result = self.reconciler(*args, **more).run()
        assert result
        return result

    def report(self, *args: Any, **more: Any) -> Report:
        result = self.remove(*args, **more)
        return report.of_result(result)

    @property
    def deletes(self) -> int:
        return self.hp.calls["BatchDeleteClusterNodes"]
