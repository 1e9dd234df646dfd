"""What the scripts of the example report on a pull request, with the sandbox as their AWS."""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs
from xml.etree import ElementTree as ET

import pytest

from sandbox.hyperpod import Cluster
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

CHECK = "check-removals.yml"
VALIDATE = github(CHECK, "validate", "Validate")
SYNTHESIZE = github(CHECK, "validate", "Synthesize, with cdk-nag")
PLAN = github(CHECK, "plan", "Plan")
COMMENT = github(CHECK, "comment", "Comment")


def annotations(run: Ran) -> list[str]:
    """Commands to GitHub in the log that mark something."""
    return re.findall(r"^::error (.*)$", run.log, re.MULTILINE)


def comment(team: Team, head: str) -> Ran:
    """Write the comment, with what the workflow gives the script."""
    given = {"GH_REPO": "team/removals", "GH_TOKEN": "t", "NUMBER": "7", "HEAD_SHA": head}
    return team.run(COMMENT, **GITHUB, **given)


@dataclass
class Notes:
    """GitLab's API, as far as it takes comments: each with its path and token."""

    url: str
    taken: list[tuple[str, str, str]] = field(default_factory=list)


@pytest.fixture
def notes() -> Iterator[Notes]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            (text,) = parse_qs(body)["body"]
            kept.taken.append((self.path, self.headers["PRIVATE-TOKEN"], text))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        kept = Notes(f"http://127.0.0.1:{server.server_port}/api/v4")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kept
        server.shutdown()


def test_a_good_pull_request(team: Team, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")
    team.commit({path(cluster): removals(cluster, nodes[:1])})
    head = team.pull_request({path(cluster): removals(cluster, nodes[1:3])})
    validated = team.run(VALIDATE, **GITHUB)
    assert (validated.code, annotations(validated)) == (0, []), validated.log
    summary = team.kept / "summary"
    planned = team.run(PLAN, **GITHUB, **ROLE, GITHUB_STEP_SUMMARY=str(summary))
    assert (planned.code, annotations(planned)) == (0, []), planned.log
    assert comment(team, head).code == 0
    arguments = (team.kept / "arguments").read_text(encoding="utf-8").splitlines()
    assert arguments == ["team/removals", "pr", "comment", "7", "--body-file", "-"]
    body = (team.kept / "body").read_text(encoding="utf-8")
    assert body.startswith(f"What {head} would do:\n")
    assert nodes[0] not in body
    for node in nodes[1:3]:
        assert f"| `{node}` | `workers` |" in body
    assert "`workers: InstanceCount 8 -> 6`" in body
    assert summary.read_text(encoding="utf-8") == body.split("\n\n", 1)[1]
    (report,) = team.result("plan.json")["reports"]
    assert [node["outcome"] for node in report["nodes"]] == ["remove", "remove"]
    assert cluster.target_counts == {"workers": 8}


def test_a_broken_file_is_marked_in_its_line(team: Team, cluster: Cluster) -> None:
    broken = f"cluster: {cluster.name}\nnode_ids:\n  - i-0123456789abcdef0\n  - i-nonsense\n"
    team.pull_request({path(cluster): broken})
    validated = team.run(VALIDATE, **GITHUB)
    assert validated.code != 0
    (mark,) = annotations(validated)
    assert mark.startswith(f"file={path(cluster)},line=4,")
    assert "'i-nonsense' is not an instance id" in mark
    suites = ET.parse(team.folder / "results" / "validate.xml").getroot()
    assert [suite.get("failures") for suite in suites] == ["1"]
    # the job ends there: bash leaves at the first script that fails
    assert team.run(gitlab("validate"), **GITLAB).code != 0
    (issue,) = team.result("validate.quality.json")
    assert (issue["location"]["path"], issue["location"]["lines"]["begin"]) == (path(cluster), 4)


def test_a_plan_that_breaks_a_guard_fails_and_is_commented_on(
    team: Team, cluster: Cluster, notes: Notes
) -> None:
    guarded = removals(cluster, cluster.node_ids("workers")[:3], "min_remaining: {workers: 6}\n")
    head = team.pull_request({path(cluster): guarded})
    assert team.run(VALIDATE, **GITHUB).code == 0
    planned = team.run(PLAN, **GITHUB, **ROLE)
    assert planned.code != 0
    (mark,) = annotations(planned)
    assert mark.startswith(f"file={path(cluster)}")
    assert comment(team, head).code == 0
    body = (team.kept / "body").read_text(encoding="utf-8")
    assert "❌" in body
    assert "removing 3 of 8 nodes of group workers leaves 5, fewer than 6 (MinRemaining)" in body

    given = {
        "AWS_ROLE_ARN": ROLE_ARN.format("read"),
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": team.git("rev-parse", "main"),
    }
    planned = team.run(gitlab("plan"), **GITLAB, **given)
    assert planned.code != 0
    assert "fewer than 6 (MinRemaining)" in planned.log
    (issue,) = team.result("plan.quality.json")
    assert (issue["location"]["path"], issue["location"]["lines"]["begin"]) == (path(cluster), 1)
    given = {
        "CI_API_V4_URL": notes.url,
        "CI_MERGE_REQUEST_IID": "7",
        "CI_PROJECT_ID": "5",
        "REMOVAL_COMMENT_TOKEN": "a-token",
    }
    written = team.run(gitlab("comment"), **GITLAB, **given)
    assert written.code == 0, written.log
    plan = (team.folder / "results" / "plan.md").read_text(encoding="utf-8")
    assert notes.taken == [("/api/v4/projects/5/merge_requests/7/notes", "a-token", plan)]
    assert cluster.target_counts == {"workers": 8}


def test_a_pull_request_without_removal_files(team: Team, cluster: Cluster) -> None:
    team.commit({path(cluster): removals(cluster, cluster.node_ids("workers")[:1])})
    head = team.pull_request({"README.md": "Ours.\n"})
    planned = team.run(PLAN, **GITHUB)
    assert (planned.code, planned.log) == (0, "No removal file is changed.\n")
    for written in (comment(team, head), team.run(gitlab("comment"), **GITLAB)):
        assert written.code == 0
        assert written.log == "There is no plan: no removal file is changed.\n"
    assert not (team.kept / "body").exists()


def test_a_repository_without_removal_files_passes(team: Team) -> None:
    """As Git has it after the last file is gone: without the folder."""
    before = team.commit({"removals/a.yaml": "cluster: a\n"})
    team.pull_request({"removals/a.yaml": None})
    assert not (team.folder / "removals").exists()
    given = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": before, "AWS_ROLE_ARN": ROLE_ARN.format("read")}
    for script in (f"{VALIDATE}\n{SYNTHESIZE}", PLAN, gitlab("validate"), gitlab("plan")):
        done = team.run(script, **GITLAB, **given)
        assert done.code == 0, done.log
        assert re.search(r"There is no removal file|No removal file is changed", done.log)
    synth = "ci/synth.sh --app 'python3 codepipeline.py'"
    script = f"ci/report.sh plan\nci/explain-all.sh\npython3 app.py\n{synth}"
    done = team.run(script, **ROLE)
    assert done.code == 0, done.log


NO_CLUSTERS = ["$(touch pwned).yaml", "a\n::error::b.yaml", "a b.yaml", "d.yml", "more/c.yaml"]


def test_names_that_are_no_clusters_fail_the_synth(team: Team) -> None:
    team.pull_request({f"removals/{name}": "cluster: a\n" for name in NO_CLUSTERS})
    validated, synthesized = (team.run(script, **GITHUB) for script in (VALIDATE, SYNTHESIZE))
    assert validated.code != 0
    assert synthesized.code != 0
    form = r"^error: removals/(.*): not a removal file; allowed: the cluster's name and \.yaml$"
    refused = re.findall(form, synthesized.log, re.MULTILINE)
    assert refused == [*NO_CLUSTERS[:1], r"a\n::error::b.yaml", *NO_CLUSTERS[2:4], "more"]
    commands = re.findall(r"^\s*(::.*)$", validated.log + synthesized.log, re.MULTILINE)
    assert all(command.startswith("::error file=removals/") for command in commands)
    assert not list(team.folder.rglob("pwned"))


@pytest.mark.parametrize("name", NO_CLUSTERS)
def test_a_name_that_is_no_clusters_has_no_plan(team: Team, name: str) -> None:
    team.pull_request({f"removals/{name}": "cluster: a\n"})
    planned = team.run(PLAN, **GITHUB)
    assert planned.code != 0
    assert "error: not a removal file: " in planned.log
    assert annotations(planned) == []
    assert not list(team.folder.rglob("pwned"))


def test_what_cdk_nag_finds_fails_the_synth(team: Team) -> None:
    app = (team.folder / "app.py").read_text(encoding="utf-8")
    bucket = (
        "from aws_cdk import Stack\nfrom aws_cdk.aws_s3 import Bucket\n"
        'Bucket(Stack(app, "Other"), "Bucket")\napp.synth()\n'
    )
    changed = app.replace("app.synth()\n", bucket)
    assert changed != app
    team.pull_request({"app.py": changed, "removals/a.yaml": "cluster: a\n"})
    synthesized = team.run(SYNTHESIZE)
    assert synthesized.code != 0
    assert "AwsSolutions-S1" in synthesized.log


def test_problems_of_files_are_lines_of_the_synth(team: Team) -> None:
    team.pull_request({"removals/a.yaml": "cluster: b\n", "removals/c.yaml": "cluster: -\n"})
    synthesized = team.run(SYNTHESIZE)
    assert synthesized.code != 0
    assert "error: removals/a.yaml: the stack is hyperpod-node-removal-b;" in synthesized.log
    assert "error: removals/c.yaml" in synthesized.log
