"""Values as somebody wrote them: where each stands, and what it may be read as.

An error points at the file, the line and the key of the value::

    SettingsError              it does not describe a removal (ValueError)
     +-- UnreadableFileError   it could not be looked at

The readers at the end take a value, return what a setting holds, and raise `SettingsError` for what
is not allowed. Those of lists and mappings look at every part and put all problems into the error.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypeVar

import hyperpod_node_removal_contract as contract

Choice = TypeVar("Choice", bound=StrEnum)
Problem = Callable[[str], str | None]
"""Takes a value and returns None, or what is wrong with it as the end of a sentence."""

_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_FLAGS: Final = {"true": True, "false": False}


class SettingsError(ValueError):
    """The command line or the file does not describe a removal.

    The text names the file, the line or key, the value and what is allowed.
    """

    def __init__(
        self, text: str, *, line: int | None = None, more: Iterable["SettingsError"] = ()
    ) -> None:
        super().__init__(text)
        self.line = line
        """Of the file, from 1. None where it is not known."""
        self.every: tuple[SettingsError, ...] = (self, *more)
        """This problem and the others that were found with it."""


class UnreadableFileError(SettingsError):
    """The file is not there, may not be read, or needs a library that is not installed."""


def raise_all(problems: Iterable[SettingsError]) -> None:
    """Raise the first of the problems, with the others in `every`; nothing if there is none."""
    found = tuple(one for problem in problems for one in problem.every)
    if found:
        first, *others = found
        raise SettingsError(str(first), line=first.line, more=others)


class Kind(StrEnum):
    """What YAML or JSON takes a value for, in words for a sentence."""

    TEXT = "text"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    DATE = "a date"
    LIST = "a list"
    MAPPING = "a mapping"
    NOTHING = "nothing"
    """Null in a mapping. Elsewhere it is as if the value were not there."""


@dataclass(frozen=True)
class SourceValue:
    """One value of a file or command line."""

    where: str
    """For example `removals.yaml, line 3: node_ids`."""
    kind: Kind
    text: str = ""
    """As it was written. Empty for a list and a mapping."""
    items: tuple["SourceValue", ...] = ()
    """Of a list."""
    entries: tuple[tuple[str, "SourceValue"], ...] = ()
    """Of a mapping: its keys and values, in order."""
    line: int | None = None
    """Of the file, from 1. None where it is not known."""

    def error(self, problem: str) -> SettingsError:
        """Make an error that points here; `problem` ends its sentence."""
        return SettingsError(f"{self.where}: {problem}", line=self.line)

    @property
    def shown(self) -> str:
        """The value in quotes, or what it is if it is no single value."""
        is_single = self.kind not in (Kind.LIST, Kind.MAPPING, Kind.NOTHING)
        return contract.quoted(self.text) if is_single else str(self.kind)


def given_values(values: Mapping[str, Any], where: str) -> dict[str, SourceValue]:
    """Return the values of a JSON object that are not null; `where` goes before each key."""
    given = ((key, _from_json(value, f"{where}{key}")) for key, value in values.items())
    return {key: value for key, value in given if value.kind is not Kind.NOTHING}


def _from_json(value: Any, where: str, *, is_part: bool = False) -> SourceValue:
    """Read a value. Within a part of a list or mapping nothing means anything."""
    match value:
        case None:
            return SourceValue(where, Kind.NOTHING)
        case bool():
            return SourceValue(where, Kind.BOOLEAN, "true" if value else "false")
        case int() | float():
            return SourceValue(where, Kind.NUMBER, str(value))
        case str():
            return SourceValue(where, Kind.TEXT, value)
        case list():
            parts = [] if is_part else value
            items = (
                _from_json(item, f"{where}[{n}]", is_part=True) for n, item in enumerate(parts)
            )
            given = tuple(item for item in items if item.kind is not Kind.NOTHING)
            return SourceValue(where, Kind.LIST, items=given)
        case _:
            entries = () if is_part else value.items()
            return SourceValue(
                where,
                Kind.MAPPING,
                entries=tuple(
                    (key, _from_json(item, f"{where}[{contract.quoted(key)}]", is_part=True))
                    for key, item in entries
                ),
            )


# Readers -------------------------------------------------------------------------------------


def text(problem: Problem) -> Callable[[SourceValue], str]:
    """Make a reader of text without a problem."""

    def read(value: SourceValue) -> str:
        stripped = _text_of(value).strip()
        if sentence := problem(stripped):
            raise value.error(sentence)
        return stripped

    return read


def choice(kind: type[Choice]) -> Callable[[SourceValue], Choice]:
    """Make a reader of the values of an enumeration."""
    read = text(lambda value: contract.choice_problem(value, kind))
    return lambda value: kind(read(value))


def names(problem: Problem) -> Callable[[SourceValue], tuple[str, ...]]:
    """Make a reader of ids or names, from a list or from text joined by commas.

    Empty places count for nothing.
    """

    def read(value: SourceValue) -> tuple[str, ...]:
        found: dict[str, None] = {}
        problems: list[SettingsError] = []
        for item in value.items if value.kind is Kind.LIST else (value,):
            try:
                for name in _pieces(_text_of(item)):
                    if sentence := problem(name) or _twice(name, found):
                        problems.append(item.error(sentence))
                    found[name] = None
            except SettingsError as error:
                problems.append(error)
        raise_all(problems)
        return tuple(found)

    return read


def counts(problem: Problem) -> Callable[[SourceValue], dict[str, int]]:
    """Make a reader of numbers of nodes by name, from a mapping or text: `workers=4,trainers=2`.

    An empty one is refused: it guards nothing.
    """

    def read(value: SourceValue) -> dict[str, int]:
        found: dict[str, int] = {}
        problems: list[SettingsError] = []
        entries = value.entries if value.kind is Kind.MAPPING else tuple(_assignments(value))
        if not entries:
            raise value.error("is empty; allowed: numbers of nodes by group, or leave the key out")
        for name, number in entries:
            try:
                if sentence := problem(name) or _twice(name, found):
                    raise number.error(sentence)
                found[name] = count(number)
            except SettingsError as error:
                problems.append(error)
        raise_all(problems)
        return found

    return read


def count(value: SourceValue) -> int:
    """Read a number of nodes."""
    return _number(value, contract.count_problem)


def seconds(least: int, most: int) -> Callable[[SourceValue], int]:
    """Make a reader of a number of seconds between `least` and `most`."""
    return lambda value: _number(value, lambda n: contract.seconds_problem(n, least, most))


def flag(value: SourceValue) -> bool:
    """Read true or false."""
    word = value.text.strip().lower()
    if value.kind not in (Kind.TEXT, Kind.BOOLEAN) or word not in _FLAGS:
        raise value.error(f"{value.shown} is unknown; allowed: true or false")
    return _FLAGS[word]


def _text_of(value: SourceValue) -> str:
    if value.kind in (Kind.LIST, Kind.MAPPING):
        raise value.error(f"{value.kind} is given; allowed: text")
    if value.kind is not Kind.TEXT:
        raise value.error(f"{value.shown} is read as {value.kind}, not as text; put it in quotes")
    return value.text


def _pieces(joined: str) -> Iterator[str]:
    return filter(None, (piece.strip() for piece in joined.split(",")))


def _twice(name: str, found: Container[str]) -> str | None:
    return f"{contract.quoted(name)} is listed twice; allowed: once each" if name in found else None


def _assignments(value: SourceValue) -> Iterator[tuple[str, SourceValue]]:
    if value.kind is not Kind.TEXT:
        raise value.error(f"{value.shown} is given; allowed: a mapping, or GROUP=NODES,...")
    for piece in _pieces(value.text):
        name, equals, number = (part.strip() for part in piece.partition("="))
        if not equals:
            raise value.error(f"{contract.quoted(piece)} has no number; allowed: GROUP=NODES,...")
        yield name, replace(value, text=number)


def _number(value: SourceValue, problem: Callable[[int], str | None]) -> int:
    if value.kind not in (Kind.TEXT, Kind.NUMBER) or not _WHOLE_NUMBER.fullmatch(value.text):
        # The sentence about the range says what is allowed.
        allowed = (problem(-1) or "").partition("allowed: ")[2]
        raise value.error(f"{value.shown} is not a whole number; allowed: {allowed}")
    number = int(value.text)
    if sentence := problem(number):
        raise value.error(sentence)
    return number
