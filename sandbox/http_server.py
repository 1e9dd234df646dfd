"""Servers on 127.0.0.1 for what the sandbox models itself: SageMaker and the Kubernetes API."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response

_POLL_SECONDS: Final = 0.02
"""How long it takes to stop a server, at most."""


@contextmanager
def serving(
    respond: Callable[[Request], Response],
    context: ssl.SSLContext | None = None,
    *,
    keeps_alive: bool = False,
) -> Iterator[str]:
    """Serve on a free port, with TLS if there is a context. Yields the URL.

    If the server keeps connections alive, `respond` has to read the whole body of each request.
    """
    server = make_server(
        "127.0.0.1",
        0,
        Request.application(respond),
        threaded=True,
        request_handler=_PersistentRequestHandler if keeps_alive else _QuietRequestHandler,
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


class _QuietRequestHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Log nothing: tests read the records of the models."""


class _PersistentRequestHandler(_QuietRequestHandler):
    protocol_version = "HTTP/1.1"

    def run_wsgi(self) -> None:
        """Answer a request. Werkzeug's own method closes the connection."""
        chunks, status, headers = run_wsgi_app(self.server.app, self.make_environ())
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"".join(chunks))
