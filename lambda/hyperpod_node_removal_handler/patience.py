"""Waiting: a clock, growing pauses, and calls that are tried again."""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from hyperpod_node_removal_handler.aws import AccessDeniedError, TransientError

T = TypeVar("T")

PROPAGATION: Final = 60.0
"""Seconds a permission may take to spread after its policy was made. Until then a call that is
denied is tried again."""
OUTAGE: Final = 60.0
"""Seconds for which a failing look at the cluster or the stack is tried again at the least. A
removal under way is not given up for a short outage, however short `RetryFor` is."""
LAG: Final = 60.0
"""Seconds for which the status of a stack may lag behind what CloudFormation does with it."""
_JITTER: Final = 0.2
_NOT_AGAIN: Final = 0.0


class Clock(Protocol):
    """Time, as far as the function needs it."""

    def now(self) -> float:
        """Seconds since the epoch: a removal outlives a process, so no process's own clock."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))


@dataclass
class Backoff:
    """Pauses in seconds: `first`, then growing by `factor` up to `most`, each 20 % more or less."""

    first: float
    factor: float
    most: float
    jitter: Callable[[float, float], float] = field(default=random.uniform, repr=False)

    def pause(self) -> float:
        """The next pause."""
        pause = self.first
        self.first = min(self.most, self.first * self.factor)
        return pause * self.jitter(1 - _JITTER, 1 + _JITTER)


def patiently(call: Callable[[], T], *, clock: Clock, until: float, denied_until: float) -> T:
    """What `call` returns, trying again after a `TransientError` until `until` and after an
    `AccessDeniedError` until `denied_until` (both as of `clock.now()`).

    Raises:
        AwsError: the last one.
    """
    backoff = Backoff(first=1.0, factor=2.0, most=20.0)
    while True:
        try:
            return call()
        except TransientError:
            if clock.now() >= until:
                raise
            limit = until
        except AccessDeniedError:
            if clock.now() >= denied_until:
                raise
            limit = denied_until
        # The last try is at the limit itself.
        clock.sleep(min(backoff.pause(), limit - clock.now()))


class PauseError(Exception):
    """The invocation's share of the time is over: the next one goes on."""


@dataclass(frozen=True, slots=True)
class Span:
    """The time a removal has, in seconds of the clock."""

    started: float
    """When the removal began, in whatever invocation."""
    deadline: float
    """When it ends, done or not."""
    pause_at: float = math.inf
    """When this invocation has to hand it over."""

    @property
    def end(self) -> float:
        """When this invocation has to stop waiting."""
        return min(self.deadline, self.pause_at)


class Patience:
    """Tries calls again for as long as a span allows."""

    def __init__(self, clock: Clock, span: Span, retry_for: float) -> None:
        """`retry_for` is how long an outage is waited out: seconds, `OUTAGE` at the least."""
        self._clock = clock
        self._span = span
        self._outage = max(OUTAGE, retry_for)

    def __call__(self, call: Callable[[], T]) -> T:
        """What `call` returns, however long that takes."""
        return self._try(call, until=min(self._span.end, self._clock.now() + self._outage))

    def once(self, call: Callable[[], T]) -> T:
        """What `call` returns. Only a permission that has not spread yet is waited for."""
        return self._try(call, until=_NOT_AGAIN)

    def _try(self, call: Callable[[], T], until: float) -> T:
        denied_until = min(self._span.end, self._span.started + PROPAGATION)
        return patiently(call, clock=self._clock, until=until, denied_until=denied_until)
