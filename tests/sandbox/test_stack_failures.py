"""A stack fails where CloudFormation fails it, and can be tried again the way it can be there."""

import json

import pytest

from sandbox.stacks import Deployment
from tests.sandbox.scripted_stack import ScriptedStack

FAILED = {"Status": "FAILED", "Reason": "Not today."}


def own_reasons(deployment: Deployment, name: str) -> list[str]:
    return [e.reason for e in deployment.events if e.logical_id == name and e.reason]


@pytest.mark.parametrize("size", ["", "  "])
def test_an_empty_export_fails_the_stack_after_all_resources(
    stack: ScriptedStack, size: str
) -> None:
    failed = stack.deploy(Create={"Data": {"Size": size}}, exports=("Size",))
    assert failed.status == "ROLLBACK_COMPLETE"
    assert "CREATE_COMPLETE" in {e.status for e in failed.events if e.logical_id == "Thing"}
    assert own_reasons(failed, stack.name)[1].startswith(
        "Cannot export output Size. Exported values must not be empty or whitespace-only"
    )


def test_an_empty_output_that_is_not_exported_is_fine(stack: ScriptedStack) -> None:
    assert stack.deploy(Create={"Data": {"Size": ""}}, outputs=("Size",)).outputs == {"Size": ""}


def test_a_failure_of_the_stack_itself_is_told_in_its_own_event_only(stack: ScriptedStack) -> None:
    failed = stack.deploy(Create={"Data": {"Size": ""}}, exports=("Size",))
    told = {e.logical_id for e in failed.events if "Cannot export" in e.reason}
    assert told == {stack.name}
    assert not failed.failures(), "no resource failed"


def test_a_role_that_cannot_be_assumed_is_the_stacks_own_failure(stack: ScriptedStack) -> None:
    """The words of aws-samples/amazon-cognito-passwordless-auth #192."""
    iam = stack.sandbox.client("iam")
    cloudformation = stack.sandbox.client("cloudformation")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "cloudformation.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    role = iam.create_role(RoleName=stack.name, AssumeRolePolicyDocument=json.dumps(trust))
    arn = role["Role"]["Arn"]
    queue = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    cloudformation.create_stack(StackName=stack.name, TemplateBody=queue, RoleARN=arn)
    cloudformation.get_waiter("stack_create_complete").wait(StackName=stack.name)
    iam.delete_role(RoleName=stack.name)
    deleted = stack.sandbox.delete(stack.name)
    assert deleted.status == "DELETE_FAILED"
    assert [(e.logical_id, e.reason) for e in deleted.events] == [
        (stack.name, ""),
        (stack.name, f"Role {arn} is invalid or cannot be assumed"),
    ]


def test_a_replacement_fails_with_rollback_disabled(stack: ScriptedStack) -> None:
    """The words of aws-sam-cli #4164 and #4585."""
    stack.deploy(Create={"PhysicalResourceId": "old"})
    failed = stack.deploy(Update={"PhysicalResourceId": "new"}, rollback=False)
    assert failed.status == "UPDATE_FAILED"
    (event,) = [e for e in failed.failures() if e.logical_id == "Thing"]
    assert event.reason == (
        "Replacement type updates not supported on stack with disable-rollback."
    )


@pytest.mark.parametrize(("setting", "old_round"), [("LAST_SUCCESS", "1"), ("FAILED_ATTEMPT", "2")])
def test_a_failed_update_that_stays_is_updated_from_either(
    stack: ScriptedStack, setting: str, old_round: str
) -> None:
    """Which of the two CloudFormation sends is not known, so both can be had."""
    with stack.sandbox.settings(retried_from=setting):
        stack.deploy(Create={}, Tag={"Round": 1})
        assert stack.deploy(Update=FAILED, Tag={"Round": 2}, rollback=False).status == (
            "UPDATE_FAILED"
        )
        again = stack.deploy(Update={}, Tag={"Round": 3})
    assert again.status == "UPDATE_COMPLETE"
    _, failed, retried = stack.requests()
    assert failed["OldResourceProperties"]["Tag"] == '{"Round": 1}'
    assert retried["OldResourceProperties"]["Tag"] == f'{{"Round": {old_round}}}'


def test_the_same_template_can_be_tried_again_after_a_failure_that_stays(
    stack: ScriptedStack,
) -> None:
    stack.deploy(Create={})
    for _ in range(2):
        assert stack.deploy(Update=FAILED, rollback=False).status == "UPDATE_FAILED"
    assert stack.request_types() == ["Create", "Update", "Update"]


def test_a_create_that_failed_and_stays_is_created_again(stack: ScriptedStack) -> None:
    stack.deploy(Create=FAILED, rollback=False)
    assert stack.deploy(Create={}).status == "UPDATE_COMPLETE"
    assert stack.request_types() == ["Create", "Create"]
