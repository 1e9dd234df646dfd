"""The reports of the example's scripts on a pull request, in the sandbox."""

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
    """Return GitHub's annotations in the log."""
    return re.findall(r"^::error (.*)$", run.log, re.MULTILINE)


def post_comment(team: Team, head: str) -> Ran:
    """Post the comment with the environment variables of the workflow."""
    variables = {"GH_REPO": "team/removals", "GH_TOKEN": "t", "NUMBER": "7", "HEAD_SHA": head}
    return team.run(COMMENT, **GITHUB, **variables)


@dataclass
class Notes:
    """GitLab's API for comments. It saves the path, token, and text of each."""

    url: str
    received: list[tuple[str, str, str]] = field(default_factory=list)


@pytest.fixture
def notes() -> Iterator[Notes]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            (text,) = parse_qs(body)["body"]
            saved.received.append((self.path, self.headers["PRIVATE-TOKEN"], text))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        saved = Notes(f"http://127.0.0.1:{server.server_port}/api/v4")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield saved
        server.shutdown()


def test_a_valid_pull_request_gets_its_plan_as_a_comment(team: Team, cluster: Cluster) -> None:
    nodes = cluster.node_ids("workers")
    team.commit({path(cluster): removals(cluster, nodes[:1])})
    head = team.pull_request({path(cluster): removals(cluster, nodes[1:3])})
    validated = team.run(VALIDATE, **GITHUB)
    assert (validated.code, annotations(validated)) == (0, []), validated.log
    summary = team.saved / "summary"
    planned = team.run(PLAN, **GITHUB, **ROLE, GITHUB_STEP_SUMMARY=str(summary))
    assert (planned.code, annotations(planned)) == (0, []), planned.log
    assert post_comment(team, head).code == 0
    arguments = (team.saved / "arguments").read_text(encoding="utf-8").splitlines()
    assert arguments == ["team/removals", "pr", "comment", "7", "--body-file", "-"]
    body = (team.saved / "body").read_text(encoding="utf-8")
    assert body.startswith(f"What {head} would do:\n")
    assert nodes[0] not in body
    for node in nodes[1:3]:
        assert f"| `{node}` | `workers` |" in body
    assert "`workers: InstanceCount 8 -> 6`" in body
    assert summary.read_text(encoding="utf-8") == body.split("\n\n", 1)[1]
    (report,) = team.result("plan.json")["reports"]
    assert [node["outcome"] for node in report["nodes"]] == ["remove", "remove"]
    assert cluster.target_counts == {"workers": 8}


def test_an_invalid_file_is_annotated_in_the_line_of_its_error(
    team: Team, cluster: Cluster
) -> None:
    broken = f"cluster: {cluster.name}\nnode_ids:\n  - i-0123456789abcdef0\n  - i-nonsense\n"
    team.pull_request({path(cluster): broken})
    validated = team.run(VALIDATE, **GITHUB)
    assert validated.code != 0
    (annotation,) = annotations(validated)
    assert annotation.startswith(f"file={path(cluster)},line=4,")
    assert "'i-nonsense' is not an instance id" in annotation
    suites = ET.parse(team.folder / "results" / "validate.xml").getroot()
    assert [suite.get("failures") for suite in suites] == ["1"]
    # the job ends there, because bash exits after the first script that fails
    assert team.run(gitlab("validate"), **GITLAB).code != 0
    (issue,) = team.result("validate.quality.json")
    assert (issue["location"]["path"], issue["location"]["lines"]["begin"]) == (path(cluster), 4)


def test_a_plan_that_violates_a_guard_fails_and_is_posted(
    team: Team, cluster: Cluster, notes: Notes
) -> None:
    guarded = removals(cluster, cluster.node_ids("workers")[:3], "min_remaining: {workers: 6}\n")
    head = team.pull_request({path(cluster): guarded})
    assert team.run(VALIDATE, **GITHUB).code == 0
    planned = team.run(PLAN, **GITHUB, **ROLE)
    assert planned.code != 0
    (annotation,) = annotations(planned)
    assert annotation.startswith(f"file={path(cluster)}")
    assert post_comment(team, head).code == 0
    body = (team.saved / "body").read_text(encoding="utf-8")
    assert "❌" in body
    assert "removing 3 of 8 nodes of group workers leaves 5, fewer than 6 (MinRemaining)" in body

    variables = {
        "AWS_ROLE_ARN": ROLE_ARN.format("read"),
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": team.git("rev-parse", "main"),
    }
    planned = team.run(gitlab("plan"), **GITLAB, **variables)
    assert planned.code != 0
    assert "fewer than 6 (MinRemaining)" in planned.log
    (issue,) = team.result("plan.quality.json")
    assert (issue["location"]["path"], issue["location"]["lines"]["begin"]) == (path(cluster), 1)
    variables = {
        "CI_API_V4_URL": notes.url,
        "CI_MERGE_REQUEST_IID": "7",
        "CI_PROJECT_ID": "5",
        "REMOVAL_COMMENT_TOKEN": "a-token",
    }
    posted = team.run(gitlab("comment"), **GITLAB, **variables)
    assert posted.code == 0, posted.log
    plan = (team.folder / "results" / "plan.md").read_text(encoding="utf-8")
    assert notes.received == [("/api/v4/projects/5/merge_requests/7/notes", "a-token", plan)]
    assert cluster.target_counts == {"workers": 8}


def test_a_pull_request_that_changes_no_removal_file_gets_no_plan(
    team: Team, cluster: Cluster
) -> None:
    team.commit({path(cluster): removals(cluster, cluster.node_ids("workers")[:1])})
    head = team.pull_request({"README.md": "Ours.\n"})
    planned = team.run(PLAN, **GITHUB)
    assert (planned.code, planned.log) == (0, "No removal file is changed.\n")
    for posted in (post_comment(team, head), team.run(gitlab("comment"), **GITLAB)):
        assert posted.code == 0
        assert posted.log == "There is no plan: no removal file is changed.\n"
    assert not (team.saved / "body").exists()


def test_a_repository_without_removal_files_passes(team: Team) -> None:
    """Git also removes the folder with its last file."""
    before = team.commit({"removals/a.yaml": "cluster: a\n"})
    team.pull_request({"removals/a.yaml": None})
    assert not (team.folder / "removals").exists()
    variables = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": before, "AWS_ROLE_ARN": ROLE_ARN.format("read")}
    for script in (f"{VALIDATE}\n{SYNTHESIZE}", PLAN, gitlab("validate"), gitlab("plan")):
        done = team.run(script, **GITLAB, **variables)
        assert done.code == 0, done.log
        assert re.search(r"There is no removal file|No removal file is changed", done.log)
    synth = "ci/synth.sh --app 'python3 codepipeline.py'"
    script = f"ci/report.sh plan\nci/explain-all.sh\npython3 app.py\n{synth}"
    done = team.run(script, **ROLE)
    assert done.code == 0, done.log


INVALID_NAMES = ["$(touch pwned).yaml", "a\n::error::b.yaml", "a b.yaml", "d.yml", "more/c.yaml"]


def test_invalid_file_names_fail_the_synth(team: Team) -> None:
    team.pull_request({f"removals/{name}": "cluster: a\n" for name in INVALID_NAMES})
    validated, synthesized = (team.run(script, **GITHUB) for script in (VALIDATE, SYNTHESIZE))
    assert validated.code != 0
    assert synthesized.code != 0
    form = r"^error: removals/(.*): not a removal file; allowed: the cluster's name and \.yaml$"
    refused = re.findall(form, synthesized.log, re.MULTILINE)
    assert refused == [*INVALID_NAMES[:1], r"a\n::error::b.yaml", *INVALID_NAMES[2:4], "more"]
    commands = re.findall(r"^\s*(::.*)$", validated.log + synthesized.log, re.MULTILINE)
    assert all(command.startswith("::error file=removals/") for command in commands)
    assert not list(team.folder.rglob("pwned"))


@pytest.mark.parametrize("name", INVALID_NAMES)
def test_a_file_with_an_invalid_name_is_not_planned(team: Team, name: str) -> None:
    team.pull_request({f"removals/{name}": "cluster: a\n"})
    planned = team.run(PLAN, **GITHUB)
    assert planned.code != 0
    assert "error: not a removal file: " in planned.log
    assert annotations(planned) == []
    assert not list(team.folder.rglob("pwned"))


def test_findings_of_cdk_nag_fail_the_synth(team: Team) -> None:
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


def test_the_synth_prints_the_errors_in_removal_files(team: Team) -> None:
    team.pull_request({"removals/a.yaml": "cluster: b\n", "removals/c.yaml": "cluster: -\n"})
    synthesized = team.run(SYNTHESIZE)
    assert synthesized.code != 0
    assert "error: removals/a.yaml: the stack is hyperpod-node-removal-b;" in synthesized.log
    assert "error: removals/c.yaml" in synthesized.log
