"""Virtual time for several actors: whoever is due next goes next, and only one goes at a time.

An actor is a thread that hands a baton to the others when it sleeps, so what happens is the same in
every run. An actor that is alone moves the time on by itself, without a change of threads.
"""

import heapq
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

START = 1_000_000.0
"""Where the time begins, in seconds."""


class Killed(BaseException):
    """The process of an actor was ended from outside. Not an `Exception`: nothing may catch it."""


@dataclass(order=True)
class Appointment:
    """Something that happens at a time, unless it is called off."""

    time: float
    order: int
    action: Callable[[], object] = field(compare=False)
    is_off: bool = field(default=False, compare=False)

    def call_off(self) -> None:
        self.is_off = True


class Timeline:
    """The clock of a test: the function's, the service's, Lambda's and CloudFormation's."""

    def __init__(self) -> None:
        self.actor: Actor | None = None
        """Whose turn it is. None: the test's own."""
        self._now = START
        self._agenda: list[Appointment] = []
        self._order = 0

    def now(self) -> float:
        return self._now

    def at(self, time: float, action: Callable[[], object]) -> Appointment:
        """Do `action` at `time`, or now if that is over."""
        self._order += 1
        appointment = Appointment(max(time, self._now), self._order, action)
        heapq.heappush(self._agenda, appointment)
        return appointment

    def after(self, seconds: float, action: Callable[[], object]) -> Appointment:
        return self.at(self._now + seconds, action)

    def sleep(self, seconds: float) -> None:
        """Let time pass for the one who calls, and let the others have their turn meanwhile."""
        wake_at = self._now + max(0.0, seconds)
        if not self._is_somebody_due(wake_at):
            self._now = wake_at
        elif self.actor is None:
            self.run(wake_at)
        else:
            self.at(wake_at, self.actor.resume)
            self.actor.pause()

    def run(self, until: float = math.inf) -> None:
        """Let everything happen that is due until then; by default until nothing is left."""
        while self._is_somebody_due(until):
            appointment = heapq.heappop(self._agenda)
            self._now = max(self._now, appointment.time)
            appointment.action()
        if until < math.inf:
            self._now = max(self._now, until)

    def _is_somebody_due(self, time: float) -> bool:
        while self._agenda and self._agenda[0].is_off:
            heapq.heappop(self._agenda)
        return bool(self._agenda) and self._agenda[0].time <= time


class Actor:
    """A thread of a process of the function."""

    def __init__(self, timeline: Timeline, process: object, body: Callable[[], None]) -> None:
        self.process = process
        self.is_over = False
        self._timeline = timeline
        self._body = body
        self._is_killed = False
        self._is_frozen = False
        self._is_due = False
        self._error: BaseException | None = None
        self._turn = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._thread: threading.Thread | None = None

    def resume(self) -> None:
        """Give it its turn; returns when it sleeps or is over."""
        if self.is_over:
            return
        if self._is_frozen:
            self._is_due = True
            return
        before, self._timeline.actor = self._timeline.actor, self
        if self._thread is None:
            self._thread = threading.Thread(target=self._play, daemon=True)
            self._thread.start()
        else:
            self._turn.release()
        self._back.acquire()
        self._timeline.actor = before
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def pause(self) -> None:
        """Called by the actor itself: pass the turn on and wait for the next."""
        self._back.release()
        self._turn.acquire()
        if self._is_killed:
            raise Killed

    def freeze(self) -> None:
        """It gets no turn until it is thawed."""
        self._is_frozen = True

    def thaw(self) -> None:
        self._is_frozen = False
        if self._is_due:
            self._is_due = False
            self._timeline.after(0.0, self.resume)

    def kill(self) -> None:
        """End it where it sleeps. What it does while it unwinds is its own."""
        if self.is_over or self is self._timeline.actor:
            return
        if self._thread is None:
            self.is_over = True
            return
        self._is_killed, self._is_frozen = True, False
        self.resume()

    def _play(self) -> None:
        try:
            self._body()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 (raised again where the turn came from)
            self._error = error
        self.is_over = True
        self._back.release()
