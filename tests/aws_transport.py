"""A fake transport for botocore, which reads the bytes of requests and responds with bytes.

It replaces `URLLib3Session.send`, which writes a request to a socket. Clients, their configuration,
retries, signatures, serializers, and parsers are the real ones.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from botocore import useragent
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import ProtocolError

from sandbox.hyperpod import ServiceError

Parameters = dict[str, Any]
Answer = dict[str, Any]

_ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_INVOKE: Final = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
_QUERY: Final = frozenset({"DescribeStacks", "SignalResource"})
"""Operations of CloudFormation, which uses the query protocol."""
_NOT_IN_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that are not allowed in XML 1.0."""


_sanitized: Final = cache(useragent.sanitize_user_agent_string_component)
"""The function with a cache, because it takes a tenth of the time of a call."""


@dataclass(frozen=True)
class Sent:
    """A request that the SDK has sent."""

    operation: str
    parameters: Parameters
    """The parameters of the client's method; `Payload` is bytes."""
    timeout: float
    """Seconds for which the client waits for a response."""


class RawAnswerError(Exception):
    """Raised by a service to respond with these bytes.

    With `is_cut`, the connection is closed before all the bytes of the content-length have arrived.
    """

    def __init__(self, body: bytes, status: int = 200, *, is_cut: bool = False) -> None:
        super().__init__(f"HTTP status {status}, {len(body)} bytes")
        self.body = body
        self.status = status
        self.is_cut = is_cut


Service = Callable[[Sent], Answer]
"""Returns the response as a dictionary. An exception reaches the SDK as an error response
(ServiceError), as bytes (RawAnswerError), or unchanged: botocore's connection errors are raised
where a connection would raise them."""


@contextmanager
def answered_by(service: Service) -> Iterator[None]:
    """Send every request of every botocore client to `service`."""

    def send(session: URLLib3Session, request: AWSPreparedRequest) -> AWSResponse:
        sent = _read(request, session._timeout.read_timeout)
        try:
            return _response(request, *_encode(sent.operation, service(sent)))
        except ServiceError as error:
            return _response(request, error.status, *_encode_error(sent.operation, error))
        except RawAnswerError as answer:
            return _response(request, answer.status, {}, answer.body, is_cut=answer.is_cut)

    with (
        patch.object(URLLib3Session, "send", send),
        patch.object(useragent, "sanitize_user_agent_string_component", _sanitized),
        patch.dict(os.environ, _ENVIRONMENT),
    ):
        yield


# Requests ------------------------------------------------------------------------------------


def _read(request: AWSPreparedRequest, timeout: float) -> Sent:
    body = request.body or b""
    if target := _header(request, "X-Amz-Target"):
        return Sent(target.rpartition(".")[2], json.loads(body), timeout)
    if invoke := _INVOKE.fullmatch(urlsplit(request.url).path):
        parameters = {
            "FunctionName": unquote(invoke[1]),
            "InvocationType": _header(request, "X-Amz-Invocation-Type"),
            "Payload": bytes(body),
        }
        return Sent("Invoke", parameters, timeout)
    text = body.decode() if isinstance(body, bytes) else body
    form = dict(parse_qsl(text, keep_blank_values=True))
    operation = form.pop("Action")
    del form["Version"]
    return Sent(operation, form, timeout)


def _header(request: AWSPreparedRequest, name: str) -> str:
    value = request.headers.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


# Responses -----------------------------------------------------------------------------------


def _encode(operation: str, answer: Answer) -> tuple[int, dict[str, str], bytes]:
    match operation:
        case "Invoke":
            # REST-JSON: only the payload is in the body.
            error = answer.get("FunctionError")
            headers = {"X-Amz-Function-Error": error} if error else {}
            return answer["StatusCode"], headers, answer.get("Payload", b"")
        case _ if operation in _QUERY:
            return 200, {}, _xml({f"{operation}Response": {f"{operation}Result": answer}})
    return 200, {}, json.dumps(answer, default=datetime.timestamp).encode()


def _encode_error(operation: str, error: ServiceError) -> tuple[dict[str, str], bytes]:
    if operation in _QUERY:
        details = {"Type": "Sender", "Code": error.code, "Message": error.message}
        return {}, _xml({"ErrorResponse": {"Error": details}})
    body = json.dumps({"__type": error.code, "message": error.message}).encode()
    return ({"x-amzn-ErrorType": error.code} if operation == "Invoke" else {}), body


def _xml(value: object) -> bytes:
    return _element(value).encode()


def _element(value: object) -> str:
    """Serialize a value for the query protocol."""
    match value:
        case Mapping():
            return "".join(f"<{name}>{_element(one)}</{name}>" for name, one in value.items())
        case list():
            return "".join(f"<member>{_element(one)}</member>" for one in value)
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return escape(_NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", str(value)))


def _response(
    request: AWSPreparedRequest,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    is_cut: bool = False,
) -> AWSResponse:
    length = str(len(body) + is_cut)
    raw = _Body(body, is_cut=is_cut)
    response = AWSResponse(request.url, status, {**headers, "content-length": length}, raw)
    if not request.stream_output:
        # As with the real transport, the body is read before it is parsed.
        try:
            _ = response.content
        except ProtocolError as error:
            raise ConnectionClosedError(endpoint_url=request.url, error=error) from error
    return response


class _Body(BytesIO):
    """A body as urllib3 provides it."""

    def __init__(self, body: bytes, *, is_cut: bool) -> None:
        super().__init__(body)
        self._is_cut = is_cut

    def read(self, size: int | None = -1, /) -> bytes:
        if self._is_cut:
            raise ProtocolError("Connection broken: IncompleteRead")
        return super().read(size)

    def stream(self) -> Iterator[bytes]:
        yield self.read()
