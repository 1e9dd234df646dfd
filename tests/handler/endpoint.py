"""The end of presigned URLs: an HTTPS server on this machine that records what it gets."""

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

import trustme

_PLACE: Final = "/bucket/"


@dataclass
class Endpoint:
    """A presigned URL, whose server answers each request as configured and records what it gets."""

    url: str
    statuses: list[int | str] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    on_request: Callable[[], object] = lambda: None

    @property
    def port(self) -> int | None:
        return urlsplit(self.url).port


class EndpointServer:
    """The server of the endpoints of all tests. A request after the end of its test is refused."""

    def __init__(self, ca: trustme.CA) -> None:
        self._count = 0
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self._respond(served.record(self.path, dict(self.headers), body))

            def _respond(self, status: int | str) -> None:
                if status == "reset":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                self.send_response(int(status))
                if status == 307:
                    self.send_header("Location", "https://127.0.0.1:1/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self._endpoint = self.new_endpoint()

    def new_endpoint(self) -> Endpoint:
        self._count += 1
        place = f"https://127.0.0.1:{self._server.server_port}{_PLACE}{self._count}"
        self._endpoint = Endpoint(f"{place}?X-Amz-Signature=s3cret&a=%2F")
        return self._endpoint

    def record(self, path: str, headers: dict[str, str], body: bytes) -> int | str:
        """Record a request, and return the status of its answer."""
        endpoint, place = self._endpoint, urlsplit(path).path
        is_earlier = place.startswith(_PLACE) and urlsplit(endpoint.url).path != place
        if is_earlier:
            return 410
        endpoint.requests.append((path, headers, body))
        endpoint.on_request()
        statuses = endpoint.statuses
        return statuses.pop(0) if len(statuses) > 1 else (statuses or [200])[0]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
