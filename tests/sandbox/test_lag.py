"""DescribeStacks lags behind, and returns the operations of a stack."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.aws import Sandbox
from sandbox.engine.lag import Lag
from tests.aws_cli import run_aws
from tests.sandbox.scripted_stack import FAILED, ScriptedStack

LONG = 600.0


@pytest.fixture(autouse=True)
def no_lag(sandbox: Sandbox) -> Iterator[None]:
    with sandbox.lag(0.0, 0.0):
        yield


def described(stack: ScriptedStack) -> dict[str, Any]:
    """Return the stack as SDKs see it."""
    client = stack.sandbox.client("cloudformation")
    (found,) = client.describe_stacks(StackName=stack.name)["Stacks"]
    assert isinstance(found, dict)
    return found


def operations(stack: ScriptedStack) -> list[str]:
    return [operation["OperationType"] for operation in described(stack)["LastOperations"]]


def test_an_update_still_shows_the_status_before(stack: ScriptedStack) -> None:
    """A poll after ExecuteChangeSet shows the status before (aws-cdk-cli #1802)."""
    with stack.sandbox.lag(forward=LONG, back=0.0):
        stack.deploy(Create={"call": True}, outputs=("StackStatus", "Operation"))
        updated = stack.deploy(Update={"call": True}, outputs=("StackStatus", "Operation"))
        assert updated.status == "UPDATE_COMPLETE", "the sandbox itself is not misled"
        assert updated.outputs == {"StackStatus": "CREATE_COMPLETE", "Operation": "CREATE_STACK"}
        assert described(stack)["StackStatus"] == "UPDATE_COMPLETE"


def test_a_stack_in_a_rollback_still_shows_its_creation(stack: ScriptedStack) -> None:
    """The other direction of the same inconsistency (aws-cdk-cli #1803, #1848)."""
    with stack.sandbox.lag(forward=0.0, back=LONG):
        assert stack.deploy(Create=FAILED).status == "ROLLBACK_COMPLETE"
        assert described(stack)["StackStatus"] == "CREATE_IN_PROGRESS"
        assert operations(stack) == ["CREATE_STACK"]


def test_clis_see_no_lag(stack: ScriptedStack) -> None:
    with stack.sandbox.lag(forward=0.0, back=LONG):
        stack.deploy(Create={})
        query = ("--stack-name", stack.name, "--query", "Stacks[0].StackStatus")
        done = run_aws(stack.sandbox, "cloudformation", "describe-stacks", *query)
        assert done.log.strip() == '"CREATE_COMPLETE"'


def test_operations_are_listed_newest_first(stack: ScriptedStack) -> None:
    """LastOperations of the API reference; a rollback is an operation of its own (user guide)."""
    stack.deploy(Create={})
    failed = stack.deploy(Update=FAILED)
    assert operations(stack) == ["ROLLBACK", "UPDATE_STACK", "CREATE_STACK"]
    rollback, update, _ = [o["OperationId"] for o in described(stack)["LastOperations"]]
    seen = {e.operation_id: e.status for e in failed.events if e.logical_id == "Thing"}
    assert list(seen) == [update, rollback]
    assert {e.operation_id for e in failed.events if e.status == "UPDATE_FAILED"} == {update}


def test_a_change_set_is_an_operation_and_its_execution_an_update(stack: ScriptedStack) -> None:
    stack.deploy(Create={})
    assert "LastUpdatedTime" not in described(stack), "as of a stack that was never updated"
    client = stack.sandbox.client("cloudformation")
    template = client.get_template(StackName=stack.name)["TemplateBody"]
    template["Resources"]["Queue"] = {"Type": "AWS::SQS::Queue"}
    client.create_change_set(
        StackName=stack.name,
        ChangeSetName="more",
        TemplateBody=json.dumps(template),
        Capabilities=["CAPABILITY_IAM"],
    )
    assert operations(stack)[0] == "CREATE_CHANGESET"
    assert "LastUpdatedTime" not in described(stack)
    client.execute_change_set(StackName=stack.name, ChangeSetName="more")
    client.get_waiter("stack_update_complete").wait(StackName=stack.name, WaiterConfig={"Delay": 1})
    assert operations(stack)[0] == "UPDATE_STACK"
    shown = described(stack)
    assert shown["LastUpdatedTime"] > shown["CreationTime"]


def test_what_was_shown_once_is_never_taken_back() -> None:
    now = 0.0
    lag = Lag(clock=lambda: now)
    lag.forward = 3.0
    stack = {"StackStatus": "CREATE_COMPLETE"}

    def change(status: str) -> None:
        stack["StackStatus"] = status
        lag.note(stack)

    change("CREATE_COMPLETE")
    now = 10.0
    change("UPDATE_IN_PROGRESS")
    assert lag.seen(stack)["StackStatus"] == "CREATE_COMPLETE"
    now = 11.0
    change("UPDATE_COMPLETE")
    assert lag.seen(stack)["StackStatus"] == "UPDATE_COMPLETE"
    now = 13.0
    assert lag.seen(stack)["StackStatus"] == "UPDATE_COMPLETE"
