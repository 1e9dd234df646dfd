"""Resources that do not depend on each other go side by side, and are cancelled together."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.sandbox.scripted_stack import ScriptedStack

FAILED = {"Status": "FAILED", "Reason": "Not today."}


@contextmanager
def released_together(count: int) -> Iterator[int]:
    """A port whose connections are closed once there are so many of them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hold() -> None:
            with ExitStack() as connections:
                for _ in range(count):
                    connections.enter_context(listener.accept()[0])

        holder = threading.Thread(target=hold, daemon=True)
        holder.start()
        yield listener.getsockname()[1]


def test_resources_without_a_dependency_are_made_in_parallel(stack: ScriptedStack) -> None:
    """In one stack many at once (cloudformation-coverage-roadmap #1730)."""
    with released_together(3) as port:
        hold = {"hold": port}
        others = {"Second": {"Create": hold}, "Third": {"Create": hold}}
        created = stack.deploy(Create=hold, beside=others, service_timeout=20)
    assert created.status == "CREATE_COMPLETE"


def test_a_failure_cancels_what_is_in_progress_and_deletes_it_meanwhile(
    stack: ScriptedStack,
) -> None:
    """Its Delete is sent, with an id that was made up, while its Create still runs
    (cloudformation-coverage-roadmap #1814, aws-cdk PR #36951)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        failed = stack.deploy(Create={"hold": port}, beside={"Broken": {"Create": FAILED}})
        assert failed.status == "ROLLBACK_COMPLETE"
        history = [(e.status, e.reason) for e in failed.events if e.logical_id == "Thing"]
        assert history == [
            ("CREATE_IN_PROGRESS", ""),
            ("CREATE_FAILED", "Resource creation cancelled"),
            ("DELETE_IN_PROGRESS", ""),
            ("DELETE_COMPLETE", ""),
        ]
        create, delete = [e for e in stack.requests() if e["LogicalResourceId"] == "Thing"]
        assert delete["PhysicalResourceId"].startswith(f"{stack.name}-Thing-")
        answered = [r.request_id for r in stack.sandbox.replies()]
        assert delete["RequestId"] in answered
        assert create["RequestId"] not in answered, "it still runs"
        listener.accept()[0].close()
        stack.sandbox.await_idle()
    late = stack.sandbox.replies()[-1]
    assert (late.request_id, late.status) == (create["RequestId"], 200)
    assert stack.sandbox.events(failed.stack_id) == list(failed.events), "and nobody cares"
    assert "failed to create: [Broken, Thing]" in turning_point(failed.events)


def turning_point(events: object) -> str:
    assert isinstance(events, tuple)
    return str(next(e.reason for e in events if e.status == "ROLLBACK_IN_PROGRESS"))


def test_an_update_that_is_cancelled_is_sent_back_meanwhile(stack: ScriptedStack) -> None:
    stack.deploy(Create={}, beside={"Broken": {"Create": {}}})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        broken = {"Broken": {"Create": {}, "Update": FAILED}}
        failed = stack.deploy(Create={}, Update={"hold": port}, beside=broken)
        listener.accept()[0].close()
        stack.sandbox.await_idle()
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    (cancelled,) = [
        e for e in failed.events if (e.logical_id, e.status) == ("Thing", "UPDATE_FAILED")
    ]
    assert cancelled.reason == "Resource update cancelled"
    create, update, back = [e for e in stack.requests() if e["LogicalResourceId"] == "Thing"]
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
        cancelled = stack.deploy(Update={"hold": listener.getsockname()[1]})
        canceller.join()
    stack.sandbox.await_idle()
    assert cancelled.status == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.request_types() == ["Create", "Update", "Update"]


def test_what_depends_on_a_failed_resource_is_not_begun(stack: ScriptedStack) -> None:
    after = {"Late": {"Type": "Custom::Thing", "DependsOn": ["Broken"], "Properties": {}}}
    failed = stack.deploy(Create={}, resources=after, beside={"Broken": {"Create": FAILED}})
    assert failed.status == "ROLLBACK_COMPLETE"
    assert {"Late", "Thing"}.isdisjoint(e.logical_id for e in failed.events)
