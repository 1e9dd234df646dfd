"""What every peer runs against: one cluster, one latency of calls, and times of leaving."""

import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from bench.virtual_time import VirtualClock
from sandbox.hyperpod import HyperPod
from sandbox.hyperpod.client import SageMaker
from tests.aws_transport import Answer, Sent, Service, answered_by
from tests.https_transport import Put, status_line, taken_by

ACCOUNT: Final = "111122223333"
REGION: Final = "us-east-1"
CLUSTER: Final = "ml-cluster"
GROUP: Final = "workers"
"""The instance group of the nodes to remove, and of no others."""
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
_LATENCY_SIGMA: Final = 0.3
BATCH: Final = 99
"""The most nodes in one BatchDeleteClusterNodes request."""
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
    """What to remove, and how the service behaves."""

    nodes: int
    of: int
    """Nodes of the whole cluster."""
    leaves_within: float = 60.0
    """Seconds within which every node leaves after its request; each node draws its own, from a
    tenth of it on."""
    straggler: float = 0.0
    """Seconds that the last of the nodes takes to leave instead; 0: none."""
    refused: int = 0
    """Nodes that the service refuses as in use, for all of RetryFor and after."""
    rate: float = 0.0
    """Calls of SageMaker per second that the account allows, all removals together; 0: any."""
    removals: int = 1
    """Removals at the same time, each of `nodes` of the cluster's nodes."""
    is_guarded: bool = False
    seed: int = 0

    @property
    def pages(self) -> int:
        """Calls that it takes to list the cluster."""
        return -(-self.of // PAGE)


@dataclass(frozen=True)
class PeerResult:
    """The reply of a peer, and when it came."""

    seconds: float
    """From the request to the reply, the last one if there are several; without a reply, as long as
    CloudFormation waits."""
    status: str
    """SUCCESS or FAILED; empty without a reply. Like the following, of the first removal."""
    reason: str
    body: bytes
    """What was sent to the response URL. Empty for a script."""
    still_there: int
    """Requested nodes that were in the cluster at the time of the reply."""
    refused: tuple[str, ...]
    """Instance ids of the nodes that the service refuses."""
    right: int
    """Removals whose reply was SUCCESS when every node had left, or FAILED when all had left but
    those that are refused."""
    last_request: float
    """When the last delete request was sent, in seconds from the request of the removal."""
    last_left: float
    """When the last requested node had left, counted likewise."""
    calls: Mapping[str, int]
    """Calls of AWS by operation; `PUT` is the one to the response URL."""

    @property
    def call_count(self) -> int:
        """Calls of AWS's APIs."""
        return sum(self.calls.values()) - self.calls.get("PUT", 0)


@dataclass(frozen=True)
class _Reply:
    time: float
    body: bytes
    still_there: frozenset[str]


def removal_event(node_ids: Sequence[str], number: int = 0, **properties: Any) -> dict[str, Any]:
    """Return the request that CloudFormation sends for one of several removals."""
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
            "NodeIds": list(node_ids),
            **properties,
        },
    }


class Scenario:
    """What one run of a peer runs against."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.clock = VirtualClock()
        self.started = self.clock.now()
        self.calls: Counter[str] = Counter()
        self._latencies: dict[str, random.Random] = {}
        self.hyperpod = HyperPod(
            clock=self.clock.now, sleep=self.clock.sleep, region=REGION, account=ACCOUNT
        )
        self.hyperpod.latency = self.latency
        self.sagemaker = SageMaker(self.hyperpod)
        """A client that calls the model directly, which is faster than the SDK."""
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
        self._replies: dict[int, _Reply] = {}

    def event(self, number: int = 0, **properties: Any) -> dict[str, Any]:
        """Return the request that CloudFormation sends for one of the removals."""
        guards = {"MaxRemovals": str(self.case.nodes)} if self.case.is_guarded else {}
        return removal_event(self.sets[number], number, **guards, **properties)

    @contextmanager
    def reached(self, **services: Service) -> Iterator[None]:
        """Send the SDK's requests and every reply to the scenario.

        The stack of CloudFormation is being created. `services` respond to operations other than
        those on the stack and the cluster.
        """

        def answer(sent: Sent) -> Answer:
            if sent.operation == "DescribeStacks":
                self.called(sent.operation)
                return {"Stacks": [{"StackId": STACK_ID, "StackStatus": "CREATE_IN_PROGRESS"}]}
            if service := services.get(sent.operation):
                self.called(sent.operation)
                return service(sent)
            return self.hyperpod.call(sent.operation, sent.parameters)

        def take(put: Put) -> bytes:
            self.reply(put.body, int(put.url.removeprefix(f"{_RESPONSE_URL}/").partition("?")[0]))
            return status_line(200)

        random.seed(self.case.seed)  # the pauses of the product and of the SDK's retries
        with answered_by(answer), taken_by(take):
            yield

    def latency(self, operation: str) -> float:
        """Return the seconds that the next call of an operation takes.

        Log-normal, as latencies of services are: two thirds are within a factor of e to the power
        of sigma of the median. Each operation draws from its own sequence, so other calls do not
        change it.
        """
        if operation not in self._latencies:
            self._latencies[operation] = random.Random(f"{self.case.seed}/{operation}")
        return self._latencies[operation].lognormvariate(math.log(LATENCY), _LATENCY_SIGMA)

    def called(self, operation: str) -> None:
        """Count a call of a service other than SageMaker, and let its latency pass."""
        self.calls[operation] += 1
        self.clock.sleep(self.latency(operation))

    def reply(self, body: bytes, number: int = 0) -> None:
        """Take what a peer PUTs to the response URL."""
        self.called("PUT")
        self._keep(number, body)

    def exit(self, number: int, status: str, printed: str) -> None:
        """Take what a script prints at its end."""
        self._keep(number, json.dumps({"Status": status, "Reason": printed}).encode())

    def _keep(self, number: int, body: bytes) -> None:
        still_there = self.cluster.present.intersection(self.sets[number])
        reply = _Reply(self.clock.now() - self.started, body, still_there)
        self._replies.setdefault(number, reply)

    def result(self) -> PeerResult:
        """Return the replies that came in time."""
        none = _Reply(SERVICE_TIMEOUT, b"{}", frozenset(self.sets[0]))
        replies = [self._replies.get(number, none) for number in range(self.case.removals)]
        replies = [reply if reply.time <= SERVICE_TIMEOUT else none for reply in replies]
        first, content = replies[0], json.loads(replies[0].body)
        self.clock.sleep(2 * max(self.leaves_after.values()))
        departures = self.cluster.departures.values()
        requests = self.hyperpod.delete_requests
        return PeerResult(
            seconds=max(reply.time for reply in replies),
            status=content.get("Status", ""),
            reason=content.get("Reason", ""),
            body=b"" if first is none else first.body,
            still_there=len(first.still_there),
            refused=self.refused,
            right=sum(map(self._is_right, replies)),
            last_request=max((sent.time for sent in requests), default=self.started) - self.started,
            last_left=max(departures, default=self.started) - self.started,
            calls=dict(self.calls + self.hyperpod.calls),
        )

    def _is_right(self, reply: _Reply) -> bool:
        expected = "FAILED" if self.refused else "SUCCESS"
        only_refused_stay = reply.still_there == frozenset(self.refused)
        return only_refused_stay and json.loads(reply.body).get("Status") == expected
