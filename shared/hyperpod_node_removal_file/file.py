"""Removal files, YAML or JSON, and folders of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract.properties import BY_KEY
from hyperpod_node_removal_file.settings import Settings, default_stack_name, settings_from
from hyperpod_node_removal_file.values import (
    SettingsError,
    SourceKind,
    SourceValue,
    UnreadableFileError,
    given_values,
    raise_all,
)

_YAML: Final = frozenset({".yaml", ".yml"})
_JSON: Final = ".json"
_IN_FOLDER: Final = ".yaml"

_KINDS: Final = {
    "tag:yaml.org,2002:null": SourceKind.NOTHING,
    "tag:yaml.org,2002:str": SourceKind.TEXT,
    "tag:yaml.org,2002:int": SourceKind.NUMBER,
    "tag:yaml.org,2002:float": SourceKind.NUMBER,
    "tag:yaml.org,2002:bool": SourceKind.BOOLEAN,
    "tag:yaml.org,2002:timestamp": SourceKind.DATE,
}


@dataclass(frozen=True)
class RemovalFile:
    """A valid removal file."""

    name: str
    settings: Settings
    node_lines: Mapping[str, int]
    """The line of each node's id. Empty for JSON, whose lines are not known."""


def read_removal_file(path: Path, name: str) -> RemovalFile:
    """Read and check a file. `name` is what errors call it.

    Raises:
        UnreadableFileError: it cannot be read.
        SettingsError: it does not describe a removal.
    """
    suffix = path.suffix.lower()
    if suffix not in {_JSON, *_YAML}:
        raise SettingsError(f"{name}: not a removal file; allowed: .yaml, .yml or .json")
    try:
        text = _decoded(path.read_bytes(), name)
    except OSError as error:
        raise UnreadableFileError(f"{name}: cannot be read: {error.strerror}") from error
    given = _from_json(text, name) if suffix == _JSON else _from_yaml(text, name)
    return _removal_file(given, name)


def read_removal_text(data: bytes, name: str) -> RemovalFile:
    """Check the contents of a file, YAML or JSON. `name` is what errors call it.

    Raises:
        UnreadableFileError: YAML cannot be read.
        SettingsError: it does not describe a removal.
    """
    text = _decoded(data, name)
    given = _from_json(text, name) if _is_json(text) else _from_yaml(text, name)
    return _removal_file(given, name)


def read_removal_folder(folder: Path, name: str) -> tuple[Settings, ...]:
    """Read the settings of each file, by the names of the files. `name` is what errors call it.

    A file is named after its stack: `ml-cluster.yaml` makes `hyperpod-node-removal-ml-cluster`. So
    a pipeline knows the stack from the name of the file, and no two files have the same stack.
    Files that begin with a dot are left out.

    Raises:
        UnreadableFileError: the folder or one of its files cannot be read.
        SettingsError: a file does not describe a removal, is not named after its stack, or names
            the cluster of another file. `every` has all problems of all files.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UnreadableFileError(f"{name}: cannot be read: {error.strerror}") from error
    problems: list[SettingsError] = []
    files_by_cluster: dict[str, str | None] = {}
    read: list[Settings] = []
    for path in paths:
        try:
            settings = _read_in_folder(path, f"{name}/{contract.escape(path.name)}")
        except SettingsError as error:
            problems.append(error)
            continue
        read.append(settings)
        first = files_by_cluster.setdefault(settings.cluster, settings.file)
        if first != settings.file:
            problems.append(
                SettingsError(
                    f"{settings.file}: cluster {settings.cluster} is that of {first}; allowed: one"
                    " file for a cluster"
                )
            )
    raise_all(problems)
    return tuple(read)


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name}: is not UTF-8 text (at byte {error.start})") from error


def _read_in_folder(path: Path, name: str) -> Settings:
    cluster = path.stem
    if path.suffix != _IN_FOLDER or contract.validate_cluster_name(cluster):
        raise SettingsError(
            f"{name}: not a removal file; allowed: the cluster's name and {_IN_FOLDER}"
        )
    settings = read_removal_file(path, name).settings
    expected = default_stack_name(cluster)
    if settings.stack_name != expected:
        raise SettingsError(
            f"{name}: the stack is {settings.stack_name}; allowed: {expected}, by the file's name."
            f" Rename the file, or write stack_name: {expected}"
        )
    return settings


def _removal_file(given: Mapping[str, SourceValue], name: str) -> RemovalFile:
    settings = replace(settings_from(given, name), file=name)
    return RemovalFile(name, settings, dict(_node_lines(given)))


def _node_lines(given: Mapping[str, SourceValue]) -> Iterator[tuple[str, int]]:
    for key in ("node_ids", "node_logical_ids"):
        if value := given.get(key):
            for item in value.items or (value,):
                if item.line is not None:
                    yield from ((name, item.line) for name in contract.pasted_ids(item.text))


def _is_json(text: str) -> bool:
    """Return whether a text is JSON, of which YAML does not accept tabs and all escapes."""
    try:
        json.loads(text)
    except (RecursionError, ValueError):
        return False
    return True


def _from_json(text: str, name: str) -> dict[str, SourceValue]:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise _given_twice(name, key)
        return dict(pairs)

    try:
        values = json.loads(text, object_pairs_hook=distinct)
    except SettingsError:
        raise
    except json.JSONDecodeError as error:
        problem = f"{name}, line {error.lineno}: is not JSON: {error.msg}"
        raise SettingsError(problem, line=error.lineno) from error
    except (RecursionError, ValueError) as error:  # too deep, or a number of too many digits
        raise SettingsError(f"{name}: cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise _not_a_mapping(name)
    return given_values(values, f"{name}: ")


def _from_yaml(text: str, name: str) -> dict[str, SourceValue]:
    try:
        import yaml  # noqa: PLC0415  # an extra that only these files need
    except ImportError as error:
        raise UnreadableFileError(
            f"{name}: YAML needs PyYAML; install hyperpod-node-removal[app], or write JSON"
        ) from error
    try:
        # Composing stops at what was written: values keep their line and their spelling, and no
        # tag makes an object.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        place = f"{name}, line {line}" if line else name
        raise SettingsError(f"{place}: is not YAML: {error.problem}", line=line) from error
    except (yaml.YAMLError, RecursionError) as error:
        problem = contract.escape(str(error).partition("\n")[0])
        raise SettingsError(f"{name}: is not YAML: {problem}") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise _not_a_mapping(name)
    given = {
        str(key.value): _from_node(
            value, name, key.value, line=None if key.value in BY_KEY else _line(key)
        )
        for key, value in _pairs(root, name)
    }
    return {key: value for key, value in given.items() if value.kind is not SourceKind.NOTHING}


def _pairs(mapping: Any, name: str) -> Iterator[tuple[Any, Any]]:
    """Return the nodes of the keys of a mapping, each once, and of its values."""
    keys = set()
    for key, value in mapping.value:
        place = f"{name}, line {_line(key)}"
        if key.id != "scalar":
            raise SettingsError(f"{place}: a key is not a word", line=_line(key))
        if key.value in keys:
            raise _given_twice(place, key.value, _line(key))
        keys.add(key.value)
        yield key, value


def _from_node(
    node: Any, name: str, key: str, *, line: int | None = None, is_part: bool = False
) -> SourceValue:
    """Read a value. What is nested in an item is left out: aliases can nest lists without end.

    `line` is the line for errors. Default: where the value begins, which may be below its key.
    """
    kind, text = SourceKind.LIST, ""
    items: tuple[SourceValue, ...] = ()
    entries: tuple[tuple[str, SourceValue], ...] = ()
    if node.id == "scalar":
        kind, text = _KINDS.get(node.tag, SourceKind.TAGGED), str(node.value)
    elif node.id == "mapping":
        kind = SourceKind.MAPPING
        entries = tuple(
            (
                str(word.value),
                _from_node(value, name, f"{key}[{contract.quote(word.value)}]", is_part=True),
            )
            for word, value in (() if is_part else _pairs(node, name))
        )
    elif not is_part:
        parts = (_from_node(item, name, key, is_part=True) for item in node.value)
        items = tuple(item for item in parts if item.kind is not SourceKind.NOTHING)
    line = line or _line(node)
    where = f"{name}, line {line}: {contract.escape(key, 80)}"
    return SourceValue(where, kind, text, items, entries, line)


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


def _given_twice(where: str, key: str, line: int | None = None) -> SettingsError:
    problem = f"{where}: {contract.escape(key, 80)}: the key is given twice"
    return SettingsError(problem, line=line)


def _not_a_mapping(name: str) -> SettingsError:
    return SettingsError(f"{name}: is not a mapping; allowed: keys and values, such as cluster")
