"""Workflows are right as far as linters can check without running them on GitHub."""

import re
import subprocess
from pathlib import Path

import pytest

from sandbox.project import ROOT
from tests.release.workflow_lint import (
    loaded,
    other_than_calls,
    run_lines,
    schema_problems,
    script_problems,
    security_problems,
    steps,
)

EXAMPLE = ROOT / "examples" / "pipelines"
"""What people copy: its workflows and scripts follow the rules of this project's."""
WORKFLOWS = [
    workflow
    for root in (ROOT, EXAMPLE)
    for workflow in sorted(root.glob(".github/workflows/*.yml"))
]
GITLAB = EXAMPLE / ".gitlab-ci.yml"
RELEASE = ROOT / ".github" / "workflows" / "release.yml"
DEPENDABOT = ROOT / ".github" / "dependabot.yml"
SCRIPTS = [*sorted((ROOT / ".ci").iterdir()), *sorted((EXAMPLE / "ci").iterdir())]

each = pytest.mark.parametrize("workflow", WORKFLOWS, ids=[path.name for path in WORKFLOWS])


def test_workflows_match_their_schemas() -> None:
    assert {path.name for path in WORKFLOWS} >= {RELEASE.name, "check-removals.yml"}
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    for files, schema in (
        (WORKFLOWS, "github-workflows"),
        ([GITLAB], "gitlab-ci"),
        (forms, "github-issue-forms"),
        ([DEPENDABOT], "dependabot"),
    ):
        assert schema_problems(files, schema) == ""


def test_linters_find_nothing_in_workflows_and_scripts() -> None:
    assert security_problems([*WORKFLOWS, DEPENDABOT]) == []
    assert script_problems(SCRIPTS) == ""
    scripts = {path for path in EXAMPLE.rglob("*.sh") if "node_modules" not in path.parts}
    assert scripts <= set(SCRIPTS)


@pytest.mark.parametrize("workflow", [*WORKFLOWS, GITLAB], ids=lambda path: path.name)
def test_workflows_only_call_scripts(workflow: Path) -> None:
    """Scripts are run by tests, and locally."""
    others = other_than_calls(workflow, EXAMPLE if EXAMPLE in workflow.parents else ROOT)
    if workflow == RELEASE:  # the job that may write a release checks nothing out
        (others,) = ([line for line in others if not line.startswith("gh release create ")],)
    assert others == []


def test_no_file_names_the_host_of_a_package_index() -> None:
    """Users install from, and publish to, an index of their choice."""
    hosts = ("pypi" + ".org", "python" + "hosted.org", "npm" + "js.org")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    files = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    texts = {path: path.read_bytes() for path in files if path.is_file()}
    found = [path for path, text in texts.items() for host in hosts if host.encode() in text]
    assert len(texts) > 100
    assert found == []
    assert "url" not in loaded(RELEASE)["jobs"]["pypi"]["environment"]


def test_forks_get_no_credentials_and_what_may_comment_runs_no_code_of_a_pull_request() -> None:
    jobs = loaded(EXAMPLE / ".github" / "workflows" / "check-removals.yml")["jobs"]
    assert set(jobs["validate"]["permissions"]) == {"contents"}
    own = "github.event.pull_request.head.repo.full_name == github.repository"
    assert jobs["plan"]["if"] == own
    (checkout,) = (step for step in jobs["comment"]["steps"] if "checkout" in step.get("uses", ""))
    assert checkout["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert "id-token" not in jobs["comment"]["permissions"]
    # on GitLab the condition is a part of the rule
    own = "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_MERGE_REQUEST_PROJECT_ID"
    gitlab = loaded(GITLAB)
    for name in ("plan", "comment"):
        (rule,) = gitlab[name]["rules"]
        assert own in rule["if"].split(" && ")
    assert "id_tokens" not in gitlab["validate"]


def test_one_deployment_of_a_cluster_at_a_time_is_explained_whatever_its_result() -> None:
    jobs = loaded(EXAMPLE / ".github" / "workflows" / "deploy-removals.yml")["jobs"]
    deploy = jobs["deploy"]
    group = {"group": "removal-${{ matrix.cluster }}", "cancel-in-progress": False}
    assert deploy["concurrency"] == group
    assert deploy["environment"] == "removals"
    assert deploy["strategy"]["fail-fast"] is False
    conditions = {step["name"]: step.get("if", "") for step in deploy["steps"]}
    assert not conditions["Deploy"]
    for name in ("Take the role that reads", "Explain"):
        assert "!cancelled()" in conditions[name]
    roles = [step["with"]["role-to-assume"] for step in deploy["steps"] if "Take" in step["name"]]
    assert roles == ["${{ vars.REMOVAL_DEPLOY_ROLE }}", "${{ vars.REMOVAL_READ_ROLE }}"]


@each
def test_every_action_is_pinned_by_commit_with_its_version(workflow: Path) -> None:
    uses = re.findall(r"uses: (.*)$", workflow.read_text(encoding="utf-8"), re.MULTILINE)
    for use in uses:
        assert re.fullmatch(r"[\w.-]+(?:/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


@each
def test_only_jobs_have_permissions_and_no_secret_is_stored(workflow: Path) -> None:
    content = loaded(workflow)
    assert content["permissions"] == {}
    for name, job in content["jobs"].items():
        assert job["permissions"], name
        assert job["timeout-minutes"], name
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
    check, test, faults, build, _ = run_lines(RELEASE)
    assert check.startswith(".ci/release check ")
    assert (test, faults) == (".ci/run", ".ci/faults")
    assert build.startswith(".ci/release build ")
    assert set(jobs["pypi"]["needs"]) == {"build", "attest"}
    assert "pypi" in jobs["github"]["needs"]


@pytest.mark.parametrize(
    ("line", "is_call"),
    [
        (".ci/run", True),
        (".ci/run $TITLE", False),
        (".ci/run ${{ github.event.pull_request.title }}", False),
        (".ci/run; ls", False),
        (".ci/run $(ls)", False),
        (".ci/no-such-script", False),
        ("ls", False),
        ("bash .ci/run", False),
    ],
)
def test_anything_but_a_call_of_a_script_is_found(line: str, is_call: bool, tmp_path: Path) -> None:
    workflow = tmp_path / "workflow.yml"
    workflow.write_text(f"jobs: {{job: {{steps: [{{run: '{line}'}}]}}}}")
    assert other_than_calls(workflow, ROOT) == ([] if is_call else [line])
