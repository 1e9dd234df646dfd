"""What an index shows of the package: README.md, with links that work once there is an address."""

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from release.long_description import with_links
from sandbox.project import ROOT
from tests.release.test_artifacts import copy_sources

pytestmark = pytest.mark.xdist_group("release")

ADDRESS = "https://git.example.com/team/removal"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def build(checkout: Path, out: Path, *, address: str = "") -> Message:
    """The metadata of the wheel from a checkout's sdist."""
    if address:
        path = checkout / "pyproject.toml"
        text = path.read_text(encoding="utf-8")
        urls = f'[project.urls]\nRepository = "{address}"\n\n[project.optional-dependencies]\n'
        changed = text.replace("[project.optional-dependencies]\n", urls)
        assert changed != text
        path.write_text(changed, encoding="utf-8")
    hatchling = [sys.executable, "-m", "hatchling", "build", "--directory", str(out)]
    subprocess.run([*hatchling, "-t", "sdist"], cwd=checkout, check=True, capture_output=True)
    (sdist,) = out.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(out, filter="data")
    (unpacked,) = (path for path in out.iterdir() if path.is_dir())
    subprocess.run([*hatchling, "-t", "wheel"], cwd=unpacked, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_string(archive.read(name).decode())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_sources(tmp_path / "checkout")


def test_links_lead_to_the_repository_once_it_has_an_address(
    checkout: Path, tmp_path: Path
) -> None:
    metadata = build(checkout, tmp_path / "out", address=ADDRESS)
    text = str(metadata.get_payload())
    links = LINK.findall(text)
    assert f"{ADDRESS}/blob/HEAD/docs/comparison.md" in links
    assert f"{ADDRESS}/blob/HEAD/docs/start.md#deployment-options" in links
    assert all(link.startswith(("https://", "#")) for link in links)
    assert metadata["Project-URL"] == f"Repository, {ADDRESS}"


def test_the_wheel_names_its_versions_of_python_and_has_the_readme(
    checkout: Path, tmp_path: Path
) -> None:
    metadata = build(checkout, tmp_path / "out")
    assert metadata["Requires-Python"] == ">=3.11"
    named = {
        classifier.rpartition(" ")[2]
        for classifier in metadata.get_all("Classifier", [])
        if re.search(r"Python :: 3\.\d+$", classifier)
    }
    assert named == {"3.11", "3.12", "3.13", "3.14"}
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = str(metadata.get_payload())
    assert text.startswith(README.partition("\n")[0])
    if "urls" not in PROJECT:
        assert "[How it compares" not in text
        assert "How it compares with other tools" in text
        assert all(link.startswith(("https://", "#")) for link in LINK.findall(text))


def test_only_links_within_the_repository_are_changed() -> None:
    others = "[c](https://c.example/d), [e](#f), `x[0](y)`\n```\nz[0](y)\n```\n"
    assert with_links(f"[`a`](docs/a.md#b), {others}", f"{ADDRESS}/") == (
        f"[`a`]({ADDRESS}/blob/HEAD/docs/a.md#b), {others}"
    )
    assert with_links(f"[`a`](docs/a.md#b), {others}", "") == f"`a`, {others}"


@pytest.mark.parametrize("link", sorted(set(LINK.findall(README))))
def test_each_link_of_the_readme_leads_to_a_file(link: str) -> None:
    if ":" not in link and not link.startswith("#"):
        assert (ROOT / link.partition("#")[0]).exists()
