"""Expressions of GitHub workflows: as much of them as the example's workflows use.

docs.github.com, "Evaluate expressions in workflows and actions".
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<name>[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)"
    r"|(?P<sign>&&|\|\||==|!=|!|\(|\)))"
)
_HOLE: Final = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_STATUS: Final = re.compile(r"\b(?:always|cancelled|failure|success)\(\)")

Functions = Mapping[str, Callable[..., Any]]


class Expressions:
    """Evaluates against contexts (`github`, `needs`, ...) and status functions."""

    def __init__(self, contexts: Mapping[str, Any], functions: Functions | None = None) -> None:
        self._contexts = contexts
        self._functions: Functions = {"fromJSON": json.loads, **(functions or {})}

    def value(self, text: str) -> Any:
        """What an expression without its braces comes to."""
        return _Reading(text, self._contexts, self._functions).whole()

    def filled(self, text: Any) -> Any:
        """`text` with its expressions evaluated; what is one expression keeps its type."""
        if not isinstance(text, str):
            return text
        if whole := re.fullmatch(r"\s*\$\{\{((?:(?!\$\{\{).)*)\}\}\s*", text, re.DOTALL):
            return self.value(whole[1])
        return _HOLE.sub(lambda hole: as_text(self.value(hole[1])), text)

    def condition(self, text: str | None) -> bool:
        """Whether an `if` holds. Without a status function it wants success, too."""
        if text is None:
            return bool(self.value("success()"))
        inside = text.strip().removeprefix("${{").removesuffix("}}")
        wanted = inside if _STATUS.search(inside) else f"success() && ({inside})"
        return bool(self.value(wanted))


def as_text(value: Any) -> str:
    """A value where a text is wanted: null is empty."""
    return "" if value is None else str(value)


class _Reading:
    """One expression, read from left to right."""

    def __init__(self, text: str, contexts: Mapping[str, Any], functions: Functions) -> None:
        self._contexts, self._functions = contexts, functions
        self._tokens = list(_tokens(text))

    def whole(self) -> Any:
        value = self._either()
        assert not self._tokens, f"left over: {self._tokens}"
        return value

    def _next(self, *signs: str) -> bool:
        if self._tokens and self._tokens[0] in signs:
            self._tokens.pop(0)
            return True
        return False

    def _either(self) -> Any:
        value = self._both()
        while self._next("||"):
            other = self._both()
            value = value or other
        return value

    def _both(self) -> Any:
        value = self._equal()
        while self._next("&&"):
            other = self._equal()
            value = value and other
        return value

    def _equal(self) -> Any:
        value = self._not()
        if self._next("=="):
            return value == self._not()
        if self._next("!="):
            return value != self._not()
        return value

    def _not(self) -> Any:
        return not self._not() if self._next("!") else self._single()

    def _single(self) -> Any:
        if self._next("("):
            value = self._either()
            assert self._next(")")
            return value
        token = self._tokens.pop(0)
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if self._next("("):
            arguments = [] if self._next(")") else [self._either()]
            assert not arguments or self._next(")")
            return self._functions[token](*arguments)
        return self._looked_up(token)

    def _looked_up(self, name: str) -> Any:
        context, *parts = name.split(".")
        value = self._contexts[context]
        for part in parts:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    text = text.strip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        assert found, f"not understood: {text[position:]}"
        tokens.append(found[0].strip())
        position = found.end()
    return tokens
