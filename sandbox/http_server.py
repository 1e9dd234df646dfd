"""Servers on 127.0.0.1 for what the sandbox models itself: SageMaker and the Kubernetes API."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

_POLL_SECONDS: Final = 0.02
"""How long it takes to stop a server, at most."""


@contextmanager
def serving(
    respond: Callable[[Request], Response], context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Serve on a free port, with TLS if there is a context. Yields the URL."""
    server = make_server(
        "127.0.0.1",
        0,
        Request.application(respond),
        threaded=True,
        request_handler=_QuietRequestHandler,
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
