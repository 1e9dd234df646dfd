"""What can be wrong with a removal file or with the keys of a command line::

SettingsError              it does not describe a removal (ValueError)
 +-- UnreadableFileError   it could not be looked at
"""

from collections.abc import Iterable


class SettingsError(ValueError):
    """The command line or the file does not describe a removal.

    The text names the file, the line or key, the value and what is allowed.
    """

    def __init__(
        self, text: str, *, line: int | None = None, more: Iterable["SettingsError"] = ()
    ) -> None:
        super().__init__(text)
        self.line = line
        """Of the file, from 1. None where it is not known."""
        self.every: tuple[SettingsError, ...] = (self, *more)
        """This problem and the others that were found with it."""


class UnreadableFileError(SettingsError):
    """The file is not there, may not be read, or needs a library that is not installed."""


def raise_all(problems: Iterable[SettingsError]) -> None:
    """Raise the first of the problems, with the others in `every`; nothing if there is none."""
    found = tuple(one for problem in problems for one in problem.every)
    if found:
        first, *others = found
        raise SettingsError(str(first), line=first.line, more=others)
