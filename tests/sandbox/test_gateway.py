"""The AWS CLI gets a response about a stack once it is not in progress; others get it at once."""

import asyncio

import pytest
from ministack.services import cloudformation

from sandbox.engine.gateway import await_rest, described_stack, is_from_cli


@pytest.mark.parametrize("name", ["StackName", "StackId"])
def test_a_stack_is_awaited_until_it_is_not_in_progress(name: str) -> None:
    stack = {"StackName": "waiting", "StackId": "arn:waiting", "StackStatus": "CREATE_IN_PROGRESS"}

    async def wait() -> None:
        waiting = asyncio.create_task(await_rest(stack[name], 60.0))
        await asyncio.wait_for(await_rest("another", 60.0), 60.0)
        assert not waiting.done()
        stack["StackStatus"] = "CREATE_COMPLETE"
        await asyncio.wait_for(waiting, 60.0)

    cloudformation._stacks["waiting"] = stack
    try:
        asyncio.run(wait())
    finally:
        del cloudformation._stacks["waiting"]


@pytest.mark.parametrize(
    ("body", "stack"),
    [
        (b"Action=DescribeStacks&Version=2010-05-15&StackName=maintenance", "maintenance"),
        (b"Action=DescribeStacks&StackName=arn%3Aaws%3Astack", "arn:aws:stack"),
        (b"Action=DescribeStacks", ""),
        (b"Action=DescribeStackEvents&StackName=maintenance", ""),
        (b"\xff", ""),
    ],
)
def test_only_a_description_of_a_stack_waits(body: bytes, stack: str) -> None:
    assert described_stack(body) == stack


@pytest.mark.parametrize(
    ("agent", "waits"),
    [(b"aws-cli/1.46.3 Python/3.11.7", True), (b"Boto3/1.43.106 md/Botocore#1.43.106", False)],
)
def test_only_the_cli_waits(agent: bytes, waits: bool) -> None:
    assert is_from_cli({"headers": [(b"User-Agent", agent)]}) is waits
