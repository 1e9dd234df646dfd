"""A look at a stack is answered when the stack rests; anything else, right away."""

import asyncio
from typing import Any

import pytest

from sandbox.engine.waiters import Message, Receive, Send, answer_at_rest, is_from_cli

LOOK = b"Action=DescribeStacks&Version=2010-05-15&StackName=maintenance"
CREATING = b"<StackStatus>CREATE_IN_PROGRESS</StackStatus>"
CREATED = b"<StackStatus>CREATE_COMPLETE</StackStatus>"


class Stacks:
    """An application that gives one answer after the other."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": self.answers.pop(0)})


def told(stacks: Stacks, body: bytes) -> bytes:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(answer_at_rest(stacks, {}, body, send))
    return b"".join(message.get("body", b"") for message in sent)


def test_a_look_at_a_stack_takes_until_it_rests() -> None:
    stacks = Stacks(CREATING, CREATING, CREATED)
    assert told(stacks, LOOK) == CREATED
    assert stacks.bodies == [LOOK, LOOK, LOOK]


@pytest.mark.parametrize("action", [b"DescribeStackEvents", b"DescribeStackResources"])
def test_other_questions_are_answered_right_away(action: bytes) -> None:
    body = b"Action=" + action + b"&StackName=maintenance"
    assert told(Stacks(CREATING, CREATED), body) == CREATING


@pytest.mark.parametrize(
    ("agent", "waits"),
    [(b"aws-cli/1.46.3 Python/3.11.7", True), (b"Boto3/1.43.106 md/Botocore#1.43.106", False)],
)
def test_only_the_cli_waits(agent: bytes, waits: bool) -> None:
    assert is_from_cli({"headers": [(b"User-Agent", agent)]}) is waits
