"""Time that passes only when somebody sleeps, so that twenty minutes take a moment."""

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from unittest.mock import patch

START: Final = 1_000_000.0
"""Where the time begins, in seconds."""


class InvocationOverError(BaseException):
    """The process of a function was ended by Lambda. Not an `Exception`: nothing may catch it."""


@dataclass(order=True)
class _Due:
    time: float
    order: int
    action: Callable[[], object] = field(compare=False)
    is_off: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """Do nothing when the time comes."""
        self.is_off = True


class VirtualClock:
    """A clock for one thread. What was asked for with `timer` happens while that thread sleeps."""

    def __init__(self) -> None:
        self._now = START
        self._agenda: list[_Due] = []
        self._order = 0

    def now(self) -> float:
        """Seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass, and what is due meanwhile happen."""
        until = self._now + max(0.0, seconds)
        while self._agenda and self._agenda[0].time <= until:
            due = heapq.heappop(self._agenda)
            if not due.is_off:
                self._now = max(self._now, due.time)
                due.action()
        self._now = max(self._now, until)

    def timer(self, seconds: float, action: Callable[[], object]) -> _Due:
        """Do `action` after so many seconds, unless what is returned is canceled."""
        self._order += 1
        due = _Due(self._now + max(0.0, seconds), self._order, action)
        heapq.heappush(self._agenda, due)
        return due

    @contextmanager
    def invocation(self, seconds: float) -> Iterator[None]:
        """A block that is ended after so many seconds, as Lambda ends a function."""

        def end() -> None:
            raise InvocationOverError

        due = self.timer(seconds, end)
        try:
            yield
        except InvocationOverError:
            pass
        finally:
            due.cancel()

    @contextmanager
    def as_time(self) -> Iterator[None]:
        """`time.sleep` and `time.time` of this process are the clock's."""
        with patch("time.sleep", self.sleep), patch("time.time", self.now):
            yield


class Timer:
    """`threading.Timer` on a virtual clock, without a thread."""

    def __init__(self, clock: VirtualClock, seconds: float, action: Callable[[], None]) -> None:
        self.daemon = False
        self._clock = clock
        self._seconds = seconds
        self._action = action
        self._due: _Due | None = None

    def start(self) -> None:
        """Begin to count."""
        self._due = self._clock.timer(self._seconds, self._action)

    def cancel(self) -> None:
        """Do nothing when the time comes."""
        if self._due:
            self._due.cancel()
