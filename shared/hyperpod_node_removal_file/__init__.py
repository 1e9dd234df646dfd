"""The removal file: a set of nodes that a team keeps in Git, and what it means.

::

    settings = read_removal_file(Path("removals.yaml"), "removals.yaml").settings

The app, which deploys a file, and the command, which previews it, both read it here. The package
needs no CDK and calls nothing; YAML needs PyYAML.
"""

from hyperpod_node_removal_file.file import (
    RemovalFile,
    read_removal_file,
    read_removal_folder,
    read_removal_text,
)
from hyperpod_node_removal_file.settings import Settings, settings_from
from hyperpod_node_removal_file.values import SettingsError, UnreadableFileError, given_values

__all__ = [
    "RemovalFile",
    "Settings",
    "SettingsError",
    "UnreadableFileError",
    "given_values",
    "read_removal_file",
    "read_removal_folder",
    "read_removal_text",
    "settings_from",
]
