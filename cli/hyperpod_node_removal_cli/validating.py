"""`validate`: is the file one that can be deployed? Nothing is called."""

from pathlib import Path

from hyperpod_node_removal_cli.report import Conclusion, Place, Problem, Report, unknown
from hyperpod_node_removal_file import (
    RemovalFile,
    Settings,
    SettingsError,
    UnreadableFileError,
    read_removal_file,
)


def validated(file: str) -> Report:
    """The report on a removal file."""
    found = opened(file)
    return found if isinstance(found, Report) else _fine(file, found.settings)


def opened(file: str) -> RemovalFile | Report:
    """What the file holds, or the report on what is wrong with it."""
    try:
        return read_removal_file(Path(file), file)
    except UnreadableFileError as error:
        return unknown(file, str(error))
    except SettingsError as error:
        problems = tuple(
            Problem(str(problem), Place(file, problem.line)) for problem in error.every
        )
        count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
        return Report(
            subject=file,
            conclusion=Conclusion.PROBLEMS,
            headline=f"The file has {count}; it cannot be deployed.",
            problems=problems,
        )


def _fine(file: str, settings: Settings) -> Report:
    nodes = len(settings.node_ids) + len(settings.node_logical_ids)
    count = f"{nodes} nodes" if nodes != 1 else "1 node"
    return Report(
        subject=file,
        conclusion=Conclusion.FINE,
        headline=f"The file is in order: {count} of {settings.cluster}.",
        cluster=settings.cluster,
    )
