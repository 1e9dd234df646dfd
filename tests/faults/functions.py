"""Lambda: processes that run the function, their end, and events that are delivered again."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from hyperpod_node_removal_handler import index
from tests.faults.timeline import Actor, Appointment, Killed, Timeline
from tests.handler.function import Context

RETRY_DELAY = 60.0
"""Seconds after which Lambda runs an event whose invocation failed again; twice that, for the
second time."""
_ENTRY = compile(Path(index.__file__).read_bytes(), index.__file__, "exec")


class Process:
    """One process of the function: a handler and module state of its own."""

    def __init__(self, timeline: Timeline) -> None:
        self.is_dead = False
        self.invocation: Invocation | None = None
        self._timeline = timeline
        self._actors: list[Actor] = []
        self._index = _fresh_index()
        clock = Clock(timeline, self)
        self._index.clock = clock  # type: ignore[attr-defined]
        self._index.handler._clock = clock

    def handle(self, event: object, context: Context) -> None:
        self._index.handler(event, context)

    def act(self, body: Callable[[], None]) -> None:
        """Run `body` in a thread of this process, from now on."""
        actor = Actor(self._timeline, self, body)
        self._actors.append(actor)
        actor.resume()

    def freeze(self) -> None:
        """An invocation has returned: whatever still runs in the process stands still."""
        for actor in self._actors:
            actor.freeze()

    def thaw(self) -> None:
        for actor in self._actors:
            actor.thaw()

    def die(self) -> None:
        """All threads end where they are."""
        if self.is_dead:
            return
        self.is_dead = True
        for actor in self._actors:
            actor.kill()


@dataclass
class Invocation:
    """One run of the function."""

    number: int
    event: Any
    attempt: int
    """0 for the first delivery of the event, then 1 and 2."""
    process: Process
    deadline: float
    ancestors: frozenset[int] = frozenset()
    """Numbers of the invocations it knows of: itself and those that handed over to it."""
    end: str = ""
    """`returned`, `raised`, `killed`, `timed out`; empty while it runs."""
    error: BaseException | None = None
    log: list[str] = field(default_factory=list)
    """Messages, in full."""


class InvocationContext(Context):
    """The context of an invocation, whose time is virtual."""

    def __init__(self, timeline: Timeline, deadline: float) -> None:
        super().__init__()
        self._timeline = timeline
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        return int((self._deadline - self._timeline.now()) * 1000)


@dataclass
class Functions:
    """Lambda, as far as asynchronous invocations of one function go."""

    timeline: Timeline
    seconds: float = 900.0
    """The function's timeout."""
    retries: int = 2
    """How often an event whose invocation failed is delivered again. That is Lambda's default; the
    construct sets 0, and then an event that is lost is told by the stack's timeout alone."""
    is_warm: bool = False
    """Whether processes are used again. By default each invocation gets a new one."""
    invocations: list[Invocation] = field(default_factory=list)
    _idle: list[Process] = field(default_factory=list)

    def deliver(
        self,
        payload: bytes,
        delay: float = 0.0,
        attempt: int = 0,
        ancestors: frozenset[int] = frozenset(),
    ) -> None:
        """Run the function with an event, after so many seconds."""
        self.timeline.after(delay, lambda: self._begin(payload, attempt, ancestors))

    def _begin(self, payload: bytes, attempt: int, ancestors: frozenset[int]) -> None:
        process = self._idle.pop() if self._idle else Process(self.timeline)
        invocation = Invocation(
            number=len(self.invocations),
            event=json.loads(payload),
            attempt=attempt,
            process=process,
            deadline=self.timeline.now() + self.seconds,
            ancestors=ancestors | {len(self.invocations)},
        )
        self.invocations.append(invocation)
        process.invocation = invocation
        process.thaw()
        timeout = self.timeline.at(invocation.deadline, lambda: self._time_out(invocation))
        process.act(lambda: self._run(invocation, payload, timeout))

    def _run(self, invocation: Invocation, payload: bytes, timeout: Appointment) -> None:
        process = invocation.process
        context = InvocationContext(self.timeline, invocation.deadline)
        try:
            process.handle(json.loads(payload), context)
        except Killed:
            invocation.end = invocation.end or "killed"
        except Exception as error:  # noqa: BLE001 (told by the invariants)
            invocation.end, invocation.error = "raised", error
        else:
            invocation.end = "returned"
        timeout.call_off()
        if invocation.end == "returned":
            process.freeze()
            if self.is_warm:
                self._idle.append(process)
            return
        process.die()
        if invocation.attempt < self.retries:
            attempt = invocation.attempt + 1
            known = invocation.ancestors - {invocation.number}
            self.deliver(payload, RETRY_DELAY * attempt, attempt, known)

    def _time_out(self, invocation: Invocation) -> None:
        invocation.end = "timed out"
        invocation.process.die()


class Clock:
    """The clock of one process, on the timeline."""

    def __init__(self, timeline: Timeline, process: Process) -> None:
        self._timeline = timeline
        self._process = process

    def now(self) -> float:
        return self._timeline.now()

    def sleep(self, seconds: float) -> None:
        self._timeline.sleep(seconds)

    def timer(self, seconds: float, action: Callable[[], None]) -> "Timer":
        def fire() -> None:
            if not self._process.is_dead:
                self._process.act(action)

        return Timer(self._timeline.after(max(0.0, seconds), fire))


@dataclass
class Timer:
    """Something that a process does later."""

    appointment: Appointment

    def cancel(self) -> None:
        self.appointment.call_off()


def _fresh_index() -> ModuleType:
    """The function's entry, as a new process has it: with a handler nothing has happened to."""
    module = ModuleType(index.__name__)
    module.__file__ = index.__file__
    exec(_ENTRY, vars(module))
    return module
