"""The files of the example are consistent with the project and with each other."""

import json
import re
import tomllib
from typing import Any, Final

import pytest
from packaging.requirements import Requirement

from hyperpod_node_removal_file import read_removal_folder
from sandbox.project import ROOT
from tests.pipelines.team import EXAMPLE
from tests.release.linting import cfn_lint

PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PIN: Final = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)


def text(name: str) -> str:
    return (EXAMPLE / name).read_text(encoding="utf-8")


def test_only_requirements_txt_has_the_version_of_the_project() -> None:
    version = PROJECT["project"]["version"]
    assert PIN.findall(text("requirements.txt")) == [("hyperpod-node-removal", version)]
    for file in EXAMPLE.rglob("*"):
        if file.is_file() and file.name not in {"requirements.txt", "package-lock.json"}:
            assert f"removal=={version}" not in file.read_text(encoding="utf-8"), file


def test_other_packages_are_pinned_by_hash_to_the_tested_versions() -> None:
    locked = dict(PIN.findall(text("requirements.lock")))
    blocks = re.split(r"^(?=\S)", text("requirements.lock"), flags=re.MULTILINE)
    assert all("--hash=sha256:" in block for block in blocks if PIN.match(block))
    tested = dict(PIN.findall((ROOT / "requirements.lock").read_text("utf-8")))
    assert locked == {name: tested[name] for name in locked}


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_the_lock_file_has_the_dependencies_of_the_package_and_its_extras(python: str) -> None:
    locked = dict(PIN.findall(text("requirements.lock")))
    project = PROJECT["project"]
    own = [line for line in text("requirements.in").splitlines() if not line.startswith("#")]
    extras = project["optional-dependencies"]
    for line in [*project["dependencies"], *extras["app"], *extras["cli"], *own]:
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"python_version": python}):
            assert needed.specifier.contains(locked[needed.name.lower()]), line


def test_the_cdk_cli_has_the_tested_version() -> None:
    package, lock = json.loads(text("package.json")), json.loads(text("package-lock.json"))
    project = json.loads((ROOT / "package-lock.json").read_text("utf-8"))["packages"]
    assert lock["packages"][""]["devDependencies"] == package["devDependencies"]
    assert lock["packages"]["node_modules/aws-cdk"] == project["node_modules/aws-cdk"]


def test_the_removal_files_are_valid() -> None:
    names = [settings.stack_name for settings in read_removal_folder(EXAMPLE / "removals", "r")]
    assert names == ["hyperpod-node-removal-evaluation", "hyperpod-node-removal-ml-cluster"]


def test_cfn_lint_accepts_the_role_templates() -> None:
    roles = list((EXAMPLE / "roles").glob("*.yaml"))
    assert {path.stem for path in roles} == {"github", "gitlab"}
    assert cfn_lint(*roles) == ""
