"""Values as somebody wrote them, and where: what an error needs to point at."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hyperpod_node_removal_file.errors import SettingsError
from hyperpod_node_removal_handler import contract


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
class Given:
    """One value."""

    where: str
    """For example `removals.yaml, line 3: node_ids`."""
    kind: Kind
    text: str = ""
    """As it was written. Empty for a list and a mapping."""
    items: tuple["Given", ...] = ()
    """Of a list."""
    entries: tuple[tuple[str, "Given"], ...] = ()
    """Of a mapping: its keys and values, in order."""
    line: int | None = None
    """Of the file, from 1. None where it is not known."""

    def error(self, problem: str) -> SettingsError:
        """An error that points here; `problem` ends its sentence."""
        return SettingsError(f"{self.where}: {problem}", line=self.line)

    def as_text(self) -> str:
        """The text.

        Raises:
            SettingsError: it is something else.
        """
        if self.kind in (Kind.LIST, Kind.MAPPING):
            raise self.error(f"{self.kind} is given; allowed: text")
        if self.kind is not Kind.TEXT:
            raise self.error(
                f"{contract.quoted(self.text)} is read as {self.kind}, not as text;"
                " put it in quotes"
            )
        return self.text


def given_from_json(value: Any, where: str) -> Given | None:
    """A value of JSON, or None for null."""
    match value:
        case None:
            return None
        case bool():
            return Given(where, Kind.BOOLEAN, "true" if value else "false")
        case int() | float():
            return Given(where, Kind.NUMBER, str(value))
        case str():
            return Given(where, Kind.TEXT, value)
        case list():
            items = (_part_from_json(item, f"{where}[{n}]") for n, item in enumerate(value))
            return Given(where, Kind.LIST, items=tuple(filter(None, items)))
        case _:
            places = (
                (key, f"{where}[{contract.quoted(key)}]", item) for key, item in value.items()
            )
            entries = (
                (key, _part_from_json(item, place) or Given(place, Kind.NOTHING))
                for key, place, item in places
            )
            return Given(where, Kind.MAPPING, entries=tuple(entries))


def _part_from_json(value: Any, where: str) -> Given | None:
    """Nothing within a part of a list or mapping means anything, so it is not looked at."""
    match value:
        case list():
            return Given(where, Kind.LIST)
        case dict():
            return Given(where, Kind.MAPPING)
        case _:
            return given_from_json(value, where)


def given_values(values: Mapping[str, Any], where: str) -> dict[str, Given]:
    """The values of a JSON object that are not null; `where` goes before each key."""
    given = ((key, given_from_json(value, f"{where}{key}")) for key, value in values.items())
    return {key: value for key, value in given if value is not None}
