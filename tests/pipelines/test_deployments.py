"""The deployments and reports of the example's scripts, in the sandbox."""

import re
from xml.etree import ElementTree as ET

import pytest

from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from tests.pipelines.conftest import new_cluster
from tests.pipelines.team import (
    GITHUB,
    GITLAB,
    ROLE,
    ROLE_ARN,
    Ran,
    Team,
    github,
    gitlab,
    path,
    removals,
)

WORKFLOW = "deploy-removals.yml"
FIND = github(WORKFLOW, "find", "Find the clusters")
DEPLOY = github(WORKFLOW, "deploy", "Deploy")
EXPLAIN = github(WORKFLOW, "deploy", "Explain")


def annotated_lines(run: Ran, cluster: Cluster) -> dict[int, str]:
    """Return GitHub's annotations in the removal file of a cluster, by line."""
    form = rf"^::error file={re.escape(path(cluster))},line=(\d+),(.*)$"
    return {int(line): text for line, text in re.findall(form, run.log, re.MULTILINE)}


def run_on_github(team: Team, script: str, cluster: Cluster) -> Ran:
    """Run a step of the job that deploys a cluster."""
    return team.run(script, **GITHUB, **ROLE, CLUSTER=cluster.name)


def test_a_failure_in_one_cluster_fails_the_job_but_not_other_clusters(
    bootstrapped: Sandbox, team: Team, cluster: Cluster
) -> None:
    bad, good = sorted([cluster, new_cluster(bootstrapped)], key=lambda one: one.name)
    nodes, removed = bad.node_ids("workers")[:3], good.node_ids("workers")[:1]
    for node in nodes[:2]:
        bad.refuse(node, "NodeIdInUse", "Another operation is under way")
    team.commit({path(bad): removals(bad, nodes, "retry_for: 0\n")})
    team.commit({path(good): removals(good, removed)})
    variables = {
        "CI_COMMIT_BEFORE_SHA": team.first,
        "REMOVAL_DEPLOY_ROLE": ROLE_ARN.format("deploy"),
        "REMOVAL_READ_ROLE": ROLE_ARN.format("read"),
    }
    deployed = team.run(gitlab("deploy"), **GITLAB, **variables)
    assert deployed.code != 0
    assert deployed.log.endswith(f"Failed: {bad.name}\n")
    assert (bad.target_counts, good.target_counts) == ({"workers": 7}, {"workers": 7})
    assert "2 of 3 nodes not removed" in deployed.log
    for node in nodes[:2]:
        assert re.search(rf"^  {node} .*NodeIdInUse", deployed.log, re.MULTILINE), deployed.log

    (report,) = team.result(f"{good.name}/explain.json")["reports"]
    assert report["attributes"]["RemovedNodes"] == removed[0]
    (report,) = team.result(f"{bad.name}/explain.json")["reports"]
    failed = [node["name"] for node in report["nodes"] if node["outcome"] == "failed"]
    assert sorted(failed) == sorted(nodes[:2])
    for one, failures in ((bad, set(nodes[:2])), (good, set())):
        junit = ET.parse(team.folder / "results" / one.name / "explain.xml").getroot()
        cases = junit.findall(".//testcase[failure]")
        assert {case.get("name") for case in cases} == failures
    issues = team.result(f"{bad.name}/explain.quality.json")
    assert {issue["location"]["path"] for issue in issues} == {path(bad)}

    explained = run_on_github(team, EXPLAIN, bad)
    assert explained.code != 0
    assert all(
        node in annotated_lines(explained, bad)[line]
        for line, node in enumerate(nodes[:2], start=3)
    )
    explained = run_on_github(team, EXPLAIN, good)
    assert (explained.code, annotated_lines(explained, good)) == (0, {})


def test_a_failure_with_report_fails_the_job_once(
    bootstrapped: Sandbox, team: Team, cluster: Cluster
) -> None:
    """CloudFormation does not invoke the function for a set that is already deployed."""
    nodes = cluster.node_ids("workers")[:2]
    cluster.refuse(nodes[0], "InvalidNodeStatus", "The node is SystemUpdating")
    more = "retry_for: 0\non_partial_failure: REPORT\n"
    team.commit({path(cluster): removals(cluster, nodes, more)})
    deployed, explained = (run_on_github(team, script, cluster) for script in (DEPLOY, EXPLAIN))
    assert deployed.code == 0, deployed.log
    assert explained.code != 0
    assert list(annotated_lines(explained, cluster)) == [3]
    assert bootstrapped.status(f"hyperpod-node-removal-{cluster.name}") == "CREATE_COMPLETE"
    nothing = "The deployment did nothing with the stack."
    assert nothing not in explained.log

    deployed, explained = (run_on_github(team, script, cluster) for script in (DEPLOY, EXPLAIN))
    assert (deployed.code, explained.code) == (0, 0), deployed.log
    assert nothing in explained.log
    sent = [r["ResourceProperties"].get("ClusterName") for r in bootstrapped.requests()]
    assert sent.count(cluster.name) == 1


def find(team: Team, *, before: str = "", cluster: str = "") -> tuple[Ran, str]:
    """Find clusters as the workflow does, and return the output for the next job as well."""
    output = team.saved / "output"
    output.touch()
    ran = team.run(FIND, **GITHUB, BEFORE=before, CLUSTER=cluster, GITHUB_OUTPUT=str(output))
    return ran, output.read_text(encoding="utf-8")


def test_a_manual_run_deploys_the_selected_cluster(team: Team) -> None:
    team.commit({f"removals/{name}.yaml": name for name in "ab"})
    ran, output = find(team, before=team.first, cluster="b")
    assert (ran.code, ran.log, output) == (0, "To deploy: b\n", 'clusters=["b"]\n')


@pytest.mark.parametrize("name", ["no-such-cluster", "../app", "$(touch pwned)", "-c", "a\nb"])
def test_a_cluster_without_a_removal_file_is_an_error(team: Team, name: str) -> None:
    ran, output = find(team, cluster=name)
    assert ran.code != 0
    assert "error: there is no removals/" in ran.log
    assert output == ""
    assert not list(team.folder.rglob("pwned"))


def test_a_push_deploys_the_removal_files_that_its_commits_change(team: Team) -> None:
    before = team.commit({f"removals/{name}.yaml": name for name in "abc"})
    team.commit({"removals/b.yaml": "changed"})
    team.commit({"removals/d.yaml": "new"})
    ran, output = find(team, before=before)
    assert (ran.code, output) == (0, 'clusters=["b", "d"]\n'), ran.log
    # the first push of a branch has no commit before it
    assert find(team, before="0" * 40)[1].endswith('clusters=["a", "b", "c", "d"]\n')


def test_a_push_without_changed_removal_files_deploys_nothing(team: Team) -> None:
    team.commit({f"removals/{name}.yaml": name for name in "ab"})
    before = team.commit({"removals/a.yaml": None})
    last = team.commit({"README.md": "Ours.\n"})
    ran, output = find(team, before=f"{before}^")
    assert (ran.code, output) == (0, "clusters=[]\n"), ran.log
    assert "removals/a.yaml is gone. The stack hyperpod-node-removal-a stays" in ran.log
    assert find(team, before=before) == (Ran(0, "To deploy: nothing\n"), "clusters=[]\n" * 2)
    deployed = team.run(f"ci/deploy-changed.sh {last}^", **GITLAB)
    assert (deployed.code, deployed.log) == (0, "")


def test_a_force_push_deploys_nothing(team: Team) -> None:
    removed = team.commit({"removals/b.yaml": "b"})
    team.git("reset", "--quiet", "--hard", team.first)
    team.commit({"removals/a.yaml": "a"})
    ran, output = find(team, before=removed)
    assert ran.code != 0
    assert "so the changed files are unknown; deploy manually" in ran.log
    assert output == ""
