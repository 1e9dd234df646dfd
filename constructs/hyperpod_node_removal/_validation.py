"""Checks of the values of arguments at synth.

Each argument of the construct that is a property of the resource is checked by its row of the
table (`hyperpod_node_removal_contract.properties`). A token is a value that is known at deployment
only. It passes every check unchanged; the function checks it by the same row when it arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import jsii
from aws_cdk import (
    Duration,
    IAnyProducer,
    IResolvable,
    IResolveContext,
    Lazy,
    Token,
)
from constructs import Construct, IValidation

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal_contract import Property
from hyperpod_node_removal_contract.properties import BY_KEY, Kind, Row

# How the CDK encodes a token in a string, and in a string that is the only item of a list.
_ENCODED: Final = "Token["
_ENCODED_LIST: Final = "#{Token["

Problem = Callable[[str], str | None]
"""Returns what is wrong with a value, as the end of a sentence, or None."""


def construct_path(scope: Construct, construct_id: str) -> str:
    """Return the path of a construct that does not exist yet, for errors about its arguments."""
    return f"{scope.node.path}/{construct_id}".lstrip("/")


def is_token(value: Any) -> bool:
    """Return whether a value, or a list as a whole, is known at deployment only."""
    # Each call of the CDK is a round trip to Node.js, too slow for each of 3,000 ids.
    if isinstance(value, str):
        return _ENCODED in value and Token.is_unresolved(value)
    if isinstance(value, list):
        return any(map(_is_encoded_list, value)) and Token.is_unresolved(value)
    if isinstance(value, float) or hasattr(value, "resolve"):
        return Token.is_unresolved(value)
    return False


def show(value: object) -> str:
    """Return a value and its type, for the sentence of an error."""
    return f"{contract.quote(value)} ({type(value).__name__})"


def check_text(path: str, name: str, value: object, problem: Problem) -> None:
    """Raise `InvalidPropertyError` unless `value` is a token or a string without a problem."""
    if is_token(value):
        return
    if not isinstance(value, str):
        raise InvalidPropertyError(path, name, f"{show(value)} is not a string")
    if sentence := problem(value):
        raise InvalidPropertyError(path, name, sentence)


def check_flag(path: str, name: str, value: object, *, is_literal: bool = False) -> None:
    """Raise `InvalidPropertyError` unless `value` is True, False, or a token.

    With `is_literal` a token is rejected: what is in the template is decided at synth.
    """
    if isinstance(value, bool) or (is_token(value) and not is_literal):
        return
    problem = f"{show(value)} is not True or False"
    if is_token(value):
        problem = "is known only at deployment; allowed: True or False"
    raise InvalidPropertyError(path, name, problem)


def flag_text(value: bool) -> str:
    """Return a flag for the environment of a function: `true`, `false`, or a token."""
    return str(value).lower() if isinstance(value, bool) else Token.as_string(value)


def whole_seconds(path: str, name: str, value: object) -> int | float:
    """Return whole seconds of a duration, or a number token.

    Raises:
        InvalidPropertyError: it is not a duration, or not of whole seconds.
    """
    if not isinstance(value, Duration):
        raise InvalidPropertyError(path, name, f"{show(value)} is not an aws_cdk.Duration")
    if value.is_unresolved():
        try:
            return value.to_seconds()
        except RuntimeError as error:  # how jsii reports an error of the CDK
            problem = "a token in this unit cannot be converted; allowed: Duration.seconds(token)"
            raise InvalidPropertyError(path, name, problem) from error
    seconds = value.to_seconds(integral=False)
    if seconds != int(seconds):
        problem = f"{contract.quote(seconds)} is not a whole number of seconds"
        raise InvalidPropertyError(path, name, problem)
    return int(seconds)


def function_arn(path: str, name: str, function: object) -> str | None:
    """Return the ARN of a function, version or alias, or a token; None without a function.

    Raises:
        InvalidPropertyError: it is not a function, or its ARN is not that of a function.
    """
    if function is None:
        return None
    arn = getattr(function, "function_arn", None)
    if not isinstance(arn, str):
        problem = f"{show(function)} is not an aws_cdk.aws_lambda.IFunction"
        raise InvalidPropertyError(path, name, problem)
    check_text(path, name, arn, contract.validate_function_arn)
    return arn


def check_at_synth(construct: Construct, check: Callable[[], None]) -> None:
    """Run a check, which may add warnings, whenever the app is synthesized.

    By then an app has added all of its constructs, and the CDK has made its exports.
    """
    construct.node.add_validation(_SynthCheck(check))


@jsii.implements(IValidation)
class _SynthCheck:
    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def validate(self) -> list[str]:
        """Run the check, and return no errors."""
        self._check()
        return []


def value_at_synth(produce: Callable[[IResolveContext], Any]) -> IResolvable:
    """Return a value that is computed whenever the template is written."""
    return Lazy.uncached_any(_SynthValue(produce))


@jsii.implements(IAnyProducer)
class _SynthValue:
    def __init__(self, produce: Callable[[IResolveContext], Any]) -> None:
        self._produce = produce

    def produce(self, context: IResolveContext) -> Any:
        """Return the value; None leaves it out of the template."""
        return self._produce(context)


# Arguments that are properties of the resource ----------------------------------------------------


def checked_properties(path: str, **arguments: Any) -> dict[str, Any]:
    """Check arguments of the removal at `path`. None: the argument is not set.

    Returns properties of the resource by their names in the template, without those that are not
    set or have the function's default. An argument that is not a property is only checked.

    Raises:
        InvalidPropertyError: the text names the argument, its value and what is allowed.
    """
    properties = {}
    for key, value in arguments.items():
        if value is None:
            continue
        row = BY_KEY[key]
        checked = _CHECKS[row.kind](path, row, value)
        is_set = (checked or row.kind is Kind.COUNT) and checked != row.default
        if row.name and (is_set or row.name in _ALWAYS):
            properties[row.name.value] = checked
    return properties


def check_size(path: str, node_ids: list[str], node_logical_ids: list[str]) -> None:
    """Raise `InvalidPropertyError` if one removal has more ids than the contract allows."""
    lists = (ids for ids in (node_ids, node_logical_ids) if not is_token(ids))
    count = sum(not is_token(identifier) for ids in lists for identifier in ids)
    if count > contract.MAX_NODES:
        raise InvalidPropertyError(
            path,
            "node_ids, node_logical_ids",
            f"{count} nodes are listed; allowed: {contract.MAX_NODES} in one removal",
        )


def _text(path: str, row: Row, value: str) -> str:
    check_text(path, row.key, value, row.validate)
    return str(value)


def _flag(path: str, row: Row, value: bool) -> bool:
    check_flag(path, row.key, value)
    return value


def _names(path: str, row: Row, names: Sequence[str]) -> list[str]:
    """Return ids or names as a list, each a token or distinct and without a problem."""
    if is_token(names):
        return names  # type: ignore[return-value]  # Fn.get_att() and the like, resolved to a list
    if isinstance(names, str) or not isinstance(names, Sequence):
        problem = f"{show(names)} is not a list; allowed: a list of strings"
        raise InvalidPropertyError(path, row.key, problem)
    given = list(names)
    if is_token(given):
        return given
    seen: set[str] = set()
    for item in given:
        if _is_encoded_list(item):
            raise InvalidPropertyError(
                path,
                row.key,
                "a list that is known only at deployment is mixed with other values;"
                " allowed: such a list alone, or single values",
            )
        check_text(path, row.key, item, row.validate)
        if item in seen and not is_token(item):
            problem = f"{contract.quote(item)} is listed twice; allowed: once each"
            raise InvalidPropertyError(path, row.key, problem)
        seen.add(item)
    return given


def _counts(path: str, row: Row, counts: Mapping[str, int]) -> dict[str, int]:
    """Return numbers of nodes by name, the names without a problem."""
    if is_token(counts):
        return counts  # type: ignore[return-value]  # resolved to a map
    if not isinstance(counts, Mapping):
        problem = f"{show(counts)} is not a mapping; allowed: numbers of nodes by name"
        raise InvalidPropertyError(path, row.key, problem)
    if not counts:
        problem = "is empty; allowed: at least one number of nodes by name, or None"
        raise InvalidPropertyError(path, row.key, problem)
    for key in counts:
        check_text(path, row.key, key, row.validate)
    return {
        key: _count(path, replace(row, key=f"{row.key}[{contract.quote(key)}]"), count)
        for key, count in counts.items()
    }


def _count(path: str, row: Row, count: int) -> int:
    """Return a number of nodes, or a token."""
    if is_token(count):
        return count
    if isinstance(count, bool) or not isinstance(count, int):
        raise InvalidPropertyError(path, row.key, f"{show(count)} is not a whole number")
    if sentence := row.validate_number(count):
        raise InvalidPropertyError(path, row.key, sentence)
    return count


def _seconds(path: str, row: Row, value: Duration) -> int | float:
    """Return whole seconds in the range of the row, or a number token."""
    seconds = whole_seconds(path, row.key, value)
    if not is_token(seconds) and (sentence := row.validate_number(int(seconds))):
        raise InvalidPropertyError(path, row.key, sentence)
    return seconds


def _is_encoded_list(value: object) -> bool:
    return isinstance(value, str) and value.startswith(_ENCODED_LIST)


_CHECKS: Final[Mapping[Kind, Callable[[str, Row, Any], Any]]] = {
    Kind.TEXT: _text,
    Kind.CHOICE: _text,
    Kind.FLAG: _flag,
    Kind.NAMES: _names,
    Kind.COUNT: _count,
    Kind.COUNTS: _counts,
    Kind.SECONDS: _seconds,
}
_ALWAYS: Final = frozenset({Property.ON_PARTIAL_FAILURE, Property.WAIT_FOR, Property.RETRY_FOR})
"""Properties that templates show whether or not they are set."""
