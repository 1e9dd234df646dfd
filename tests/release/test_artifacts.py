"""`dist/` is the same bytes from every checkout, and has the code that the construct deploys."""

import email
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from hyperpod_node_removal._asset import staged_code
from release.artifacts import CHECKSUMS, PACKAGEABLE, PROVIDER, write_archive
from release.property_schema import FILE
from sandbox.project import ROOT

pytestmark = pytest.mark.slow

SOURCES = (
    *("CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", ".gitignore"),
    *("cli", "constructs", "lambda", "release", "shared"),
)
BUILD = """
import os, sys
os.umask(int(sys.argv[1], 8))
from pathlib import Path
from release.artifacts import write_distribution
write_distribution(Path(sys.argv[2]))
"""


def copy_sources(checkout: Path) -> Path:
    checkout.mkdir(parents=True)
    for name in SOURCES:
        source, target = ROOT / name, checkout / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return checkout


def built(checkout: Path, umask: str, out: Path) -> dict[str, bytes]:
    """What a copy of the sources makes, by file name."""
    copy_sources(checkout)
    roots = [checkout / name for name in ("cli", "constructs", "lambda", "shared")]
    done = subprocess.run(
        [sys.executable, "-c", BUILD, umask, str(out)],
        cwd=checkout,
        env={
            **{key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"},
            "PYTHONPATH": ":".join(map(str, [*roots, checkout])),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return {path.name: path.read_bytes() for path in out.iterdir()}


def metadata(wheel: Path) -> Message:
    """The metadata of a wheel, with the readme."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_string(archive.read(name).decode())


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("here")
    built(folder / "checkout", "022", folder / "dist")
    return folder / "dist"


def test_two_checkouts_make_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in dist.iterdir()}
    second = built(tmp_path / "a" / "longer path", "077", tmp_path / "out")
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []


def test_the_folder_is_complete_with_checksums_of_all_files(dist: Path) -> None:
    names = {path.name for path in dist.iterdir()}
    assert names >= {CHECKSUMS, PACKAGEABLE, PROVIDER, "handler.zip", FILE.name}
    assert {name.rpartition("-")[2] for name in names if name.endswith(".whl")} == {"any.whl"}
    assert sum(name.endswith(".tar.gz") for name in names) == 1
    check = ["sha256sum", "--check", "--strict", CHECKSUMS]
    done = subprocess.run(check, cwd=dist, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) == len(names) - 1


def test_the_wheel_names_its_versions_of_python_and_has_the_readme(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    made = metadata(wheel)
    assert made["Requires-Python"] == ">=3.11"
    named = re.findall(r"Python :: (3\.\d+)\b", " ".join(made.get_all("Classifier", [])))
    assert named == ["3.11", "3.12", "3.13", "3.14"]
    assert made["Description-Content-Type"] == "text/markdown"
    text = str(made.get_payload())
    assert text.startswith((ROOT / "README.md").read_text(encoding="utf-8").partition("\n")[0])
    if not made["Project-URL"]:
        assert "[How it compares" not in text
        assert "How it compares with other tools" in text
        assert all(
            link.startswith(("https://", "#")) for link in re.findall(r"\]\(([^)\s]+)\)", text)
        )


def test_the_archive_holds_the_code_that_the_construct_deploys(dist: Path) -> None:
    staged = {
        path.relative_to(staged_code()).as_posix(): path.read_bytes()
        for path in staged_code().rglob("*")
        if path.is_file()
    }
    with zipfile.ZipFile(dist / "handler.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == staged
        assert archive.namelist() == sorted(staged)
        modes = {entry.external_attr >> 16 for entry in archive.infolist()}
    assert modes == {stat.S_IFREG | 0o644}, "Lambda can read every file"


def test_neither_time_nor_mode_nor_order_of_files_matters(tmp_path: Path) -> None:
    archives = []
    for turn, names in enumerate((["b.py", "a/c.json"], ["a/c.json", "b.py"])):
        folder = tmp_path / str(turn)
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name, encoding="utf-8")
            path.chmod(0o600 if turn else 0o755)
            os.utime(path, (turn * 10_000_000, turn * 10_000_000))
        write_archive(folder, tmp_path / f"{turn}.zip")
        archives.append((tmp_path / f"{turn}.zip").read_bytes())
    assert archives[0] == archives[1]
