"""What the AWS CLI is told of a stack, told when there is something to tell.

`aws cloudformation deploy` and `wait` look at a stack, sleep for half a minute if it is still in
progress, and look again. Here the look itself takes as long as the stack is in progress, so nobody
sleeps; what the CLI is told is what it would have been told at last. `describe-stacks` of the CLI
cannot be told from them, so it does not see a stack in progress either; SDKs do.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sandbox.engine import OWN_AGENT

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

HOLD_SECONDS: Final = 50.0
"""The CLI gives up on an answer after a minute, and asks again."""
_POLL: Final = 0.05
_IN_PROGRESS: Final = re.compile(rb"<StackStatus>[A-Z_]+_IN_PROGRESS</StackStatus>")
_CLI: Final = b"aws-cli/"
_CDK: Final = b"aws-cdk"
_ACTION: Final = b"Action=DescribeStacks&"


def is_from_cli(scope: dict[str, Any]) -> bool:
    """Whether it is the AWS CLI that asks."""
    return _CLI in _agent(scope)


def is_told_at_once(scope: dict[str, Any]) -> bool:
    """Whether it is a CLI or the sandbox itself that asks, which are told of stacks without lag."""
    return any(name in _agent(scope) for name in (_CLI, _CDK, OWN_AGENT.encode()))


def _agent(scope: dict[str, Any]) -> bytes:
    headers = {name.lower(): value for name, value in scope.get("headers", ())}
    agent = headers.get(b"user-agent", b"")
    assert isinstance(agent, bytes)
    return agent


async def answer_at_rest(
    application: Application, scope: dict[str, Any], body: bytes, send: Send
) -> None:
    """Give the application's answer, as soon as it shows no stack in progress."""
    deadline = time.monotonic() + (HOLD_SECONDS if _ACTION in body else 0)
    while True:
        answer = await _answer(application, scope, body)
        content = b"".join(message.get("body", b"") for message in answer)
        if not _IN_PROGRESS.search(content) or time.monotonic() > deadline:
            break
        await asyncio.sleep(_POLL)
    for message in answer:
        await send(message)


async def _answer(application: Application, scope: dict[str, Any], body: bytes) -> list[Message]:
    answer: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        answer.append(message)

    await application(dict(scope), receive, send)
    return answer
