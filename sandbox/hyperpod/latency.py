"""How long calls take: drawn from a distribution, the same for the same seed."""

import math
import random


class SeededLatency:
    """Seconds a call of an operation takes, for `HyperPod.latency`.

    Log-normal, as latencies of services are: half of the calls take less than `median` seconds,
    and two thirds are within a factor of e to the power of `sigma` of it. Each operation draws
    from a sequence of its own, so that what a client calls in between changes nothing for it.
    """

    def __init__(self, seed: int, *, median: float = 0.1, sigma: float = 0.3) -> None:
        self._seed = seed
        self._mu = math.log(median)
        self._sigma = sigma
        self._sequences: dict[str, random.Random] = {}

    def __call__(self, operation: str) -> float:
        """The next latency of `operation`."""
        if operation not in self._sequences:
            self._sequences[operation] = random.Random(f"{self._seed}/{operation}")
        return self._sequences[operation].lognormvariate(self._mu, self._sigma)
