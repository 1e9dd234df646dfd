"""Errors of the service, and when to give them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
    """The faults of a service, first come first served."""

    _waiting: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def take(self, operation: str, request: Request) -> Fault | None:
        """The fault this call gets, or None. A fault that is used up is forgotten."""
        for fault in self._waiting:
            if fault.operation != operation or not fault.predicate(request):
                continue
            if fault.remaining is not None:
                fault.remaining -= 1
                if fault.remaining == 0:
                    self._waiting.remove(fault)
            return fault
        return None
