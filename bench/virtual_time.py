"""Time that passes only when everybody sleeps, so that twenty minutes take a moment."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from threading import Semaphore, local
from typing import Final, TypeVar
from unittest.mock import patch

T = TypeVar("T")

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


class _Agenda(local):
    """What a thread has asked for with `timer`."""

    def __init__(self) -> None:
        self.due: list[_Due] = []


class VirtualClock:
    """A clock for threads of which one runs at a time, in an order that is always the same.

    Who sleeps lets the one run that wakes up first. What a thread asked for with `timer` happens
    in that thread, while it sleeps.
    """

    def __init__(self) -> None:
        self._now = START
        self._order = count()
        self._asleep: list[tuple[float, int, Semaphore]] = []
        self._agenda = _Agenda()

    def now(self) -> float:
        """Seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass, and what is due meanwhile happen."""
        until = self._now + max(0.0, seconds)
        agenda = self._agenda.due
        while agenda and agenda[0].time <= until:
            due = heapq.heappop(agenda)
            if not due.is_off:
                self._pass(due.time)
                due.action()
        self._pass(until)

    def timer(self, seconds: float, action: Callable[[], object]) -> _Due:
        """Do `action` after so many seconds, unless what is returned is canceled."""
        due = _Due(self._now + max(0.0, seconds), next(self._order), action)
        heapq.heappush(self._agenda.due, due)
        return due

    def together(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """Do all jobs at once, each in a thread of its own. Raises what one of them raises."""

        def take_turn(job: Callable[[], T], turn: Semaphore) -> T:
            turn.acquire()
            try:
                return job()
            finally:
                self._wake_next()

        with ThreadPoolExecutor(len(jobs)) as pool:
            turns = [self._line_up(self._now) for _ in jobs]
            running = [pool.submit(take_turn, *pair) for pair in zip(jobs, turns, strict=True)]
            self._wake_next()
            return [job.result() for job in running]

    def _pass(self, time: float) -> None:
        turn = self._line_up(max(self._now, time))
        self._wake_next()
        turn.acquire()

    def _line_up(self, time: float) -> Semaphore:
        turn = Semaphore(0)
        heapq.heappush(self._asleep, (time, next(self._order), turn))
        return turn

    def _wake_next(self) -> None:
        if self._asleep:
            self._now, _, turn = heapq.heappop(self._asleep)
            turn.release()

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
        self._start = partial(clock.timer, seconds, action)
        self._due: _Due | None = None

    def start(self) -> None:
        """Begin to count."""
        self._due = self._start()

    def cancel(self) -> None:
        """Do nothing when the time comes."""
        if self._due:
            self._due.cancel()
