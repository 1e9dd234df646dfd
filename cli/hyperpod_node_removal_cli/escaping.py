"""Escape text from AWS and from files for a terminal and for the log of a pipeline.

Pipelines execute commands in their log: GitHub Actions a line that begins with `::` and, in an
older form, `##[` anywhere in a line; Azure Pipelines `##vso[` (docs.github.com, "Workflow commands
for GitHub Actions"; the runner's `ActionCommand`).
"""

import re
from typing import Final

_COMMAND: Final = re.compile(r"^([^\S\n]*)::", re.MULTILINE)
_OLD_COMMAND: Final = re.compile(r"##(?=\[|vso\[)", re.IGNORECASE)


def escape_control(text: str) -> str:
    """Return `text` in one line, with every character escaped that is not printable.

    No control character, ANSI escape, or bidirectional override is left.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def neutralize_commands(text: str) -> str:
    """Return `text` with a backslash in everything that a pipeline would execute."""
    return _OLD_COMMAND.sub(r"#\\#", _COMMAND.sub(r"\1\\::", text))


def neutralize_commands_in_json(text: str) -> str:
    """Return an equal JSON document in which no pipeline finds a command."""
    # In JSON, two number signs occur only in strings, and no line begins with a colon.
    return _OLD_COMMAND.sub(r"#\\u0023", text)
