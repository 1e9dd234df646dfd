"""Fault injection for all calls that the function makes.

Every request of the SDK and every PUT of a reply passes through a `FaultInjector`, which records
it and applies faults before or after the call is carried out.
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
OPERATIONS = (
    "DescribeCluster",
    "DescribeClusterNode",
    "ListClusterNodes",
    "BatchDeleteClusterNodes",
    "DescribeStacks",
    "Invoke",
)
"""The calls to AWS that a removal makes."""
INVOKE_HOOK = "Invoke of the hook"
"""The operation of invoking the hook. `Invoke` is a hand-over."""
RELEASE = "Release of nodes"
"""The operation of notifying the hook that nodes stay."""


@dataclass(frozen=True)
class Call:
    """One call that the function makes."""

    number: int
    """Counted over all invocations, from 0."""
    operation: str
    request: Mapping[str, Any]
    time: float
    invocation: "Invocation"
    timeout: float
    """Seconds for which the function waits for an answer."""


def is_call(number: int) -> Callable[[Call], bool]:
    return lambda call: call.number == number


@dataclass
class Fault:
    """Something that happens at calls: an error, a delay, a change of the cluster, a kill."""

    effect: Callable[[Call, Answer | None], object]
    """Raises the error that the caller gets, or changes something.

    The answer is None before the call is carried out.
    """
    operation: str = ""
    """The operation that it applies to. Empty: all."""
    when: Callable[[Call], bool] = lambda call: True
    is_after_work: bool = False
    times: float = math.inf
    """The number of calls that it applies to."""
    skip: int = 0
    """The number of matching calls before those."""
    hits: int = 0
    """The number of calls that it has applied to."""

    def applies_to(self, call: Call, *, is_after_work: bool) -> bool:
        if is_after_work is not self.is_after_work or self.operation not in ("", call.operation):
            return False
        if self.hits >= self.times or not self.when(call):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.hits += 1
        return True


@dataclass
class FaultInjector:
    """Records calls and applies faults to them."""

    timeline: Timeline
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    latency: float | Callable[[Call], float] = 0.0
    """Seconds that a call takes, half of them before it is carried out."""
    failed: set[int] = field(default_factory=set)
    """Numbers of the calls that raised."""
    after_death: list[Call] = field(default_factory=list)
    """Calls of processes that had been killed. There must be none."""

    def add(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    def at(self, call: Call, action: Callable[[], object]) -> Fault:
        """Do something immediately before the call with this number."""
        return self.add(Fault(lambda *_: action(), when=is_call(call.number), times=1))

    def fail(
        self,
        operation: str,
        error: Callable[[], Exception],
        *,
        times: float = 1,
        skip: int = 0,
        is_after_work: bool = False,
        when: Callable[[Call], bool] = lambda call: True,
    ) -> Fault:
        """Make calls raise what `error` returns."""

        def raise_it(call: Call, answer: Answer | None) -> None:
            raise error()

        return self.add(Fault(raise_it, operation, when, is_after_work, times, skip))

    def kill(self, number: int, *, is_after_work: bool) -> Fault:
        """Kill the process immediately before or after one call is carried out."""

        def kill_it(call: Call, answer: Answer | None) -> None:
            call.invocation.process.die()
            raise Killed

        fault = Fault(kill_it, "", is_call(number), is_after_work, times=1)
        self.faults.insert(0, fault)
        return fault

    def call(
        self,
        operation: str,
        request: Mapping[str, Any],
        invocation: "Invocation",
        timeout: float,
        work: Callable[[], Answer],
    ) -> Answer:
        """Carry out one call with `work`."""
        now = self.timeline.now()
        call = Call(len(self.calls), operation, request, now, invocation, timeout)
        if invocation.process.is_dead:
            self.after_death.append(call)
            raise Killed
        self.calls.append(call)
        pause = (self.latency(call) if callable(self.latency) else self.latency) / 2
        try:
            self._pause(pause)
            try:
                self._inject(call, None)
                answer = work()
            except Exception:
                self._inject(call, {})
                raise
            self._inject(call, answer)
            self._pause(pause)
        except BaseException:
            self.failed.add(call.number)
            raise
        return answer

    def _pause(self, seconds: float) -> None:
        if seconds:
            self.timeline.sleep(seconds)

    def _inject(self, call: Call, answer: Answer | None) -> None:
        for fault in tuple(self.faults):
            if fault.applies_to(call, is_after_work=answer is not None):
                fault.effect(call, answer)
