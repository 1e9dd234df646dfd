"""The application that serves the engine's port: ministack, and the paths of the sandbox itself.

`aws cloudformation deploy` and `wait` poll a stack, and sleep for half a minute between two polls.
Here DescribeStacks responds to the AWS CLI only when the stack is not in progress any more, so it
never sleeps and still gets the final response. SDKs see stacks in progress.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from ministack.app import app as ministack_app
from ministack.services import cloudformation, lambda_svc

from sandbox.engine import (
    OWN_AGENT,
    OWN_PATHS,
    custom_resources,
    deployments,
    events,
    functions,
    lag,
    operations,
    permissions,
    resource_types,
)
from sandbox.engine.exchange import PATH, Exchange

EVENT_BYTES: Final = 1024 * 1024
"""Payload of an asynchronous invocation since October 2025 (256 KB before; other partitions may
lag), which ministack does not limit."""
HOLD_SECONDS: Final = 50.0
"""The CLI stops waiting for a response after a minute, and retries."""

_POLL: Final = 0.01
_CLI: Final = b"aws-cli/"
_CDK: Final = b"aws-cdk"

Scope = dict[str, Any]
Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def application(*, endpoint: str, directory: Path) -> Application:
    """Return ministack with all changes installed, as an ASGI application."""
    exchange = Exchange(endpoint)
    past = lag.Lag()
    custom_resources.install(exchange)
    deployments.install(exchange)
    restricted = permissions.Functions()
    restricted.install()
    operations.install()
    events.install(past.note)
    lag.install(past)
    functions.install(directory)
    resource_types.install()

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        restricted.restrict(scope)
        path = scope.get("path", "") if scope["type"] == "http" else ""
        if path.startswith(PATH):
            await _send(send, _deliver(exchange, scope, await _body(receive)))
        elif path.startswith(OWN_PATHS):
            body = await _body(receive)
            await _send(send, 200, await _own_response(path, body, past, restricted, exchange))
        elif (cluster := resource_types.eks_cluster(directory, path)) is not None:
            await _send(send, 200, cluster)
        elif (size := _event_bytes(scope)) > EVENT_BYTES:
            await _reject_event(send, size)
        elif is_from_cli(scope):
            body = await _body(receive)
            await await_rest(described_stack(body), HOLD_SECONDS)
            await ministack_app(scope, _replay(body), send)
        else:
            # the CLIs and the sandbox itself see stacks without lag
            agents = (_CLI, _CDK, OWN_AGENT.encode())
            lag.LAGGING.set(not any(name in _header(scope, b"user-agent") for name in agents))
            await ministack_app(scope, receive, send)

    return respond


async def _own_response(
    path: str,
    body: bytes,
    past: lag.Lag,
    restricted: permissions.Functions,
    exchange: Exchange,
) -> bytes:
    match path.removeprefix(OWN_PATHS):
        case "idle":
            while lambda_svc.executions_in_flight()[0]:
                await asyncio.sleep(_POLL)
        case "rest":
            await await_rest(*json.loads(body))
        case "denial":
            return restricted.denial(body)
        case "requests":
            return json.dumps(exchange.requests).encode()
        case "replies":
            found = [{**vars(one), "body": one.body.decode("latin-1")} for one in exchange.replies]
            return json.dumps(found).encode()
        case "lag":
            past.forward, past.back = json.loads(body)
        case "failed-attempt":
            exchange.sends_failed_attempt = json.loads(body)
    return b""


def is_from_cli(scope: Scope) -> bool:
    """Return whether a request comes from the AWS CLI."""
    return _CLI in _header(scope, b"user-agent")


def described_stack(body: bytes) -> str:
    """Return the name or id of the stack that a request describes; empty if it does not."""
    form = dict(parse_qsl(body.decode(errors="replace")))
    return form.get("StackName", "") if form.get("Action") == "DescribeStacks" else ""


async def await_rest(stack: str, seconds: float) -> None:
    """Wait until no stack with a name or id is in progress."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(
        stack in {one["StackName"], one["StackId"]} and one["StackStatus"].endswith("_IN_PROGRESS")
        for one in cloudformation._stacks._data.values()
    ):
        await asyncio.sleep(_POLL)


def _deliver(exchange: Exchange, scope: Scope, body: bytes) -> int:
    return exchange.deliver(
        scope["method"],
        scope["path"],
        scope["query_string"].decode(),
        _header(scope, b"content-type").decode(),
        body,
    )


def _event_bytes(scope: Scope) -> int:
    """Return the bytes of the payload; 0 for what is no asynchronous invocation."""
    is_event = _header(scope, b"x-amz-invocation-type") == b"Event"
    is_invocation = scope.get("path", "").endswith("/invocations")
    return int(_header(scope, b"content-length") or 0) if is_event and is_invocation else 0


async def _reject_event(send: Send, size: int) -> None:
    message = (
        f"{size} byte payload is too large for the Event invocation type (limit {EVENT_BYTES}"
        " bytes)"
    )
    body = json.dumps({"Type": "User", "message": message}).encode()
    await _send(send, 413, body, (b"x-amzn-errortype", b"RequestEntityTooLargeException"))


def _header(scope: Scope, name: bytes) -> bytes:
    headers: dict[bytes, bytes] = {key.lower(): value for key, value in scope.get("headers", ())}
    return headers.get(name, b"")


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def _replay(body: bytes) -> Receive:
    """Return what receives a body that was read already."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _send(send: Send, status: int, body: bytes = b"", *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
