"""Models of Lambda and EventBridge, as far as the function uses them."""

import json
from collections.abc import Callable
from typing import Any

from tests.aws_transport import Answer, Parameters, Sent

HOOK = "arn:aws:lambda:us-east-1:123456789012:function:drain:live"
PROCEED = {"Decision": "PROCEED"}


class Context:
    log_group_name = "/aws/lambda/removal"
    log_stream_name = "2026/11/23/[$LATEST]4f2a91c0"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:removal"

    def __init__(self, seconds: float = 900.0) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


class Lambda:
    """Lambda, which queues asynchronous invocations until a test runs them.

    The hook runs at once. `hook_errors` are the errors of its first invocations.
    """

    def __init__(self) -> None:
        self.queue: list[bytes] = []
        self.errors: list[Exception] = []
        self.asked: list[dict[str, Any]] = []
        self.waits: list[float] = []
        """Read timeouts of the invocations of the hook, in seconds."""
        self.hook: Callable[[dict[str, Any]], Any] = lambda event: PROCEED
        self.hook_errors: list[Exception] = []
        self.released: list[dict[str, Any]] = []
        self.release_errors: list[Exception | Raised] = []
        """Errors of the first notifications."""

    def answer(self, sent: Sent) -> Answer:
        request = sent.parameters
        if b'"Action":"RELEASE"' in request["Payload"]:
            return self._release(request)
        if request["InvocationType"] == "RequestResponse":
            self.waits.append(sent.timeout)
            return self._ask(request)
        assert request["InvocationType"] == "Event"
        assert request["FunctionName"] == Context.invoked_function_arn
        if self.errors:
            raise self.errors.pop(0)
        self.queue.append(request["Payload"])
        return {"StatusCode": 202}

    def _release(self, request: Parameters) -> Answer:
        assert request["FunctionName"] == HOOK
        assert len(request["Payload"]) <= 256 * 1024
        if self.release_errors:
            error = self.release_errors.pop(0)
            if isinstance(error, Raised):
                return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": bytes(error)}
            raise error
        self.released.append(json.loads(request["Payload"]))
        is_queued = request["InvocationType"] == "Event"
        return {"StatusCode": 202} if is_queued else {"StatusCode": 200, "Payload": b"{}"}

    def _ask(self, request: Parameters) -> Answer:
        assert request["FunctionName"] == HOOK
        if self.hook_errors:
            raise self.hook_errors.pop(0)
        self.asked.append(json.loads(request["Payload"]))
        answer = self.hook(self.asked[-1])
        if isinstance(answer, Raised):
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": bytes(answer)}
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return {"StatusCode": 200, "Payload": body}


class Raised(bytes):
    """The payload of the response for a function that raised."""


class EventBus:
    """EventBridge, which records the entries that are put."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.errors: list[Exception | Answer] = []
        """Errors or answers of the first calls."""
        self.on_call: Callable[[], object] = lambda: None

    def answer(self, sent: Sent) -> Answer:
        self.on_call()
        if self.errors:
            error = self.errors.pop(0)
            if isinstance(error, Exception):
                raise error
            return error
        self.entries += sent.parameters["Entries"]
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "e-1"}]}
