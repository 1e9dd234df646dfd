"""The example's pipeline of GitLab CI, script by script, with the sandbox as its AWS."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree as ET

import pytest

from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from tests.pipelines.gitlab import GitLab
from tests.pipelines.removal_files import path, text
from tests.pipelines.repository import Repository
from tests.pipelines.runner import Machine

pytestmark = pytest.mark.xdist_group("pipelines-gitlab")


class Notes(http.server.ThreadingHTTPServer):
    """GitLab's API, as far as it takes comments."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, str]] = []
        """Path, token and text of each."""
        super().__init__(("127.0.0.1", 0), _Note)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api/v4"


class _Note(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Notes)
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        (comment,) = parse_qs(body)["body"]
        self.server.taken.append((self.path, self.headers["PRIVATE-TOKEN"], comment))
        self.send_response(201)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing of it is of interest."""


@pytest.fixture
def notes() -> Iterator[Notes]:
    with Notes() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def merge_request(
    machine: Machine,
    repository: Repository,
    files: dict[str, str | None],
    source: str = "5",
    **more: str,
) -> GitLab:
    """The pipeline of a merge request with some files."""
    base = repository.git("rev-parse", "main")
    head, _ = repository.pull_request(files)
    return GitLab(
        machine,
        repository,
        head,
        CI_PIPELINE_SOURCE="merge_request_event",
        CI_MERGE_REQUEST_IID="7",
        CI_MERGE_REQUEST_PROJECT_ID="5",
        CI_MERGE_REQUEST_SOURCE_PROJECT_ID=source,
        CI_MERGE_REQUEST_DIFF_BASE_SHA=base,
        **more,
    )


def push(machine: Machine, repository: Repository, before: str) -> GitLab:
    return GitLab(
        machine,
        repository,
        repository.git("rev-parse", "main"),
        CI_PIPELINE_SOURCE="push",
        CI_COMMIT_BRANCH="main",
        CI_COMMIT_BEFORE_SHA=before,
    )


def quality(file: Path) -> dict[str, int]:
    """Where a code quality report marks which file."""
    issues = json.loads(file.read_text(encoding="utf-8"))
    return {issue["location"]["path"]: issue["location"]["lines"]["begin"] for issue in issues}


def test_a_guard_stops_a_merge_request_and_the_plan_is_a_comment(
    machine: Machine, repository: Repository, cluster: Cluster, notes: Notes
) -> None:
    guarded = text(cluster, cluster.node_ids("workers")[:3], "min_remaining: {workers: 6}\n")
    runs = merge_request(
        machine,
        repository,
        {path(cluster): guarded},
        CI_API_V4_URL=notes.url,
        REMOVAL_COMMENT_TOKEN="a-token",
    ).pipeline()
    assert {name: run.result for name, run in runs.items()} == {
        "validate": "success",
        "plan": "failure",
        "comment": "success",
    }, "\n".join(run.log for run in runs.values())
    ((where, token, comment),) = notes.taken
    assert where == "/api/v4/projects/5/merge_requests/7/notes"
    assert token == "a-token"
    assert "❌" in comment
    assert comment == (runs["plan"].workspace / "results" / "plan.md").read_text()
    (report,) = runs["plan"].reports["codequality"]
    assert quality(report) == {path(cluster): 1}
    assert cluster.target_counts == {"workers": 8}


def test_a_broken_file_is_marked_in_its_line_and_nothing_follows(
    machine: Machine, repository: Repository, cluster: Cluster
) -> None:
    broken = f"cluster: {cluster.name}\nnode_ids:\n  - i-0123456789abcdef0\n  - i-nonsense\n"
    runs = merge_request(machine, repository, {path(cluster): broken}).pipeline()
    assert {name: run.result for name, run in runs.items()} == {"validate": "failure"}
    (report,) = runs["validate"].reports["codequality"]
    assert quality(report) == {path(cluster): 4}


def test_a_fork_is_checked_without_credentials(
    machine: Machine, repository: Repository, cluster: Cluster
) -> None:
    file = text(cluster, cluster.node_ids("workers")[:1])
    made = merge_request(
        machine, repository, {path(cluster): file}, source="6", REMOVAL_COMMENT_TOKEN="t"
    )
    assert {name: run.result for name, run in made.pipeline().items()} == {"validate": "success"}


def test_a_failure_in_one_cluster_fails_the_job_and_stops_no_other(
    bootstrapped: Sandbox,
    machine: Machine,
    repository: Repository,
    cluster: Cluster,
    another: Cluster,
) -> None:
    bad, good = sorted([cluster, another], key=lambda one: one.name)
    nodes, gone = bad.node_ids("workers")[:3], good.node_ids("workers")[:1]
    for node in nodes[:2]:
        bad.refuse(node, "NodeIdInUse", "Another operation is under way")
    before = repository.first
    repository.commit({path(bad): text(bad, nodes, "retry_for: 0\n"), path(good): text(good, gone)})
    runs = push(machine, repository, before).pipeline()
    (deployed,) = runs.values()
    assert deployed.result == "failure"
    assert deployed.log.endswith(f"Failed: {bad.name}\n")
    assert good.target_counts == {"workers": 7}
    assert "2 of 3 nodes not removed" in deployed.log
    junit = {file.parent.name: ET.parse(file).getroot() for file in deployed.reports["junit"]}
    failures = {case.get("name") for case in junit[bad.name].findall(".//testcase[failure]")}
    assert failures == set(nodes[:2])
    assert junit[good.name].findall(".//testcase[failure]") == []
    marked = {file.parent.name: file for file in deployed.reports["codequality"]}
    assert set(quality(marked[bad.name])) == {path(bad)}


def test_a_push_that_changes_no_removal_deploys_nothing(
    machine: Machine, repository: Repository
) -> None:
    repository.commit({"README.md": "Ours.\n"})
    assert push(machine, repository, repository.first).pipeline() == {}
