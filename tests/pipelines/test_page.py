"""The commands on the example's page, in a copy of the example outside the project.

The packages in its two lock files are linked from this environment instead of downloaded.
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
    "make": f'[ "$*" = dist ] && exec {sys.executable} -m release.artifacts',
    "npm": f'[ "$1" = ci ] && ln -s {ROOT}/node_modules node_modules',
}
"""`make dist` and `npm ci` without downloads."""
LINK: Final = f"""
for entry in {Path(yaml.__file__).parents[1]}/*; do
  case ${{entry##*/}} in
    *editable* | *hyperpod* | pip* | pkg_resources | setuptools* | *distutils*) ;;
    *) ln -s "$entry" .venv/lib/python*/site-packages/ ;;
  esac
done
"""
"""Links the packages of this environment, except the project, into a new environment."""


def commands(page: Path) -> list[str]:
    """Return the commands in the console blocks of a page, as a reader would paste them."""
    lines = (line for block in code_blocks(page, "console") for line in block.text.splitlines())
    return [line.removeprefix("$ ") for line in lines]


def checkout(folder: Path) -> Path:
    """Copy the parts of the project that the page uses."""
    for name in [*SOURCES, "examples", "schemas"]:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=IGNORED)
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder)
    return folder


def test_the_commands_of_the_page_lead_from_a_checkout_to_a_removal(tmp_path: Path) -> None:
    stand_in(tmp_path, STAND_INS)
    first = checkout(tmp_path / "checkout")
    path = f"{tmp_path / 'bin'}:{PATH}"
    with second_terminal(home=tmp_path) as terminal:
        nodes = terminal.first[1].rpartition("=")[2].split(",")
        lines = commands(PAGE)
        # the reader's own nodes, and the installed packages
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
    assert status == ["?? node_modules"], "a link in this test, and an ignored folder elsewhere"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, with an environment in which only the package is not installed."""
    folder = tmp_path_factory.mktemp("example")
    stand_in(folder, STAND_INS)
    shutil.copytree(EXAMPLE, folder / "copy", ignore=IGNORED)
    made = bash(f"{sys.executable} -m venv .venv\n{LINK}", folder / "copy", {"PATH": PATH})
    assert made.code == 0, made.log
    return folder / "copy"


def wheel(folder: Path, output: str, version: str = "0.1.0") -> Path:
    """Write a wheel with the package's name, whose only module prints a text."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"hyperpod_node_removal-{version}-py3-none-any.whl"
    info = f"hyperpod_node_removal-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("which_wheel.py", f"print({output!r})\n")
        metadata = f"Metadata-Version: 2.1\nName: hyperpod-node-removal\nVersion: {version}\n"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def run(example: Path, *lines: str, **environment: str) -> Ran:
    path = f"{example / '.venv' / 'bin'}:{example.parent / 'bin'}:{PATH}"
    script = "\n".join(("rm -rf node_modules", *lines))
    return bash(script, example, {"PATH": path, "HOME": str(example.parent), **environment})


def test_nothing_is_installed_without_the_pinned_wheel(example: Path, tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "requirements.txt", example)
    error = "error: there is no wheel of hyperpod-node-removal {} here, or requirements.txt"
    nothing = run(example, "rm -f *.whl", "ci/install.sh", PIP_NO_INDEX="1")
    assert nothing.code == 1
    assert nothing.log.startswith(error.format("0.1.0"))
    assert "Run ci/pin-package.sh WHEEL" in nothing.log
    wheel(example, "not pinned")
    assert run(example, "ci/install.sh").log.startswith(error.format("0.1.0"))
    pin = f"ci/pin-package.sh {wheel(tmp_path, 'ours', '0.3.0')}"
    rename = "mv hyperpod_node_removal-{0.3.0,0.4.0}-py3-none-any.whl"
    another = run(example, pin, rename, "ci/install.sh")
    assert another.code == 1
    assert another.log.startswith(error.format("0.3.0"))
    assert not (example / "node_modules").exists()


def test_only_the_last_pinned_wheel_is_installed(example: Path, tmp_path: Path) -> None:
    """Not a modified one in the folder, and not one with the same name from an index."""
    pins = [
        f"ci/pin-package.sh {wheel(tmp_path / 'dist', output, version)}"
        for output, version in (("before", "0.2.0"), ("ours", "0.1.0"))
    ]
    index = wheel(tmp_path / "index", "anybody's", "0.1.0").parent
    wheel(index, "anybody's", "9.0.0")
    places = {"PIP_FIND_LINKS": str(index), "PIP_EXTRA_INDEX_URL": index.as_uri()}
    done = run(example, *pins, "ci/install.sh", "python3 -m which_wheel", **places)
    assert (done.code, done.log.splitlines()[-1]) == (0, "ours")
    assert len(list((example).glob("*.whl"))) == 1
    text = (example / "requirements.txt").read_text(encoding="utf-8")
    assert text.startswith("# The version of the package.")
    assert "hyperpod-node-removal==0.1.0 \\\n    --hash=sha256:" in text

    wheel(example, "changed")
    done = run(example, "ci/install.sh", **places)
    assert done.code != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.log
    assert not (example / "node_modules").exists()
    assert run(example, "python3 -m which_wheel").log == "ours\n"


@pytest.mark.parametrize("name", ["other-0.1.0-py3-none-any.whl", "x; touch pwned.whl", "a.tar.gz"])
def test_only_a_wheel_of_the_package_can_be_pinned(
    example: Path, tmp_path: Path, name: str
) -> None:
    before = (example / "requirements.txt").read_bytes()
    (tmp_path / name).touch()
    done = run(example, f"ci/pin-package.sh {shlex.quote(str(tmp_path / name))}")
    assert done.code == 1
    assert done.log.startswith("error: not a wheel of hyperpod-node-removal: ")
    assert (example / "requirements.txt").read_bytes() == before
    assert not list(example.parent.rglob("pwned*"))
