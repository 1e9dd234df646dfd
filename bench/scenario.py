"""What every peer meets: one cluster, one latency of calls, one way for nodes to leave."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from bench.virtual_time import VirtualClock
from sandbox.hyperpod import HyperPod
from sandbox.hyperpod.client import SageMaker
from sandbox.hyperpod.faults import SeededLatency
from tests.aws_transport import Answer, Sent, Service, answered_by
from tests.https_transport import Put, status_line, taken_by

ACCOUNT: Final = "111122223333"
REGION: Final = "us-east-1"
CLUSTER: Final = "ml-cluster"
GROUP: Final = "workers"
"""The instance group of the nodes that are to be removed, and of no others."""
STACK_ID: Final = (
    f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/ml-stack/6d1f0c2e-9a56-11ef-8d2b"
)
FUNCTION: Final = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:removal"
RETRY_FOR: Final = 600.0
"""Seconds for which nodes that are refused are retried."""
SERVICE_TIMEOUT: Final = 3600.0
"""Seconds that CloudFormation waits for a reply."""
LAMBDA_SECONDS: Final = 900.0
"""The longest an invocation can take."""
LATENCY: Final = 0.1
"""Seconds of a median call. Nobody publishes it; it is the same for every peer."""
BATCH: Final = 99
"""Nodes that one BatchDeleteClusterNodes request may name."""
PAGE: Final = 100
"""Nodes on one page of ListClusterNodes."""
LIMITED: Final = (
    "BatchDeleteClusterNodes",
    "DescribeCluster",
    "DescribeClusterNode",
    "ListClusterNodes",
)
"""Operations that share the rate of a case."""

_RESPONSE_URL: Final = "https://cloudformation-custom-resource.example/reply"


@dataclass(frozen=True)
class Case:
    """What is to be removed, and how it goes."""

    nodes: int
    of: int
    """Nodes of the whole cluster."""
    leaves_within: float = 60.0
    """Seconds from the request to the last node's leaving; each node draws its own, from a tenth
    of it on."""
    straggler: float = 0.0
    """Seconds that one of the nodes takes to leave in place of that; 0: there is none."""
    refused: int = 0
    """How many of the nodes the service refuses as in use, for all of RetryFor and after."""
    rate: float = 0.0
    """Calls of SageMaker that the account may make in a second, all removals together; 0: any."""
    removals: int = 1
    """How many removals there are at the same time, each of `nodes` of the cluster's nodes."""
    is_guarded: bool = False
    seed: int = 0

    @property
    def pages(self) -> int:
        """Calls that it takes to list the cluster."""
        return -(-self.of // PAGE)


@dataclass(frozen=True)
class PeerResult:
    """What a peer answered, and when."""

    seconds: float
    """From the request to the answer, of several removals to the last one; to the end of
    CloudFormation's patience without one."""
    status: str
    """SUCCESS or FAILED; empty without an answer. Like the following, of the first removal."""
    reason: str
    body: bytes
    """What was sent to the response URL. Empty for a script."""
    still_there: int
    """Requested nodes that were in the cluster at the time of the answer."""
    refused: tuple[str, ...]
    """Instance ids of the nodes that the service refuses."""
    right: int
    """Removals whose answer was SUCCESS when every node had left, or FAILED when all had left but
    those that are refused."""
    last_request: float
    """When the last delete request was sent, in seconds from the request of the removal."""
    last_left: float
    """When the last requested node had left, counted likewise."""
    calls: Mapping[str, int]
    """Calls of AWS by operation; `PUT` is that to the response URL."""

    @property
    def call_count(self) -> int:
        """Calls of AWS's APIs."""
        return sum(self.calls.values()) - self.calls.get("PUT", 0)


@dataclass(frozen=True)
class _Answer:
    time: float
    body: bytes
    still_there: frozenset[str]


class Scenario:
    """The surroundings of one run."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.clock = VirtualClock()
        self.started = self.clock.now()
        self.calls: Counter[str] = Counter()
        self.latency = SeededLatency(case.seed, median=LATENCY)
        self.hyperpod = HyperPod(
            clock=self.clock.now, sleep=self.clock.sleep, region=REGION, account=ACCOUNT
        )
        self.hyperpod.latency = self.latency
        count = case.nodes * case.removals
        self.cluster = self.hyperpod.create_cluster(
            CLUSTER, {GROUP: count, "others": case.of - count}, seed=case.seed
        )
        every = self.cluster.node_ids(GROUP)
        self.sets = [every[i : i + case.nodes] for i in range(0, count, case.nodes)]
        """The nodes of each removal."""
        draw = random.Random(case.seed).uniform
        self.leaves_after = {
            node: draw(case.leaves_within / 10, case.leaves_within) for node in every
        }
        """Seconds that each node takes to leave."""
        if case.straggler:
            self.leaves_after[every[-1]] = case.straggler
        for node, seconds in self.leaves_after.items():
            self.cluster.leave_after(node, seconds)
        # Spread over the set, so that every batch has some.
        step = case.nodes / case.refused if case.refused else 1.0
        self.refused = tuple(every[int(i * step)] for i in range(case.refused))
        for node in self.refused:
            self.cluster.refuse(node, "NodeIdInUse")
        if case.rate:
            self.hyperpod.throttle(LIMITED, rate=case.rate, burst=max(1.0, case.rate))
        self._answers: dict[int, _Answer] = {}

    @property
    def node_ids(self) -> tuple[str, ...]:
        """The nodes of the first removal."""
        return self.sets[0]

    # What a peer is given --------------------------------------------------------------------

    def event(self, number: int = 0, **properties: Any) -> dict[str, Any]:
        """The request that CloudFormation sends for one of the removals."""
        guards = {"MaxRemovals": str(self.case.nodes)} if self.case.is_guarded else {}
        return {
            "RequestType": "Create",
            "ServiceToken": FUNCTION,
            "ResponseURL": f"{_RESPONSE_URL}/{number}?signature=s3cret",
            "StackId": STACK_ID,
            "RequestId": "0d4c4f8a-3f9b-4a7c-9a41-5a6f0f5d1e11",
            "LogicalResourceId": "FaultyNodes",
            "ResourceType": "Custom::NodeRemoval",
            "ResourceProperties": {
                "ServiceToken": FUNCTION,
                "ClusterName": CLUSTER,
                "NodeIds": list(self.sets[number]),
                **guards,
                **properties,
            },
        }

    def clients(self, **more: Any) -> Callable[..., Any]:
        """A stand-in for `boto3.client`, with `more` clients by name."""
        known = {"sagemaker": SageMaker(self.hyperpod), **more}

        def client(service: str, **_: Any) -> Any:
            return known[service]

        return client

    @contextmanager
    def reached(self, **services: Service) -> Iterator[None]:
        """Let all that the SDK sends, and every reply, reach the scenario.

        Of CloudFormation there is the stack, which is being created; `services` answer further
        operations than those on it and on the cluster.
        """

        def answer(sent: Sent) -> Answer:
            if sent.operation == "DescribeStacks":
                self.called(sent.operation)
                return {"Stacks": [{"StackId": STACK_ID, "StackStatus": "CREATE_IN_PROGRESS"}]}
            if service := services.get(sent.operation):
                self.called(sent.operation)
                return service(sent)
            return self.hyperpod.call(sent.operation, sent.parameters)

        random.seed(self.case.seed)  # the pauses of the product and of the SDK's retries
        with answered_by(answer), taken_by(self._take):
            yield

    def called(self, operation: str) -> None:
        """Count a call of another service than SageMaker, and let its latency pass."""
        self.calls[operation] += 1
        self.clock.sleep(self.latency(operation))

    # What it answers -------------------------------------------------------------------------

    def reply(self, body: bytes, number: int = 0) -> None:
        """Take what a peer PUTs to the response URL."""
        self.called("PUT")
        self._answer(number, body)

    def _take(self, put: Put) -> bytes:
        self.reply(put.body, int(put.url.removeprefix(f"{_RESPONSE_URL}/").partition("?")[0]))
        return status_line(200)

    def exit(self, number: int, status: str, printed: str) -> None:
        """Take what a script tells a terminal."""
        self._answer(number, json.dumps({"Status": status, "Reason": printed}).encode())

    def _answer(self, number: int, body: bytes) -> None:
        still_there = self.cluster.present.intersection(self.sets[number])
        answer = _Answer(self.clock.now() - self.started, body, still_there)
        self._answers.setdefault(number, answer)

    def result(self) -> PeerResult:
        """What was answered in time."""
        none = _Answer(SERVICE_TIMEOUT, b"{}", frozenset(self.node_ids))
        answers = [self._answers.get(number, none) for number in range(self.case.removals)]
        answers = [answer if answer.time <= SERVICE_TIMEOUT else none for answer in answers]
        first, content = answers[0], json.loads(answers[0].body)
        self.clock.sleep(2 * max(self.leaves_after.values()))
        departures = self.cluster.departures.values()
        requests = self.hyperpod.delete_requests
        return PeerResult(
            seconds=max(answer.time for answer in answers),
            status=content.get("Status", ""),
            reason=content.get("Reason", ""),
            body=b"" if first is none else first.body,
            still_there=len(first.still_there),
            refused=self.refused,
            right=sum(map(self._is_right, answers)),
            last_request=max((sent.time for sent in requests), default=self.started) - self.started,
            last_left=max(departures, default=self.started) - self.started,
            calls=dict(self.calls + self.hyperpod.calls),
        )

    def _is_right(self, answer: _Answer) -> bool:
        expected = "FAILED" if self.refused else "SUCCESS"
        is_over = answer.still_there == frozenset(self.refused)
        return is_over and json.loads(answer.body).get("Status") == expected
