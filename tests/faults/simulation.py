"""A simulation of the AWS around the function: clusters, stacks, Lambda, and a virtual clock."""

import json
import logging
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar
from unittest.mock import patch

from crhelper import log_helper

from sandbox.hyperpod import Cluster, HyperPod, ServiceError
from tests.aws_transport import Answer, RawAnswerError, Sent, answered_by
from tests.faults.cloudformation import (
    CloudFormation,
    Properties,
    Reply,
    Request,
    Stack,
    Truth,
    View,
)
from tests.faults.fault_injection import INVOKE_HOOK, PUT, RELEASE, FaultInjector
from tests.faults.functions import Functions, Invocation, Process
from tests.faults.timeline import Timeline
from tests.handler.event_schema import checked
from tests.handler.function import HOOK, Context
from tests.https_transport import Put, status_line, taken_by

T = TypeVar("T")
U = TypeVar("U")

FRESHNESS = 10.0
"""Seconds for which a look at the stack is valid."""


@dataclass(frozen=True)
class Deletion:
    """One BatchDeleteClusterNodes call."""

    invocation: Invocation
    time: float
    number: int
    """The number of the call."""
    identifiers: tuple[str, ...]
    request: Request
    is_late: bool
    """Whether CloudFormation had closed the request more than `FRESHNESS` seconds before."""
    is_done: bool
    """Whether the request reached the service."""
    accepted: frozenset[str]
    """The identifiers that the service accepted, even if its answer was lost."""


class Simulation:
    """The AWS of one test, as a context manager."""

    def __init__(self, seed: int = 0) -> None:
        self.timeline = Timeline()
        self.injector = FaultInjector(self.timeline)
        self.functions = Functions(self.timeline)
        self.hp = HyperPod(clock=self.timeline.now, sleep=self.timeline.sleep)
        self.cloudformation = CloudFormation(self.timeline, self.functions.deliver, self._truth)
        self.clusters: list[Cluster] = []
        self.deletions: list[Deletion] = []
        self.looks: list[tuple[Invocation, float, str]] = []
        """Looks at a stack: the invocation, the time, and the status."""
        self.hook: Callable[[dict[str, Any]], bytes] = lambda event: b'{"Decision": "PROCEED"}'
        self.approvals: list[tuple[Invocation, frozenset[str]]] = []
        """Approvals of the hook: the invocation, and the identifiers."""
        self.on_release: Callable[[dict[str, Any]], object] = lambda event: None
        """What the hook does with a notification that nodes stay."""
        self.releases: list[tuple[Invocation, float, frozenset[str]]] = []
        """Notifications that nodes stay: the invocation, the time, and the nodes."""
        self.assertions: list[AssertionError] = []
        """Assertions that failed during a call. The function handles them like any other error."""
        self.events: list[dict[str, Any]] = []
        """Details of the events that reached the event bus."""
        self._seed = seed
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._exit.callback(root.setLevel, root.level)
        root.setLevel(logging.INFO)
        # crhelper sets the levels of all loggers at each of thousands of invocations.
        self._exit.enter_context(patch.object(log_helper, "setup", lambda *_, **__: None))
        self._exit.enter_context(patch.object(root, "handlers", [_Log(self._invocation)]))
        self._exit.callback(self._end_all)
        self._exit.enter_context(answered_by(self._noted(self._answer)))
        self._exit.enter_context(taken_by(self._noted(self._receive)))
        random.seed(self._seed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    # For tests -------------------------------------------------------------------------------

    def cluster(self, workers: int = 6, *, head: int = 0, **settings: Any) -> Cluster:
        """Create `ml-cluster` with a group `workers` and, if it has nodes, a group `head`."""
        groups = {"workers": workers, "head": head} if head else {"workers": workers}
        cluster = self.hp.create_cluster("ml-cluster", groups, **settings)
        self.clusters.append(cluster)
        return cluster

    def stack(self, name: str = "ml-stack") -> Stack:
        return self.cloudformation.stack(name)

    def deployed_stack(self, properties: Properties, name: str = "ml-stack") -> Stack:
        """Return a stack that has been created with `properties`. Its nodes left immediately."""
        for node_id in properties.get("NodeIds", ()):
            self.clusters[0].leave_after(node_id, 0.0)
        stack = self.stack(name)
        stack.create({"ClusterName": "ml-cluster", **properties})
        self.run()
        assert stack.status == "CREATE_COMPLETE"
        return stack

    def end_faults(self) -> None:
        """Remove all faults that are still to come."""
        self.injector.faults.clear()
        self.injector.latency = 0.0
        self.cloudformation.deliveries = (0.0,)

    def run(self) -> None:
        """Run until nothing is left to do."""
        self.timeline.run()

    def deliver_again(self, request: Request, view: View | None = None) -> list[Reply]:
        """Deliver the event of a request once more, and return the replies.

        Args:
            request: the request.
            view: what DescribeStacks shows in the meantime, by default the current stack.
        """
        before = len(request.replies)
        request.stack.forced = view
        self.functions.deliver(json.dumps(request.event).encode())
        self.run()
        request.stack.forced = None
        return request.replies[before:]

    # Calls of the function -------------------------------------------------------------------

    def _noted(self, call: Callable[[T], U]) -> Callable[[T], U]:
        def noted(sent: T) -> U:
            try:
                return call(sent)
            except AssertionError as error:
                self.assertions.append(error)
                raise

        return noted

    def _answer(self, sent: Sent) -> Answer:
        invocation = self._running()
        request = sent.parameters
        if b'"Action":"RELEASE"' in request.get("Payload", b""):
            return self._release(sent, invocation)
        if request.get("InvocationType") == "RequestResponse":
            return self._invoke_hook(sent, invocation)
        began, number, is_done = self.timeline.now(), len(self.injector.calls), False
        accepted: frozenset[str] = frozenset()

        def work() -> Answer:
            nonlocal is_done, accepted
            match sent.operation:
                case "Invoke":
                    assert request["InvocationType"] == "Event"
                    assert request["FunctionName"] == Context.invoked_function_arn
                    assert len(request["Payload"]) <= 256 * 1024
                    self.functions.deliver(request["Payload"], ancestors=invocation.ancestors)
                    return {"StatusCode": 202}
                case "PutEvents":
                    self.events += [checked(entry["Detail"]) for entry in request["Entries"]]
                    return {"FailedEntryCount": 0, "Entries": [{"EventId": "e-1"}]}
                case "SignalResource":
                    url = invocation.event["ResponseURL"]
                    return self.cloudformation.signal(
                        request["StackName"], request["LogicalResourceId"], request["UniqueId"], url
                    )
                case "DescribeStacks":
                    answer = self.cloudformation.describe(request["StackName"])
                    status = answer["Stacks"][0]["StackStatus"]
                    self.looks.append((invocation, self.timeline.now(), status))
                    return answer
            is_done = True
            response = self.hp.call(sent.operation, request)
            for member in ("Successful", "SuccessfulNodeLogicalIds"):
                accepted |= frozenset(response.get(member, ()))
            return response

        try:
            return self.injector.call(sent.operation, request, invocation, sent.timeout, work)
        finally:
            if sent.operation == "BatchDeleteClusterNodes":
                identifiers = (*request.get("NodeIds", ()), *request.get("NodeLogicalIds", ()))
                target = self.cloudformation.request_of(invocation.event["ResponseURL"])
                is_over = not (target.stack.condition and target is target.stack.request)
                is_late = (
                    began > target.closed_at + FRESHNESS and is_over and not target.stack.forced
                )
                self.deletions.append(
                    Deletion(
                        invocation, began, number, identifiers, target, is_late, is_done, accepted
                    )
                )

    def _invoke_hook(self, sent: Sent, invocation: Invocation) -> Answer:
        assert sent.parameters["FunctionName"] == HOOK
        event = json.loads(sent.parameters["Payload"])
        target = self.cloudformation.request_of(invocation.event["ResponseURL"])
        assert target.is_forward, "the hook was invoked in a rollback or for a Delete"

        def work() -> Answer:
            return {"StatusCode": 200, "Payload": self.hook(event)}

        answer = self.injector.call(INVOKE_HOOK, sent.parameters, invocation, sent.timeout, work)
        shown = {node[key] for node in event["Nodes"] for key in ("NodeId", "NodeLogicalId")}
        given = json.loads(answer["Payload"])
        if given["Decision"] != "VETO":
            entries = (*given.get("VetoedNodes", ()), *given.get("WaitingNodes", ()))
            withheld = {node["NodeId"] for node in entries}
            self.approvals.append((invocation, frozenset(shown - withheld)))
        return answer

    def _release(self, sent: Sent, invocation: Invocation) -> Answer:
        assert sent.parameters["FunctionName"] == HOOK
        event = json.loads(sent.parameters["Payload"])
        nodes = frozenset(node["NodeId"] for node in event["Nodes"])

        def work() -> Answer:
            self.releases.append((invocation, self.timeline.now(), nodes))
            self.on_release(event)
            leaving = {
                node.instance_id
                for cluster in self.clusters
                for node in cluster.nodes
                if node.status == "ShuttingDown"
            }
            own = self.cloudformation.request_of(invocation.event["ResponseURL"])
            for deletion in self.deletions:
                wrong = nodes & leaving & deletion.accepted if deletion.request is own else None
                assert not wrong, "I8: a node that is leaving was released"
            is_queued = sent.parameters["InvocationType"] == "Event"
            return {"StatusCode": 202} if is_queued else {"StatusCode": 200, "Payload": b"{}"}

        return self.injector.call(RELEASE, sent.parameters, invocation, sent.timeout, work)

    def _receive(self, put: Put) -> bytes:
        invocation = self._running()
        request, sent = self.cloudformation.expect(put.url, put.body, invocation)

        def work() -> Answer:
            self.cloudformation.receive(request, sent)
            return {}

        try:
            self.injector.call(PUT, {"raw": put.raw}, invocation, put.timeout, work)
        except ServiceError as error:
            return status_line(error.status)
        except RawAnswerError as answer:
            return answer.body
        sent.is_acknowledged = True
        return status_line(200)

    def _running(self) -> Invocation:
        invocation = self._invocation()
        assert invocation, "a call from outside the function"
        return invocation

    def _invocation(self) -> Invocation | None:
        actor = self.timeline.actor
        return actor.process.invocation if actor and isinstance(actor.process, Process) else None

    def _truth(self, properties: Properties) -> Truth:
        for cluster in self.clusters:
            if properties.get("ClusterName") in (cluster.name, cluster.arn):
                return () if cluster._state.deleted else cluster.nodes
        return ()

    def _end_all(self) -> None:
        for invocation in self.functions.invocations:
            invocation.process.die()


class _Log(logging.Handler):
    """Saves the log of each invocation, including extra fields."""

    _KNOWN = frozenset(vars(logging.makeLogRecord({})))

    def __init__(self, invocation: Callable[[], Invocation | None]) -> None:
        super().__init__(logging.INFO)
        self._invocation = invocation

    def emit(self, record: logging.LogRecord) -> None:
        invocation = self._invocation()
        if invocation:
            invocation.log.append(record.getMessage())
            fields = {k: v for k, v in vars(record).items() if k not in self._KNOWN}
            invocation.log += [str(value) for value in fields.values() if isinstance(value, str)]
