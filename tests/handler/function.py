"""The function as Lambda runs it, with the world of a test around it."""

import json
from collections.abc import Callable
from typing import Any

from hyperpod_node_removal_handler import index
from hyperpod_node_removal_handler.contract import Attribute
from tests.handler.endpoint import Endpoint
from tests.handler.world import STACK_ID, World

PHYSICAL_ID = "hyperpod-node-removal/ml-stack/Removal4F2A91C0/6d1f0c2e"


class Context:
    log_group_name = "/aws/lambda/removal"
    log_stream_name = "2026/11/23/[$LATEST]4f2a91c0"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:removal"

    def __init__(self, seconds: float = 900.0) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


class Lambda:
    """A Lambda client that keeps what is invoked, to be run when a test says so."""

    def __init__(self) -> None:
        self.queue: list[bytes] = []
        self.errors: list[Exception] = []

    def invoke(self, **request: Any) -> dict[str, Any]:
        assert request["InvocationType"] == "Event"
        assert request["FunctionName"] == Context.invoked_function_arn
        if self.errors:
            raise self.errors.pop(0)
        self.queue.append(request["Payload"])
        return {"StatusCode": 202}


class Events:
    """An EventBridge client that keeps what is put."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.errors: list[Exception | dict[str, Any]] = []
        """What to raise or to answer instead, call by call."""
        self.on_call: Callable[[], object] = lambda: None

    def put_events(self, **request: Any) -> dict[str, Any]:
        self.on_call()
        if self.errors:
            error = self.errors.pop(0)
            if isinstance(error, Exception):
                raise error
            return error
        self.entries += request["Entries"]
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "e-1"}]}


class Function:
    """The function with its world around it, and the replies that reached CloudFormation."""

    def __init__(self, world: World, endpoint: Endpoint) -> None:
        self.world = world
        self.endpoint = endpoint
        self.lambda_client = Lambda()
        self.events_client = Events()
        self.links = 0

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

    def send(self, request_type: str, *, seconds: float = 900.0, **properties: Any) -> Any:
        """The reply to one request about `ml-cluster`."""
        before = len(self.endpoint.requests)
        event = self.event(request_type, {"ClusterName": "ml-cluster", **properties})
        self.run(event, seconds)
        (request,) = self.endpoint.requests[before:]
        answer = json.loads(request[2])
        assert answer["PhysicalResourceId"] == PHYSICAL_ID
        assert set(answer["Data"]) == set(Attribute)
        return answer

    def run(self, event: Any, seconds: float = 900.0) -> None:
        """One invocation and all that it leads to, each of so many seconds."""
        self.lambda_client.queue.append(json.dumps(event).encode())
        while self.lambda_client.queue:
            self.links += 1
            end = self.world.clock.now() + seconds
            index.handler(json.loads(self.lambda_client.queue.pop(0)), Context(seconds))
            assert self.world.clock.now() <= end, "the invocation would have timed out"

    @property
    def calls(self) -> int:
        return self.world.hp.calls.total() + self.world.cloudformation.calls
