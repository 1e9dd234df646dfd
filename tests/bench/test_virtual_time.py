"""The clock of the benchmarks."""

import time
from threading import Thread

from bench.virtual_time import VirtualClock
from tests.faults.timeline import START


def test_threads_that_are_not_the_clocks_keep_the_time_of_the_machine() -> None:
    clock, seen = VirtualClock(), []

    def other() -> None:
        time.sleep(0)
        seen.append(time.time())

    def job() -> float:
        time.sleep(60)
        thread = Thread(target=other)
        thread.start()
        thread.join()
        return time.time()

    with clock.as_time():
        ended = clock.together([job, job])
    assert ended == [START + 60, START + 60]
    assert all(START + 60 < one <= time.time() for one in seen)


def test_timers_run_and_invocations_end_while_their_thread_sleeps() -> None:
    clock = VirtualClock()
    began = clock.now()
    seen: list[float] = []
    clock.timer(5.0, lambda: seen.append(clock.now() - began))
    with clock.invocation(8.0):
        clock.sleep(20.0)
    assert seen == [5.0]
    assert clock.now() - began == 8.0


def test_the_thread_that_wakes_up_first_runs_first() -> None:
    clock = VirtualClock()
    began = clock.now()
    seen: list[tuple[str, float]] = []

    def wait(name: str, *pauses: float) -> str:
        for pause in pauses:
            clock.sleep(pause)
            seen.append((name, clock.now() - began))
        return name

    jobs = [lambda: wait("a", 3.0, 3.0), lambda: wait("b", 2.0, 2.0, 4.0)]
    assert clock.together(jobs) == ["a", "b"]
    assert seen == [("b", 2.0), ("a", 3.0), ("b", 4.0), ("a", 6.0), ("b", 8.0)]


def test_an_invocation_ends_only_in_its_own_thread() -> None:
    clock = VirtualClock()
    began = clock.now()

    def run(most: float) -> float:
        with clock.invocation(most):
            clock.sleep(10.0)
        return clock.now() - began

    assert clock.together([lambda: run(4.0), lambda: run(20.0)]) == [4.0, 10.0]
