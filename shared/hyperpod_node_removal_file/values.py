"""Values of a removal file or a command line, each with its place, and how they are read.

An error names the file, the line and the key of the value::

    SettingsError              it does not describe a removal (ValueError)
     +-- UnreadableFileError   it cannot be read

`READERS` take the row of a property and a value, return the value of a setting, and raise
`SettingsError` for what is not allowed. Those of lists and mappings report the problems of all
items at once.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract import Property
from hyperpod_node_removal_contract.properties import FLAGS, WHOLE_NUMBER, Kind, Row


class SettingsError(ValueError):
    """The command line or the file does not describe a removal.

    The text names the file, the line or key, the value and what is allowed.
    """

    def __init__(
        self, text: str, *, line: int | None = None, more: Iterable["SettingsError"] = ()
    ) -> None:
        super().__init__(text)
        self.line = line
        """Of the file, from 1. None if it is not known."""
        self.every: tuple[SettingsError, ...] = (self, *more)
        """This problem and the others that were found."""


class UnreadableFileError(SettingsError):
    """The file does not exist, cannot be read, or needs a library that is not installed."""


def raise_all(problems: Iterable[SettingsError]) -> None:
    """Raise the first of the problems, with the others in `every`; nothing if there is none."""
    found = tuple(one for problem in problems for one in problem.every)
    if found:
        first, *others = found
        raise SettingsError(str(first), line=first.line, more=others)


class SourceKind(StrEnum):
    """What YAML or JSON reads a value as, in words for an error."""

    TEXT = "text"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    DATE = "a date"
    TAGGED = "a value with a tag"
    """Of YAML, such as `!Ref ClusterName`."""
    LIST = "a list"
    MAPPING = "a mapping"
    NOTHING = "nothing"
    """Null in a mapping. Elsewhere a null is left out."""


@dataclass(frozen=True)
class SourceValue:
    """One value of a file or command line."""

    where: str
    """For example `removals.yaml, line 3: node_ids`."""
    kind: SourceKind
    text: str = ""
    """As it was written. Empty for a list and a mapping."""
    items: tuple["SourceValue", ...] = ()
    """Of a list."""
    entries: tuple[tuple[str, "SourceValue"], ...] = ()
    """Of a mapping: its keys and values, in order."""
    line: int | None = None
    """Of the file, from 1. None where it is not known."""

    def error(self, problem: str) -> SettingsError:
        """Return an error about this value; `problem` ends its sentence."""
        return SettingsError(f"{self.where}: {problem}", line=self.line)

    @property
    def shown(self) -> str:
        """The value in quotes, or what it is if it is no single value."""
        is_single = self.kind not in (SourceKind.LIST, SourceKind.MAPPING, SourceKind.NOTHING)
        return contract.quote(self.text) if is_single else str(self.kind)


def given_values(values: Mapping[str, Any], where: str) -> dict[str, SourceValue]:
    """Return the values of a JSON object that are not null; `where` goes before each key."""
    given = ((key, _from_json(value, f"{where}{key}")) for key, value in values.items())
    return {key: value for key, value in given if value.kind is not SourceKind.NOTHING}


def _from_json(value: Any, where: str, *, is_part: bool = False) -> SourceValue:
    """Read a value. What is nested in an item of a list or mapping is left out."""
    match value:
        case None:
            return SourceValue(where, SourceKind.NOTHING)
        case bool():
            return SourceValue(where, SourceKind.BOOLEAN, "true" if value else "false")
        case int() | float():
            return SourceValue(where, SourceKind.NUMBER, str(value))
        case str():
            return SourceValue(where, SourceKind.TEXT, value)
        case list():
            parts = [] if is_part else value
            items = (
                _from_json(item, f"{where}[{n}]", is_part=True) for n, item in enumerate(parts)
            )
            given = tuple(item for item in items if item.kind is not SourceKind.NOTHING)
            return SourceValue(where, SourceKind.LIST, items=given)
        case _:
            entries = () if is_part else value.items()
            return SourceValue(
                where,
                SourceKind.MAPPING,
                entries=tuple(
                    (key, _from_json(item, f"{where}[{contract.quote(key)}]", is_part=True))
                    for key, item in entries
                ),
            )


# Readers -------------------------------------------------------------------------------------


def _text(row: Row, value: SourceValue) -> str:
    return _validated(row, value, _text_of(value).strip())


def _choice(row: Row, value: SourceValue) -> str:
    """Read one of the values of an enumeration, which the function accepts without blanks only."""
    text = _validated(row, value, _text_of(value))
    return row.choices(text) if row.choices else text


def _validated(row: Row, value: SourceValue, text: str) -> str:
    if sentence := row.validate(text):
        raise value.error(sentence)
    return text


def _names(row: Row, value: SourceValue) -> tuple[str, ...]:
    """Read ids or names, from a list or from text."""
    found: dict[str, None] = {}
    problems: list[SettingsError] = []
    for item in value.items if value.kind is SourceKind.LIST else (value,):
        try:
            for name in row.names_in(_text_of(item)):
                if sentence := row.validate(name) or _twice(name, found):
                    # The contract's NodeIds is the key node_ids here.
                    problems.append(item.error(sentence.replace(Property.NODE_IDS, "node_ids")))
                found[name] = None
        except SettingsError as error:
            problems.append(error)
    raise_all(problems)
    return tuple(found)


def _counts(row: Row, value: SourceValue) -> dict[str, int]:
    """Read numbers of nodes by name, from a mapping or text: `workers=4,trainers=2`.

    An empty one is rejected: it guards nothing.
    """
    found: dict[str, int] = {}
    problems: list[SettingsError] = []
    is_mapping = value.kind is SourceKind.MAPPING
    entries = value.entries if is_mapping else tuple(_assignments(row, value))
    if not entries:
        raise value.error("is empty; allowed: numbers of nodes by group, or leave the key out")
    for name, number in entries:
        try:
            if sentence := row.validate(name) or _twice(name, found):
                raise number.error(sentence)
            found[name] = _number(row, number)
        except SettingsError as error:
            problems.append(error)
    raise_all(problems)
    return found


def _flag(_: Row, value: SourceValue) -> bool:
    word = value.text.strip().lower()
    if value.kind not in (SourceKind.TEXT, SourceKind.BOOLEAN) or word not in FLAGS:
        raise value.error(f"{value.shown} is unknown; allowed: true or false")
    return FLAGS[word]


def _number(row: Row, value: SourceValue) -> int:
    is_scalar = value.kind in (SourceKind.TEXT, SourceKind.NUMBER)
    if not is_scalar or not re.fullmatch(WHOLE_NUMBER, value.text):
        raise value.error(f"{value.shown} is not a whole number; allowed: {row.allowed_numbers}")
    number = int(value.text)
    if sentence := row.validate_number(number):
        raise value.error(sentence)
    return number


READERS: Final[Mapping[Kind, Callable[[Row, SourceValue], object]]] = {
    Kind.TEXT: _text,
    Kind.CHOICE: _choice,
    Kind.FLAG: _flag,
    Kind.NAMES: _names,
    Kind.COUNT: _number,
    Kind.COUNTS: _counts,
    Kind.SECONDS: _number,
}
"""How a value is read, by the kind of its property."""


def _text_of(value: SourceValue) -> str:
    if value.kind in (SourceKind.LIST, SourceKind.MAPPING):
        raise value.error(f"{value.kind} is given; allowed: text")
    if value.kind is not SourceKind.TEXT:
        raise value.error(f"{value.shown} is read as {value.kind}, not as text; put it in quotes")
    return value.text


def _twice(name: str, found: Container[str]) -> str | None:
    return f"{contract.quote(name)} is listed twice; allowed: once each" if name in found else None


def _assignments(row: Row, value: SourceValue) -> Iterator[tuple[str, SourceValue]]:
    if value.kind is not SourceKind.TEXT:
        raise value.error(f"{value.shown} is given; allowed: a mapping, or GROUP=NODES,...")
    for piece in row.names_in(value.text):
        name, equals, number = (part.strip() for part in piece.partition("="))
        if not equals:
            raise value.error(f"{contract.quote(piece)} has no number; allowed: GROUP=NODES,...")
        yield name, replace(value, text=number)
