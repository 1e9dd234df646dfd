"""The one door between the function and everything outside it.

Every request of the SDK and every PUT of a reply comes through here, beneath the function's own
code: it is counted, written down, and may meet with trouble before the work is done or after it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.aws_transport import Answer
from tests.faults.timeline import Killed, Timeline

if TYPE_CHECKING:
    from tests.faults.functions import Invocation

PUT = "PUT"
"""The operation of a reply to CloudFormation."""
ASK = "Invoke of the hook"
"""The operation of a question to the hook. `Invoke` is a hand-over."""
RELEASE = "Release of nodes"
"""The operation of telling the hook that nodes stay."""


@dataclass(frozen=True)
class Call:
    """One call of the function to the outside."""

    number: int
    """Counted over all invocations, from 0."""
    operation: str
    request: Mapping[str, Any]
    time: float
    invocation: "Invocation"
    timeout: float
    """Seconds for which the function waits for an answer."""


@dataclass
class Trouble:
    """Something that befalls calls: an error, a delay, a change in the world, a kill."""

    effect: Callable[[Call, Answer | None], object]
    """Raises what the caller is to get, or does something. The answer is None before the work."""
    operation: str = ""
    """Which operation it befalls. Empty: each."""
    when: Callable[[Call], bool] = lambda call: True
    is_after_work: bool = False
    times: float = math.inf
    """For how many calls."""
    skip: int = 0
    """How many matching calls it leaves alone first."""
    met: int = 0
    """How many calls have met with it."""

    def befalls(self, call: Call, *, is_after_work: bool) -> bool:
        if is_after_work is not self.is_after_work or self.operation not in ("", call.operation):
            return False
        if self.met >= self.times or not self.when(call):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.met += 1
        return True


@dataclass
class Outside:
    """Counts calls and brings trouble upon them."""

    timeline: Timeline
    calls: list[Call] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    latency: Callable[[Call], float] = lambda call: 0.0
    """Seconds a call takes; half of them pass before the work is done, half after it."""
    failed: set[int] = field(default_factory=set)
    """Numbers of the calls that raised."""
    lost: set[int] = field(default_factory=set)
    """Numbers of those whose work was done nevertheless."""
    after_death: list[Call] = field(default_factory=list)
    """Calls of processes that were dead already. There must be none."""

    def add(self, trouble: Trouble) -> Trouble:
        self.troubles.append(trouble)
        return trouble

    def fail(
        self,
        operation: str,
        error: Callable[[], Exception],
        *,
        times: float = 1,
        skip: int = 0,
        is_after_work: bool = False,
        when: Callable[[Call], bool] = lambda call: True,
    ) -> Trouble:
        """Have calls raise. `error` is made anew for each."""

        def raise_it(call: Call, answer: Answer | None) -> None:
            raise error()

        return self.add(Trouble(raise_it, operation, when, is_after_work, times, skip))

    def kill(self, number: int, *, is_after_work: bool) -> Trouble:
        """End the process right before or right after the work of one call."""

        def kill_it(call: Call, answer: Answer | None) -> None:
            call.invocation.process.die()
            raise Killed

        trouble = Trouble(kill_it, "", lambda c: c.number == number, is_after_work, times=1)
        self.troubles.insert(0, trouble)
        return trouble

    def call(
        self,
        operation: str,
        request: Mapping[str, Any],
        invocation: "Invocation",
        timeout: float,
        work: Callable[[], Answer],
    ) -> Answer:
        """Carry out one call."""
        now = self.timeline.now()
        call = Call(len(self.calls), operation, request, now, invocation, timeout)
        if invocation.process.is_dead:
            self.after_death.append(call)
            raise Killed
        self.calls.append(call)
        pause = self.latency(call) / 2
        is_done = False
        try:
            self._pause(pause)
            try:
                self._trouble(call, None)
                answer = work()
            except Exception:
                self._trouble(call, {})
                raise
            is_done = True
            self._trouble(call, answer)
            self._pause(pause)
        except BaseException:
            self.failed.add(call.number)
            if is_done:
                self.lost.add(call.number)
            raise
        return answer

    def _pause(self, seconds: float) -> None:
        if seconds:
            self.timeline.sleep(seconds)

    def _trouble(self, call: Call, answer: Answer | None) -> None:
        for trouble in tuple(self.troubles):
            if trouble.befalls(call, is_after_work=answer is not None):
                trouble.effect(call, answer)
