"""Custom resources in the sandbox go the way they go on AWS."""

from typing import Any

import pytest

from sandbox.stacks import Deployment
from tests.sandbox.scripted_stack import ScriptedStack

FAILED = {"Status": "FAILED", "Reason": "Not today."}


def reason_of(deployment: Deployment, status: str) -> str:
    """The reason of the one event in which the resource got this status."""
    (event,) = [e for e in deployment.events if e.logical_id == "Thing" and e.status == status]
    return event.reason


def test_create_update_and_delete(stack: ScriptedStack) -> None:
    created = stack.deploy(Create={"Data": {"Size": "3"}}, outputs=("Size",))
    assert created.status == "CREATE_COMPLETE"
    assert created.outputs == {"Size": "3"}
    assert created.succeeded
    updated = stack.deploy(Update={"Data": {"Size": "4"}}, outputs=("Size",))
    assert updated.status == "UPDATE_COMPLETE"
    assert updated.outputs == {"Size": "4"}
    assert {e.status for e in updated.events if e.logical_id == "Thing"} == {
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE",
    }
    assert stack.sandbox.delete(stack.name).status == "DELETE_COMPLETE"
    assert stack.sandbox.status(stack.name) is None

    create, update, delete = stack.requests()
    assert "PhysicalResourceId" not in create
    assert create["ResourceProperties"]["ServiceTimeout"] == "30", "every scalar is a string"
    assert create["ResourceProperties"]["ServiceToken"] == create["ServiceToken"]
    assert update["OldResourceProperties"] == create["ResourceProperties"]
    assert delete["PhysicalResourceId"] == update["PhysicalResourceId"] == "scripted"
    assert len({event["RequestId"] for event in (create, update, delete)}) == 3


def test_the_service_timeout_is_at_the_top_of_the_event_too(stack: ScriptedStack) -> None:
    """As text, as in public events of custom resources that set it."""
    stack.deploy(Create={}, service_timeout=45)
    (create,) = stack.requests()
    assert create["ServiceTimeout"] == create["ResourceProperties"]["ServiceTimeout"] == "45"


@pytest.mark.parametrize(
    ("size", "code"),
    [(1024 * 1024, ""), (1024 * 1024 + 1, "RequestEntityTooLargeException")],
)
def test_an_asynchronous_payload_may_have_one_megabyte(
    stack: ScriptedStack, size: int, code: str
) -> None:
    """Lambda's quota since October 2025."""
    deployment = stack.deploy(Create={"payload": size}, outputs=("Code",))
    assert deployment.outputs == {"Code": code}


def test_an_update_that_changes_nothing_sends_nothing(stack: ScriptedStack) -> None:
    stack.deploy(Create={})
    again = stack.deploy(Create={})
    assert stack.request_types() == ["Create"]
    assert again.outputs == {}


def test_a_failed_create_is_deleted_with_the_id_of_its_reply(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={**FAILED, "PhysicalResourceId": "half-made"})

    assert deployment.status == "ROLLBACK_COMPLETE"
    create, delete = stack.requests()
    assert delete["RequestType"] == "Delete"
    assert delete["PhysicalResourceId"] == "half-made"
    assert delete["ResourceProperties"] == create["ResourceProperties"]
    history = [(e.status, e.physical_id) for e in deployment.events if e.logical_id == "Thing"]
    assert history == [
        ("CREATE_IN_PROGRESS", ""),
        ("CREATE_IN_PROGRESS", "half-made"),
        ("CREATE_FAILED", "half-made"),
        ("DELETE_IN_PROGRESS", "half-made"),
        ("DELETE_COMPLETE", "half-made"),
    ]
    assert not deployment.succeeded
    assert [e.logical_id for e in deployment.failures()] == ["Thing"]
    assert stack.deploy(Create={}).status == "CREATE_COMPLETE", "as the CDK CLI deploys again"


def test_what_a_rollback_deleted_can_still_be_described(stack: ScriptedStack) -> None:
    created = stack.deploy(Create=FAILED)
    client = stack.sandbox.client("cloudformation")
    (function,) = client.describe_stack_resources(
        StackName=created.stack_id, LogicalResourceId="Function"
    )["StackResources"]
    assert function["ResourceStatus"] == "DELETE_COMPLETE"
    assert function["PhysicalResourceId"] in [event.physical_id for event in created.events]


def test_a_failed_delete_after_a_failed_create_fails_the_rollback(stack: ScriptedStack) -> None:
    assert stack.deploy(Create=FAILED, Delete=FAILED).status == "ROLLBACK_FAILED"


def test_a_failed_create_that_stays_is_deleted_with_the_stack(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create=FAILED, rollback=False)
    assert deployment.status == "CREATE_FAILED"
    assert stack.request_types() == ["Create"]
    stack.sandbox.delete(stack.name)
    assert stack.request_types() == ["Create", "Delete"]


def test_a_resource_that_an_update_adds_and_fails_is_deleted(stack: ScriptedStack) -> None:
    queue = {"Queue": {"Type": "AWS::SQS::Queue"}}
    token = {"Fn::GetAtt": ["Function", "Arn"]}
    other = {
        "Other": {
            "Type": "Custom::Thing",
            "Properties": {"ServiceToken": token, "Create": '{"Status": "FAILED", "Reason": "No"}'},
        }
    }
    stack.deploy(Create={}, resources=queue)
    deployment = stack.deploy(Create={}, resources={**queue, **other})
    assert deployment.status == "UPDATE_ROLLBACK_COMPLETE"
    sent = [(e["LogicalResourceId"], e["RequestType"]) for e in stack.requests()]
    assert sent == [("Thing", "Create"), ("Other", "Create"), ("Other", "Delete")]


def test_the_wording_of_a_failure(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create=FAILED)
    request_id = stack.requests()[0]["RequestId"]
    assert reason_of(deployment, "CREATE_FAILED") == (
        "Received response status [FAILED] from custom resource."
        f" Message returned: Not today. (RequestId: {request_id})"
    )


def test_a_long_reason_is_cut_in_the_event(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"Status": "FAILED", "Reason": "n" * 3000})
    assert len(reason_of(deployment, "CREATE_FAILED")) == 1024


def test_a_failed_update_is_sent_back(stack: ScriptedStack) -> None:
    stack.deploy(Create={"Data": {"Size": "3"}}, outputs=("Size",))
    failing: dict[str, Any] = {"Update": FAILED}
    deployment = stack.deploy(**failing, outputs=("Size",))
    assert deployment.status == "UPDATE_ROLLBACK_COMPLETE"
    assert deployment.outputs == {"Size": "3"}, "as before the update"
    assert "Not today." in reason_of(deployment, "UPDATE_FAILED")
    create, update, back = stack.requests()
    assert back["RequestType"] == "Update"
    assert back["ResourceProperties"] == create["ResourceProperties"]
    assert back["OldResourceProperties"] == update["ResourceProperties"]


@pytest.mark.parametrize("reply", [{}, FAILED])
def test_a_reply_over_4096_bytes_is_lost(stack: ScriptedStack, reply: dict[str, Any]) -> None:
    deployment = stack.deploy(Create={**reply, "Data": {"Much": "x" * 4096}})
    assert deployment.status == "ROLLBACK_COMPLETE"
    assert reason_of(deployment, "CREATE_FAILED") == "Response object is too long."
    create, delete = stack.requests()
    assert delete["PhysicalResourceId"].startswith(f"{stack.name}-Thing-"), "its own is unknown"
    assert create["RequestId"] != delete["RequestId"]


def test_a_reply_without_a_physical_id_fails(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"PhysicalResourceId": None})
    assert deployment.status == "ROLLBACK_COMPLETE"
    assert reason_of(deployment, "CREATE_FAILED") == "Invalid PhysicalResourceId"


def test_a_changed_physical_id_is_a_replacement(stack: ScriptedStack) -> None:
    stack.deploy(Create={"PhysicalResourceId": "old"})
    deployment = stack.deploy(Update={"PhysicalResourceId": "new"})
    assert deployment.status == "UPDATE_COMPLETE"
    create, update, delete = stack.requests()
    assert update["PhysicalResourceId"] == delete["PhysicalResourceId"] == "old"
    assert delete["RequestType"] == "Delete"
    assert delete["ResourceProperties"] == create["ResourceProperties"]


def test_an_attribute_that_data_lacks_fails_the_stack(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"Data": {"Size": "3"}}, outputs=("Size", "Colour"))
    assert deployment.status == "ROLLBACK_COMPLETE"
    assert any("Colour" in event.reason for event in deployment.events)


def test_only_the_first_reply_counts_and_all_are_recorded(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"times": 2})
    assert deployment.succeeded
    stack.sandbox.await_idle()
    (create,) = stack.requests()
    replies = [r for r in stack.sandbox.replies() if r.request_id == create["RequestId"]]
    assert [r.status for r in replies] == [200, 200]
    assert replies[0].body == replies[1].body
    assert replies[0].json()["PhysicalResourceId"] == "scripted"
