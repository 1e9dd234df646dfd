"""Version, changelog and tag agree before anything is published."""

import tomllib

import pytest

from release.version import find_problems, main, notes
from sandbox.project import ROOT

HEAD = "# Changelog\n\nThe format.\n\n"
UNRELEASED = "## [Unreleased]\n\n### Added\n\n- Something new.\n\n"
FIRST = "## [0.1.0] - 2026-11-23\n\n### Added\n\n- The first.\n"
SECOND = "## [0.2.0] - 2026-12-01\n\n### Fixed\n\n- A defect.\n\n"


def test_this_repository_agrees_on_the_version_of_the_wheel() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in pyproject["project"].get("dynamic", [])
    version = pyproject["project"]["version"]
    assert main(["check"]) == f"{version}: version, changelog agree"


@pytest.mark.parametrize(
    ("version", "changelog", "tag"),
    [
        ("0.1.0", HEAD + UNRELEASED, ""),
        ("0.1.0", HEAD + FIRST, ""),
        ("0.1.0", HEAD + FIRST, "v0.1.0"),
        ("0.2.0", HEAD + UNRELEASED + FIRST, ""),
        ("0.2.0", HEAD + SECOND + FIRST, "v0.2.0"),
    ],
)
def test_version_changelog_and_tag_agree(version: str, changelog: str, tag: str) -> None:
    assert find_problems(version, changelog, tag) == []


@pytest.mark.parametrize(
    ("version", "changelog", "tag", "sentence"),
    [
        ("0.2.0", FIRST, "", "CHANGELOG.md begins with 0.1.0, pyproject.toml says 0.2.0"),
        ("0.1.0", UNRELEASED + FIRST, "", "0.1.0, which is released; set it to the next"),
        ("0.10.0", SECOND + FIRST, "v0.2.0", "the tag is v0.2.0, pyproject.toml says 0.10.0"),
        ("0.1.0", FIRST, "0.1.0", "the tag is 0.1.0, pyproject.toml says 0.1.0; allowed: v0.1.0"),
        ("0.1.0", UNRELEASED, "v0.1.0", "begins with Unreleased; replace that with version"),
        ("0.1.0", FIRST.replace("-23", ""), "", "allowed: [Unreleased] or [X.Y.Z] - YYYY-MM-DD"),
    ],
)
def test_a_mismatch_is_a_problem(version: str, changelog: str, tag: str, sentence: str) -> None:
    assert any(sentence in problem for problem in find_problems(version, HEAD + changelog, tag))


def test_the_notes_are_the_section_of_the_tag_alone() -> None:
    changelog = HEAD + SECOND + FIRST
    assert notes(changelog, "v0.2.0") == "### Fixed\n\n- A defect."
    assert notes(changelog, "v0.1.0") == "### Added\n\n- The first."
    with pytest.raises(KeyError):
        notes(changelog, "v0.3.0")


def test_an_unknown_tag_or_command_stops_the_release() -> None:
    with pytest.raises(SystemExit, match=r"the tag is v9\.9\.9"):
        main(["check", "v9.9.9"])
    with pytest.raises(SystemExit):
        main(["publish"])
