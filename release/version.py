"""Check that version, changelog and tag agree, and print the notes of a release.

    python -m release.version check [TAG]
    python -m release.version notes TAG

The version in pyproject.toml is that of the next release until its tag exists. Changes since the
last release are under `Unreleased`; the commit with the tag has the version and the date there.
"""

import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]
UNRELEASED: Final = "Unreleased"

_HEADING: Final = re.compile(
    r"^## \[(Unreleased|\d+\.\d+\.\d+)\](?: - \d{4}-\d{2}-\d{2})?$", re.MULTILINE
)
_OTHER_HEADING: Final = re.compile(r"^## .*$", re.MULTILINE)


def sections(changelog: str) -> dict[str, str]:
    """Return the texts of the sections of a changelog, by version and in its order."""
    _, *parts = _HEADING.split(changelog)
    return dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))


def find_problems(version: str, changelog: str, tag: str = "") -> list[str]:
    """Return a sentence for each thing that does not agree. `tag` is empty before a release."""
    problems = [
        f"CHANGELOG.md: {heading}: allowed: [{UNRELEASED}] or [X.Y.Z] - YYYY-MM-DD"
        for heading in _OTHER_HEADING.findall(_HEADING.sub("", changelog))
    ]
    newest, *older = sections(changelog) or [UNRELEASED]
    if newest not in {UNRELEASED, version}:
        problems.append(f"CHANGELOG.md begins with {newest}, pyproject.toml says {version}")
    if newest == UNRELEASED and older and _numbers(version) <= _numbers(older[0]):
        problems.append(
            f"pyproject.toml says {version}, which is released; set it to the next version"
        )
    if tag and tag != f"v{version}":
        problems.append(f"the tag is {tag}, pyproject.toml says {version}; allowed: v{version}")
    if tag and newest == UNRELEASED:
        problems.append(f"CHANGELOG.md begins with {newest}; replace that with version and date")
    return problems


def notes(changelog: str, tag: str) -> str:
    """Return the section of the changelog on the release with this tag.

    Raises:
        KeyError: there is none.
    """
    return sections(changelog)[tag.removeprefix("v")]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def main(words: Sequence[str]) -> str:
    """Run a command and return what it prints.

    Raises:
        SystemExit: something does not agree, or there is no such command.
    """
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    pyproject = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    version = pyproject["project"]["version"]
    match list(words):
        case ["check", *tag] if len(tag) <= 1:
            if problems := find_problems(version, changelog, *tag):
                sys.exit("\n".join(problems))
            return f"{version}: version, changelog{' and tag' if tag else ''} agree"
        case ["notes", tag]:
            return notes(changelog, tag)
    sys.exit(__doc__)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
