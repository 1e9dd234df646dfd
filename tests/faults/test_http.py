"""Truncated and missing responses, with the real SDK over real HTTP."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config

from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.cluster import Cluster
from sandbox.hyperpod import ServiceError
from tests.aws_transport import Answer, RawAnswerError, Sent, answered_by
from tests.faults.conftest import Tally

GROUP = "2 calls to AWS"
RESPONSE = b'{"ClusterNodeSummaries": [{"InstanceId": "i-0123456789abcdef0"}]}'


def client(url: str) -> Any:
    return boto3.client(
        "sagemaker",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        # The function makes all retries itself.
        config=Config(retries={"total_max_attempts": 1}, read_timeout=1),
    )


@contextmanager
def serve(response: bytes) -> Iterator[str]:
    """Respond to one request with these bytes, and close the connection. Yield the URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def respond() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(response)

        thread = threading.Thread(target=respond, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def http(body: bytes, *, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("what", "response"),
    [
        ("a body cut in the middle", http(RESPONSE[:20], length=len(RESPONSE))),
        ("a body that ends too early", http(RESPONSE[:20])),
        ("a body that ends in the middle of a letter", http('{"a": "\u00e9'.encode()[:-1])),
        ("no body", http(b"")),
        ("no response", b""),
        ("half a header", b"HTTP/1.1 200 OK\r\nContent-Le"),
        ("a page of a proxy", http(b"<html>Hello</html>")),
        ("an error page of a proxy", http(b"<html>Sorry</html>", status="502 Bad Gateway")),
    ],
)
def test_an_unreadable_response_is_a_transient_error(
    what: str, response: bytes, tally: Tally
) -> None:
    with tally.fault(what), serve(response) as url, pytest.raises(aws.TransientError):
        Cluster("ml-cluster", client(url)).nodes()


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (http(RESPONSE[:20], length=len(RESPONSE)), RawAnswerError(RESPONSE[:20], is_cut=True)),
        (http(b"<html>Hello</html>"), RawAnswerError(b"<html>Hello</html>")),
        (http(b"null"), RawAnswerError(b"null")),
        (http(b"<html></html>", status="502 Bad Gateway"), RawAnswerError(b"<html></html>", 502)),
        (
            http(b'{"__type": "ThrottlingException", "message": "slow"}', status="400 Bad Request"),
            ServiceError("ThrottlingException", "slow"),
        ),
    ],
    ids=["cut", "page", "null", "error page", "error"],
)
def test_the_transport_of_other_tests_fails_like_a_socket(
    response: bytes, error: Exception
) -> None:
    def refuse(_: Sent) -> Answer:
        raise error

    with serve(response) as url, pytest.raises(aws.TransientError) as expected:
        Cluster("ml-cluster", client(url)).nodes()
    with answered_by(refuse), pytest.raises(aws.TransientError) as raised:
        Cluster("ml-cluster", client("https://api.example")).nodes()
    assert raised.type is expected.type
    assert raised.value.code == expected.value.code
