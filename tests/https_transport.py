"""A fake transport for `http.client`, with which the function sends replies."""

import http.client
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final
from unittest.mock import patch

_CONTEXT: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""A context for every connection, because loading certificates takes longer than a test."""


@dataclass(frozen=True)
class Put:
    """A PUT request, as the bytes that were sent."""

    raw: bytes
    timeout: float
    """The timeout of each read of the response, in seconds."""

    @property
    def url(self) -> str:
        _, target, _ = self._head[0].split(" ")
        (host,) = (line[6:] for line in self._head if line.lower().startswith("host: "))
        return f"https://{host}{target}"

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def _head(self) -> list[str]:
        return self.raw.partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n")


def status_line(status: int) -> bytes:
    """Return a response without a body."""
    phrase = HTTPStatus(status).phrase
    return f"HTTP/1.1 {status} {phrase}\r\nContent-Length: 0\r\n\r\n".encode()


@contextmanager
def taken_by(server: Callable[[Put], bytes]) -> Iterator[None]:
    """Connect every HTTPS connection of `http.client` to `server`.

    It returns the bytes of the response, or raises what a socket would.
    """

    def connect(connection: Any) -> None:
        connection.sock = _Socket(server, connection.timeout)

    with (
        patch.object(http.client.HTTPSConnection, "connect", connect),
        patch.object(ssl, "create_default_context", lambda *_, **__: _CONTEXT),
    ):
        yield


class _Socket:
    """The methods of a socket that `http.client` and the handler use."""

    def __init__(self, server: Callable[[Put], bytes], timeout: float) -> None:
        self._server = server
        self._timeout = timeout
        self._sent = b""
        self._is_shut = False

    def settimeout(self, seconds: float) -> None:
        self._timeout = seconds

    def sendall(self, data: bytes) -> None:
        self._sent += data

    def makefile(self, mode: str) -> BytesIO:
        """Return the response. The whole request has been sent by then."""
        answer = self._server(Put(self._sent, self._timeout))
        return BytesIO(b"" if self._is_shut else answer)

    def shutdown(self, how: int) -> None:
        self._is_shut = True

    def close(self) -> None:
        self._is_shut = True
