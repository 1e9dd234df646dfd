"""Removal sets that a team keeps in Git: YAML or JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hyperpod_node_removal_file.errors import SettingsError, UnreadableFileError
from hyperpod_node_removal_file.given import Given, Kind, given_values
from hyperpod_node_removal_handler import contract

_YAML: Final = frozenset({".yaml", ".yml"})
_JSON: Final = ".json"

_KINDS: Final = {
    "tag:yaml.org,2002:str": Kind.TEXT,
    "tag:yaml.org,2002:int": Kind.NUMBER,
    "tag:yaml.org,2002:float": Kind.NUMBER,
    "tag:yaml.org,2002:bool": Kind.BOOLEAN,
    "tag:yaml.org,2002:timestamp": Kind.DATE,
}
_NULL: Final = "tag:yaml.org,2002:null"


def read_settings_file(path: Path, name: str) -> dict[str, Given]:
    """The values in a file that are not null, by key. `name` is what errors call the file.

    Raises:
        UnreadableFileError: it cannot be read.
        SettingsError: it does not hold one mapping with distinct keys.
    """
    suffix = path.suffix.lower()
    if suffix not in {_JSON, *_YAML}:
        raise SettingsError(f"{name}: not a removal file; allowed: .yaml, .yml or .json")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnreadableFileError(f"{name}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name}: is not UTF-8 text (at byte {error.start})") from error
    return _from_json(text, name) if suffix == _JSON else _from_yaml(text, name)


def _from_json(text: str, name: str) -> dict[str, Given]:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise _twice(name, key)
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


def _from_yaml(text: str, name: str) -> dict[str, Given]:
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
        problem = contract.printable(str(error).partition("\n")[0])
        raise SettingsError(f"{name}: is not YAML: {problem}") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise _not_a_mapping(name)
    pairs = ((word, _yaml_value(value, name, word)) for word, value in _yaml_pairs(root, name))
    return {word: value for word, value in pairs if value is not None}


def _yaml_pairs(node: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The keys of a mapping, each once, and the nodes of its values."""
    words = set()
    for key, value in node.value:
        word = _yaml_word(key, name)
        if word in words:
            raise _twice(_place(key, name), word, _line(key))
        words.add(word)
        yield word, value


def _yaml_word(node: Any, name: str) -> str:
    if node.id != "scalar":
        raise SettingsError(f"{_place(node, name)}: a key is not a word", line=_line(node))
    return str(node.value)


def _yaml_value(node: Any, name: str, key: str) -> Given | None:
    if node.id == "sequence":
        items = (_yaml_item(item, name, key) for item in node.value)
        return _given(node, name, key, Kind.LIST, items=tuple(filter(None, items)))
    if node.id == "mapping":
        entries = (_yaml_entry(word, value, name, key) for word, value in _yaml_pairs(node, name))
        return _given(node, name, key, Kind.MAPPING, entries=tuple(entries))
    return _yaml_item(node, name, key)


def _yaml_entry(word: str, node: Any, name: str, key: str) -> tuple[str, Given]:
    place = f"{key}[{contract.quoted(word)}]"
    return word, _yaml_item(node, name, place) or _given(node, name, place, Kind.NOTHING)


def _yaml_item(node: Any, name: str, key: str) -> Given | None:
    """A value within which nothing is looked at: aliases can nest lists without end."""
    if node.id != "scalar":
        return _given(node, name, key, Kind.LIST if node.id == "sequence" else Kind.MAPPING)
    if node.tag == _NULL:
        return None
    return _given(node, name, key, _KINDS.get(node.tag, Kind.TEXT), text=node.value)


def _given(node: Any, name: str, key: str, kind: Kind, **parts: Any) -> Given:
    where = f"{_place(node, name)}: {contract.printable(key, 80)}"
    return Given(where, kind, line=_line(node), **parts)


def _place(node: Any, name: str) -> str:
    return f"{name}, line {_line(node)}"


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


def _twice(where: str, key: str, line: int | None = None) -> SettingsError:
    problem = f"{where}: {contract.printable(key, 80)}: the key is given twice"
    return SettingsError(problem, line=line)


def _not_a_mapping(name: str) -> SettingsError:
    return SettingsError(f"{name}: is not a mapping; allowed: keys and values, such as cluster")
