"""The application that answers the engine's port: ministack behind two paths of the sandbox's."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from ministack.app import app as ministack_app
from ministack.services import lambda_svc

from sandbox.engine import (
    PATH_OF_DENIAL,
    clusters,
    custom_resources,
    deployments,
    eks,
    events,
    functions,
    lag,
    permissions,
    roles,
    rollbacks,
    settings,
)
from sandbox.engine.exchange import PATH, Exchange
from sandbox.engine.payloads import limited
from sandbox.engine.waiters import answer_at_rest, is_from_cli, is_told_at_once

IDLE_PATH: Final = "/sandbox/idle"
"""Answers once no function is running: its log is complete then."""

_IDLE_POLL: Final = 0.01

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


def application(*, endpoint: str, directory: Path) -> Any:
    """ministack with the shim installed, as an ASGI application."""
    exchange = Exchange(endpoint, directory)
    known = settings.Settings()
    past = lag.Lag(known)
    custom_resources.install(exchange)
    deployments.install(exchange, known)
    held = permissions.Functions()
    held.install()
    roles.install()
    rollbacks.install()
    events.install(past.note)
    lag.install(past)
    functions.install(directory)
    clusters.install()
    eks.install(directory)

    aws = limited(ministack_app)

    async def answer(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        held.hold(scope)
        path = scope.get("path", "") if scope["type"] == "http" else ""
        if path.startswith(PATH):
            await _respond(send, _deliver(exchange, scope, await _body(receive)))
        elif path == IDLE_PATH:
            while lambda_svc.executions_in_flight()[0]:
                await asyncio.sleep(_IDLE_POLL)
            await _respond(send, 200)
        elif path == PATH_OF_DENIAL:
            await _respond(send, 200, held.denial(await _body(receive)))
        elif path == settings.PATH:
            known.change(json.loads(await _body(receive)))
            await _respond(send, 200)
        elif (cluster := eks.described(directory, path)) is not None:
            await _respond(send, 200, cluster)
        elif is_from_cli(scope):
            await answer_at_rest(aws, scope, await _body(receive), send)
        else:
            lag.LAGGING.set(not is_told_at_once(scope))
            await aws(scope, receive, send)

    return answer


def _deliver(exchange: Exchange, scope: dict[str, Any], body: bytes) -> int:
    headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
    return exchange.deliver(
        scope["method"],
        scope["path"],
        scope["query_string"].decode(),
        headers.get("content-type", ""),
        body,
    )


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


async def _respond(send: Send, status: int, body: bytes = b"") -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
