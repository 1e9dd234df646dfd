"""The steps of the release workflow do what the jobs after them rely on.

`make dist` and `gh` are replaced: the first has separate tests, the other calls GitHub. The steps
that run tests are left out.
"""

import re
import shutil
import sys
from pathlib import Path

import pytest

from release import artifacts
from release.version import main
from sandbox.project import ROOT
from tests.pipelines.team import Ran, bash, stand_in
from tests.release.workflow_lint import run_lines

VERSION = main(["check"]).partition(":")[0]
TAG = f"v{VERSION}"
CHECK, _, _, BUILD, PUBLISH = run_lines(ROOT / ".github" / "workflows" / "release.yml")
FILES = sorted(
    [
        f"hyperpod_node_removal-{VERSION}-py3-none-any.whl",
        f"hyperpod_node_removal-{VERSION}.tar.gz",
        artifacts.PROVIDER,
        "handler.zip",
    ]
)


def run_line(line: str, folder: Path, **environment: str) -> Ran:
    """Run what a step says, with the commands of `folder/bin` and nothing of this environment."""
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return bash(line, folder, {"PATH": path, "HOME": str(folder), **environment})


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the steps use of a checkout of the tag."""
    for folder in (".ci", "release"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / ".ci" / "release", tmp_path / ".ci")
    for name in ("__init__.py", "version.py"):
        shutil.copy(ROOT / "release" / name, tmp_path / "release")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = f"## [{VERSION}] - 2026-12-01\n\n### Added\n\n- Something new."
    named = re.sub(r"^## \[Unreleased\]", released, changelog, flags=re.MULTILINE)
    (tmp_path / "CHANGELOG.md").write_text(named, encoding="utf-8")
    made = "\n".join(f"echo {name} > 'dist/{name}'" for name in FILES)
    sums = f"(cd dist && sha256sum * > {artifacts.CHECKSUMS})"
    stand_in(tmp_path, {"make": f'[ "$*" = dist ]\nmkdir dist\n{made}\n{sums}'})
    return tmp_path


def test_the_tag_of_this_version_is_accepted(checkout: Path) -> None:
    done = run_line(CHECK, checkout, GITHUB_REF_NAME=TAG)
    assert done.code == 0, done.log


@pytest.mark.parametrize("tag", ["v9.9.9", VERSION, "v", f"{TAG}; touch here", "$(touch here)"])
def test_any_other_tag_stops_the_release(checkout: Path, tag: str) -> None:
    done = run_line(CHECK, checkout, GITHUB_REF_NAME=tag)
    assert done.code != 0
    assert "the tag is" in done.log
    assert not (checkout / "here").exists()


def test_the_build_creates_what_is_published(checkout: Path) -> None:
    done = run_line(BUILD, checkout, GITHUB_REF_NAME=TAG)
    assert done.code == 0, done.log
    packages = sorted(path.suffix for path in (checkout / "packages").iterdir())
    assert packages == [".gz", ".whl"]
    notes = (checkout / "notes.md").read_text(encoding="utf-8")
    assert notes.startswith("### ")
    assert "## [" not in notes


def test_a_file_that_does_not_match_its_checksum_stops_the_release(checkout: Path) -> None:
    made = (checkout / "bin" / "make").read_text(encoding="utf-8")
    stand_in(checkout, {"make": f"{made}\necho changed > dist/handler.zip"})
    done = run_line(BUILD, checkout, GITHUB_REF_NAME=TAG)
    assert done.code != 0
    assert not (checkout / "packages").exists()


def test_the_release_has_every_file_and_the_notes(tmp_path: Path) -> None:
    folder = tmp_path / "release" / "dist"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).touch()
    stand_in(tmp_path, {"gh": 'printf "%s\\n" "$@"'})
    done = run_line(PUBLISH, tmp_path, GITHUB_REF_NAME=TAG, GH_TOKEN="t", GH_REPO="owner/name")
    words = done.log.splitlines()
    assert words[:4] == ["release", "create", TAG, "--verify-tag"]
    assert words[words.index("--notes-file") + 1] == "release/notes.md"
    assert [word for word in words if "/dist/" in word] == [f"release/dist/{n}" for n in FILES]
