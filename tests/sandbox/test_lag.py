"""DescribeStacks lags behind, and says which operation what it shows is of."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.aws import Sandbox
from sandbox.engine import Settings
from sandbox.engine.lag import Lag
from tests.sandbox.scripted_stack import ScriptedStack

LONG = 600.0
FAILED = {"Status": "FAILED", "Reason": "Not today."}


def described(stack: ScriptedStack) -> dict[str, Any]:
    """The stack as a function, or anyone else with an SDK, sees it."""
    client = stack.sandbox.client("cloudformation")
    (found,) = client.describe_stacks(StackName=stack.name)["Stacks"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def forward_lag(sandbox: Sandbox) -> Iterator[None]:
    with sandbox.settings(lag_forward=LONG, lag_back=0.0):
        yield


@pytest.fixture
def no_lag(sandbox: Sandbox) -> Iterator[None]:
    with sandbox.settings(lag_forward=0.0, lag_back=0.0):
        yield


@pytest.fixture
def back_lag(sandbox: Sandbox) -> Iterator[None]:
    with sandbox.settings(lag_back=LONG, lag_forward=0.0):
        yield


def test_an_update_still_shows_the_status_before(stack: ScriptedStack, forward_lag: None) -> None:
    """A poll after ExecuteChangeSet shows the status before (aws-cdk-cli #1802)."""
    stack.deploy(Create={"call": True}, outputs=("StackStatus", "Operation"))
    updated = stack.deploy(Update={"call": True}, outputs=("StackStatus", "Operation"))
    assert updated.status == "UPDATE_COMPLETE", "the sandbox itself is not misled"
    assert updated.outputs == {"StackStatus": "CREATE_COMPLETE", "Operation": "CREATE_STACK"}
    assert described(stack)["StackStatus"] == "UPDATE_COMPLETE"


def test_a_stack_that_turned_back_still_goes_forward(stack: ScriptedStack, back_lag: None) -> None:
    """The other direction of the same inconsistency (aws-cdk-cli #1803, #1848)."""
    assert stack.deploy(Create=FAILED).status == "ROLLBACK_COMPLETE"
    shown = described(stack)
    assert shown["StackStatus"] == "CREATE_IN_PROGRESS"
    assert [o["OperationType"] for o in shown["LastOperations"]] == ["CREATE_STACK"]


def test_clis_are_told_without_lag(stack: ScriptedStack, back_lag: None) -> None:
    stack.deploy(Create={})
    told = stack.sandbox.aws(
        "cloudformation",
        "describe-stacks",
        "--stack-name",
        stack.name,
        "--query",
        "Stacks[0].StackStatus",
    )
    assert told.stdout.strip() == '"CREATE_COMPLETE"'


def test_operations_are_told_newest_first(stack: ScriptedStack, no_lag: None) -> None:
    """LastOperations of the API reference; a rollback is an operation of its own (user guide)."""
    stack.deploy(Create={})
    failed = stack.deploy(Update=FAILED)
    operations = described(stack)["LastOperations"]
    assert [o["OperationType"] for o in operations] == ["ROLLBACK", "UPDATE_STACK", "CREATE_STACK"]
    rollback, update, _ = [o["OperationId"] for o in operations]
    seen = {e.operation_id: e.status for e in failed.events if e.logical_id == "Thing"}
    assert list(seen) == [update, rollback]
    assert {e.operation_id for e in failed.events if e.status == "UPDATE_FAILED"} == {update}


def test_a_change_set_is_an_operation_and_its_execution_an_update(
    stack: ScriptedStack, no_lag: None
) -> None:
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
    shown = described(stack)
    assert shown["LastOperations"][0]["OperationType"] == "CREATE_CHANGESET"
    assert "LastUpdatedTime" not in shown
    client.execute_change_set(StackName=stack.name, ChangeSetName="more")
    client.get_waiter("stack_update_complete").wait(StackName=stack.name, WaiterConfig={"Delay": 1})
    shown = described(stack)
    assert shown["LastOperations"][0]["OperationType"] == "UPDATE_STACK"
    assert shown["LastUpdatedTime"] > shown["CreationTime"]


def test_what_was_shown_once_is_never_taken_back() -> None:
    now = 0.0
    settings = Settings(lag_forward=3.0)
    lag = Lag(settings, clock=lambda: now)
    stack = {"StackStatus": "CREATE_COMPLETE"}

    def turn(status: str) -> None:
        stack["StackStatus"] = status
        lag.note(stack)

    turn("CREATE_COMPLETE")
    now = 10.0
    turn("UPDATE_IN_PROGRESS")
    assert lag.seen(stack)["StackStatus"] == "CREATE_COMPLETE"
    now = 11.0
    turn("UPDATE_COMPLETE")
    assert lag.seen(stack)["StackStatus"] == "UPDATE_COMPLETE"
    now = 13.0
    assert lag.seen(stack)["StackStatus"] == "UPDATE_COMPLETE"


def test_a_setting_that_does_not_exist_is_refused(sandbox: Sandbox) -> None:
    with (
        pytest.raises(ValueError, match="retried_from is 'ANY'; allowed: LAST_SUCCESS, FAILED_"),
        sandbox.settings(retried_from="ANY"),
    ):
        pass
    with pytest.raises(AttributeError), sandbox.settings(patience=3):
        pass
