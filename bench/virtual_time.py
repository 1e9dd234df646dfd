"""Time that passes only when every thread sleeps, so that twenty minutes take a moment."""

import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Semaphore, get_ident
from typing import Final, TypeVar
from unittest.mock import patch

T = TypeVar("T")

START: Final = 1_000_000.0
"""The time at which a clock starts, in seconds."""


class InvocationEndedError(BaseException):
    """Lambda has ended the process of a function. Not an `Exception`: nothing must catch it."""


@dataclass(order=True)
class Timer:
    """An action at a time, unless it is canceled before."""

    time: float
    order: int
    action: Callable[[], object] | None = field(compare=False)

    def start(self) -> None:
        """Do nothing: it runs already. `threading.Timer` has this method."""

    def cancel(self) -> None:
        """Do nothing when the time comes."""
        self.action = None


class VirtualClock:
    """A clock for threads of which one runs at a time, in an order that is always the same.

    A thread that sleeps lets the one run that wakes up first. A timer's action runs in the thread
    that set the timer, while that thread sleeps.
    """

    def __init__(self) -> None:
        self._now = START
        self._order = count()
        self._asleep: list[tuple[float, int, Semaphore]] = []
        self._timers: defaultdict[int, list[Timer]] = defaultdict(list)
        self._threads: set[int] = set()
        """Those that see this clock's time: see `as_time`."""

    def now(self) -> float:
        """Return the time in seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass, and run the timers that are due in it."""
        until = self._now + max(0.0, seconds)
        timers = self._timers[get_ident()]
        while timers and timers[0].time <= until:
            timer = heapq.heappop(timers)
            if timer.action:
                self._sleep_until(timer.time)
                timer.action()
        self._sleep_until(until)

    def timer(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Run an action after so many seconds."""
        timer = Timer(self._now + max(0.0, seconds), next(self._order), action)
        heapq.heappush(self._timers[get_ident()], timer)
        return timer

    def together(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """Run all jobs at once, each in a thread, and raise what one of them raises."""

        def take_turn(job: Callable[[], T], turn: Semaphore) -> T:
            turn.acquire()
            try:
                with self._counted():
                    return job()
            finally:
                self._wake_next()

        with ThreadPoolExecutor(len(jobs)) as pool:
            results = pool.map(take_turn, jobs, [self._line_up(self._now) for _ in jobs])
            self._wake_next()
            return list(results)

    def _sleep_until(self, time: float) -> None:
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
        """End the block after so many seconds, as Lambda ends a function."""

        def end() -> None:
            raise InvocationEndedError

        timer = self.timer(seconds, end)
        try:
            yield
        except InvocationEndedError:
            pass
        finally:
            timer.cancel()

    @contextmanager
    def as_time(self) -> Iterator[None]:
        """Put the clock in place of `time.sleep` and `time.time`, in this thread and `together`.

        All other threads keep the time of the machine: a library may have one that wakes up now and
        then.
        """

        def either(virtual: Callable[..., T], real: Callable[..., T]) -> Callable[..., T]:
            def call(*args: float) -> T:
                chosen = virtual if get_ident() in self._threads else real
                return chosen(*args)

            return call

        with (
            self._counted(),
            patch("time.sleep", either(self.sleep, time.sleep)),
            patch("time.time", either(self.now, time.time)),
        ):
            yield

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._threads.add(get_ident())
        try:
            yield
        finally:
            self._threads.remove(get_ident())
