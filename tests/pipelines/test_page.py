"""The example copied out of the project, by the commands of its page, word for word.

What its two lock files name is linked, not downloaded: it is what the tests themselves run with.
"""

import shlex
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest
import yaml

from sandbox.project import PATH, ROOT
from tests.docs.code_blocks import code_blocks
from tests.pipelines.team import EXAMPLE, IGNORED, Ran, bash, stand_in
from tests.release.test_artifacts import SOURCES
from tests.sandbox.test_command import second_terminal

pytestmark = pytest.mark.slow

PAGE: Final = EXAMPLE / "README.md"
SHOWN: Final = ("i-0123456789abcdef0", "i-0123456789abcdef1")
STAND_INS: Final = {
    "make": f'[ "$*" = dist ] && exec {sys.executable} -m release.artifacts dist',
    "npm": f'[ "$1" = ci ] && ln -s {ROOT}/node_modules node_modules',
}
"""`make dist` and `npm ci` without what they would download."""
LINK: Final = f"""
for entry in {Path(yaml.__file__).parents[1]}/*; do
  case ${{entry##*/}} in
    *editable* | *hyperpod* | pip* | pkg_resources | setuptools* | *distutils*) ;;
    *) ln -s "$entry" .venv/lib/python*/site-packages/ ;;
  esac
done
"""
"""Puts what the tests run with, but not the project itself, into a new environment."""


def commands(page: Path) -> list[str]:
    """The commands of the console blocks of a page, as a reader would paste them."""
    lines = (line for block in code_blocks(page, "console") for line in block.text.splitlines())
    return [line.removeprefix("$ ") for line in lines]


def checkout(folder: Path) -> Path:
    """A copy of what the page uses of the project."""
    for name in [*SOURCES, "examples", "schemas"]:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=IGNORED)
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder)
    return folder


def test_the_page_leads_from_a_checkout_to_a_removal(tmp_path: Path) -> None:
    stand_in(tmp_path, STAND_INS)
    first = checkout(tmp_path / "checkout")
    path = f"{tmp_path / 'bin'}:{PATH}"
    with second_terminal(home=tmp_path) as terminal:
        nodes = terminal.first[1].rpartition("=")[2].split(",")
        lines = commands(PAGE)
        # the reader's own nodes, and what pip finds installed
        edit = "".join(f";s/{old}/{new}/" for old, new in zip(SHOWN, nodes, strict=True))[1:]
        lines.insert(lines.index("cd ../removals") + 1, f"sed -i '{edit}' removals/ml-cluster.yaml")
        lines.insert(lines.index("ci/install.sh"), LINK)
        done = bash("\n".join(lines), first, {**terminal.environment, "PATH": path})
        assert done.code == 0, done.log
        assert "2 nodes of ml-cluster would be removed" in done.log
        assert "COMPLETE: 2 removed in ml-cluster." in done.log
        log = terminal.run("aws sagemaker list-cluster-nodes --cluster-name ml-cluster")
        assert not any(node in log for node in nodes)
    team = tmp_path / "removals"
    status = bash("git status --porcelain", team, {"PATH": PATH}).log.splitlines()
    assert status == ["?? node_modules"], "a link here, and a folder, which is ignored, elsewhere"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with an environment in which all but the package is installed."""
    folder = tmp_path_factory.mktemp("desk")
    stand_in(folder, STAND_INS)
    shutil.copytree(EXAMPLE, folder / "copy", ignore=IGNORED)
    made = bash(f"{sys.executable} -m venv .venv\n{LINK}", folder / "copy", {"PATH": PATH})
    assert made.code == 0, made.log
    return folder


def wheel(folder: Path, said: str, version: str = "0.1.0") -> Path:
    """A wheel of the package's name whose only module says something."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"hyperpod_node_removal-{version}-py3-none-any.whl"
    info = f"hyperpod_node_removal-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("which_wheel.py", f"print({said!r})\n")
        metadata = f"Metadata-Version: 2.1\nName: hyperpod-node-removal\nVersion: {version}\n"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def run(desk: Path, *lines: str, **environment: str) -> Ran:
    path = f"{desk / 'copy' / '.venv' / 'bin'}:{desk / 'bin'}:{PATH}"
    script = "\n".join(("rm -rf node_modules", *lines))
    return bash(script, desk / "copy", {"PATH": path, "HOME": str(desk), **environment})


def test_without_the_pinned_wheel_nothing_is_installed(desk: Path, tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "requirements.txt", desk / "copy")
    sentence = "error: there is no wheel of hyperpod-node-removal {} here, or requirements.txt"
    nothing = run(desk, "rm -f *.whl", "ci/install.sh", PIP_NO_INDEX="1")
    assert nothing.code == 1
    assert nothing.log.startswith(sentence.format("0.1.0"))
    assert "Run ci/pin-package.sh WHEEL" in nothing.log
    wheel(desk / "copy", "not pinned")
    assert run(desk, "ci/install.sh").log.startswith(sentence.format("0.1.0"))
    pin = f"ci/pin-package.sh {wheel(tmp_path, 'ours', '0.3.0')}"
    rename = "mv hyperpod_node_removal-{0.3.0,0.4.0}-py3-none-any.whl"
    another = run(desk, pin, rename, "ci/install.sh")
    assert another.code == 1
    assert another.log.startswith(sentence.format("0.3.0"))
    assert not (desk / "copy" / "node_modules").exists()


def test_only_the_wheel_that_was_pinned_last_is_installed(desk: Path, tmp_path: Path) -> None:
    """Neither one that was changed here, nor one that an index has under the same name."""
    pins = [
        f"ci/pin-package.sh {wheel(tmp_path / 'dist', said, version)}"
        for said, version in (("before", "0.2.0"), ("ours", "0.1.0"))
    ]
    index = wheel(tmp_path / "index", "anybody's", "0.1.0").parent
    wheel(index, "anybody's", "9.0.0")
    places = {"PIP_FIND_LINKS": str(index), "PIP_EXTRA_INDEX_URL": index.as_uri()}
    done = run(desk, *pins, "ci/install.sh", "python3 -m which_wheel", **places)
    assert (done.code, done.log.splitlines()[-1]) == (0, "ours")
    assert len(list((desk / "copy").glob("*.whl"))) == 1
    text = (desk / "copy" / "requirements.txt").read_text(encoding="utf-8")
    assert text.startswith("# The version of the package.")
    assert "hyperpod-node-removal==0.1.0 \\\n    --hash=sha256:" in text

    wheel(desk / "copy", "changed")
    done = run(desk, "ci/install.sh", **places)
    assert done.code != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.log
    assert not (desk / "copy" / "node_modules").exists()
    assert run(desk, "python3 -m which_wheel").log == "ours\n"


@pytest.mark.parametrize("name", ["other-0.1.0-py3-none-any.whl", "x; touch pwned.whl", "a.tar.gz"])
def test_another_file_than_a_wheel_of_the_package_is_not_pinned(
    desk: Path, tmp_path: Path, name: str
) -> None:
    before = (desk / "copy" / "requirements.txt").read_bytes()
    (tmp_path / name).touch()
    done = run(desk, f"ci/pin-package.sh {shlex.quote(str(tmp_path / name))}")
    assert done.code == 1
    assert done.log.startswith("error: not a wheel of hyperpod-node-removal: ")
    assert (desk / "copy" / "requirements.txt").read_bytes() == before
    assert not list(desk.rglob("pwned*"))
