"""Removal sets that a team keeps in Git: YAML or JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hyperpod_node_removal.app.given import Given, Kind, SettingsError, given_values
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
        SettingsError: it cannot be read, or does not hold one mapping with distinct keys.
    """
    suffix = path.suffix.lower()
    if suffix not in {_JSON, *_YAML}:
        raise SettingsError(f"{name}: not a removal file; allowed: .yaml, .yml or .json")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{name}: cannot be read: {error.strerror}") from error
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
        raise SettingsError(f"{name}, line {error.lineno}: is not JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # too deep, or a number of too many digits
        raise SettingsError(f"{name}: cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise _not_a_mapping(name)
    return given_values(values, f"{name}: ")


def _from_yaml(text: str, name: str) -> dict[str, Given]:
    try:
        import yaml  # noqa: PLC0415  # an extra that only these files need
    except ImportError as error:
        raise SettingsError(
            f"{name}: YAML needs PyYAML; install hyperpod-node-removal[app], or write JSON"
        ) from error
    try:
        # Composing stops at what was written: values keep their line and their spelling, and no
        # tag makes an object.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(f"{name}{line}: is not YAML: {error.problem}") from error
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
            raise _twice(_line(key, name), word)
        words.add(word)
        yield word, value


def _yaml_word(node: Any, name: str) -> str:
    if node.id != "scalar":
        raise SettingsError(f"{_line(node, name)}: a key is not a word")
    return str(node.value)


def _yaml_value(node: Any, name: str, key: str) -> Given | None:
    if node.id == "sequence":
        items = (_yaml_item(item, name, key) for item in node.value)
        return Given(_where(node, name, key), Kind.LIST, items=tuple(filter(None, items)))
    if node.id == "mapping":
        entries = (_yaml_entry(word, value, name, key) for word, value in _yaml_pairs(node, name))
        return Given(_where(node, name, key), Kind.MAPPING, entries=tuple(entries))
    return _yaml_item(node, name, key)


def _yaml_entry(word: str, node: Any, name: str, key: str) -> tuple[str, Given]:
    place = f"{key}[{contract.quoted(word)}]"
    nothing = Given(_where(node, name, place), Kind.NOTHING)
    return word, _yaml_item(node, name, place) or nothing


def _yaml_item(node: Any, name: str, key: str) -> Given | None:
    """A value within which nothing is looked at: aliases can nest lists without end."""
    where = _where(node, name, key)
    if node.id != "scalar":
        return Given(where, Kind.LIST if node.id == "sequence" else Kind.MAPPING)
    if node.tag == _NULL:
        return None
    return Given(where, _KINDS.get(node.tag, Kind.TEXT), node.value)


def _where(node: Any, name: str, key: str) -> str:
    return f"{_line(node, name)}: {contract.printable(key, 80)}"


def _line(node: Any, name: str) -> str:
    return f"{name}, line {node.start_mark.line + 1}"


def _twice(where: str, key: str) -> SettingsError:
    return SettingsError(f"{where}: {contract.printable(key, 80)}: the key is given twice")


def _not_a_mapping(name: str) -> SettingsError:
    return SettingsError(f"{name}: is not a mapping; allowed: keys and values, such as cluster")
