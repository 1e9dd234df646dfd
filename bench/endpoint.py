"""AWS for whole processes: one HTTPS endpoint for SageMaker, CloudFormation, and the reply.

SageMaker is the model of HyperPod. CloudFormation has one stack, which is being created.
"""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


class Endpoint(ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1."""

    def __init__(self, hyperpod: HyperPod, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hyperpod = hyperpod
        self.url = f"https://127.0.0.1:{self.server_port}"
        self.replies: list[bytes] = []
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.trust = folder / "trust.pem"
        """All authorities that the SDK trusts as it is, and the endpoint's own."""
        own = Path(botocore.__file__).with_name("cacert.pem").read_bytes()
        self.trust.write_bytes(own + authority.cert_pem.bytes())

    def handle_error(self, *_: object) -> None:
        """Say nothing: a process that is stopped at its first request cuts the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def do_POST(self) -> None:
        body = self._body()
        target = self.headers.get("X-Amz-Target", "")
        if not target.startswith("SageMaker."):
            self._answer(200, _STACK.encode(), "text/xml")
            return
        status = 200
        try:
            answer = self.server.hyperpod.call(target.removeprefix("SageMaker."), json.loads(body))
        except ServiceError as error:
            answer = {"__type": error.code, "message": error.message}
            status = error.status
        content = json.dumps(answer, default=datetime.timestamp).encode()
        self._answer(status, content, "application/x-amz-json-1.1")

    def do_PUT(self) -> None:
        self.server.replies.append(self._body())
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


@contextmanager
def serve(hyperpod: HyperPod, folder: Path) -> Iterator[Endpoint]:
    """Run an endpoint, whose certificates are in a file of the folder."""
    with Endpoint(hyperpod, folder) as endpoint:
        thread = threading.Thread(target=endpoint.serve_forever, args=(_POLL_SECONDS,))
        thread.start()
        try:
            yield endpoint
        finally:
            endpoint.shutdown()
            thread.join()
