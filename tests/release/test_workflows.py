"""Workflows are right as far as can be told without running them on GitHub."""

import re
from pathlib import Path

import pytest

from sandbox.project import ROOT
from tests.release.workflow_lint import (
    loaded,
    run_steps,
    schema_problems,
    script_problems,
    security_problems,
    steps,
)

GLOBS = (".github/workflows/*.yml", "examples/pipelines/**/.github/workflows/*.yml")
"""Where workflows are, those that people copy among them."""
WORKFLOWS = [workflow for glob in GLOBS for workflow in sorted(ROOT.glob(glob))]
RELEASE = ROOT / ".github" / "workflows" / "release.yml"

each = pytest.mark.parametrize("workflow", WORKFLOWS, ids=[path.name for path in WORKFLOWS])


def test_they_are_found() -> None:
    assert RELEASE in WORKFLOWS


def test_they_are_as_the_schema_has_them() -> None:
    assert schema_problems(WORKFLOWS) == ""


def test_their_actions_are_kept_up_to_date() -> None:
    file = ROOT / ".github" / "dependabot.yml"
    assert schema_problems([file], "dependabot") == ""
    assert security_problems([file]) == []


def test_they_are_safe() -> None:
    assert security_problems(WORKFLOWS) == []


@each
def test_their_scripts_are_sound(workflow: Path) -> None:
    assert script_problems(workflow) == []


@each
def test_every_action_is_a_commit_with_its_version_beside(workflow: Path) -> None:
    uses = re.findall(r"uses: (.*)$", workflow.read_text(encoding="utf-8"), re.MULTILINE)
    for use in uses:
        assert re.fullmatch(r"[\w.-]+(?:/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


@each
def test_rights_are_given_to_jobs_alone(workflow: Path) -> None:
    content = loaded(workflow)
    assert content["permissions"] == {}
    for name, job in content["jobs"].items():
        assert job["permissions"], name
        assert job["timeout-minutes"], name


@each
def test_no_secret_is_stored(workflow: Path) -> None:
    assert "secrets." not in workflow.read_text(encoding="utf-8")


def test_only_the_build_of_a_release_runs_code_of_the_repository() -> None:
    jobs = loaded(RELEASE)["jobs"]
    checkouts = {job for job, step in steps(RELEASE) if "checkout" in step.get("uses", "")}
    assert checkouts == {"build"}
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}
    assert jobs["github"]["permissions"] == {"contents": "write"}


def test_nothing_is_published_before_everything_is_tested_and_attested() -> None:
    jobs = loaded(RELEASE)["jobs"]
    scripts = "\n".join(step.script for step in run_steps(RELEASE))
    assert scripts.index("release.version check") < scripts.index(".ci/run")
    assert scripts.index(".ci/run") < scripts.index("make dist")
    assert set(jobs["pypi"]["needs"]) == {"build", "attest"}
    assert "pypi" in jobs["github"]["needs"]


# The linters are awake -------------------------------------------------------------------------

SOUND = """
name: Sound
on: push
permissions: {}
jobs:
  job:
    runs-on: ubuntu-24.04
    permissions: {contents: read}
    steps:
      - run: echo hello
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    return folder / "workflow.yml"


def test_a_sound_workflow_passes(written: Path) -> None:
    written.write_text(SOUND)
    assert schema_problems([written]) == ""
    assert script_problems(written) == []


def test_a_misspelled_key_is_found(written: Path) -> None:
    written.write_text(SOUND.replace("runs-on", "run-on"))
    assert "run-on" in schema_problems([written])


def test_a_title_in_a_script_is_found_twice(written: Path) -> None:
    text = SOUND.replace("on: push", "on: pull_request_target")
    written.write_text(text.replace("hello", "${{ github.event.pull_request.title }}"))
    assert any("an expression in a script" in problem for problem in script_problems(written))
    assert any("template-injection" in problem for problem in security_problems([written]))


def test_an_action_by_its_tag_is_found(written: Path) -> None:
    written.write_text(SOUND.replace("run: echo hello", "uses: actions/checkout@v7"))
    assert any("unpinned-uses" in problem for problem in security_problems([written]))


def test_a_script_with_a_mistake_is_found(written: Path) -> None:
    written.write_text(SOUND.replace("echo hello", "cd $NOWHERE && rm -rf *"))
    assert any("SC2086" in problem for problem in script_problems(written))
