"""Stacks: their events, failures, and parallel resources are those of a real account."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

import pytest

from tests.sandbox.scripted_stack import FAILED, ScriptedStack, events_of, reason_of, statuses

CLEANED_UP = "AWS::CloudFormation::CustomResource"


# Events -------------------------------------------------------------------------------------------


def test_the_id_of_the_reply_is_in_an_event_before_the_result(stack: ScriptedStack) -> None:
    """A second CREATE_IN_PROGRESS, also before a failure (events of amplify-cli #8009)."""
    others = {"Other": {"Create": {**FAILED, "PhysicalResourceId": "other"}}}
    created = stack.deploy(Create={"PhysicalResourceId": "mine"})
    failed = stack.deploy(Create={"PhysicalResourceId": "mine"}, others=others)
    for events, physical_id, end in (
        (events_of(created), "mine", "CREATE_COMPLETE"),
        (events_of(failed, "Other"), "other", "CREATE_FAILED"),
    ):
        started, initiated, ended = events[:3]
        assert (started.status, started.physical_id) == ("CREATE_IN_PROGRESS", "")
        assert started.reason == ""
        assert (initiated.status, initiated.physical_id) == ("CREATE_IN_PROGRESS", physical_id)
        assert initiated.reason == "Resource creation Initiated"
        assert (ended.status, ended.physical_id) == (end, physical_id)

    # What an update adds is deleted in the clean-up of its rollback.
    assert statuses(failed, "Other")[3:] == ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"]
    assert events_of(failed, "Other")[-1].resource_type == CLEANED_UP
    assert statuses(failed, stack.name)[-2:] == [
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
    ]
    assert stack.request_types("Other") == ["Create", "Delete"]
    assert stack.request_types() == ["Create"], "it did not change"
    assert not events_of(failed), "and has no events"


def test_events_of_resources_have_their_properties(stack: ScriptedStack) -> None:
    """Raw events of aws-samples/amazon-cloudfront-secure-static-site #39."""
    stack.deploy(Create={}, Tag={"Round": 1})
    failed = stack.deploy(Create={}, Update=FAILED, Tag={"Round": 2})
    rounds = [(event.status, (event.properties or {})["Tag"]) for event in events_of(failed)]
    assert rounds == [
        ("UPDATE_IN_PROGRESS", '{"Round": 2}'),
        ("UPDATE_FAILED", '{"Round": 2}'),
        ("UPDATE_IN_PROGRESS", '{"Round": 1}'),
        ("UPDATE_COMPLETE", '{"Round": 1}'),
    ]
    assert (events_of(failed)[0].properties or {})["ServiceTimeout"] == "30"
    assert {event.properties for event in events_of(failed, stack.name)} == {None}


def test_a_changed_physical_id_is_a_replacement_deleted_in_the_clean_up(
    stack: ScriptedStack,
) -> None:
    """The clean-up has a status of its own (user guide, stack status codes), and its Deletes are
    of the general type of custom resources."""
    stack.deploy(Create={"PhysicalResourceId": "old"})
    replaced = stack.deploy(Update={"PhysicalResourceId": "new"})
    assert statuses(replaced, stack.name) == [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]
    shown = [(e.status, e.resource_type, e.physical_id) for e in events_of(replaced)]
    assert shown == [
        ("UPDATE_IN_PROGRESS", "Custom::Thing", "old"),
        ("UPDATE_IN_PROGRESS", "Custom::Thing", "new"),
        ("UPDATE_COMPLETE", "Custom::Thing", "new"),
        ("DELETE_IN_PROGRESS", CLEANED_UP, "old"),
        ("DELETE_COMPLETE", CLEANED_UP, "old"),
    ]
    create, update, delete = stack.requests()
    assert update["PhysicalResourceId"] == delete["PhysicalResourceId"] == "old"
    assert delete["RequestType"] == "Delete"
    assert delete["ResourceProperties"] == create["ResourceProperties"]


def test_a_clean_up_that_fails_leaves_the_update_complete(stack: ScriptedStack) -> None:
    """Events of serverless/serverless #9144."""
    stack.deploy(Create={}, others={"Other": {"Delete": FAILED}})
    updated = stack.deploy(Create={})
    assert updated.status == "UPDATE_COMPLETE"
    assert statuses(updated, "Other") == ["DELETE_IN_PROGRESS", "DELETE_FAILED"]
    assert reason_of(updated, "UPDATE_COMPLETE", stack.name) == (
        "Update successful. One or more resources could not be deleted."
    )


# Failures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["", "  "])
def test_an_empty_export_fails_the_stack_after_all_resources(
    stack: ScriptedStack, size: str
) -> None:
    failed = stack.deploy(Create={"Data": {"Size": size}}, exports=("Size",))
    assert failed.status == "ROLLBACK_COMPLETE"
    assert "CREATE_COMPLETE" in statuses(failed)
    assert reason_of(failed, "ROLLBACK_IN_PROGRESS", stack.name).startswith(
        "Cannot export output Size. Exported values must not be empty or whitespace-only"
    )
    assert {e.logical_id for e in failed.events if "Cannot export" in e.reason} == {stack.name}
    assert not failed.failures(), "no resource failed"


def test_an_empty_output_that_is_not_exported_is_fine(stack: ScriptedStack) -> None:
    assert stack.deploy(Create={"Data": {"Size": ""}}, outputs=("Size",)).outputs == {"Size": ""}


def test_a_replacement_fails_with_rollback_disabled(stack: ScriptedStack) -> None:
    """The words of aws-sam-cli #4164 and #4585."""
    stack.deploy(Create={"PhysicalResourceId": "old"})
    failed = stack.deploy(Update={"PhysicalResourceId": "new"}, rollback=False)
    assert failed.status == "UPDATE_FAILED"
    assert reason_of(failed, "UPDATE_FAILED") == (
        "Replacement type updates not supported on stack with disable-rollback."
    )


@pytest.mark.parametrize("is_failed_attempt", [False, True])
def test_a_failed_update_that_stays_is_updated_from_the_last_success_or_the_failed_attempt(
    stack: ScriptedStack, is_failed_attempt: bool
) -> None:
    """Which of the two CloudFormation sends is unknown, so the sandbox supports both."""
    stack.deploy(Create={}, Tag={"Round": 1})
    failed = stack.deploy(Update=FAILED, Tag={"Round": 2}, rollback=False)
    assert failed.status == "UPDATE_FAILED"
    settings = stack.sandbox.old_properties_of_the_failed_attempt
    with settings() if is_failed_attempt else nullcontext():
        assert stack.deploy(Update={}, Tag={"Round": 3}).status == "UPDATE_COMPLETE"
    olds = [request["OldResourceProperties"]["Tag"] for request in stack.requests()[1:]]
    assert olds == ['{"Round": 1}', '{"Round": 2}' if is_failed_attempt else '{"Round": 1}']


def test_the_same_template_can_be_retried_after_a_failure_that_stays(stack: ScriptedStack) -> None:
    stack.deploy(Create={})
    for _ in range(2):
        assert stack.deploy(Update=FAILED, rollback=False).status == "UPDATE_FAILED"
    assert stack.request_types() == ["Create", "Update", "Update"]


def test_a_create_that_failed_and_stays_is_created_again(stack: ScriptedStack) -> None:
    stack.deploy(Create=FAILED, rollback=False)
    assert stack.deploy(Create={}).status == "UPDATE_COMPLETE"
    assert stack.request_types() == ["Create", "Create"]


# Parallel resources -------------------------------------------------------------------------------


@contextmanager
def released_together(count: int) -> Iterator[int]:
    """Listen on a port whose connections are closed once there are `count` of them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hold() -> None:
            with ExitStack() as connections:
                for _ in range(count):
                    connections.enter_context(listener.accept()[0])

        holder = threading.Thread(target=hold, daemon=True)
        holder.start()
        yield listener.getsockname()[1]


def test_resources_without_a_dependency_are_created_in_parallel(stack: ScriptedStack) -> None:
    """See cloudformation-coverage-roadmap #1730."""
    with released_together(3) as port:
        hold = {"hold": port}
        others = {"Second": {"Create": hold}, "Third": {"Create": hold}}
        created = stack.deploy(Create=hold, others=others, service_timeout=20)
    assert created.status == "CREATE_COMPLETE"


def test_a_failure_cancels_what_is_in_progress_and_deletes_it_meanwhile(
    stack: ScriptedStack,
) -> None:
    """Its Delete is sent, with a generated id, while its Create still runs
    (cloudformation-coverage-roadmap #1814, aws-cdk PR #36951)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        failed = stack.deploy(Create={"hold": port}, others={"Broken": {"Create": FAILED}})
        assert failed.status == "ROLLBACK_COMPLETE"
        assert [(e.status, e.reason) for e in events_of(failed)] == [
            ("CREATE_IN_PROGRESS", ""),
            ("CREATE_FAILED", "Resource creation cancelled"),
            ("DELETE_IN_PROGRESS", ""),
            ("DELETE_COMPLETE", ""),
        ]
        create, delete = stack.requests()
        assert delete["PhysicalResourceId"].startswith(f"{stack.name}-Thing-")
        replied = [r.request_id for r in stack.sandbox.replies()]
        assert delete["RequestId"] in replied
        assert create["RequestId"] not in replied, "it still runs"
        listener.accept()[0].close()
        stack.sandbox.await_idle()
    late = stack.sandbox.replies()[-1]
    assert (late.request_id, late.status) == (create["RequestId"], 200)
    assert stack.sandbox.events(failed.stack_id) == list(failed.events), "and it is ignored"
    reason = reason_of(failed, "ROLLBACK_IN_PROGRESS", stack.name)
    assert "failed to create: [Broken, Thing]" in reason


def test_an_update_that_is_canceled_is_rolled_back_meanwhile(stack: ScriptedStack) -> None:
    stack.deploy(Create={}, others={"Broken": {"Create": {}}})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        broken = {"Broken": {"Create": {}, "Update": FAILED}}
        failed = stack.deploy(Create={}, Update={"hold": port}, others=broken)
        listener.accept()[0].close()
        stack.sandbox.await_idle()
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    assert reason_of(failed, "UPDATE_FAILED") == "Resource update cancelled"
    create, update, back = stack.requests()
    assert back["RequestType"] == "Update"
    assert back["ResourceProperties"] == create["ResourceProperties"]
    assert back["OldResourceProperties"] == update["ResourceProperties"]


def test_a_user_can_cancel_an_update_that_is_waiting(stack: ScriptedStack) -> None:
    stack.deploy(Create={})
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def cancel() -> None:
            with listener.accept()[0]:
                client = stack.sandbox.client("cloudformation")
                client.cancel_update_stack(StackName=stack.name)

        canceller = threading.Thread(target=cancel)
        canceller.start()
        canceled = stack.deploy(Update={"hold": listener.getsockname()[1]})
        canceller.join()
    stack.sandbox.await_idle()
    assert canceled.status == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.request_types() == ["Create", "Update", "Update"]


def test_what_depends_on_a_failed_resource_is_not_started(stack: ScriptedStack) -> None:
    after = {"Late": {"Type": "Custom::Thing", "DependsOn": ["Broken"], "Properties": {}}}
    failed = stack.deploy(Create={}, resources=after, others={"Broken": {"Create": FAILED}})
    assert failed.status == "ROLLBACK_COMPLETE"
    assert {"Late", "Thing"}.isdisjoint(e.logical_id for e in failed.events)
