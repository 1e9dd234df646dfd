"""AWS for whole processes: one HTTPS endpoint for SageMaker, CloudFormation, and the reply.

SageMaker is the model of HyperPod; of CloudFormation there is the one stack, which is being made.
"""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import botocore
import trustme

from bench.scenario import STACK_ID
from sandbox.hyperpod import HyperPod, ServiceError

_STACK: Final = f"""<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
<DescribeStacksResult><Stacks><member><StackName>ml-stack</StackName><StackId>{STACK_ID}</StackId>
<StackStatus>CREATE_IN_PROGRESS</StackStatus></member></Stacks></DescribeStacksResult>
</DescribeStacksResponse>"""
_POLL_SECONDS: Final = 0.02


@dataclass
class Endpoint:
    """Where it is, whom to trust, and what came."""

    url: str
    trust: Path
    """All authorities that the SDK trusts as it is, and the endpoint's own."""
    replies: list[bytes] = field(default_factory=list)


@contextmanager
def serve(hyperpod: HyperPod, directory: Path) -> Iterator[Endpoint]:
    """Serve on a free port of 127.0.0.1."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trust = directory / "trust.pem"
    trust.write_bytes(
        Path(botocore.__file__).with_name("cacert.pem").read_bytes() + authority.cert_pem.bytes()
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    endpoint = Endpoint(f"https://127.0.0.1:{server.server_port}", trust)
    server.RequestHandlerClass = _handler(hyperpod, endpoint)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hyperpod: HyperPod, endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self._body()
            target = self.headers.get("X-Amz-Target", "")
            if not target.startswith("SageMaker."):
                self._answer(200, _STACK.encode(), "text/xml")
                return
            try:
                answer = hyperpod.call(target.removeprefix("SageMaker."), json.loads(body))
                status = 200
            except ServiceError as error:
                answer = {"__type": error.code, "message": error.message}
                status = error.status
            self._answer(
                status, json.dumps(answer, default=_seconds).encode(), "application/x-amz-json-1.1"
            )

        def do_PUT(self) -> None:
            endpoint.replies.append(self._body())
            self._answer(200, b"", "text/plain")

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    return Handler


def _seconds(value: datetime) -> float:
    return value.timestamp()
