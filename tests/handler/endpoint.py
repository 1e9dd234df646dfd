"""The end of a presigned URL: an HTTPS server on this machine that records what it gets."""

import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import trustme


class Endpoint:
    """An HTTPS server that answers each request as configured and records what it gets."""

    def __init__(self, ca: trustme.CA) -> None:
        self.statuses: list[int | str] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.on_request: Callable[[], object] = lambda: None
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                length = int(self.headers["content-length"])
                endpoint.requests.append((self.path, dict(self.headers), self.rfile.read(length)))
                endpoint.on_request()
                status = endpoint.statuses.pop(0) if len(endpoint.statuses) > 1 else None
                status = status or (endpoint.statuses[0] if endpoint.statuses else 200)
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
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return (
            f"https://127.0.0.1:{self.server.server_port}/bucket/key?X-Amz-Signature=s3cret&a=%2F"
        )

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
