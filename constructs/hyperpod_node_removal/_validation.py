"""Checks of property values at synth.

Each argument of the construct that is a property of the resource is checked by its row of the
table (`hyperpod_node_removal_contract.properties`). A token is a value that is known at deployment
only. It passes every check untouched; the function checks it by the same row when it arrives.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from aws_cdk import Duration, Token
from constructs import Construct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal_contract import Property
from hyperpod_node_removal_contract.properties import BY_KEY, Kind, Row

# How the CDK writes a token into a string, and into a string that stands for a whole list.
_ENCODED: Final = "Token["
_ENCODED_LIST: Final = "#{Token["

_STACK_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:cloudformation:[a-z0-9-]+:[0-9]{12}"
    r":stack/[A-Za-z][A-Za-z0-9-]{0,127}/([A-Za-z0-9-]+|\*)",
    re.ASCII,
)

Problem = Callable[[str], str | None]
"""Says what is wrong with a value, as the end of a sentence, or None."""


def construct_path(scope: Construct, construct_id: str) -> str:
    """Return the path of a construct that is not made yet, for what is wrong with its arguments."""
    return f"{scope.node.path}/{construct_id}".lstrip("/")


def is_token(value: Any) -> bool:
    """Whether a value, or a list as a whole, is known at deployment only."""
    # Asking the CDK costs a round trip to Node.js, too much for each of 3,000 ids.
    if isinstance(value, str):
        return _ENCODED in value and Token.is_unresolved(value)
    if isinstance(value, list):
        return any(_is_list_token_text(item) for item in value) and Token.is_unresolved(value)
    if isinstance(value, float) or hasattr(value, "resolve"):
        return Token.is_unresolved(value)
    return False


def check_text(path: str, name: str, value: object, problem: Problem) -> None:
    """Raise `InvalidPropertyError` unless `value` is a token or a string without a problem."""
    if is_token(value):
        return
    if not isinstance(value, str):
        raise InvalidPropertyError(path, name, f"{_shown(value)} is not a string")
    if sentence := problem(value):
        raise InvalidPropertyError(path, name, sentence)


def _text(path: str, row: Row, value: str) -> str:
    check_text(path, row.key, value, row.validate)
    return str(value)


def _names(path: str, row: Row, names: Sequence[str]) -> list[str]:
    """Return ids or names as a list, each a token or distinct and without a problem."""
    name, problem = row.key, row.validate
    if is_token(names):
        return names  # type: ignore[return-value]  # Fn.get_att() and the like, resolved to a list
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InvalidPropertyError(
            path, name, f"{_shown(names)} is not a list; allowed: a list of strings"
        )
    given = list(names)
    if is_token(given):
        return given
    seen: set[str] = set()
    for item in given:
        if _is_list_token_text(item):
            raise InvalidPropertyError(
                path,
                name,
                "a list that is known only at deployment is mixed with other values;"
                " allowed: such a list alone, or single values",
            )
        check_text(path, name, item, problem)
        if item in seen and not is_token(item):
            raise InvalidPropertyError(
                path, name, f"{contract.quote(item)} is listed twice; allowed: once each"
            )
        seen.add(item)
    return given


def _counts(path: str, row: Row, counts: Mapping[str, int]) -> dict[str, int]:
    """Return numbers of nodes by name, the names without a problem."""
    name = row.key
    if is_token(counts):
        return counts  # type: ignore[return-value]  # resolved to a map
    if not isinstance(counts, Mapping):
        raise InvalidPropertyError(
            path, name, f"{_shown(counts)} is not a mapping; allowed: numbers of nodes by name"
        )
    if not counts:
        raise InvalidPropertyError(
            path, name, "is empty; allowed: at least one number of nodes by name, or None"
        )
    for key in counts:
        check_text(path, name, key, row.validate)
    return {
        key: _count(path, replace(row, key=f"{name}[{contract.quote(key)}]"), count)
        for key, count in counts.items()
    }


def _count(path: str, row: Row, count: int) -> int:
    """Return a number of nodes, or a token."""
    if is_token(count):
        return count
    if isinstance(count, bool) or not isinstance(count, int):
        raise InvalidPropertyError(path, row.key, f"{_shown(count)} is not a whole number")
    if sentence := row.validate_number(count):
        raise InvalidPropertyError(path, row.key, sentence)
    return count


def function_arn(path: str, name: str, function: object) -> str | None:
    """The ARN of a function, a version or an alias of it, or a token; None without a function.

    Raises:
        InvalidPropertyError: it is no function, or one with an ARN that is none.
    """
    if function is None:
        return None
    arn = getattr(function, "function_arn", None)
    if not isinstance(arn, str):
        raise InvalidPropertyError(
            path, name, f"{_shown(function)} is not an aws_cdk.aws_lambda.IFunction"
        )
    check_text(path, name, arn, contract.validate_function_arn)
    return arn


def check_flag(path: str, name: str, value: object) -> None:
    """Raise `InvalidPropertyError` unless `value` is a token, True or False."""
    if not is_token(value) and not isinstance(value, bool):
        raise InvalidPropertyError(path, name, f"{_shown(value)} is not True or False")


def _flag(path: str, row: Row, value: bool) -> bool:
    check_flag(path, row.key, value)
    return value


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


def _seconds(path: str, row: Row, value: Duration) -> int | float:
    """Return whole seconds of a duration, or a number token."""
    if not isinstance(value, Duration):
        raise InvalidPropertyError(path, row.key, f"{_shown(value)} is not an aws_cdk.Duration")
    if value.is_unresolved():
        return _token_seconds(path, row.key, value)
    seconds = value.to_seconds(integral=False)
    problem = row.validate_number(int(seconds))
    if seconds != int(seconds):
        problem = f"{contract.quote(seconds)} is not a whole number of seconds"
    if problem:
        raise InvalidPropertyError(path, row.key, problem)
    return int(seconds)


def _token_seconds(path: str, name: str, value: Duration) -> int | float:
    try:
        return value.to_seconds()
    except RuntimeError as error:  # how jsii reports an error of the CDK
        problem = "a token in this unit cannot be converted; allowed: Duration.seconds(token)"
        raise InvalidPropertyError(path, name, problem) from error


def _is_list_token_text(value: object) -> bool:
    return isinstance(value, str) and value.startswith(_ENCODED_LIST)


def _shown(value: object) -> str:
    return f"{contract.quote(value)} ({type(value).__name__})"


def validate_stack_arn(value: str) -> str | None:
    """The ARN of a stack, with an id or with `*` in its place. For permissions only."""
    if _STACK_ARN.fullmatch(value):
        return None
    return (
        f"{contract.quote(value)} is not the ARN of a stack; allowed:"
        " arn:aws:cloudformation:<region>:<account>:stack/<name>/<id>, where <id> may be *"
    )


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


def checked_properties(path: str, **arguments: Any) -> dict[str, Any]:
    """Check the arguments of the removal at `path`; None is one that is not set.

    Returns properties of the resource by their name on the wire, without those that are not set
    or have the function's default. A property that is not on the wire is only checked.

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
