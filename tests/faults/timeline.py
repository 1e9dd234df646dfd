"""Virtual time for several threads, of which only one runs at a time: the next one due.

A thread that sleeps passes its turn to the next, so every run is the same. A thread that is alone
advances the time by itself, without a switch of threads.
"""

import heapq
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

START = 1_000_000.0
"""The time at the beginning, in seconds."""


class Killed(BaseException):
    """The process of an actor was killed. Not an `Exception`: nothing may catch it."""


@dataclass(order=True)
class Appointment:
    """An action at a certain time, unless it is canceled."""

    time: float
    order: int
    action: Callable[[], object] = field(compare=False)
    is_canceled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.is_canceled = True


class Timeline:
    """The clock of a test: of the function, the services, Lambda, and CloudFormation."""

    def __init__(self) -> None:
        self.actor: Actor | None = None
        """The actor that is running. None: the test itself."""
        self._now = START
        self._agenda: list[Appointment] = []
        self._order = 0

    def now(self) -> float:
        return self._now

    def at(self, time: float, action: Callable[[], object]) -> Appointment:
        """Schedule an action. A time that has passed means now."""
        self._order += 1
        appointment = Appointment(max(time, self._now), self._order, action)
        heapq.heappush(self._agenda, appointment)
        return appointment

    def after(self, seconds: float, action: Callable[[], object]) -> Appointment:
        return self.at(self._now + seconds, action)

    def sleep(self, seconds: float) -> None:
        """Let time pass for the caller, and run what is due in the meantime."""
        wake_at = self._now + max(0.0, seconds)
        if not self._is_any_due(wake_at):
            self._now = wake_at
        elif self.actor is None:
            self.run(wake_at)
        else:
            self.at(wake_at, self.actor.resume)
            self.actor.pause()

    def run(self, until: float = math.inf) -> None:
        """Run everything that is due until then; by default, until nothing is left."""
        while self._is_any_due(until):
            appointment = heapq.heappop(self._agenda)
            self._now = max(self._now, appointment.time)
            appointment.action()
        if until < math.inf:
            self._now = max(self._now, until)

    def _is_any_due(self, time: float) -> bool:
        while self._agenda and self._agenda[0].is_canceled:
            heapq.heappop(self._agenda)
        return bool(self._agenda) and self._agenda[0].time <= time


class Actor:
    """A thread of a process of the function."""

    def __init__(self, timeline: Timeline, process: object, body: Callable[[], None]) -> None:
        self.process = process
        self.has_ended = False
        self._timeline = timeline
        self._body = body
        self._is_killed = False
        self._is_frozen = False
        self._is_due = False
        self._error: BaseException | None = None
        self._turn = _locked()
        self._pause = _locked()
        self._thread: threading.Thread | None = None

    def resume(self) -> None:
        """Run it until it sleeps or ends."""
        if self.has_ended:
            return
        if self._is_frozen:
            self._is_due = True
            return
        before, self._timeline.actor = self._timeline.actor, self
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        else:
            self._turn.release()
        self._pause.acquire()
        self._timeline.actor = before
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def pause(self) -> None:
        """Pass the turn on and wait for the next. Called by the actor itself."""
        self._pause.release()
        self._turn.acquire()
        if self._is_killed:
            raise Killed

    def freeze(self) -> None:
        """Give it no turn until it is thawed."""
        self._is_frozen = True

    def thaw(self) -> None:
        self._is_frozen = False
        if self._is_due:
            self._is_due = False
            self._timeline.after(0.0, self.resume)

    def kill(self) -> None:
        """End it where it sleeps."""
        if self.has_ended or self is self._timeline.actor:
            return
        if self._thread is None:
            self.has_ended = True
            return
        self._is_killed, self._is_frozen = True, False
        self.resume()

    def _run(self) -> None:
        try:
            self._body()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 (raised again in the thread that resumed it)
            self._error = error
        self.has_ended = True
        self._pause.release()


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock
