"""Whether version, changelog and tag agree, and what a release has to tell.

    python -m release.version check [TAG]
    python -m release.version notes TAG

The version in pyproject.toml is that of the next release until its tag is made. What has changed
since the last one stands under `Unreleased`; the commit that is tagged names version and day there.
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
    """A release in the changelog, or what is not released yet."""

    heading: str
    text: str

    @property
    def version(self) -> str:
        """For example `0.1.0`. Empty if it is not a release."""
        found = _HEADING.fullmatch(self.heading)
        return found["version"] if found else ""


def sections(changelog: str) -> list[Section]:
    """The sections of a changelog, in its order."""
    _, *parts = _SECTION.split(changelog)
    headings, texts = parts[::2], parts[1::2]
    return [
        Section(heading.strip(), text.strip())
        for heading, text in zip(headings, texts, strict=True)
    ]


def problems(version: str, changelog: str, tag: str = "") -> list[str]:
    """Sentences on what does not agree. `tag` is empty before a release."""
    found = sections(changelog)
    told = [problem for section in found for problem in _problems_of(section)]
    order = [_numbers(section.version) for section in found if section.version]
    if any(later <= earlier for later, earlier in pairwise(order)):
        told.append("CHANGELOG.md: releases are not in order, the newest first")
    newest = found[0] if found else Section(f"[{UNRELEASED}]", "")
    if newest.version and newest.version != version:
        told.append(f"CHANGELOG.md begins with {newest.version}, pyproject.toml says {version}")
    if not newest.version and order and _numbers(version) <= order[0]:
        told.append(f"pyproject.toml says {version}, which is released; name the next one there")
    if tag and tag != f"v{version}":
        told.append(f"the tag is {tag}, pyproject.toml says {version}; allowed: v{version}")
    if tag and not newest.version:
        told.append(f"CHANGELOG.md begins with {newest.heading}; name version and day there")
    return told


def notes(changelog: str, tag: str) -> str:
    """What the changelog says of the release with this tag.

    Raises:
        KeyError: it says nothing of it.
    """
    return {f"v{section.version}": section.text for section in sections(changelog)}[tag]


def _problems_of(section: Section) -> list[str]:
    where = f"CHANGELOG.md: {section.heading}"
    told = [
        f"{where}: unknown heading {kind}; allowed: {', '.join(sorted(KINDS))}"
        for kind in _KIND.findall(section.text)
        if kind not in KINDS
    ]
    if section.heading == f"[{UNRELEASED}]":
        return told
    heading = _HEADING.fullmatch(section.heading)
    if not heading:
        return [*told, f"{where}: allowed: [{UNRELEASED}] or [X.Y.Z] - YYYY-MM-DD"]
    try:
        date.fromisoformat(heading["day"])
    except ValueError:
        told.append(f"{where}: {heading['day']} is not a day")
    return told if section.text else [*told, f"{where}: nothing is told of it"]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def main(words: Sequence[str]) -> str:
    """Run a command: what it prints.

    Raises:
        SystemExit: something does not agree, or there is no such command.
    """
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    pyproject = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    version = pyproject["project"]["version"]
    match list(words):
        case ["check", *tag] if len(tag) <= 1:
            if told := problems(version, changelog, *tag):
                sys.exit("\n".join(told))
            return f"{version}: version, changelog{' and tag' if tag else ''} agree"
        case ["notes", tag]:
            return notes(changelog, tag)
    sys.exit(__doc__)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
