"""Errors that a call can get instead of its response: an error response, bytes, or nothing."""

from collections.abc import Callable, Mapping
from typing import Final

from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from sandbox.hyperpod import ServiceError
from tests.aws_transport import RawAnswerError

URL = "https://api.example"
Error = Callable[[], Exception]


def _error(code: str, message: str, status: int) -> Error:
    return lambda: ServiceError(code, message, status)


BEFORE: Final[Mapping[str, Error]] = {
    "throttled": _error("ThrottlingException", "Rate exceeded", 400),
    "an error of the service": _error("InternalFailure", "", 500),
    "the service is not available": _error("ServiceUnavailable", "\x1b[31mtry later\n", 503),
    "no connection": lambda: EndpointConnectionError(endpoint_url=URL),
    "no connection in time": lambda: ConnectTimeoutError(endpoint_url=URL),
    "expired credentials": _error("ExpiredTokenException", "The token has expired", 403),
    "no credentials": NoCredentialsError,
    "credentials that cannot be fetched": lambda: CredentialRetrievalError(
        provider="container", error_msg="timed out"
    ),
}
"""Transient errors of calls that were not carried out."""
AFTER: Final[Mapping[str, Error]] = {
    "an error of the service": _error("InternalFailure", "", 500),
    "no answer in time": lambda: ReadTimeoutError(endpoint_url=URL),
    "a closed connection": lambda: ConnectionClosedError(endpoint_url=URL),
    "a body cut in the middle": lambda: RawAnswerError(b'{"', is_cut=True),
    "a page of a proxy": lambda: RawAnswerError(b"<html>Hello</html>"),
    "a body of another shape": lambda: RawAnswerError(b"null"),
}
"""Errors of calls that were carried out, but whose response was lost."""
PERMANENT: Final[Mapping[str, Error]] = {
    **BEFORE,
    "access denied": _error("AccessDeniedException", "not authorized to perform", 400),
    "refused": _error("ValidationException", "1 validation error detected", 400),
    "an unknown error": _error("Unheard.Of", "\x1b]0;title\x07", 418),
}
"""Errors that calls can get permanently."""
