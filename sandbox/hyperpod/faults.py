"""Errors of the service, and when to give them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Request = Mapping[str, Any]


class ServiceError(Exception):
    """An error answer: the code and message botocore shows, and the HTTP status.

    Only ConflictException, ResourceInUse, ResourceLimitExceeded and ResourceNotFound are modelled
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
"""The commonest code and message of each HTTP status."""


def service_error(
    code: str | None = None, message: str | None = None, status: int = 400
) -> ServiceError:
    """An error whose code, if none is given, and message fit the status.

    Raises:
        ValueError: there is no code, and the status has none of its own.
    """
    if code is None and status not in _ERRORS:
        known = ", ".join(map(str, _ERRORS))
        raise ValueError(f"status {status} has no code of its own; allowed: a code, or {known}")
    if code is None:
        code, _ = _ERRORS[status]
    if message is None:
        message = dict(_ERRORS.values()).get(code, f"The service answered {code}.")
    return ServiceError(code, message, status)


@dataclass
class Throttle:
    """A bucket of tokens, one for each call of some operations, whatever the cluster."""

    operations: frozenset[str]
    rate: float
    """Tokens that come back per second."""
    burst: float
    """The most there can be, and how many there are at first."""
    _tokens: float = field(init=False)
    _seen_at: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def refuses(self, operation: str, now: float) -> bool:
        """Whether there is no token left for this call; one that is let through takes one."""
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
    after_work: bool
    """The service does what it was asked for and answers with the error nevertheless."""
    predicate: Callable[[Request], bool]
    remaining: int | None
    """How many more calls get it; None for as long as the predicate says so."""


@dataclass
class Refusal:
    """A code that one node gets in place of being accepted."""

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
    """The faults of a service, first come first served; throttled calls use none up."""

    throttles: list[Throttle] = field(default_factory=list)
    _waiting: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def take(self, operation: str, request: Request, now: float) -> Fault | None:
        """The fault this call gets, or None. A fault that is used up is forgotten."""
        if any(throttle.refuses(operation, now) for throttle in self.throttles):
            return Fault(operation, service_error(), False, lambda _: True, None)
        for fault in self._waiting:
            if fault.operation != operation or not fault.predicate(request):
                continue
            if fault.remaining is not None:
                fault.remaining -= 1
                if fault.remaining == 0:
                    self._waiting.remove(fault)
            return fault
        return None
