"""The reply on its way: for how long it is tried, through which proxy, and against slow servers."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from hyperpod_node_removal_handler import aws, reply
from tests.handler.endpoint import Endpoint
from tests.handler.world import World


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


# How long ------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [2, 5, 8])
@pytest.mark.parametrize("trouble", [503, 403, "reset"])
def test_an_outage_of_minutes_is_waited_out(world: World, minutes: int, trouble: int | str) -> None:
    world.endpoint.statuses = [trouble]
    over = world.clock.now() + 60 + 60 * minutes

    def recover() -> None:
        if world.clock.now() >= over:
            world.endpoint.statuses = [200]

    world.endpoint.on_request = recover
    event = world.event("Create", {"ClusterName": "ml-cluster", "NodeIds": [world.nodes[0]]})
    world.run(event)
    assert world.endpoint.statuses == [200]
    assert len({body for _, _, body in world.endpoint.requests}) == 1


@pytest.mark.parametrize(("timeout", "ends_at"), [("300", 300), ("3600", 900)])
def test_the_reply_is_tried_until_service_timeout_or_the_invocation_is_over(
    world: World, timeout: str, ends_at: int
) -> None:
    world.endpoint.statuses = [503]
    began, times = world.clock.now(), list[float]()
    world.endpoint.on_request = lambda: times.append(world.clock.now())
    node = world.nodes[0]
    properties = {"ClusterName": "ml-cluster", "NodeIds": [node], "ServiceTimeout": timeout}
    world.run(world.event("Create", properties))
    assert began + ends_at - 40 < times[-1] < began + ends_at
    assert "did not reach CloudFormation: " in world.log.text
    assert "s3cret" not in world.log.text


@pytest.mark.parametrize("kind", ["Delete", "Create"])
def test_the_reply_to_a_request_without_work_is_tried_as_long(world: World, kind: str) -> None:
    world.endpoint.statuses = [503]
    began, times = world.clock.now(), list[float]()
    world.endpoint.on_request = lambda: times.append(world.clock.now())
    world.run(world.event(kind, {"ClusterName": "ml-cluster"}))
    assert began + 860 < times[-1] < began + 900


# Proxies -------------------------------------------------------------------------------------


def test_the_reply_goes_through_the_proxy(world: World, proxy: Proxy) -> None:
    answer = world.send("Create", NodeIds=[world.nodes[0]])
    assert answer["Status"] == "SUCCESS"
    port = world.endpoint.server.server_port
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
    "exception", ["127.0.0.1", "*", "example.org,127.0.0.1", "127.0.0.1:{port}"]
)
def test_no_proxy_is_respected(
    endpoint: Endpoint, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, exception: str
) -> None:
    monkeypatch.setenv("NO_PROXY", exception.format(port=endpoint.server.server_port))
    reply.put(endpoint.url, b"{}", 5)
    assert len(endpoint.requests) == 1
    assert proxy.asked == []


def test_an_exception_for_another_port_is_none(
    endpoint: Endpoint, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1:1,example.org")
    reply.put(endpoint.url, b"{}", 5)
    assert len(proxy.asked) == 1


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
def test_an_error_of_the_sdk_tells_no_password_of_a_proxy(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
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


def test_a_server_that_drips_its_answer_has_one_deadline_for_all_of_it(
    authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, path = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(4096)
            drip(secure)

    with served(talk) as port, pytest.raises(reply.DeliveryError):
        reply.put(f"https://127.0.0.1:{port}/", b"{}", 0.5)


def test_a_proxy_that_drips_its_answer_has_the_same_deadline(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(drip) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with pytest.raises(reply.DeliveryError):
            reply.put(endpoint.url, b"{}", 0.5)


def test_a_server_that_drips_its_handshake_has_the_same_deadline() -> None:
    def talk(connection: socket.socket) -> None:
        # A record of the handshake that promises more than will ever come.
        connection.sendall(b"\x16\x03\x03\x40\x00")
        stop = threading.Event()
        while not stop.wait(0.02):
            connection.sendall(b"\x02")

    with served(talk) as port, pytest.raises(reply.DeliveryError):
        reply.put(f"https://127.0.0.1:{port}/", b"{}", 0.5)


def test_a_reply_that_dripped_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
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
        answer = world.send("Create", NodeIds=[world.nodes[0]])
    assert answer["Status"] == "SUCCESS"
    assert "The response was not delivered" in world.log.text
