"""Everything around the function, put together: a cluster, stacks, Lambda, and one clock."""

import json
import logging
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

from crhelper import log_helper

from sandbox.hyperpod import Cluster, HyperPod, ServiceError
from tests.aws_transport import Answer, RawAnswerError, Sent, answered_by
from tests.faults.deployment import CloudFormation, Properties, Reply, Request, Stack, Truth, View
from tests.faults.functions import Functions, Invocation, Process
from tests.faults.outside import ASK, PUT, RELEASE, Outside
from tests.faults.timeline import Timeline
from tests.handler.event_schema import checked
from tests.handler.function import HOOK, Context
from tests.https_transport import Put, status_line, taken_by

FRESHNESS = 10.0
"""Seconds for which a look at the stack counts."""


@dataclass(frozen=True)
class Deletion:
    """One BatchDeleteClusterNodes call."""

    invocation: Invocation
    time: float
    number: int
    """Of the call."""
    identifiers: tuple[str, ...]
    request: Request
    is_late: bool
    """Whether CloudFormation was done with the request for a while, in a test that plays by its
    rules."""
    is_done: bool
    """Whether the service came to do it."""


class Stage:
    """A scene for one test. Use it as a context manager."""

    def __init__(self, seed: int = 0) -> None:
        self.timeline = Timeline()
        self.outside = Outside(self.timeline)
        self.functions = Functions(self.timeline)
        self.hp = HyperPod(clock=self.timeline.now, sleep=self.timeline.sleep)
        self.cloudformation = CloudFormation(self.timeline, self.functions.deliver, self._truth)
        self.clusters: list[Cluster] = []
        self.deletions: list[Deletion] = []
        self.looks: list[tuple[Invocation, float, str]] = []
        """Each look at a stack: by whom, when, and what it showed."""
        self.hook: Callable[[dict[str, Any]], bytes] = lambda event: b'{"Decision": "PROCEED"}'
        self.agreements: list[tuple[Invocation, frozenset[str]]] = []
        """Who heard the hook agree, and about which identifiers it had been asked."""
        self.releases: list[tuple[Invocation, float, frozenset[str]]] = []
        """Who told the hook, and when, that which nodes stay."""
        self.events: list[dict[str, Any]] = []
        """Details of the events that reached the bus."""
        self._seed = seed
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._exit.callback(root.setLevel, root.level)
        root.setLevel(logging.INFO)
        # Else each of thousands of invocations sets the levels of all loggers anew.
        self._exit.enter_context(patch.object(log_helper, "setup", lambda *_, **__: None))
        self._exit.enter_context(patch.object(root, "handlers", [_Log(self._invocation)]))
        self._exit.callback(self._end_all)
        self._exit.enter_context(answered_by(self._answer))
        self._exit.enter_context(taken_by(self._take))
        random.seed(self._seed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    # What a test arranges --------------------------------------------------------------------

    def cluster(self, workers: int = 6, **settings: Any) -> Cluster:
        """`ml-cluster` with a group `workers`."""
        cluster = self.hp.create_cluster("ml-cluster", {"workers": workers}, **settings)
        self.clusters.append(cluster)
        return cluster

    def stack(self, name: str = "ml-stack") -> Stack:
        return self.cloudformation.stack(name)

    def deployed(self, properties: Properties, name: str = "ml-stack") -> Stack:
        """A stack that has been created with an empty set, or other `properties`, some time ago."""
        stack = self.stack(name)
        stack.create({"ClusterName": "ml-cluster", **properties})
        self.run()
        assert stack.status == "CREATE_COMPLETE"
        return stack

    def run(self) -> None:
        """Let everything come to its end."""
        self.timeline.run()

    def deliver_again(self, request: Request, view: View | None = None) -> list[Reply]:
        """Run the event of a request once more, on a stack that is seen in another way if one is
        given. Returns what is answered."""
        before = len(request.replies)
        request.stack.forced = view
        self.functions.deliver(json.dumps(request.event).encode())
        self.run()
        request.stack.forced = None
        return request.replies[before:]

    # What the function meets -----------------------------------------------------------------

    def _answer(self, sent: Sent) -> Answer:
        invocation = self._running()
        request = sent.parameters
        if b'"Action":"RELEASE"' in request.get("Payload", b""):
            return self._release(sent, invocation)
        if request.get("InvocationType") == "RequestResponse":
            return self._ask(sent, invocation)
        began, number, done = self.timeline.now(), len(self.outside.calls), False

        def work() -> Answer:
            nonlocal done
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
            done = True
            return self.hp.call(sent.operation, request)

        try:
            return self.outside.call(sent.operation, request, invocation, sent.timeout, work)
        finally:
            if sent.operation == "BatchDeleteClusterNodes":
                identifiers = (*request.get("NodeIds", ()), *request.get("NodeLogicalIds", ()))
                about = self.cloudformation.request_of(invocation.event["ResponseURL"])
                is_over = not (about.stack.condition and about is about.stack.request)
                is_late = began > about.closed_at + FRESHNESS and is_over and not about.stack.forced
                self.deletions.append(
                    Deletion(invocation, began, number, identifiers, about, is_late, done)
                )

    def _ask(self, sent: Sent, invocation: Invocation) -> Answer:
        assert sent.parameters["FunctionName"] == HOOK
        event = json.loads(sent.parameters["Payload"])
        about = self.cloudformation.request_of(invocation.event["ResponseURL"])
        assert about.is_forward, "the hook was asked in a rollback or for a Delete"

        def work() -> Answer:
            return {"StatusCode": 200, "Payload": self.hook(event)}

        answer = self.outside.call(ASK, sent.parameters, invocation, sent.timeout, work)
        shown = {node[key] for node in event["Nodes"] for key in ("NodeId", "NodeLogicalId")}
        given = json.loads(answer["Payload"])
        if given["Decision"] != "VETO":
            entries = (*given.get("VetoedNodes", ()), *given.get("WaitingNodes", ()))
            withheld = {node["NodeId"] for node in entries}
            self.agreements.append((invocation, frozenset(shown - withheld)))
        return answer

    def _release(self, sent: Sent, invocation: Invocation) -> Answer:
        assert sent.parameters["FunctionName"] == HOOK
        event = json.loads(sent.parameters["Payload"])
        nodes = frozenset(node["NodeId"] for node in event["Nodes"])

        def work() -> Answer:
            self.releases.append((invocation, self.timeline.now(), nodes))
            leaving = {
                node.instance_id
                for cluster in self.clusters
                for node in cluster.nodes
                if node.status == "ShuttingDown"
            }
            assert not nodes & leaving, "I8: a node that is leaving was released"
            is_queued = sent.parameters["InvocationType"] == "Event"
            return {"StatusCode": 202} if is_queued else {"StatusCode": 200, "Payload": b"{}"}

        return self.outside.call(RELEASE, sent.parameters, invocation, sent.timeout, work)

    def _take(self, put: Put) -> bytes:
        invocation = self._running()
        request, sent = self.cloudformation.expect(put.url, put.body, invocation)

        def work() -> Answer:
            self.cloudformation.receive(request, sent)
            return {}

        try:
            self.outside.call(PUT, {"raw": put.raw}, invocation, put.timeout, work)
        except ServiceError as error:
            return status_line(error.status)
        except RawAnswerError as answer:
            return answer.body
        sent.is_acknowledged = True
        return status_line(200)

    def _running(self) -> Invocation:
        invocation = self._invocation()
        assert invocation, "somebody outside of the function made a call"
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
    """Keeps what each invocation logs, extra fields included."""

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
