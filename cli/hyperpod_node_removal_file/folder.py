"""A folder of removal files, one for each cluster: `removals/ml-cluster.yaml`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hyperpod_node_removal_file.errors import SettingsError, UnreadableFileError, raise_all
from hyperpod_node_removal_file.removal_file import read_removal_file
from hyperpod_node_removal_file.settings import Settings, default_stack_name
from hyperpod_node_removal_handler import contract

_SUFFIX: Final = ".yaml"


def read_removal_folder(folder: Path, name: str) -> tuple[Settings, ...]:
    """The settings of each file, by the names of the files. `name` is what errors call the folder.

    A file is called as the stack that it makes: `ml-cluster.yaml` makes
    `hyperpod-node-removal-ml-cluster`. So whoever sees a file's name, such as a pipeline, knows the
    stack, and no two files have the same. Files that begin with a dot are left out.

    Raises:
        UnreadableFileError: the folder or one of its files cannot be read.
        SettingsError: one of the files does not describe a removal, is not called as its stack, or
            names a cluster that another one names. `every` has all problems of all files.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UnreadableFileError(f"{name}: cannot be read: {error.strerror}") from error
    problems: list[SettingsError] = []
    read: list[Settings] = []
    for path in paths:
        try:
            read.append(_read(path, f"{name}/{contract.printable(path.name)}"))
        except SettingsError as error:
            problems.append(error)
    raise_all([*problems, *_clusters_named_twice(read)])
    return tuple(read)


def _read(path: Path, name: str) -> Settings:
    cluster = path.stem
    if path.suffix != _SUFFIX or contract.cluster_name_problem(cluster):
        raise SettingsError(
            f"{name}: not a removal file; allowed: the cluster's name and {_SUFFIX}"
        )
    settings = read_removal_file(path, name).settings
    expected = default_stack_name(cluster)
    if settings.stack_name != expected:
        raise SettingsError(
            f"{name}: the stack is {settings.stack_name}; allowed: {expected}, by the file's name."
            f" Rename the file, or write stack_name: {expected}"
        )
    return settings


def _clusters_named_twice(read: list[Settings]) -> Iterator[SettingsError]:
    files: dict[str, str | None] = {}
    for settings in read:
        first = files.setdefault(settings.cluster, settings.file)
        if first != settings.file:
            yield SettingsError(
                f"{settings.file}: cluster {settings.cluster} is that of {first}; allowed: one file"
                " for a cluster"
            )
