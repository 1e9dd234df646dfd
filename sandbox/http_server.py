"""Servers on 127.0.0.1 for what the sandbox models itself: SageMaker and the Kubernetes API."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final

import trustme
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response

Respond = Callable[[Request], Response]

_POLL_SECONDS: Final = 0.02
"""How long it takes to stop a server, at most."""


@contextmanager
def serving(respond: Respond, authority: trustme.CA | None = None) -> Iterator[str]:
    """Serve on a free port. Yields the URL.

    Args:
        authority: signs the server's certificate. Default: plain HTTP.
    """
    context = None
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    server = make_server(
        "127.0.0.1",
        0,
        Request.application(respond),
        threaded=True,
        request_handler=_RequestHandler,
        ssl_context=context,
    )
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _RequestHandler(WSGIRequestHandler):
    """Keeps connections open, which Werkzeug's own handler closes."""

    protocol_version = "HTTP/1.1"

    def run_wsgi(self) -> None:
        """Respond to a request, whose body is read whole before the next request begins."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        environ = self.make_environ() | {"wsgi.input": BytesIO(body)}
        chunks, status, headers = run_wsgi_app(self.server.app, environ)
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"".join(chunks))

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Log nothing: tests read the records of the models."""
