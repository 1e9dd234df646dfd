"""The example's workflows of GitHub Actions, step by step, with the sandbox as their AWS."""

import json
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from tests.pipelines.github import GitHub, JobRun
from tests.pipelines.removal_files import path, text
from tests.pipelines.repository import Repository
from tests.pipelines.runner import DEPLOY_ROLE, READ_ROLE, Machine

pytestmark = pytest.mark.xdist_group("pipelines-github")

CHECK, DEPLOY = "check-removals.yml", "deploy-removals.yml"


def annotations(run: JobRun) -> list[str]:
    """Commands to GitHub in the log that mark something."""
    return re.findall(r"^::error (.*)$", run.log, re.MULTILINE)


class PullRequest:
    """The check of a pull request with some files."""

    def __init__(
        self,
        machine: Machine,
        repository: Repository,
        files: dict[str, str | None],
        home: str = "team/removals",
    ) -> None:
        self.head, merge = repository.pull_request(files)
        event = {
            "number": 7,
            "pull_request": {
                "number": 7,
                "head": {"sha": self.head, "repo": {"full_name": home}},
            },
        }
        self.github = GitHub(
            machine, CHECK, repository, merge, event=event, ref="refs/pull/7/merge"
        )


def test_a_good_pull_request(machine: Machine, repository: Repository, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")
    repository.commit({path(cluster): text(cluster, nodes[:1])})
    made = PullRequest(machine, repository, {path(cluster): text(cluster, nodes[1:3])})
    validated, planned, commented = map(made.github.job, ("validate", "plan", "comment"))
    assert [validated.result, planned.result, commented.result] == ["success"] * 3, planned.log
    assert (validated.roles, planned.roles, commented.roles) == ([], [READ_ROLE], [])
    assert annotations(validated) == annotations(planned) == []
    repo, *arguments = machine.kept("gh.arguments").splitlines()
    assert repo == "team/removals"
    assert arguments == ["pr", "comment", "7", "--body-file", "comment.md"]
    body = machine.kept("gh.body")
    assert body.startswith(f"What {made.head} would do:\n")
    assert nodes[0] not in body
    for node in nodes[1:3]:
        assert f"| `{node}` | `workers` |" in body
    assert "`workers: InstanceCount 8 -> 6`" in body
    assert planned.summary == body.split("\n\n", 1)[1]
    (report,) = json.loads((made.github.artifacts / "plan/plan.json").read_text())["reports"]
    assert [node["outcome"] for node in report["nodes"]] == ["remove", "remove"]
    assert cluster.target_counts == {"workers": 8}


def test_a_broken_file(machine: Machine, repository: Repository, cluster: Cluster) -> None:
    broken = f"cluster: {cluster.name}\nnode_ids:\n  - i-0123456789abcdef0\n  - i-nonsense\n"
    made = PullRequest(machine, repository, {path(cluster): broken})
    validated = made.github.job("validate")
    assert validated.result == "failure"
    assert validated.failed == ["Validate"]
    assert "Synthesize, with cdk-nag" not in validated.ran
    (mark,) = annotations(validated)
    assert mark.startswith(f"file={path(cluster)},line=4,")
    assert "'i-nonsense' is not an instance id" in mark
    suites = ET.parse(made.github.artifacts / "validate/validate.xml").getroot()
    assert [suite.get("failures") for suite in suites] == ["1"]


def test_a_plan_that_breaks_a_guard(
    machine: Machine, repository: Repository, cluster: Cluster
) -> None:
    guarded = text(cluster, cluster.node_ids("workers")[:3], "min_remaining: {workers: 6}\n")
    made = PullRequest(machine, repository, {path(cluster): guarded})
    assert made.github.job("validate").result == "success"
    planned = made.github.job("plan")
    assert planned.failed == ["Plan"]
    (mark,) = annotations(planned)
    assert mark.startswith(f"file={path(cluster)}")
    commented = made.github.job("comment")
    assert commented.result == "success"
    body = machine.kept("gh.body")
    assert "❌" in body
    assert "removing 3 of 8 nodes of group workers leaves 5, fewer than 6 (MinRemaining)" in body
    assert cluster.target_counts == {"workers": 8}


def test_a_fork_is_checked_without_credentials(
    machine: Machine, repository: Repository, cluster: Cluster
) -> None:
    file = text(cluster, cluster.node_ids("workers")[:1])
    made = PullRequest(machine, repository, {path(cluster): file}, home="somebody/removals")
    validated, planned, commented = map(made.github.job, ("validate", "plan", "comment"))
    assert (validated.result, validated.roles) == ("success", [])
    assert (planned.result, commented.result) == ("skipped", "skipped")


def test_a_pull_request_without_removal_files(
    machine: Machine, repository: Repository, cluster: Cluster
) -> None:
    repository.commit({path(cluster): text(cluster, cluster.node_ids("workers")[:1])})
    made = PullRequest(machine, repository, {"README.md": "Ours.\n"})
    assert made.github.job("plan").result == "success"
    assert made.github.job("comment").result == "success"
    assert not (machine.folder / "kept" / "gh.body").exists()


@pytest.mark.parametrize(
    "name", ["a b.yaml", "$(touch pwned).yaml", "a\n::error::b.yaml", "more/c.yaml", "d.yml"]
)
def test_a_name_that_is_no_clusters(machine: Machine, repository: Repository, name: str) -> None:
    made = PullRequest(machine, repository, {f"removals/{name}": "cluster: a\n"})
    validated, planned = made.github.job("validate"), made.github.job("plan")
    assert validated.result == "failure"
    commands = re.findall(r"^\s*(::.*)$", validated.log, re.MULTILINE)
    assert all(command.startswith("::error file=removals/") for command in commands)
    assert planned.failed == ["Plan"]
    assert "error: not a removal file: " in planned.log
    assert annotations(planned) == []
    assert not list(machine.folder.rglob("pwned"))


def push(machine: Machine, repository: Repository, before: str) -> GitHub:
    commit = repository.git("rev-parse", "main")
    return GitHub(machine, DEPLOY, repository, commit, event={"before": before})


def test_two_clusters_in_one_push_one_of_which_fails_in_part(
    bootstrapped: Sandbox,
    machine: Machine,
    repository: Repository,
    cluster: Cluster,
    another: Cluster,
) -> None:
    good, bad = cluster.node_ids("workers")[:1], another.node_ids("workers")[:3]
    for node in bad[:2]:
        another.refuse(node, "NodeIdInUse", "Another operation is under way")
    before = repository.first
    repository.commit({path(cluster): text(cluster, good)})
    repository.commit({path(another): text(another, bad, "retry_for: 0\n")})
    github = push(machine, repository, before)
    found = github.job("find")
    assert json.loads(found.outputs["clusters"]) == sorted([cluster.name, another.name])
    deployed = dict(
        zip(json.loads(found.outputs["clusters"]), github.matrix("deploy"), strict=True)
    )
    assert {run.group for run in deployed.values()} == {
        f"removal-{cluster.name}",
        f"removal-{another.name}",
    }

    done = deployed[cluster.name]
    assert done.result == "success", done.log
    assert done.roles == [DEPLOY_ROLE, READ_ROLE]
    assert annotations(done) == []
    assert cluster.target_counts == {"workers": 7}
    (report,) = results(github, cluster)["reports"]
    assert report["attributes"]["RemovedNodes"] == good[0]

    failed = deployed[another.name]
    assert failed.result == "failure"
    assert failed.failed == ["Deploy", "Explain"]
    assert "2 of 3 nodes not removed" in failed.log
    for line, node in enumerate(bad[:2], start=3):
        (mark,) = (mark for mark in annotations(failed) if node in mark)
        assert mark.startswith(f"file={path(another)},line={line},")
        assert re.search(rf"^  {node} .*NodeIdInUse", failed.log, re.MULTILINE), failed.log
    (report,) = results(github, another)["reports"]
    wrong = [node["name"] for node in report["nodes"] if node["outcome"] == "failed"]
    assert sorted(wrong) == sorted(bad[:2])
    junit = ET.parse(github.artifacts / folder(another) / "explain.xml").getroot()
    cases = {
        case.get("name") for case in junit.iter("testcase") if case.find("failure") is not None
    }
    assert set(bad[:2]) <= cases
    assert another.target_counts == {"workers": 7}


def test_a_set_that_is_deployed_already_does_nothing(
    bootstrapped: Sandbox, machine: Machine, repository: Repository, cluster: Cluster
) -> None:
    """By hand, and again: CloudFormation has nothing to ask of the function the second time."""
    nodes = cluster.node_ids("workers")[:1]
    repository.commit({path(cluster): text(cluster, nodes)})
    nothing = "The deployment did nothing with the stack."
    for time, does_nothing in (("first", False), ("second", True)):
        folder = machine.folder / time
        folder.mkdir()
        github = by_hand(Machine(machine.sandbox, folder), repository, cluster.name)
        assert github.job("find").result == "success"
        (deployed,) = github.matrix("deploy")
        assert deployed.result == "success", deployed.log
        assert (nothing in deployed.log) is does_nothing
    sent = [r.event["ResourceProperties"]["ClusterName"] for r in bootstrapped.requests()]
    assert sent.count(cluster.name) == 1


def test_a_failure_that_is_only_reported_fails_the_job(
    bootstrapped: Sandbox, machine: Machine, repository: Repository, cluster: Cluster
) -> None:
    nodes = cluster.node_ids("workers")[:2]
    cluster.refuse(nodes[0], "InvalidNodeStatus", "The node is SystemUpdating")
    more = "retry_for: 0\non_partial_failure: REPORT\n"
    repository.commit({path(cluster): text(cluster, nodes, more)})
    github = push(machine, repository, repository.first)
    assert github.job("find").result == "success"
    (deployed,) = github.matrix("deploy")
    assert deployed.failed == ["Explain"]
    (mark,) = annotations(deployed)
    assert mark.startswith(f"file={path(cluster)},line=3,")
    assert bootstrapped.status(f"hyperpod-node-removal-{cluster.name}") == "CREATE_COMPLETE"


def by_hand(machine: Machine, repository: Repository, cluster: str) -> GitHub:
    github = push(machine, repository, "")
    github.dispatch(cluster=cluster)
    return github


@pytest.mark.parametrize("name", ["nobody", "../app", "$(touch pwned)", "-c", "a\nb"])
def test_by_hand_it_takes_names_of_files_alone(
    machine: Machine, repository: Repository, name: str
) -> None:
    github = by_hand(machine, repository, name)
    found = github.job("find")
    assert found.result == "failure"
    assert "error: there is no removals/" in found.log
    assert github.job("deploy").result == "skipped"
    assert not list(machine.folder.rglob("pwned"))


class TestWhatIsDeployed:
    """Which files a push deploys: those that it changed."""

    @staticmethod
    def found(machine: Machine, repository: Repository, before: str) -> tuple[object, str]:
        github = push(machine, repository, before)
        run = github.job("find")
        assert run.result == "success", run.log
        clusters = json.loads(run.outputs["clusters"])
        if not clusters:
            assert github.job("deploy").result == "skipped"
        return clusters, run.log

    def test_changed_files_of_all_its_commits(
        self, machine: Machine, repository: Repository
    ) -> None:
        before = repository.commit({f"removals/{name}.yaml": name for name in "abc"})
        repository.commit({"removals/b.yaml": "changed"})
        repository.commit({"removals/d.yaml": "new"})
        assert self.found(machine, repository, before)[0] == ["b", "d"]

    def test_a_file_that_is_gone_is_told(self, machine: Machine, repository: Repository) -> None:
        before = repository.commit({"removals/a.yaml": "a"})
        repository.commit({"removals/a.yaml": None})
        clusters, log = self.found(machine, repository, before)
        assert clusters == []
        assert "removals/a.yaml is gone. The stack hyperpod-node-removal-a stays" in log

    def test_another_change_deploys_nothing(self, machine: Machine, repository: Repository) -> None:
        before = repository.commit({"removals/a.yaml": "a"})
        repository.commit({"README.md": "Ours.\n"})
        assert self.found(machine, repository, before)[0] == []

    def test_the_first_push_has_all(self, machine: Machine, repository: Repository) -> None:
        repository.commit({"removals/a.yaml": "a"})
        assert self.found(machine, repository, "0" * 40)[0] == ["a"]

    def test_a_push_by_force_is_not_guessed_at(
        self, machine: Machine, repository: Repository
    ) -> None:
        repository.commit({"removals/a.yaml": "a"})
        gone, _ = repository.pull_request({"removals/b.yaml": "b"})
        run = push(machine, repository, gone).job("find")
        assert run.result == "failure"
        assert "so what changed is not known; deploy by hand" in run.log


def results(github: GitHub, cluster: Cluster) -> dict[str, Any]:
    document = json.loads((github.artifacts / folder(cluster) / "explain.json").read_text())
    assert isinstance(document, dict)
    return document


def folder(cluster: Cluster) -> str:
    return f"removal-{cluster.name}/{cluster.name}"
