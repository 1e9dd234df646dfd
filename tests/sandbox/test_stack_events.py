"""Stack events are those that a real account shows."""

import pytest

from sandbox.stacks import Deployment, StackEvent
from tests.sandbox.scripted_stack import ScriptedStack

FAILED = {"Status": "FAILED", "Reason": "Not today."}
CLEANED_UP = "AWS::CloudFormation::CustomResource"


def of(deployment: Deployment, logical_id: str) -> list[StackEvent]:
    return [event for event in deployment.events if event.logical_id == logical_id]


def statuses(deployment: Deployment, logical_id: str) -> list[str]:
    return [event.status for event in of(deployment, logical_id)]


@pytest.mark.parametrize("reply", [{}, FAILED])
def test_the_id_of_the_reply_is_told_before_how_it_went(
    stack: ScriptedStack, reply: dict[str, str]
) -> None:
    """A second CREATE_IN_PROGRESS, also before a failure (events of amplify-cli #8009)."""
    deployment = stack.deploy(Create={**reply, "PhysicalResourceId": "mine"})
    begun, initiated, ended = of(deployment, "Thing")[:3]
    assert (begun.status, begun.physical_id, begun.reason) == ("CREATE_IN_PROGRESS", "", "")
    assert (initiated.status, initiated.physical_id) == ("CREATE_IN_PROGRESS", "mine")
    assert initiated.reason == "Resource creation Initiated"
    assert ended.status == ("CREATE_FAILED" if reply else "CREATE_COMPLETE")
    assert ended.physical_id == "mine"


def test_events_of_resources_have_their_properties(stack: ScriptedStack) -> None:
    """Raw events of aws-samples/amazon-cloudfront-secure-static-site #39."""
    stack.deploy(Create={}, Tag={"Round": 1})
    failed = stack.deploy(Create={}, Update=FAILED, Tag={"Round": 2})
    rounds = [(event.status, (event.properties or {})["Tag"]) for event in of(failed, "Thing")]
    assert rounds == [
        ("UPDATE_IN_PROGRESS", '{"Round": 2}'),
        ("UPDATE_FAILED", '{"Round": 2}'),
        ("UPDATE_IN_PROGRESS", '{"Round": 1}'),
        ("UPDATE_COMPLETE", '{"Round": 1}'),
    ]
    assert (of(failed, "Thing")[0].properties or {})["ServiceTimeout"] == "30"
    assert {event.properties for event in of(failed, stack.name)} == {None}


def test_what_an_update_replaces_is_deleted_in_its_clean_up(stack: ScriptedStack) -> None:
    """The clean-up has a status of its own (user guide, stack status codes), and its Deletes are
    of the general type of custom resources."""
    stack.deploy(Create={"PhysicalResourceId": "old"})
    replaced = stack.deploy(Update={"PhysicalResourceId": "new"})
    assert statuses(replaced, stack.name) == [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]
    told = [(e.status, e.resource_type, e.physical_id) for e in of(replaced, "Thing")]
    assert told == [
        ("UPDATE_IN_PROGRESS", "Custom::Thing", "old"),
        ("UPDATE_IN_PROGRESS", "Custom::Thing", "new"),
        ("UPDATE_COMPLETE", "Custom::Thing", "new"),
        ("DELETE_IN_PROGRESS", CLEANED_UP, "old"),
        ("DELETE_COMPLETE", CLEANED_UP, "old"),
    ]


def test_a_clean_up_that_fails_leaves_the_update_complete(stack: ScriptedStack) -> None:
    """Events of serverless/serverless #9144."""
    stack.deploy(Create={}, beside={"Other": {"Delete": FAILED}})
    updated = stack.deploy(Create={})
    assert updated.status == "UPDATE_COMPLETE"
    assert statuses(updated, "Other") == ["DELETE_IN_PROGRESS", "DELETE_FAILED"]
    assert of(updated, stack.name)[-1].reason == (
        "Update successful. One or more resources could not be deleted."
    )


def test_what_an_update_adds_and_fails_is_deleted_in_the_clean_up_of_the_rollback(
    stack: ScriptedStack,
) -> None:
    stack.deploy(Create={})
    failed = stack.deploy(Create={}, beside={"Other": {"Create": FAILED}})
    assert statuses(failed, "Other") == [
        "CREATE_IN_PROGRESS",
        "CREATE_IN_PROGRESS",
        "CREATE_FAILED",
        "DELETE_IN_PROGRESS",
        "DELETE_COMPLETE",
    ]
    assert of(failed, "Other")[-1].resource_type == CLEANED_UP
    assert statuses(failed, stack.name)[-2:] == [
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
    ]


def test_a_resource_that_does_not_change_has_no_events(stack: ScriptedStack) -> None:
    stack.deploy(Create={}, beside={"Other": {"Create": {}}})
    updated = stack.deploy(Create={}, beside={"Other": {"Create": {}}}, Tag={"Round": 2})
    assert {e.logical_id for e in updated.events} == {"Thing", stack.name}
