"""A model of Lambda: processes that run the function, their end, and retried events."""

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
"""Seconds after which Lambda retries an event; twice that for the second retry."""
_ENTRY = compile(Path(index.__file__).read_bytes(), index.__file__, "exec")


class Process:
    """One process of the function, with its own handler and module state."""

    def __init__(self, timeline: Timeline) -> None:
        self.is_dead = False
        self.invocation: Invocation | None = None
        self._timeline = timeline
        self._actors: list[Actor] = []
        self._index = _fresh_index()
        clock = Clock(timeline, self)
        self._index.handler._clock = clock

    def handle(self, event: object, context: Context) -> None:
        self._index.handler(event, context)

    def act(self, body: Callable[[], None]) -> None:
        """Start a thread of this process."""
        actor = Actor(self._timeline, self, body)
        self._actors.append(actor)
        actor.resume()

    def freeze(self) -> None:
        """Stop all threads until the next invocation, as Lambda does when one has returned."""
        for actor in self._actors:
            actor.freeze()

    def thaw(self) -> None:
        for actor in self._actors:
            actor.thaw()

    def die(self) -> None:
        """Kill all threads."""
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
    """0 for the first delivery of the event, then the number of the retry."""
    process: Process
    deadline: float
    ancestors: frozenset[int] = frozenset()
    """Numbers of this invocation and those that handed over to it."""
    end: str = ""
    """`returned`, `raised`, `killed`, or `timed out`; empty while it runs."""
    error: BaseException | None = None
    log: list[str] = field(default_factory=list)
    """Messages and values of extra fields."""


class InvocationContext(Context):
    """The context of an invocation, in virtual time."""

    def __init__(self, timeline: Timeline, deadline: float) -> None:
        super().__init__()
        self._timeline = timeline
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        return int((self._deadline - self._timeline.now()) * 1000)


@dataclass
class Functions:
    """The asynchronous invocations of the function."""

    timeline: Timeline
    seconds: float = 900.0
    """The function's timeout."""
    retries: int = 2
    """How often a failed event is retried: Lambda's default. With 0, as the construct sets it, only
    the stack's timeout ends the request of an event that was lost."""
    is_warm: bool = False
    """Whether processes are reused. By default, each invocation gets a new one."""
    invocations: list[Invocation] = field(default_factory=list)
    _idle: list[Process] = field(default_factory=list)

    def deliver(
        self,
        payload: bytes,
        delay: float = 0.0,
        attempt: int = 0,
        ancestors: frozenset[int] = frozenset(),
    ) -> None:
        """Schedule an invocation of the function."""
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
        except Exception as error:  # noqa: BLE001 (the invariants report it)
            invocation.end, invocation.error = "raised", error
        else:
            invocation.end = "returned"
        timeout.cancel()
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
    """The clock of one process, in virtual time."""

    def __init__(self, timeline: Timeline, process: Process) -> None:
        self._timeline = timeline
        self._process = process

    def now(self) -> float:
        return self._timeline.now()

    def sleep(self, seconds: float) -> None:
        self._timeline.sleep(seconds)

    def timer(self, seconds: float, action: Callable[[], None]) -> Appointment:
        def fire() -> None:
            if not self._process.is_dead:
                self._process.act(action)

        return self._timeline.after(max(0.0, seconds), fire)


def _fresh_index() -> ModuleType:
    """Import the function again, as a new process does."""
    module = ModuleType(index.__name__)
    module.__file__ = index.__file__
    exec(_ENTRY, vars(module))
    return module
