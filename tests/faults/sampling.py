"""Which faults are tried: all of them with `FAULTS=all`, as in `make test-faults`, or a sample.

A test names its dimensions, such as the calls of a scenario and the errors that a call can get, and
tries the combinations that `sample` returns. There is no other rule.
"""

import os
from collections import Counter
from collections.abc import Iterable
from itertools import product
from typing import Any, Final

from tests.faults.fault_injection import PUT, Call

IS_COMPLETE: Final = os.environ.get("FAULTS") == "all"
ONE_IN: Final = 8
"""One combination in this many is in the sample."""
WRITES: Final = frozenset({"BatchDeleteClusterNodes", "Invoke", "SignalResource", PUT})
"""Calls that change something. All combinations with them are in the sample."""


def sample(*dimensions: Iterable[Any], stride: int = 1) -> list[Any]:
    """Return the combinations to try of one value from each dimension, as tuples.

    Each value has a number; that of a call counts the calls of the same operation. A combination is
    in the sample if its numbers add up to a multiple of `ONE_IN`. So the calls of an operation meet
    the faults in turn: each fault at every eighth call, and the next one a call before it. Where
    dimensions are so short that a value would not be tried at all, the sample is larger.

    Args:
        dimensions: lists of values.
        stride: for dimensions that are too long for a complete run: it tries one combination in
            `stride`, and a sample one in `ONE_IN` of those.
    """
    numbered = [list(_numbered(values)) for values in dimensions]
    has_calls = any(isinstance(value, Call) for values in numbered for _, value in values)
    one_in = 1 if IS_COMPLETE else ONE_IN
    if len(numbered) > 1 and not has_calls:
        *shorter, _ = sorted(map(len, numbered))
        one_in = min(one_in, 1 + sum(length - 1 for length in shorter))
    return [
        tuple(value for _, value in combination)
        for combination in product(*numbered)
        if (total := sum(number for number, _ in combination)) % stride == 0
        and (total // stride % one_in == 0 or any(_is_write(value) for _, value in combination))
    ]


def examples(count: int) -> int:
    """Return how many of `count` generated examples to try: a third is enough for a sample."""
    return count if IS_COMPLETE else count // 3


def _numbered(values: Iterable[Any]) -> Iterable[tuple[int, Any]]:
    numbers: Counter[str] = Counter()
    for value in values:
        operation = value.operation if isinstance(value, Call) else ""
        yield numbers[operation], value
        numbers[operation] += 1


def _is_write(value: object) -> bool:
    return isinstance(value, Call) and value.operation in WRITES
