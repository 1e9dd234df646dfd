"""The reply on its way: for how long it is tried, through which proxy, and against slow servers."""

import contextlib
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from hyperpod_node_removal_contract import Outcome
from hyperpod_node_removal_handler import aws, reply
from hyperpod_node_removal_handler.reply import Responder
from hyperpod_node_removal_handler.report import untouched
from tests.handler.endpoint import Endpoint
from tests.handler.world import ENVELOPE, PHYSICAL_ID, STACK_ID, VirtualClock, World


def test_the_body_is_put_to_the_signed_url_as_it_is(world: World) -> None:
    world.send("Delete")
    ((path, headers, body),) = world.endpoint.requests
    assert path.endswith("?X-Amz-Signature=s3cret&a=%2F")
    assert world.endpoint.url.endswith(path)
    assert headers["content-type"] == ""
    answer = json.loads(body)
    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == PHYSICAL_ID
    assert answer["StackId"] == STACK_ID


def test_the_first_of_several_replies_is_the_only_one(endpoint: Endpoint) -> None:
    clock = VirtualClock()
    envelope = replace(ENVELOPE, response_url=endpoint.url)
    once = Responder(envelope, clock=clock, ends_at=clock.now() + 600)
    report = untouched(Outcome.DELETED, "ml-cluster", "The resource was deleted.")
    barrier = threading.Barrier(4)

    def race() -> None:
        barrier.wait()
        once.reply(report)

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(endpoint.requests) == 1


# How long ------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [403, 500, 503, 307, "reset"])
def test_what_is_not_a_2xx_is_not_delivered_and_retried(world: World, trouble: int | str) -> None:
    world.endpoint.statuses = [trouble, trouble, 200]
    start = world.clock.now()
    world.run(world.event("Delete", {"ClusterName": "ml-cluster"}))
    assert len(world.endpoint.requests) == 3
    assert 2 < world.clock.now() - start < 4


@pytest.mark.parametrize("minutes", [2, 5, 8])
@pytest.mark.parametrize("trouble", [503, 403, "reset"])
def test_an_outage_of_minutes_is_waited_out(world: World, minutes: int, trouble: int | str) -> None:
    world.endpoint.statuses = [trouble]
    over = world.clock.now() + 60 + 60 * minutes

    def recover() -> None:
        if world.clock.now() >= over:
            world.endpoint.statuses = [200]

    world.endpoint.on_request = recover
    world.run(world.event("Create", {"ClusterName": "ml-cluster", "NodeIds": world.nodes[:1]}))
    assert world.endpoint.statuses == [200]
    assert len({body for _, _, body in world.endpoint.requests}) == 1


@pytest.mark.parametrize("trouble", [403, 503, 307, "reset"])
@pytest.mark.parametrize(
    ("kind", "timeout", "seconds", "end"),
    [
        ("Update", "300", 900.0, 300),
        ("Update", "3600", 900.0, 900),
        ("Create", "3600", 900.0, 900),
        ("Delete", "3600", 900.0, 900),
        ("Delete", "3600", 10.0, 10),
    ],
    ids=["service timeout", "invocation", "empty set", "delete", "short invocation"],
)
def test_it_is_tried_until_the_end_and_then_it_is_in_the_log_without_the_url(
    world: World, trouble: int | str, kind: str, timeout: str, seconds: float, end: int
) -> None:
    world.endpoint.statuses = [trouble]
    began, times = world.clock.now(), list[float]()
    world.endpoint.on_request = lambda: times.append(world.clock.now())
    nodes = world.nodes[:1] if kind == "Update" else []
    properties = {"ClusterName": "ml-cluster", "NodeIds": nodes, "ServiceTimeout": timeout}
    world.run(world.event(kind, properties), seconds)
    assert began + end - 40 < times[-1] <= world.clock.now() < began + end
    assert len(times) > min(10, end / 5)
    assert world.log.records[-1].levelno == logging.ERROR
    assert "did not reach CloudFormation: " in world.log.text
    assert "The response was: {" in world.log.text
    assert "s3cret" not in world.log.text
    assert "127.0.0.1" not in world.log.text


# Connections ---------------------------------------------------------------------------------


def test_a_server_that_does_not_answer_does_not_hold_the_function() -> None:
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


@contextlib.contextmanager
def served(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """A server on a free port that has `talk` handle each connection, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=handle, args=(connection,), daemon=True).start()

        def handle(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                talk(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


class Proxy:
    """An HTTP proxy that knows CONNECT alone, and records what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def talk(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        self.asked.append(head.decode("latin-1"))
        host, _, port = self.asked[-1].split()[1].rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
            back.start()
            self._copy(client, server)
            back.join()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    for name in ("https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    proxy = Proxy()
    with served(proxy.talk) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        yield proxy


# Proxies -------------------------------------------------------------------------------------


def test_the_reply_goes_through_the_proxy(world: World, proxy: Proxy) -> None:
    world.succeeds("Create", NodeIds=world.nodes[:1])
    port = world.endpoint.port
    assert len(proxy.asked) == 1
    assert proxy.asked[0].startswith(f"CONNECT 127.0.0.1:{port} ")
    assert "s3cret" not in "".join(proxy.asked)


def test_a_proxy_may_want_credentials_and_be_named_without_a_scheme(
    endpoint: Endpoint, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(proxy.talk) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"us%40er:pass@127.0.0.1:{port}")
        reply.put(endpoint.url, b"{}", 5)
    assert len(endpoint.requests) == 1
    assert "Proxy-Authorization: Basic dXNAZXI6cGFzcw==" in proxy.asked[0]


@pytest.mark.parametrize(
    ("exception", "connections"),
    [
        ("127.0.0.1", 0),
        ("*", 0),
        ("example.org,127.0.0.1", 0),
        ("127.0.0.1:{port}", 0),
        ("127.0.0.1:1,example.org", 1),
    ],
)
def test_no_proxy_is_respected(
    endpoint: Endpoint,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    exception: str,
    connections: int,
) -> None:
    monkeypatch.setenv("NO_PROXY", exception.format(port=endpoint.port))
    reply.put(endpoint.url, b"{}", 5)
    assert len(endpoint.requests) == 1
    assert len(proxy.asked) == connections


def test_a_proxy_that_refuses_is_an_error_without_the_url(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with served(refuse) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with pytest.raises(reply.DeliveryError) as caught:
            reply.put(endpoint.url, b"{}", 5)
    assert endpoint.requests == []
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://user:s3cret@127.0.0.1:1",
        "http://user:s3cret#1@127.0.0.1:1",
        "http://user:s3cret/1@127.0.0.1:1",
        "http://user:s3cret@127.0.0.1:1",
    ],
)
def test_an_sdk_error_shows_no_proxy_password(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(aws.TransientError) as caught, aws.map_errors("Invoke"):
        aws.waiting_client(1).invoke(FunctionName="drain", Payload=b"{}")
    assert "s3cret" not in str(caught.value)
    assert "HTTPS_PROXY" in str(caught.value)


# Slow servers --------------------------------------------------------------------------------


def drip(connection: socket.socket) -> None:
    """Send bytes of an answer one by one for as long as anyone reads them."""
    stop = threading.Event()
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not stop.wait(0.02):
        connection.sendall(b"x")


def drip_handshake(connection: socket.socket) -> None:
    """Promise more of a record of the handshake than will ever come."""
    connection.sendall(b"\x16\x03\x03\x40\x00")
    stop = threading.Event()
    while not stop.wait(0.02):
        connection.sendall(b"\x02")


@pytest.mark.parametrize("dripping", ["answer", "handshake", "proxy"])
def test_a_server_that_drips_has_one_deadline_for_all_of_it(
    authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch, dripping: str
) -> None:
    ca, path = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)

    def drip_answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(4096)
            drip(secure)

    talk = {"answer": drip_answer, "handshake": drip_handshake, "proxy": drip}[dripping]
    with served(talk) as port:
        if dripping == "proxy":
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with pytest.raises(reply.DeliveryError):
            reply.put(f"https://127.0.0.1:{port}/", b"{}", 0.5)


def test_a_reply_that_dripped_is_retried(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "REPLY_TIMEOUT", 0.5)
    dripping = threading.Event()
    dripping.set()

    def once(client: socket.socket) -> None:
        if dripping.is_set():
            dripping.clear()
            drip(client)
        Proxy().talk(client)

    with served(once) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        world.succeeds("Create", NodeIds=world.nodes[:1])
    assert "The response was not delivered" in world.log.text
