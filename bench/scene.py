"""What every peer meets: one cluster, one latency of calls, one way for nodes to leave."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bench.virtual_time import VirtualClock
from sandbox.hyperpod import Cluster, HyperPod
from sandbox.hyperpod.client import SageMaker, client_error
from sandbox.hyperpod.latency import SeededLatency
from tests.aws_transport import Answer, Sent, Service, answered_by
from tests.https_transport import Put, status_line, taken_by

ACCOUNT: Final = "111122223333"
REGION: Final = "us-east-1"
CLUSTER: Final = "ml-cluster"
STACK_ID: Final = (
    f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/ml-stack/6d1f0c2e-9a56-11ef-8d2b"
)
FUNCTION: Final = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:removal"
SERVICE_TIMEOUT: Final = 3600.0
"""Seconds that CloudFormation waits for a reply."""
LAMBDA_SECONDS: Final = 900.0
"""The longest an invocation can take."""
LATENCY: Final = 0.1
"""Seconds of a median call. Nobody publishes it; it is the same for every peer."""
INPUT_MAX: Final = 8192
"""Characters of the input of an EventBridge target."""

FAILURE_CODE: Final = "NodeIdInUse"


@dataclass(frozen=True)
class Case:
    """What is to be removed, and how it goes."""

    nodes: int
    leaves_within: float = 60.0
    """Seconds from the request to the last node's leaving; each node draws its own."""
    failing: int = 0
    """How many of the nodes the service refuses, for good."""
    seed: int = 0
    beside: int = 0
    """Nodes of the cluster that other resources are to remove, later."""

    @property
    def staying(self) -> int:
        """Nodes of the cluster that are not asked for here: a quarter, eight at the least, and
        those of other resources."""
        return max(8, self.nodes // 4) + self.beside


@dataclass(frozen=True)
class Told:
    """What a peer told, and when."""

    seconds: float
    """From the request to the answer; to the end of CloudFormation's patience without one."""
    status: str
    """SUCCESS or FAILED; empty without an answer."""
    reason: str
    body: bytes
    """What was sent to the response URL. Empty for a script."""
    still_there: int
    """Requested nodes that were in the cluster when it was told."""
    last_left: float
    """When the last requested node had left, in seconds from the request."""
    calls: Mapping[str, int]
    """Calls of AWS, by operation."""
    failing: tuple[str, ...] = ()
    """Instance ids of the nodes that the service refused."""
    busy_seconds: float = 0.0
    """Seconds of Lambda that are paid for, over all invocations of all functions."""
    invocations: int = 0

    @property
    def is_done(self) -> bool:
        """Whether it was told that every node has left, and that is true."""
        return self.status == "SUCCESS" and not self.still_there


@dataclass
class Scene:
    """The surroundings of one run."""

    case: Case
    clock: VirtualClock = field(default_factory=VirtualClock)
    calls: Counter[str] = field(default_factory=Counter)
    put: list[tuple[float, bytes, int]] = field(default_factory=list)
    """Bodies that reached the response URL: when, what, and how many nodes were still there."""

    def __post_init__(self) -> None:
        case = self.case
        self.latency = SeededLatency(case.seed, median=LATENCY)
        self.hyperpod = HyperPod(
            clock=self.clock.now, sleep=self.clock.sleep, region=REGION, account=ACCOUNT
        )
        self.hyperpod.latency = self.latency
        self.cluster: Cluster = self.hyperpod.create_cluster(
            CLUSTER,
            {"workers": case.nodes, "others": case.staying},
            shutdown_seconds=(case.leaves_within / 10, case.leaves_within),
            seed=case.seed,
        )
        self.node_ids = self.cluster.node_ids("workers")
        # Spread over the set, so that every batch has some.
        step = case.nodes / case.failing if case.failing else 1.0
        self.failing = tuple(self.node_ids[int(i * step)] for i in range(case.failing))
        for node_id in self.failing:
            self.cluster.refuse(node_id, FAILURE_CODE)
        self.started = self.clock.now()

    def event(self, **properties: Any) -> dict[str, Any]:
        """The request that CloudFormation sends."""
        return {
            "RequestType": "Create",
            "ServiceToken": FUNCTION,
            "ResponseURL": "https://cloudformation-custom-resource.example/reply?signature=s3cret",
            "StackId": STACK_ID,
            "RequestId": "0d4c4f8a-3f9b-4a7c-9a41-5a6f0f5d1e11",
            "LogicalResourceId": "FaultyNodes",
            "ResourceType": "Custom::NodeRemoval",
            "ResourceProperties": {
                "ServiceToken": FUNCTION,
                "ClusterName": CLUSTER,
                "NodeIds": list(self.node_ids),
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
        """Let all that the SDK sends, and every reply, reach the scene.

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

        with answered_by(answer), taken_by(self.take):
            yield

    def called(self, operation: str) -> None:
        """Count a call of another service than SageMaker, and let its latency pass."""
        self.calls[operation] += 1
        self.clock.sleep(self.latency(operation))

    def reply(self, body: bytes) -> None:
        """Take what a peer PUTs to the response URL."""
        self.called("PUT")
        self.put.append((self.clock.now(), body, self.still_there))

    def take(self, put: Put) -> bytes:
        """The same, from the wire."""
        self.reply(put.body)
        return status_line(200)

    @property
    def still_there(self) -> int:
        """Requested nodes that are in the cluster."""
        return len(self.cluster.present.intersection(self.node_ids))

    def told_by_terminal(self, status: str, printed: str) -> Told:
        """What a script told, which has no reply."""
        body = json.dumps({"Status": status, "Reason": printed}).encode()
        self.put.append((self.clock.now(), body, self.still_there))
        return replace(self.told(), body=b"")

    def told(self, *, busy_seconds: float = 0.0, invocations: int = 0) -> Told:
        """What was told, if it was told in time."""
        when, body, still_there = self.put[0] if self.put else (math.inf, b"", self.still_there)
        is_in_time = when <= self.started + SERVICE_TIMEOUT
        content = json.loads(body) if is_in_time else {}
        self.clock.sleep(2 * self.case.leaves_within)
        departures = self.cluster.departures.values()
        return Told(
            seconds=min(when - self.started, SERVICE_TIMEOUT),
            status=content.get("Status", ""),
            reason=content.get("Reason", ""),
            body=body,
            still_there=still_there,
            last_left=max(departures, default=self.started) - self.started,
            calls=dict(self.calls + self.hyperpod.calls),
            failing=self.failing,
            busy_seconds=busy_seconds,
            invocations=invocations,
        )


def too_long(operation: str, text: str) -> Any:
    """EventBridge's refusal of a long target input."""
    message = f"Parameter Input is {len(text)} characters long; at most {INPUT_MAX} are allowed."
    return client_error(operation, "ValidationException", message)
