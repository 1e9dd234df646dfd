"""`validate`: whether a removal file can be deployed, without calls."""

import sys
from pathlib import Path
from typing import Final

from hyperpod_node_removal_cli.report import Conclusion, Problem, Report, unknown
from hyperpod_node_removal_file import (
    RemovalFile,
    SettingsError,
    UnreadableFileError,
    read_removal_file,
    read_removal_text,
)

STANDARD_INPUT: Final = "-"


def validate_file(file: str) -> Report:
    """Report whether a removal file (`-`: standard input) is valid."""
    found = open_file(file)
    if isinstance(found, Report):
        return found
    nodes = len(found.settings.node_ids) + len(found.settings.node_logical_ids)
    count = f"{nodes} {'node' if nodes == 1 else 'nodes'}"
    return Report(
        subject=found.name,
        conclusion=Conclusion.FINE,
        headline=f"The file is valid: {count} of {found.settings.cluster}.",
        cluster=found.settings.cluster,
    )


def open_file(file: str) -> RemovalFile | Report:
    """Return the contents of the file, or the report on what is wrong with it."""
    name = "standard input" if file == STANDARD_INPUT else file
    try:
        if file == STANDARD_INPUT:
            return read_removal_text(sys.stdin.buffer.read(), name)
        return read_removal_file(Path(file), name)
    except UnreadableFileError as error:
        return unknown(name, str(error))
    except SettingsError as error:
        return report_problems(name, error)


def report_problems(subject: str, error: SettingsError) -> Report:
    """Report what is wrong with the description of a removal."""
    problems = tuple(Problem(str(problem), subject, problem.line) for problem in error.every)
    count = f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}"
    return Report(
        subject=subject,
        conclusion=Conclusion.PROBLEMS,
        headline=f"{subject} has {count} and cannot be deployed.",
        problems=problems,
    )
