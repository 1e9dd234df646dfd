"""AWS beneath the SDK: requests are read from the bytes that botocore sends, and answered in bytes.

What is replaced is `URLLib3Session.send`, which hands a request to a socket. Clients, their
configuration, retries, signatures, serializers and parsers are those that are shipped.
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
"""Operations of CloudFormation, which speaks the query protocol."""
_NOT_IN_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may hold."""


_sanitized: Final = cache(useragent.sanitize_user_agent_string_component)
"""The same, remembered: a tenth of what a call costs."""


@dataclass(frozen=True)
class Sent:
    """A request that the SDK has sent."""

    operation: str
    parameters: Parameters
    """As they were given to the client; `Payload` is bytes."""
    timeout: float
    """Seconds for which the client waits for an answer."""


class RawAnswerError(Exception):
    """Raised in place of an answer: these bytes arrive, whatever they are.

    With `is_cut` more of them were promised, and then the connection was closed.
    """

    def __init__(self, body: bytes, status: int = 200, *, is_cut: bool = False) -> None:
        super().__init__(f"HTTP status {status}, {len(body)} bytes")
        self.body = body
        self.status = status
        self.is_cut = is_cut


Service = Callable[[Sent], Answer]
"""Answers in the service's words. What it raises reaches the SDK as an error answer (ServiceError),
as bytes (RawAnswerError), or else as it is: botocore's errors of connections are raised where a
connection would raise them."""


@contextmanager
def answered_by(service: Service) -> Iterator[None]:
    """Let every request of every client of botocore reach `service`, and nothing else."""

    def send(session: URLLib3Session, request: AWSPreparedRequest) -> AWSResponse:
        sent = _read(request, session._timeout.read_timeout)
        try:
            return _response(request, *_encoded(sent.operation, service(sent)))
        except ServiceError as error:
            return _response(request, error.status, *_refusal(sent.operation, error))
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


# Answers -------------------------------------------------------------------------------------


def _encoded(operation: str, answer: Answer) -> tuple[int, dict[str, str], bytes]:
    match operation:
        case "Invoke":
            # REST-JSON: what is not the payload is in the status and the headers.
            error = answer.get("FunctionError")
            headers = {"X-Amz-Function-Error": error} if error else {}
            return answer["StatusCode"], headers, answer.get("Payload", b"")
        case _ if operation in _QUERY:
            return 200, {}, _xml({f"{operation}Response": {f"{operation}Result": answer}})
    return 200, {}, json.dumps(answer, default=datetime.timestamp).encode()


def _refusal(operation: str, error: ServiceError) -> tuple[dict[str, str], bytes]:
    if operation in _QUERY:
        told = {"Type": "Sender", "Code": error.code, "Message": error.message}
        return {}, _xml({"ErrorResponse": {"Error": told}})
    body = json.dumps({"__type": error.code, "message": error.message}).encode()
    return ({"x-amzn-ErrorType": error.code} if operation == "Invoke" else {}), body


def _xml(value: object) -> bytes:
    return _element(value).encode()


def _element(value: object) -> str:
    """The query protocol's form of a value: members of a structure by name, of a list `member`."""
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
        # As the real one: the body arrives before anything is made of it.
        try:
            _ = response.content
        except ProtocolError as error:
            raise ConnectionClosedError(endpoint_url=request.url, error=error) from error
    return response


class _Body(BytesIO):
    """A body as urllib3 hands it on."""

    def __init__(self, body: bytes, *, is_cut: bool) -> None:
        super().__init__(body)
        self._is_cut = is_cut

    def read(self, size: int | None = -1, /) -> bytes:
        if self._is_cut:
            raise ProtocolError("Connection broken: IncompleteRead")
        return super().read(size)

    def stream(self) -> Iterator[bytes]:
        yield self.read()
