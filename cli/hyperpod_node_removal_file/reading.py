"""From a value as it was written to what a setting holds.

Each function takes None for a value that is not given, and raises `SettingsError`, which points at
the value, for one that is not allowed. Those of lists and mappings look at every part first, and
have all problems in the error.
"""

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final, TypeVar, overload

from hyperpod_node_removal_file.errors import SettingsError, raise_all
from hyperpod_node_removal_file.given import Given, Kind
from hyperpod_node_removal_handler import contract

Choice = TypeVar("Choice", bound=StrEnum)
Problem = Callable[[str], str | None]

_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_FLAGS: Final = {"true": True, "false": False}


@overload
def text(given: Given, problem: Problem) -> str: ...
@overload
def text(given: Given | None, problem: Problem) -> str | None: ...
def text(given: Given | None, problem: Problem) -> str | None:
    """Text without a problem."""
    if given is None:
        return None
    stripped = given.as_text().strip()
    if sentence := problem(stripped):
        raise given.error(sentence)
    return stripped


def choice(given: Given | None, default: Choice) -> Choice:
    """A value of the enumeration that `default` belongs to."""
    kind = type(default)
    value = text(given, lambda value: contract.choice_problem(value, kind))
    return kind(value) if value else default


def names(given: Given | None, problem: Problem) -> tuple[str, ...]:
    """Ids or names from a list or from text joined by commas. Empty places count for nothing."""
    if given is None:
        return ()
    found: dict[str, None] = {}
    problems: list[SettingsError] = []
    for item in given.items if given.kind is Kind.LIST else (given,):
        try:
            pieces = tuple(_pieces(item))
        except SettingsError as error:
            problems.append(error)
            continue
        for name in pieces:
            if sentence := problem(name):
                problems.append(item.error(sentence))
            elif name in found:
                problems.append(item.error(_twice(name)))
            found[name] = None
    raise_all(problems)
    return tuple(found)


def counts(given: Given | None, problem: Problem) -> dict[str, int]:
    """Numbers of nodes by name, from a mapping or from text such as `workers=4,trainers=2`.

    An empty one is refused: it guards nothing.
    """
    if given is None:
        return {}
    found: dict[str, int] = {}
    problems: list[SettingsError] = []
    entries = given.entries if given.kind is Kind.MAPPING else tuple(_assignments(given))
    if not entries:
        raise given.error("is empty; allowed: numbers of nodes by group, or leave the key out")
    for name, value in entries:
        try:
            if sentence := problem(name):
                raise value.error(sentence)
            if name in found:
                raise value.error(_twice(name))
            found[name] = _number(value, contract.count_problem)
        except SettingsError as error:
            problems.append(error)
    raise_all(problems)
    return found


def count(given: Given | None) -> int | None:
    """A number of nodes."""
    return None if given is None else _number(given, contract.count_problem)


def seconds(given: Given | None, default: int, least: int, most: int) -> int:
    """A number of seconds between `least` and `most`."""
    if given is None:
        return default
    return _number(given, lambda value: contract.seconds_problem(value, least, most))


def flag(given: Given | None) -> bool:
    """true or false; false if it is not given."""
    if given is None:
        return False
    value = given.text.strip().lower()
    if given.kind not in (Kind.TEXT, Kind.BOOLEAN) or value not in _FLAGS:
        raise given.error(f"{_shown(given)} is unknown; allowed: true or false")
    return _FLAGS[value]


def _twice(name: str) -> str:
    return f"{contract.quoted(name)} is listed twice; allowed: once each"


def _pieces(given: Given) -> Iterator[str]:
    return filter(None, (piece.strip() for piece in given.as_text().split(",")))


def _assignments(given: Given) -> Iterator[tuple[str, Given]]:
    if given.kind is not Kind.TEXT:
        raise given.error(f"{_shown(given)} is given; allowed: a mapping, or GROUP=NODES,...")
    for piece in _pieces(given):
        name, equals, number = (part.strip() for part in piece.partition("="))
        if not equals:
            raise given.error(f"{contract.quoted(piece)} has no number; allowed: GROUP=NODES,...")
        yield name, Given(given.where, Kind.TEXT, number, line=given.line)


def _number(given: Given, problem: Callable[[int], str | None]) -> int:
    if given.kind not in (Kind.TEXT, Kind.NUMBER) or not _WHOLE_NUMBER.fullmatch(given.text):
        # The sentence about the range says what is allowed.
        allowed = (problem(-1) or "").partition("allowed: ")[2]
        raise given.error(f"{_shown(given)} is not a whole number; allowed: {allowed}")
    value = int(given.text)
    if sentence := problem(value):
        raise given.error(sentence)
    return value


def _shown(given: Given) -> str:
    is_scalar = given.kind not in (Kind.LIST, Kind.MAPPING, Kind.NOTHING)
    return contract.quoted(given.text) if is_scalar else str(given.kind)
