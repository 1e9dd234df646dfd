"""Delivery of replies to a real HTTPS endpoint on this machine."""

import json
import logging
import socket
import threading

import pytest

from hyperpod_node_removal_contract import Outcome
from hyperpod_node_removal_handler import reply
from hyperpod_node_removal_handler.envelope import Envelope
from hyperpod_node_removal_handler.reply import Responder
from hyperpod_node_removal_handler.report import untouched
from tests.handler.endpoint import Endpoint
from tests.handler.world import STACK_ID, VirtualClock

REPORT = untouched(Outcome.DELETED, "ml-cluster", "The resource was deleted.")


def exchange(url: str, clock: VirtualClock, seconds: float = 600) -> Responder:
    envelope = Envelope(
        request_type="Delete",
        stack_id=STACK_ID,
        request_id="0d4c4f8a-3f9b-4a7c-9a41-5a6f0f5d1e11",
        logical_resource_id="Removal",
        response_url=url,
        physical_resource_id="hyperpod-node-removal/ml-stack/Removal/6d1f0c2e",
    )
    return Responder(envelope, clock=clock, ends_at=clock.now() + seconds)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def test_the_body_is_put_to_the_signed_url_as_it_is(
    endpoint: Endpoint, clock: VirtualClock
) -> None:
    exchange(endpoint.url, clock).reply(REPORT)
    ((path, headers, body),) = endpoint.requests
    assert path == "/bucket/key?X-Amz-Signature=s3cret&a=%2F"
    assert headers["content-type"] == ""
    answer = json.loads(body)
    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == "hyperpod-node-removal/ml-stack/Removal/6d1f0c2e"
    assert answer["StackId"] == STACK_ID


@pytest.mark.parametrize("trouble", [403, 500, 503, 307, "reset"])
def test_what_is_not_a_2xx_is_not_delivered_and_tried_again(
    endpoint: Endpoint, clock: VirtualClock, trouble: int | str
) -> None:
    endpoint.statuses = [trouble, trouble, 200]
    start = clock.now()
    exchange(endpoint.url, clock).reply(REPORT)
    assert len(endpoint.requests) == 3
    assert 2 < clock.now() - start < 4


@pytest.mark.parametrize("trouble", [403, 503, 307, "reset"])
def test_tries_go_on_until_the_end_and_then_the_reply_is_in_the_log_without_the_url(
    caplog: pytest.LogCaptureFixture, endpoint: Endpoint, clock: VirtualClock, trouble: int | str
) -> None:
    endpoint.statuses = [trouble]
    end = clock.now() + 600
    exchange(endpoint.url, clock, seconds=600).reply(REPORT)
    assert end - 40 < clock.now() < end
    assert len(endpoint.requests) > 10
    assert caplog.records[-1].levelno == logging.ERROR
    assert "The response was: {" in caplog.text
    assert "s3cret" not in caplog.text
    assert "127.0.0.1" not in caplog.text


def test_tries_end_with_the_invocation(endpoint: Endpoint, clock: VirtualClock) -> None:
    endpoint.statuses = [503]
    start = clock.now()
    exchange(endpoint.url, clock, seconds=10).reply(REPORT)
    assert clock.now() - start < 10


def test_a_server_that_does_not_answer_does_not_hold_the_function(
    endpoint: Endpoint, clock: VirtualClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(reply.DeliveryError, match="TimeoutError"):
            reply.put(url, b"{}", 0.05)


def test_a_refused_connection_is_not_delivered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(reply.DeliveryError, match="ConnectionRefusedError"):
        reply.put(f"https://127.0.0.1:{port}/", b"{}", 1)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "https://",
        "",
        "https://[/",
        "nonsense",
        "https://host:port/",
    ],
)
def test_only_https_urls_are_called(url: str) -> None:
    with pytest.raises(reply.DeliveryError):
        reply.put(url, b"{}", 1)


def test_the_certificate_is_verified(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(reply.DeliveryError, match="SSLCertVerificationError"):
        reply.put(endpoint.url, b"{}", 1)
    assert endpoint.requests == []


def test_the_first_of_several_replies_is_the_only_one(
    endpoint: Endpoint, clock: VirtualClock
) -> None:
    once = exchange(endpoint.url, clock)
    barrier = threading.Barrier(4)

    def race() -> None:
        barrier.wait()
        once.reply(REPORT)

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(endpoint.requests) == 1
