"""Custom resources, their requests, and their replies work as in CloudFormation."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.engine.custom_resources import CustomResourceFailed, read_reply
from sandbox.engine.exchange import PATH, Exchange
from tests.sandbox.scripted_stack import FAILED, ScriptedStack, events_of, reason_of, statuses


def test_create_update_and_delete(stack: ScriptedStack) -> None:
    created = stack.deploy(Create={"Data": {"Size": "3"}}, outputs=("Size",))
    assert created.status == "CREATE_COMPLETE"
    assert created.outputs == {"Size": "3"}
    assert created.succeeded
    assert stack.deploy(Create={"Data": {"Size": "3"}}, outputs=("Size",)).outputs == {"Size": "3"}
    assert stack.request_types() == ["Create"], "an update without changes sends nothing"
    updated = stack.deploy(Update={"Data": {"Size": "4"}}, outputs=("Size",), service_timeout=45)
    assert updated.status == "UPDATE_COMPLETE"
    assert updated.outputs == {"Size": "4"}
    assert statuses(updated) == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]
    assert stack.sandbox.delete(stack.name).status == "DELETE_COMPLETE"
    assert stack.sandbox.status(stack.name) is None

    create, update, delete = stack.requests()
    assert "PhysicalResourceId" not in create
    assert create["ResourceProperties"]["ServiceToken"] == create["ServiceToken"]
    assert update["OldResourceProperties"] == create["ResourceProperties"]
    assert delete["PhysicalResourceId"] == update["PhysicalResourceId"] == "scripted"
    assert len({event["RequestId"] for event in (create, update, delete)}) == 3
    # at the top level as well, as text, as in public events of custom resources that set it
    for request, timeout in ((create, "30"), (update, "45")):
        assert request["ServiceTimeout"] == timeout
        assert request["ResourceProperties"]["ServiceTimeout"] == timeout


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


def test_a_failed_create_is_deleted_with_the_id_of_its_reply(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={**FAILED, "PhysicalResourceId": "half-made"})

    assert deployment.status == "ROLLBACK_COMPLETE"
    create, delete = stack.requests()
    assert delete["RequestType"] == "Delete"
    assert delete["PhysicalResourceId"] == "half-made"
    assert delete["ResourceProperties"] == create["ResourceProperties"]
    assert [(e.status, e.physical_id) for e in events_of(deployment)] == [
        ("CREATE_IN_PROGRESS", ""),
        ("CREATE_IN_PROGRESS", "half-made"),
        ("CREATE_FAILED", "half-made"),
        ("DELETE_IN_PROGRESS", "half-made"),
        ("DELETE_COMPLETE", "half-made"),
    ]
    assert reason_of(deployment, "CREATE_FAILED") == (
        "Received response status [FAILED] from custom resource."
        f" Message returned: Not today. (RequestId: {create['RequestId']})"
    )
    assert not deployment.succeeded
    assert [e.logical_id for e in deployment.failures()] == ["Thing"]

    (function,) = stack.sandbox.client("cloudformation").describe_stack_resources(
        StackName=deployment.stack_id, LogicalResourceId="Function"
    )["StackResources"]
    assert function["ResourceStatus"] == "DELETE_COMPLETE", "the CDK CLI needs it"
    assert function["PhysicalResourceId"] in [event.physical_id for event in deployment.events]
    assert stack.deploy(Create={}).status == "CREATE_COMPLETE", "as the CDK CLI deploys again"


def test_a_failed_delete_after_a_failed_create_fails_the_rollback(stack: ScriptedStack) -> None:
    assert stack.deploy(Create=FAILED, Delete=FAILED).status == "ROLLBACK_FAILED"


def test_a_failed_create_that_stays_is_deleted_with_the_stack(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create=FAILED, rollback=False)
    assert deployment.status == "CREATE_FAILED"
    assert stack.request_types() == ["Create"]
    stack.sandbox.delete(stack.name)
    assert stack.request_types() == ["Create", "Delete"]


def test_a_long_reason_is_truncated_in_the_event(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"Status": "FAILED", "Reason": "n" * 3000})
    assert len(reason_of(deployment, "CREATE_FAILED")) == 1024


def test_a_failed_update_is_rolled_back_with_another_update(stack: ScriptedStack) -> None:
    stack.deploy(Create={"Data": {"Size": "3"}}, outputs=("Size",))
    deployment = stack.deploy(Update=FAILED, outputs=("Size",))
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


def test_an_attribute_that_data_lacks_fails_the_stack(stack: ScriptedStack) -> None:
    deployment = stack.deploy(Create={"Data": {"Size": "3"}}, outputs=("Size", "Colour"))
    assert deployment.status == "ROLLBACK_COMPLETE"
    assert any("Colour" in event.reason for event in deployment.events)


def test_only_the_first_reply_counts_and_all_are_recorded(stack: ScriptedStack) -> None:
    assert stack.deploy(Create={"times": 2}).succeeded
    stack.sandbox.await_idle()
    (create,) = stack.requests()
    replies = [r for r in stack.sandbox.replies() if r.request_id == create["RequestId"]]
    assert [r.status for r in replies] == [200, 200]
    assert replies[0].body == replies[1].body
    assert replies[0].json()["PhysicalResourceId"] == "scripted"


# The body of a reply ------------------------------------------------------------------------------

REQUEST = {"StackId": "arn:stack", "RequestId": "r-1", "LogicalResourceId": "Thing"}
REPLY: dict[str, Any] = {**REQUEST, "Status": "SUCCESS", "PhysicalResourceId": "thing"}


def body(**changes: Any) -> bytes:
    return json.dumps({**REPLY, **changes}).encode()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PhysicalResourceId": None}, "Invalid PhysicalResourceId"),
        ({"PhysicalResourceId": ""}, "Invalid PhysicalResourceId"),
        ({"PhysicalResourceId": "x" * 1025}, "Invalid PhysicalResourceId"),
        ({"Status": "DONE"}, "Invalid Status"),
        ({"Reason": None}, "Invalid Reason"),
        ({"Data": ["Size"]}, "Invalid Data"),
        ({"RequestId": "r-2"}, "Invalid RequestId"),
        ({"StackId": "arn:other"}, "Invalid StackId"),
    ],
)
def test_replies_that_fail_the_resource(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CustomResourceFailed) as raised:
        read_reply(body(**changes), REQUEST)
    assert str(raised.value) == reason


@given(st.binary(max_size=5000))
def test_arbitrary_bytes_are_a_failure(data: bytes) -> None:
    with pytest.raises(CustomResourceFailed):
        read_reply(data, REQUEST)


@given(st.integers(0, 5000))
def test_the_limit_is_4096_bytes(padding: int) -> None:
    reply = body(Reason="x" * padding)
    if len(reply) <= 4096:
        assert read_reply(reply, REQUEST)[0] == "thing"
    else:
        with pytest.raises(CustomResourceFailed, match="too long"):
            read_reply(reply, REQUEST)


# The response URL ---------------------------------------------------------------------------------

ENDPOINT = "https://127.0.0.1:1"


def test_a_response_url_is_dated_and_expires_after_two_hours() -> None:
    """It is an S3 URL presigned for two hours; X-Amz-Date is when the request was sent."""
    now = 1_800_000_000.0
    exchange = Exchange(ENDPOINT, clock=lambda: now)
    url = exchange.response_url("r-1")
    path, _, query = url.removeprefix(ENDPOINT).partition("?")
    assert query.startswith("X-Amz-Date=20270115T080000Z&X-Amz-Expires=7200&")
    now += 7200.0
    assert exchange.deliver("PUT", path, query, "", b"late") == 403
    assert exchange.wait(url, 0) is None
    now -= 1.0
    assert exchange.deliver("PUT", path, query, "", b"in time") == 200


def test_a_response_url_accepts_a_signed_put_without_a_content_type() -> None:
    exchange = Exchange(ENDPOINT)
    url = exchange.response_url("r-1")
    path, _, query = url.removeprefix(ENDPOINT).partition("?")

    assert exchange.deliver("PUT", path, query, "application/json", b"no") == 403
    assert exchange.deliver("POST", path, query, "", b"no") == 403
    assert exchange.deliver("PUT", path, "", "", b"no") == 403
    assert exchange.deliver("PUT", f"{PATH}made-up", query, "", b"no") == 403
    assert exchange.wait(url, 0) is None
    assert exchange.deliver("PUT", path, query, "", b"first") == 200
    assert exchange.deliver("PUT", path, query, "", b"second") == 200
    assert exchange.wait(url, 0) == b"first"
    assert [(r.status, r.body) for r in exchange.replies][-2:] == [
        (200, b"first"),
        (200, b"second"),
    ]
