"""The clock of the benchmarks."""

import time
from threading import Thread

from bench.virtual_time import START, VirtualClock


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
