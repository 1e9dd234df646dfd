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
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]
UNRELEASED: Final = "Unreleased"
KINDS: Final = frozenset({"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"})
"""Headings within a release, as Keep a Changelog names them."""

_SECTION: Final = re.compile(r"^## (.*)$", re.MULTILINE)
_HEADING: Final = re.compile(r"\[(?P<version>\d+\.\d+\.\d+)\] - (?P<day>\d{4}-\d{2}-\d{2})")
_KIND: Final = re.compile(r"^### (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """A release in the changelog, or the changes that are not released yet."""

    heading: str
    text: str

    @property
    def version(self) -> str:
        """The version, such as `0.1.0`. Empty if it is not a release."""
        found = _HEADING.fullmatch(self.heading)
        return found["version"] if found else ""


def sections(changelog: str) -> list[Section]:
    """Return the sections of a changelog, in its order."""
    _, *parts = _SECTION.split(changelog)
    headings, texts = parts[::2], parts[1::2]
    return [
        Section(heading.strip(), text.strip())
        for heading, text in zip(headings, texts, strict=True)
    ]


def find_problems(version: str, changelog: str, tag: str = "") -> list[str]:
    """Return a sentence for each thing that does not agree. `tag` is empty before a release."""
    found = sections(changelog)
    problems = [problem for section in found for problem in _problems_of(section)]
    order = [_numbers(section.version) for section in found if section.version]
    if any(later <= earlier for later, earlier in pairwise(order)):
        problems.append("CHANGELOG.md: releases are not in order, the newest first")
    newest = found[0] if found else Section(f"[{UNRELEASED}]", "")
    if newest.version and newest.version != version:
        problems.append(f"CHANGELOG.md begins with {newest.version}, pyproject.toml says {version}")
    if not newest.version and order and _numbers(version) <= order[0]:
        problems.append(
            f"pyproject.toml says {version}, which is released; set it to the next version"
        )
    if tag and tag != f"v{version}":
        problems.append(f"the tag is {tag}, pyproject.toml says {version}; allowed: v{version}")
    if tag and not newest.version:
        problems.append(
            f"CHANGELOG.md begins with {newest.heading}; replace that with version and date"
        )
    return problems


def notes(changelog: str, tag: str) -> str:
    """Return the section of the changelog on the release with this tag.

    Raises:
        KeyError: there is none.
    """
    return {f"v{section.version}": section.text for section in sections(changelog)}[tag]


def _problems_of(section: Section) -> list[str]:
    where = f"CHANGELOG.md: {section.heading}"
    problems = [
        f"{where}: unknown heading {kind}; allowed: {', '.join(sorted(KINDS))}"
        for kind in _KIND.findall(section.text)
        if kind not in KINDS
    ]
    if section.heading == f"[{UNRELEASED}]":
        return problems
    heading = _HEADING.fullmatch(section.heading)
    if not heading:
        return [*problems, f"{where}: allowed: [{UNRELEASED}] or [X.Y.Z] - YYYY-MM-DD"]
    try:
        date.fromisoformat(heading["day"])
    except ValueError:
        problems.append(f"{where}: {heading['day']} is not a date")
    return problems if section.text else [*problems, f"{where}: the section is empty"]


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
