"""The range of a whole number as a regular expression, for numbers that are written as text."""

from collections.abc import Iterator
from typing import Final

DIGITS_MAX: Final = 9
"""Digits of a number that the function reads, leading zeros counted."""


def number_form(least: int, most: int) -> str:
    """Matches the digits of a number from `least` to `most`, with or without leading zeros."""
    forms = "|".join(_digits(low, high) for low, high in _spans(least, most))
    return f"(?![0-9]{{{DIGITS_MAX + 1}}})0*(?:{forms})"


def _spans(least: int, most: int) -> Iterator[tuple[int, int]]:
    """The range in spans whose ends differ in digits that may each be chosen freely."""
    low = least
    while low <= most:
        step = 1
        # grow the span while it begins at a round number and stays within the range
        while low % (step * 10) == 0 and low + step * 10 - 1 <= most and low > 0:
            step *= 10
        free = min(9 - low // step % 10, (most - low + 1) // step - 1)
        high = low + free * step + step - 1
        yield low, high
        low = high + 1


def _digits(low: int, high: int) -> str:
    """One form for two numbers of the same length."""
    pairs = zip(str(low), str(high), strict=True)
    return "".join(a if a == b else f"[{a}-{b}]" for a, b in pairs)
