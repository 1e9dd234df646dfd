"""AWS clients, and the errors of AWS as types.

This is the one module that knows how botocore makes a client and reports an error::

    AwsError
     +-- TransientError          may pass by itself: throttling, 5xx, a lost connection
     |    +-- ConflictError      refused: another operation on the resource is under way
     |    +-- ThrottledError     refused before anything was done
     +-- AccessDeniedError       the role lacks a permission, or it has not spread yet
     +-- ResourceNotFoundError   the cluster or stack does not exist
     +-- RejectedError           any other 4xx: the request as such was refused
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    ProxyConnectionError,
)
from botocore.parsers import ResponseParserError
from botocore.session import Session

from hyperpod_node_removal_contract import escape

MESSAGE_MAX: Final = 300
"""Characters kept of the message about each of thousands of nodes."""
_ERROR_MAX: Final = 2000
"""Characters kept of an error's message. For a denied call it ends with the cause, after more than
450 characters with names as the CDK generates them."""

API_VERSIONS: Final = {
    "cloudformation": "2010-05-15",
    "events": "2015-10-07",
    "lambda": "2015-03-31",
    "sagemaker": "2017-07-24",
}
"""The services the function calls, with the API version of the model that it carries."""
_MODELS: Final = Path(__file__).with_name("data")
"""Made by `release/botocore_models.py`."""

# Each call is sent once: only `timing.call_with_retry` and the reconciler, which look at what has
# changed in the meantime, send it again. A call that hangs must not use up the seconds reserved for
# the reply.
_CONFIG: Final = Config(
    connect_timeout=3,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 1},
    user_agent_extra="hyperpod-node-removal",
)
# Calls after the reply must not keep the function running for long.
_EVENTS: Final = _CONFIG.merge(Config(read_timeout=5))

_THROTTLING: Final = frozenset(
    {
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
_CREDENTIALS: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
# Credentials that are not known yet are refused like a missing permission, and spread in the same
# way.
_ACCESS_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "NotAuthorized",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
_CONFLICT: Final = frozenset(
    {
        "ConflictException",
        "ResourceInUse",
        "ResourceInUseException",
        # Of a function that Lambda is connecting to its VPC: it is new, or was idle for weeks.
        "ENINotReadyException",
        "ResourceConflictException",
        "ResourceNotReadyException",
    }
)
# Documented is ResourceNotFound; the suffixed spelling is what most services use.
_NOT_FOUND: Final = frozenset({"ResourceNotFound", "ResourceNotFoundException"})
# Raised by botocore's parsers for a body that is not from AWS, such as the page of a proxy.
_UNREADABLE: Final = (ResponseParserError, UnicodeDecodeError, AttributeError, KeyError)
_FORBIDDEN: Final = 403
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500


class AwsError(Exception):
    """A call that AWS did not carry out, or whose answer was lost."""

    def __init__(self, operation: str, code: str, message: str) -> None:
        self.operation = operation
        self.code = escape(code, 64)
        self.message = escape(message, _ERROR_MAX)
        super().__init__(f"{operation}: {self.code}: {self.message}")


class TransientError(AwsError):
    """May pass by itself: throttling, an error of the service, a lost connection."""


class ConflictError(TransientError):
    """Another operation on the resource is under way. This call was refused."""


class ThrottledError(TransientError):
    """Too many calls. This one was refused before anything was done."""


class AccessDeniedError(AwsError):
    """The role lacks a permission, a policy denies it, or a new permission has not spread yet."""

    @property
    def is_missing_permission(self) -> bool:
        """Whether the service says that no policy of the role allows the call.

        A denial ends with its reason, where the service tells one: "because no identity-based
        policy allows ..." or, among others, "with an explicit deny in a service control policy".
        """
        if " because " in self.message:
            return "no identity-based policy allows" in self.message
        return "not authorized to perform" in self.message and "deny" not in self.message


class ResourceNotFoundError(AwsError):
    """The cluster or the stack does not exist."""


class RejectedError(AwsError):
    """The request as such was refused."""


@cache
def client(service: str) -> Any:
    """Return this process's client of `service`, made when it is first needed."""
    return _new_client(service, _EVENTS if service == "events" else _CONFIG)


def waiting_client(seconds: float) -> Any:
    """Make a client of Lambda that waits so long for the response of an invoked function."""
    # The connection is idle meanwhile, so a NAT gateway or firewall may drop it.
    waiting = Config(read_timeout=max(1.0, seconds), tcp_keepalive=True)
    return _new_client("lambda", _CONFIG.merge(waiting))


def _new_client(service: str, config: Config) -> Any:
    return _session().create_client(service, api_version=API_VERSIONS[service], config=config)


@cache
def _session() -> Session:
    """Make a session that prefers the carried models to those of the runtime's SDK.

    What a call sends then does not depend on the runtime, and no megabytes of JSON are read.
    """
    session = Session()
    session.set_config_variable("data_path", str(_MODELS))
    return session


@contextmanager
def map_errors(operation: str) -> Iterator[None]:
    """Raise botocore's errors as `AwsError`."""
    try:
        yield
    except ClientError as error:
        raise _typed(operation, error) from error
    except (*_UNREADABLE, BotoCoreError) as error:
        # Connection, timeout and credential errors, a body that cannot be read: nothing says the
        # call was refused.
        raise TransientError(operation, type(error).__name__, _message_of(error)) from error


def _message_of(error: Exception) -> str:
    """Return the message of an SDK error without the address of a proxy, which may hold a password.

    botocore masks the address only if it can parse it.
    """
    if type(error) not in {HTTPClientError, ProxyConnectionError}:
        return str(error)
    cause = type(getattr(error, "kwargs", {}).get("error")).__name__
    return f"the request could not be sent ({cause}); if there is a proxy, check HTTPS_PROXY"


def require_key(operation: str, answer: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key.

    botocore reads a truncated body as an empty answer, and a missing list of nodes must not be read
    as a cluster without nodes.

    Raises:
        TransientError: the answer lacks the key.
    """
    if key not in answer:
        raise incomplete(operation, key)
    return answer[key]


def incomplete(operation: str, key: str) -> TransientError:
    """Make the error of an answer that lacks `key`."""
    return TransientError(operation, "IncompleteAnswer", f"the answer has no {key}")


def _typed(operation: str, error: ClientError) -> AwsError:
    described = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(described.get("Code", "Unknown"))
    message = str(described.get("Message", ""))
    kind: type[AwsError] = RejectedError
    if code in _NOT_FOUND:
        kind = ResourceNotFoundError
    elif code in _CONFLICT:
        kind = ConflictError
    elif code in _THROTTLING or status == _TOO_MANY_REQUESTS:
        kind = ThrottledError
    elif code in _CREDENTIALS or status >= _SERVER_ERROR:
        kind = TransientError
    elif code in _ACCESS_DENIED or status == _FORBIDDEN:
        kind = AccessDeniedError
    return kind(operation, code, message)
