"""What CloudFormation makes of a reply, and what a ResponseURL takes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.engine.exchange import PATH, Exchange
from sandbox.engine.replies import CustomResourceFailed, read_reply
from sandbox.record import read_replies, read_requests

REQUEST = {"StackId": "arn:stack", "RequestId": "r-1", "LogicalResourceId": "Thing"}
REPLY: dict[str, Any] = {**REQUEST, "Status": "SUCCESS", "PhysicalResourceId": "thing"}


def body(**changes: Any) -> bytes:
    return json.dumps({**REPLY, **changes}).encode()


def test_success() -> None:
    reply = read_reply(body(Data={"Size": "3"}), REQUEST)
    assert (reply.physical_id, reply.data) == ("thing", {"Size": "3"})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PhysicalResourceId": ""}, "Invalid PhysicalResourceId"),
        ({"PhysicalResourceId": "x" * 1025}, "Invalid PhysicalResourceId"),
        ({"Status": "DONE"}, "Invalid Status"),
        ({"Reason": None}, "Invalid Reason"),
        ({"Data": ["Size"]}, "Invalid Data"),
        ({"RequestId": "r-2"}, "Invalid RequestId"),
        ({"StackId": "arn:other"}, "Invalid StackId"),
        ({"Data": {"x": "x" * 4096}}, "Response object is too long."),
    ],
)
def test_replies_that_fail_the_resource(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CustomResourceFailed) as raised:
        read_reply(body(**changes), REQUEST)
    assert str(raised.value) == reason


@given(st.binary(max_size=5000))
def test_any_bytes_are_a_reply_or_a_failure(data: bytes) -> None:
    with pytest.raises(CustomResourceFailed):
        read_reply(data, REQUEST)


@given(st.integers(0, 5000))
def test_the_limit_is_4096_bytes(padding: int) -> None:
    reply = body(Reason="x" * padding)
    if len(reply) <= 4096:
        read_reply(reply, REQUEST)
    else:
        with pytest.raises(CustomResourceFailed, match="too long"):
            read_reply(reply, REQUEST)


def test_a_response_url_is_dated_and_refused_after_two_hours(tmp_path: Path) -> None:
    """It is an S3 URL presigned for two hours; X-Amz-Date tells when the request was sent."""
    now = 1_800_000_000.0
    exchange = Exchange("https://127.0.0.1:1", tmp_path, clock=lambda: now)
    url = exchange.response_url("r-1")
    path, _, query = url.removeprefix("https://127.0.0.1:1").partition("?")
    assert query.startswith("X-Amz-Date=20270115T080000Z&X-Amz-Expires=7200&")
    now += 7200.0
    assert exchange.deliver("PUT", path, query, "", b"late") == 403
    assert exchange.wait(url, 0) is None
    now -= 1.0
    assert exchange.deliver("PUT", path, query, "", b"in time") == 200


def test_a_response_url_takes_a_signed_put_without_a_content_type(tmp_path: Path) -> None:
    exchange = Exchange("https://127.0.0.1:1", tmp_path)
    exchange.sent({"RequestId": "r-1", "RequestType": "Create"})
    url = exchange.response_url("r-1")
    path, _, query = url.removeprefix("https://127.0.0.1:1").partition("?")

    assert exchange.deliver("PUT", path, query, "application/json", b"no") == 403
    assert exchange.deliver("POST", path, query, "", b"no") == 403
    assert exchange.deliver("PUT", path, "", "", b"no") == 403
    assert exchange.deliver("PUT", f"{PATH}made-up", query, "", b"no") == 403
    assert exchange.wait(url, 0) is None
    assert exchange.deliver("PUT", path, query, "", b"first") == 200
    assert exchange.deliver("PUT", path, query, "", b"second") == 200
    assert exchange.wait(url, 0) == b"first"

    assert [(r.status, r.body) for r in read_replies(tmp_path)][-2:] == [
        (200, b"first"),
        (200, b"second"),
    ]
    assert [r.request_type for r in read_requests(tmp_path)] == ["Create"]
