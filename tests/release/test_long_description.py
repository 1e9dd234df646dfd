"""What an index shows of the package: README.md, with links that work once there is an address."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from release.long_description import with_links
from sandbox.project import ROOT
from tests.release.test_artifacts import copy_sources, metadata

ADDRESS = "https://git.example.com/team/removal"
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_links_lead_to_the_repository_once_it_has_an_address(tmp_path: Path) -> None:
    """In the metadata of the wheel that is built from the sdist."""
    checkout, out = copy_sources(tmp_path / "checkout"), tmp_path / "out"
    path = checkout / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    urls = f'[project.urls]\nRepository = "{ADDRESS}"\n\n[project.optional-dependencies]\n'
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
    made = metadata(wheel)
    links = LINK.findall(str(made.get_payload()))
    assert f"{ADDRESS}/blob/HEAD/docs/comparison.md" in links
    assert f"{ADDRESS}/blob/HEAD/docs/start.md#deployment-options" in links
    assert all(link.startswith(("https://", "#")) for link in links)
    assert made["Project-URL"] == f"Repository, {ADDRESS}"


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
