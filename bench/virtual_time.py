"""Time that passes only when every thread sleeps, so that twenty minutes take a moment."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import inf
from threading import get_ident
from typing import TypeVar
from unittest.mock import patch

from tests.faults.timeline import Actor, Appointment, Timeline

T = TypeVar("T")


class InvocationEndedError(BaseException):
    """Lambda has ended the process of a function. Not an `Exception`: nothing must catch it."""


class VirtualClock(Timeline):
    """A clock for threads of which one runs at a time, in an order that is always the same."""

    def __init__(self) -> None:
        super().__init__()
        self._ends: dict[Actor | None, float] = {}
        """When the invocation of a thread ends."""
        self._threads: set[int] = set()
        """Those that see this clock's time: see `as_time`."""

    def sleep(self, seconds: float) -> None:
        """Let time pass, until the end of the invocation at most."""
        actor = self.actor
        end = self._ends.get(actor, inf)
        super().sleep(min(seconds, end - self.now()))
        if self.now() >= end:
            raise InvocationEndedError

    def timer(self, seconds: float, action: Callable[[], object]) -> Appointment:
        """Run an action after so many seconds, in a thread of its own."""

        def run() -> None:
            with self._counted():
                action()

        return self.after(seconds, Actor(self, None, run).resume)

    def together(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """Run all jobs at once, each in a thread, and raise what one of them raises."""
        results: dict[int, T] = {}

        def run(number: int, job: Callable[[], T]) -> None:
            with self._counted():
                results[number] = job()

        for number, job in enumerate(jobs):
            self.after(0.0, Actor(self, None, partial(run, number, job)).resume)
        self.run()
        return [results[number] for number in range(len(jobs))]

    @contextmanager
    def invocation(self, seconds: float) -> Iterator[None]:
        """End the block after so many seconds, as Lambda ends a function."""
        actor = self.actor
        self._ends[actor] = self.now() + seconds
        try:
            yield
        except InvocationEndedError:
            pass
        finally:
            del self._ends[actor]

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
