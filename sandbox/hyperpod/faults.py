"""Errors of the service, and when it returns them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Request = Mapping[str, Any]


class ServiceError(Exception):
    """An error response: the code and message botocore shows, and the HTTP status.

    Only ConflictException, ResourceInUse, ResourceLimitExceeded and ResourceNotFound are modeled
    by botocore; any other code reaches the caller as a plain ClientError.
    """

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


_ERRORS: Final = {
    400: ("ThrottlingException", "Rate exceeded"),
    403: ("AccessDeniedException", "User is not authorized to perform this operation."),
    404: ("ResourceNotFound", "The resource was not found."),
    500: ("InternalFailure", "The request failed because of an internal error."),
    503: ("ServiceUnavailable", "The service is temporarily unavailable."),
}
"""The most common code and message of each HTTP status."""


def service_error(
    code: str | None = None, message: str | None = None, status: int = 400
) -> ServiceError:
    """Return an error; by default, its code and message fit the status."""
    code = code or _ERRORS[status][0]
    if message is None:
        message = dict(_ERRORS.values()).get(code, f"The service returned {code}.")
    return ServiceError(code, message, status)


def check_form(pattern: re.Pattern[str], values: Iterable[str]) -> None:
    """Reject the first value that does not match the pattern, with ValidationException."""
    for value in values:
        if not pattern.fullmatch(value):
            raise ServiceError(
                "ValidationException", f"Value '{value}' failed to satisfy constraint: pattern."
            )


@dataclass
class Rules:
    """How the service behaves where AWS documents nothing. Tests try each possibility."""

    busy_code: str = "ConflictException"
    """Error of a delete request while the cluster is being changed; or `ValidationException`."""
    all_failed_code: str = "ValidationException"
    """Error of a delete request in which every node fails validation."""
    all_failed_message: str | None = None
    """Its message; None for one that lists the nodes and their codes."""
    gone_node: Literal["ResourceNotFound", "ValidationException", "NotFound"] = "ResourceNotFound"
    """What DescribeClusterNode returns for a node that is gone: one of two errors, or a response
    with the status NotFound. Public scripts handle all three."""
    empty_instance_groups: bool = True
    """Whether InstanceGroups is an empty list if every group is restricted; else it is missing,
    although the service model requires it."""
    repeats_next_token: bool = False
    """Whether each page of a listing has the NextToken of its first page, without end."""
    never_stops_paging: bool = False
    """Whether each page has a new NextToken, without end: pages after the last node are empty."""


@dataclass
class Throttle:
    """A token bucket for the calls of some operations, on all clusters together."""

    operations: frozenset[str]
    rate: float
    """Tokens added per second."""
    burst: float
    """Size of the bucket, which starts full."""
    _tokens: float = field(init=False)
    _seen_at: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def rejects(self, operation: str, now: float) -> bool:
        """Take a token for the call, and return whether there was none."""
        if operation not in self.operations:
            return False
        self._tokens = min(self.burst, self._tokens + self.rate * (now - self._seen_at))
        self._seen_at = now
        if self._tokens < 1:
            return True
        self._tokens -= 1
        return False


@dataclass
class Fault:
    """An error that calls of one operation get."""

    operation: str
    error: ServiceError
    after_work: bool = False
    """Whether the service performs the operation before it returns the error."""
    predicate: Callable[[Request], bool] = lambda _: True
    remaining: int | None = None
    """How many more calls get it; None for every call that the predicate accepts."""


@dataclass
class Refusal:
    """A code that the service returns for one node in place of accepting it."""

    code: str
    message: str
    until: float | None
    remaining: int | None

    def applies(self, now: float) -> bool:
        return (self.until is None or now < self.until) and self.remaining != 0

    def take(self) -> None:
        if self.remaining is not None:
            self.remaining -= 1


@dataclass
class Faults:
    """The faults of a service, in the order they were added; throttled calls use none up."""

    throttles: list[Throttle] = field(default_factory=list)
    pending: list[Fault] = field(default_factory=list)

    def take(self, operation: str, request: Request, now: float) -> Fault | None:
        """Return the fault that this call gets, or None. A used-up fault is removed."""
        if any(throttle.rejects(operation, now) for throttle in self.throttles):
            return Fault(operation, service_error())
        for fault in self.pending:
            if fault.operation != operation or not fault.predicate(request):
                continue
            if fault.remaining is not None:
                fault.remaining -= 1
                if fault.remaining == 0:
                    self.pending.remove(fault)
            return fault
        return None
