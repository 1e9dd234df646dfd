"""The files of the example agree with the project and with each other."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from packaging.requirements import Requirement

from hyperpod_node_removal_file import read_removal_folder
from sandbox.project import CDK, PATH, ROOT
from tests.pipelines.repository import EXAMPLE, Repository

BIN: Final = Path(sys.executable).parent
SCRIPTS: Final = sorted((EXAMPLE / "ci").glob("*.sh"))
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PIN: Final = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)


def text(name: str) -> str:
    return (EXAMPLE / name).read_text(encoding="utf-8")


def test_the_version_stands_in_one_place_and_is_that_of_the_project() -> None:
    version = PROJECT["project"]["version"]
    assert PIN.findall(text("requirements.txt")) == [("hyperpod-node-removal", version)]
    for file in EXAMPLE.rglob("*"):
        if file.is_file() and file.name not in {"requirements.txt", "package-lock.json"}:
            assert f"removal=={version}" not in file.read_text(encoding="utf-8"), file


def test_everything_else_is_pinned_by_hash_as_it_is_tested() -> None:
    locked = dict(PIN.findall(text("requirements.lock")))
    blocks = re.split(r"^(?=\S)", text("requirements.lock"), flags=re.MULTILINE)
    assert all("--hash=sha256:" in block for block in blocks if PIN.match(block))
    tested = dict(PIN.findall((ROOT / "requirements.lock").read_text("utf-8")))
    assert locked == {name: tested[name] for name in locked}


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_the_lock_has_what_the_package_and_its_extras_need(python: str) -> None:
    locked = dict(PIN.findall(text("requirements.lock")))
    project = PROJECT["project"]
    own = [line for line in text("requirements.in").splitlines() if not line.startswith("#")]
    extras = project["optional-dependencies"]
    for line in [*project["dependencies"], *extras["app"], *extras["cli"], *own]:
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"python_version": python}):
            assert needed.specifier.contains(locked[needed.name.lower()]), line


def test_the_cdk_cli_is_the_one_that_is_tested() -> None:
    ours, lock = json.loads(text("package.json")), json.loads(text("package-lock.json"))
    project = json.loads((ROOT / "package-lock.json").read_text("utf-8"))["packages"]
    assert lock["packages"][""]["devDependencies"] == ours["devDependencies"]
    assert lock["packages"]["node_modules/aws-cdk"] == project["node_modules/aws-cdk"]


def test_its_removal_files_are_in_order() -> None:
    names = [settings.stack_name for settings in read_removal_folder(EXAMPLE / "removals", "r")]
    assert names == ["hyperpod-node-removal-evaluation", "hyperpod-node-removal-ml-cluster"]


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.name for script in SCRIPTS])
def test_its_scripts_are_sound(script: Path) -> None:
    done = subprocess.run(
        [BIN / "shellcheck", "--shell", "bash", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    # a script that is not sourced is run as it is
    assert os.access(script, os.X_OK) is (script.name != "keep-id-token.sh")


def test_the_pipeline_of_gitlab_is_as_its_schema_has_it() -> None:
    done = subprocess.run(
        [
            BIN / "check-jsonschema",
            "--builtin-schema",
            "vendor.gitlab-ci",
            "--data-transform",
            "gitlab-ci",
            EXAMPLE / ".gitlab-ci.yml",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_scripts_of_gitlab_are_sound() -> None:
    content = yaml.safe_load(text(".gitlab-ci.yml"))
    for name, job in content.items():
        if "script" in job:
            script = "#!/bin/bash\n" + "\n".join(job["script"])
            done = subprocess.run(
                # files that are sourced are looked at by themselves
                [BIN / "shellcheck", "--exclude", "SC1091", "-"],
                input=script,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.stdout == "", name


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_the_templates_of_the_roles_are_sound(platform: str) -> None:
    done = subprocess.run(
        [BIN / "cfn-lint", EXAMPLE / "roles" / f"{platform}.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


class TestSynthesis:
    """`cdk synth` of the example, as its checks run it."""

    @staticmethod
    def synthesized(folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CDK, "synth", "--quiet"],
            cwd=folder,
            env={
                "PATH": PATH,
                "HOME": str(folder.parent),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(ROOT / ".sandbox" / "jsii"),
                "CDK_DISABLE_VERSION_CHECK": "1",
                "CDK_DISABLE_CLI_TELEMETRY": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def test_what_cdk_nag_finds_fails_it(self, repository: Repository) -> None:
        app = (repository.folder / "app.py").read_text(encoding="utf-8")
        bucket = (
            "from aws_cdk import Stack\nfrom aws_cdk.aws_s3 import Bucket\n"
            'Bucket(Stack(app, "Other"), "Bucket")\napp.synth()\n'
        )
        changed = app.replace("app.synth()\n", bucket)
        assert changed != app
        repository.commit({"app.py": changed, "removals/a.yaml": "cluster: a\n"})
        done = self.synthesized(repository.folder)
        assert done.returncode != 0
        assert "AwsSolutions-S1" in done.stdout + done.stderr

    def test_problems_of_files_are_lines_and_no_traceback(self, repository: Repository) -> None:
        repository.commit({"removals/a.yaml": "cluster: b\n", "removals/c.yaml": "cluster: -\n"})
        done = self.synthesized(repository.folder)
        assert done.returncode != 0
        assert "error: removals/a.yaml: the stack is hyperpod-node-removal-b;" in done.stderr
        assert "error: removals/c.yaml" in done.stderr
        assert "Traceback" not in done.stderr
