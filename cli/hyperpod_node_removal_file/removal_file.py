"""A removal file as a whole: what it asks for, and where in it the nodes stand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hyperpod_node_removal_file.file import read_settings_file
from hyperpod_node_removal_file.given import Given
from hyperpod_node_removal_file.settings import Key, Settings, settings_from


@dataclass(frozen=True)
class RemovalFile:
    """A removal file that is in order."""

    name: str
    settings: Settings
    node_lines: Mapping[str, int]
    """The line of each node's id. Empty for JSON, whose lines are not known."""


def read_removal_file(path: Path, name: str) -> RemovalFile:
    """Read and check a file. `name` is what errors call it.

    Raises:
        UnreadableFileError: it could not be looked at.
        SettingsError: it does not describe a removal.
    """
    given = read_settings_file(path, name)
    settings = replace(settings_from(given, name), file=name)
    return RemovalFile(name, settings, dict(_lines(given)))


def _lines(given: Mapping[str, Given]) -> Iterator[tuple[str, int]]:
    for key in (Key.NODE_IDS, Key.NODE_LOGICAL_IDS):
        if value := given.get(key):
            for item in value.items or (value,):
                if item.line is not None:
                    yield from ((name.strip(), item.line) for name in item.text.split(","))
