"""A command of the AWS CLI, read against the service models that botocore carries."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import botocore.session
from botocore import xform_name
from botocore.model import OperationModel, Shape

GLOBAL_OPTIONS: Final = frozenset({"--query", "--output", "--region", "--profile"})
CUSTOM: Final = frozenset({"s3", "cloudformation deploy", "cloudformation package", "logs tail"})
"""Commands that are no operation of an API. Their options are not known here."""


class UnknownCommandError(Exception):
    """There is no such command, or it has no such option."""


@dataclass(frozen=True)
class AwsCommand:
    """One call of an API."""

    service: str
    operation: str
    """As a method of a boto3 client: `create_policy`."""
    parameters: dict[str, Any]


def is_custom(words: Sequence[str]) -> bool:
    """Whether a command is one that only the CLI itself knows."""
    return words[1] in CUSTOM or " ".join(words[1:3]) in CUSTOM or words[2] == "wait"


def read_command(words: Sequence[str], folder: Path) -> AwsCommand:
    """Read `aws SERVICE OPERATION --option VALUE ...`. Files are looked for from `folder`.

    Raises:
        UnknownCommandError: the text says what is unknown.
    """
    _, service, command, *options = words
    model = botocore.session.get_session().get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    if command not in names:
        raise UnknownCommandError(f"aws {service} {command}")
    operation = model.operation_model(names[command])
    parameters = {}
    for option, values in _grouped(options):
        if option in GLOBAL_OPTIONS:
            continue
        name, shape = _member(operation, option)
        parameters[name] = _value(shape, [_content(value, folder) for value in values], option)
    missing = set(operation.input_shape.required_members) - set(parameters)
    if missing:
        raise UnknownCommandError(f"aws {service} {command} lacks {', '.join(sorted(missing))}")
    return AwsCommand(service, xform_name(operation.name), parameters)


def _grouped(options: Sequence[str]) -> list[tuple[str, list[str]]]:
    grouped: list[tuple[str, list[str]]] = []
    for word in options:
        if word.startswith("--"):
            grouped.append((word, []))
        elif grouped:
            grouped[-1][1].append(word)
        else:
            raise UnknownCommandError(f"{word}: an argument without an option")
    return grouped


def _member(operation: OperationModel, option: str) -> tuple[str, Shape]:
    members = operation.input_shape.members
    for name, shape in members.items():
        if option in {f"--{xform_name(name, '-')}", f"--no-{xform_name(name, '-')}"}:
            return name, shape
    raise UnknownCommandError(f"{operation.name} has no option {option}")


def _content(value: str, folder: Path) -> str:
    path = value.removeprefix("file://")
    return value if path == value else (folder / path).read_text(encoding="utf-8")


def _value(shape: Shape, values: list[str], option: str) -> Any:
    match shape.type_name, values:
        case "boolean", []:
            return not option.startswith("--no-")
        case "list", _:
            return [_value(shape.member, [value], option) for value in values]
        case (("integer" | "long"), [number]):
            return int(number)
        case "structure", [text] if not text.startswith("{"):
            return dict(pair.split("=", 1) for pair in text.split(","))
        case (("structure" | "map"), [text]):
            return json.loads(text)
        case "string", [text]:
            return text
    raise UnknownCommandError(f"{option}: {values} is not a {shape.type_name}")
