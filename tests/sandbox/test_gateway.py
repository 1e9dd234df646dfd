"""The AWS CLI gets a response about a stack once it is not in progress; others get it at once."""

import asyncio
from typing import Any

import pytest

from sandbox.engine.gateway import Message, Receive, Send, is_from_cli, respond_at_rest

POLL = b"Action=DescribeStacks&Version=2010-05-15&StackName=maintenance"
CREATING = b"<StackStatus>CREATE_IN_PROGRESS</StackStatus>"
CREATED = b"<StackStatus>CREATE_COMPLETE</StackStatus>"


class Stacks:
    """An application that sends one response after the other."""

    def __init__(self, *responses: bytes) -> None:
        self.responses = list(responses)
        self.bodies: list[bytes] = []

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": self.responses.pop(0)})


def response(stacks: Stacks, body: bytes) -> bytes:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(respond_at_rest(stacks, {}, body, send))
    return b"".join(message.get("body", b"") for message in sent)


def test_a_poll_of_a_stack_takes_until_it_is_complete() -> None:
    stacks = Stacks(CREATING, CREATING, CREATED)
    assert response(stacks, POLL) == CREATED
    assert stacks.bodies == [POLL, POLL, POLL]


@pytest.mark.parametrize("action", [b"DescribeStackEvents", b"DescribeStackResources"])
def test_other_requests_get_a_response_at_once(action: bytes) -> None:
    body = b"Action=" + action + b"&StackName=maintenance"
    assert response(Stacks(CREATING, CREATED), body) == CREATING


@pytest.mark.parametrize(
    ("agent", "waits"),
    [(b"aws-cli/1.46.3 Python/3.11.7", True), (b"Boto3/1.43.106 md/Botocore#1.43.106", False)],
)
def test_only_the_cli_waits(agent: bytes, waits: bool) -> None:
    assert is_from_cli({"headers": [(b"User-Agent", agent)]}) is waits
