"""Values of properties as CloudFormation sends them.

Every scalar is a string there, a list may be one comma-joined string, and an empty
CommaDelimitedList parameter is a list of one empty string.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final, TypeVar

from hyperpod_node_removal_handler.contract import Property, choice_problem, quoted

Choice = TypeVar("Choice", bound=StrEnum)
Problem = Callable[[str], str | None]

_WHOLE_NUMBER: Final = "[0-9]{1,9}"
_FLAGS: Final = {"true": True, "false": False}


class RequestError(ValueError):
    """The properties do not describe a removal. Its text is a sentence for the stack event."""


class Properties:
    """Reads properties by name. Every method raises `RequestError`."""

    def __init__(self, properties: object) -> None:
        if not isinstance(properties, Mapping):
            raise RequestError("ResourceProperties is not a map of properties.")
        known = frozenset(Property)
        for name in properties:
            if name not in known:
                allowed = ", ".join(sorted(known))
                raise RequestError(f"Unknown property {quoted(name)}; allowed: {allowed}.")
        self._properties = properties

    def text(self, name: Property, default: str = "") -> str:
        """Any text."""
        return _text(name, self._properties.get(name, default))

    def choice(self, name: Property, default: Choice) -> Choice:
        """A value of the enumeration that `default` belongs to."""
        value = self.text(name, default)
        refuse(name, choice_problem(value, type(default)))
        return type(default)(value)

    def flag(self, name: Property) -> bool:
        """`true` or `false`; false if it is not there."""
        value = self.text(name, "false").strip().lower()
        if value not in _FLAGS:
            raise RequestError(f"{name}: {quoted(value)} is unknown; allowed: true or false.")
        return _FLAGS[value]

    def number(self, name: Property, default: int, problem: Callable[[int], str | None]) -> int:
        """A whole number."""
        return _number(name, self.text(name, str(default)), problem)

    def limit(self, name: Property, problem: Callable[[int], str | None]) -> int | None:
        """A whole number; None if the property is not there, which is no limit."""
        return _number(name, self.text(name), problem) if name in self._properties else None

    def names(self, name: Property, problem: Problem) -> tuple[str, ...]:
        """A list of ids or names, each once, in order. Blanks do not count."""
        value = self._properties.get(name, ())
        if isinstance(value, str):
            items: Iterable[object] = value.split(",")
        elif isinstance(value, list | tuple):
            items = value
        else:
            raise RequestError(f"{name}: {quoted(value)} is not a list.")
        names: dict[str, None] = {}
        for item in items:
            if not isinstance(item, str):
                raise RequestError(f"{name}: {quoted(item)} is not text.")
            if stripped := item.strip():
                refuse(name, problem(stripped))
                names[stripped] = None
        return tuple(names)

    def counts(
        self, name: Property, key: Problem, problem: Callable[[int], str | None]
    ) -> dict[str, int]:
        """A map of names to whole numbers. An empty one is refused: it guards nothing."""
        if name not in self._properties:
            return {}
        value = self._properties[name]
        if not isinstance(value, Mapping) or not value:
            what = "is empty" if value in ({}, [], "") else "is not a map of names to numbers"
            raise RequestError(
                f"{name}: {quoted(value)} {what}; allowed: instance groups and numbers of nodes, or"
                " leave the property out."
            )
        counts = {}
        for given, count in value.items():
            refuse(name, key(str(given)))
            counts[str(given)] = _number(name, _text(name, count), problem)
        return counts


def refuse(name: Property, problem: str | None) -> None:
    """Raise `RequestError` if there is a problem."""
    if problem:
        raise RequestError(f"{name}: {problem}.")


def _text(name: Property, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RequestError(f"{name}: {quoted(value)} is not text.")
    return str(value)


def _number(name: Property, text: str, problem: Callable[[int], str | None]) -> int:
    value = text.strip()
    if not re.fullmatch(_WHOLE_NUMBER, value):
        # The sentence about the range says what is allowed.
        allowed = (problem(-1) or "allowed: a whole number").partition("allowed: ")[2]
        raise RequestError(f"{name}: {quoted(text)} is not a whole number; allowed: {allowed}.")
    refuse(name, problem(int(value)))
    return int(value)
