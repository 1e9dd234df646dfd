"""Text of others, made harmless for a terminal and for the log of a pipeline.

A pipeline reads its log: GitHub Actions takes a line that begins with `::` and, in an older form, a
`##[` anywhere in a line for a command; Azure Pipelines does so with `##vso[`
(docs.github.com, "Workflow commands for GitHub Actions"; the runner's `ActionCommand`).
"""

import re
from typing import Final

_COMMAND: Final = "::"
_OLD_COMMAND: Final = re.compile(r"##(?=\[|vso\[)", re.IGNORECASE)


def escape_control(text: str) -> str:
    """`text` in one line, with every character that cannot be seen escaped.

    Neither a control character nor an ANSI escape nor a bidirectional override is left.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def neutralize_commands(text: str) -> str:
    """Lines of output of which no pipeline takes any for a command."""
    return "\n".join(_inert_line(line) for line in text.split("\n"))


def _inert_line(line: str) -> str:
    body = line.lstrip()
    if body.startswith(_COMMAND):
        line = f"{line[: len(line) - len(body)]}\\{body}"
    return _OLD_COMMAND.sub(r"#\\#", line)


def neutralize_commands_in_json(text: str) -> str:
    """A JSON document of the same meaning of which no pipeline takes any line for a command."""
    # In JSON, two number signs stand within a string only, and no line begins with a colon.
    return _OLD_COMMAND.sub(r"#\\u0023", text)
