"""`plan` against the sandbox: what it says, what it calls, and how it ends."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from botocore.exceptions import ProxyConnectionError, SSLError

from hyperpod_node_removal_cli.connection import Connection, UnknownError
from hyperpod_node_removal_cli.plan import plan_file
from hyperpod_node_removal_cli.report import Conclusion, NodeOutcome, Report
from hyperpod_node_removal_contract import MissingNodes
from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.plan import _WORDS, _row
from hyperpod_node_removal_handler.request import Guards
from hyperpod_node_removal_handler.requested_node import RequestedNode
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.hyperpod.client import SageMaker, client_error
from tests.cli.command import Command
from tests.handler.world import World

ABSENT = "i-0123456789abcdef0"


@pytest.fixture
def cluster(sandbox: Sandbox) -> Cluster:
    return sandbox.hyperpod.create_cluster(
        f"plan-{uuid4().hex[:8]}", {"head": 1, "workers": 8}, "head"
    )


def file(cluster: Cluster | str, *nodes: str, more: str = "") -> str:
    name = cluster if isinstance(cluster, str) else cluster.name
    listed = "".join(f"  - {node}\n" for node in nodes)
    return f"cluster: {name}\n{more}node_ids:{'' if nodes else ' []'}\n{listed}"


def test_a_plan_shows_what_would_happen_and_changes_nothing(
    command: Command, cluster: Cluster, sandbox: Sandbox
) -> None:
    before = sandbox.hyperpod.calls.copy()
    one, two, *_ = cluster.node_ids("workers")
    command.write(file(cluster, one, two, ABSENT))
    done = command("plan", "removals.yaml")
    assert done.code == 0, done.out
    headline, *lines = [line.strip() for line in done.out.splitlines()]
    assert headline == (
        f"removals.yaml: 2 nodes of {cluster.name} would be removed, 1 already absent."
    )
    rows = [line.split() for line in lines]
    assert [one, "workers", "ml.p5.48xlarge", "Running", "remove"] in rows
    assert [ABSENT, "already", "absent"] in rows
    assert "workers: InstanceCount 8 -> 6" in lines
    # A missing node is looked for twice.
    assert sandbox.hyperpod.calls - before == {"DescribeCluster": 1, "ListClusterNodes": 2}


def test_all_reports_are_of_one_run(command: Command, cluster: Cluster, sandbox: Sandbox) -> None:
    command.write(file(cluster, *cluster.node_ids("workers")[:2]))
    before = sandbox.hyperpod.calls.copy()
    files = ("--json-file=plan.json", "--markdown-file=plan.md", "--junit=plan.xml")
    assert "2 nodes of" in command("plan", "removals.yaml", *files).out
    assert sandbox.hyperpod.calls - before == {"DescribeCluster": 1, "ListClusterNodes": 1}
    for form, name in (("--json", "plan.json"), ("--markdown", "plan.md")):
        written = (command.folder / name).read_text(encoding="utf-8")
        assert written == command("plan", "removals.yaml", form).out


def test_3000_nodes_take_the_pages_of_one_listing_and_nothing_more(
    command: Command, sandbox: Sandbox
) -> None:
    cluster = sandbox.hyperpod.create_cluster(f"plan-{uuid4().hex[:8]}", {"workers": 3000})
    before = sandbox.hyperpod.calls.copy()
    command.write(file(cluster, *cluster.node_ids("workers")))
    done = command("plan", "removals.yaml", "--json")
    assert done.code == 0
    assert len(done.report()["nodes"]) == 3000
    assert done.report()["groups"] == [{"name": "workers", "before": 3000, "after": 0}]
    assert sandbox.hyperpod.calls - before == {"DescribeCluster": 1, "ListClusterNodes": 30}


def test_a_broken_guard_is_1_and_guards_only_nodes_that_would_be_removed(
    command: Command, cluster: Cluster
) -> None:
    nodes, (head,) = cluster.node_ids("workers")[:6], cluster.node_ids("head")
    command.write(file(cluster, *nodes, head, ABSENT, more="min_remaining:\n  workers: 4\n"))
    done = command("plan", "removals.yaml")
    assert done.code == 1
    assert (
        "A guard is violated: removing 6 of 8 nodes of group workers leaves 2, fewer than 4"
        " (MinRemaining)." in done.out
    )
    assert "InstanceCount" not in done.out
    report = command("plan", "removals.yaml", "--json").report()
    outcomes = ["guarded"] * len(nodes) + ["refused", "already absent"]
    assert [one["outcome"] for one in report["nodes"]] == outcomes
    assert report["groups"] == []


def test_a_group_that_loses_its_last_node_is_marked(command: Command, cluster: Cluster) -> None:
    command.write(file(cluster, *cluster.node_ids("workers")))
    done = command("plan", "removals.yaml")
    assert "  workers: InstanceCount 8 -> 0 (no nodes remain)\n" in done.out


def test_a_controller_is_refused_with_1_at_its_line(command: Command, cluster: Cluster) -> None:
    worker, head = cluster.node_ids("workers")[0], cluster.node_ids("head")[0]
    command.write(file(cluster, worker, head))
    done = command("plan", "removals.yaml", "--json", "--annotations", "github")
    assert done.code == 1
    (refused,) = [node for node in done.report()["nodes"] if node["outcome"] == "refused"]
    assert (refused["name"], refused["code"], refused["line"]) == (head, "ControllerNode", 4)
    assert refused["next_step"] == "Take Slurm controllers out of the set."
    (annotation,) = done.err.splitlines()
    assert annotation.startswith(f"::error file=removals.yaml,line=4,title={head}%3A refused::")


@pytest.mark.parametrize(("nodes", "code"), [((), 0), (("i-1",), 1)])
def test_an_empty_set_and_a_bad_file_call_nothing(
    command: Command, sandbox: Sandbox, nodes: tuple[str, ...], code: int
) -> None:
    before = sandbox.hyperpod.calls.copy()
    command.write(file("no-such-cluster", *nodes))
    assert command("plan", "removals.yaml").code == code
    assert sandbox.hyperpod.calls == before


def test_nodes_without_a_file(command: Command, cluster: Cluster) -> None:
    one, two, *_ = cluster.node_ids("workers")
    done = command("plan", "--cluster", cluster.name, "--node-ids", one, f"{two},", "--json")
    assert done.code == 0, done.out
    assert [node["name"] for node in done.report()["nodes"]] == [one, two]
    done = command("plan", "--cluster", cluster.name, "--node-ids", "i-1")
    assert done.code == 1
    assert "the command line: node_ids[0]: 'i-1' is not an instance id;" in done.out
    command.write(file(cluster, one))
    for arguments in (
        [],
        ["removals.yaml", "--cluster", cluster.name],
        ["removals.yaml", "--node-ids", two],
        ["--cluster", cluster.name],
    ):
        done = command("plan", *arguments)
        assert done.code == 2
        assert "specify FILE..., or --cluster NAME and --node-ids ID..." in done.err


def test_a_file_from_standard_input(command: Command, cluster: Cluster) -> None:
    text = file(cluster, cluster.node_ids("workers")[0])
    assert command("plan", "-", stdin=text).code == 0
    assert (
        command("validate", "-", stdin=json.dumps({"cluster": cluster.name}, indent="\t")).code == 0
    )
    done = command("plan", "-", stdin="cluster: [\n")
    assert done.code == 1
    assert done.out.startswith(
        "standard input has 1 problem and cannot be deployed.\n"
        "  standard input, line 2: is not YAML:"
    )


def test_a_busy_cluster_is_noted(command: Command, cluster: Cluster) -> None:
    cluster.set_status("SystemUpdating")
    command.write(file(cluster, cluster.node_ids("workers")[0]))
    done = command("plan", "removals.yaml")
    assert done.code == 0
    assert "The cluster is SystemUpdating; the service removes no nodes until that" in done.out


def test_a_comment_for_a_pull_request(command: Command, cluster: Cluster) -> None:
    node, head = cluster.node_ids("workers")[0], cluster.node_ids("head")[0]
    command.write(file(cluster, node, head))
    done = command("plan", "removals.yaml", "--markdown")
    assert done.code == 1
    assert done.out.startswith("### ❌ plan `removals.yaml`\n")
    assert "- `workers: InstanceCount 8 -> 7`" in done.out
    assert f"| `{node}` | `workers` | `ml.p5.48xlarge` | `Running` | `remove` |  |" in done.out


# What it needs and does not get -------------------------------------------------------------


def without(command: Command, *names: str, **more: str) -> Command:
    kept = {key: value for key, value in command.environment.items() if key not in names}
    return Command(command.folder, kept | more)


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


def test_no_such_cluster_is_2_and_names_the_region(command: Command) -> None:
    command.write(file("no-such-cluster", ABSENT))
    done = command("plan", "removals.yaml")
    assert done.code == 2
    assert "Cluster 'no-such-cluster' was not found in region us-east-1" in done.out


ENDPOINT = "AWS_ENDPOINT_URL_SAGEMAKER"
NOT_CALLED = "The AWS SDK could not make the call; check the profile, the files it refers to,"
NOT_OBTAINED = "The AWS credentials could not be obtained; check the profile."
SSO = """\
sso_session = s
sso_account_id = 111122223333
sso_role_name = reader
[sso-session s]
sso_region = us-east-1
sso_start_url = https://sso.invalid
"""
ROLE = "arn:aws:iam::111122223333:role/reader"


@pytest.mark.parametrize(
    ("lacks", "environment", "config", "sentence"),
    [
        (KEYS, {}, "", "No AWS credentials were found; log in, or specify a profile"),
        (REGIONS, {}, "", "No region is configured; specify --region or set AWS_REGION."),
        ((), {"AWS_REGION": "us east"}, "", "The region is not valid; specify another one"),
        ((), {ENDPOINT: "sagemaker"}, "", NOT_CALLED),
        ((), {ENDPOINT: "http://127.0.0.1:1"}, "", "AWS cannot be reached; check the region"),
        ((), {"AWS_DEFAULTS_MODE": "fast"}, "", NOT_CALLED),
        ((), {}, "[default", NOT_CALLED),
        (KEYS, {}, "credential_process = false", NOT_OBTAINED),
        (KEYS, {}, "credential_process = /gone", NOT_CALLED),
        (KEYS, {}, "credential_process = echo no", NOT_CALLED),
        (KEYS, {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": "/gone"}, "", NOT_CALLED),
        (KEYS, {}, f"role_arn = {ROLE}\nsource_profile = gone", NOT_OBTAINED),
        (KEYS, {}, SSO, "The AWS credentials have expired; log in again"),
    ],
)
def test_an_error_of_the_sdk_is_2_with_one_sentence(
    command: Command,
    lacks: tuple[str, ...],
    environment: dict[str, str],
    config: str,
    sentence: str,
) -> None:
    (command.folder / "config").write_text(f"[default]\n{config}\n")
    command.write(file("ml-cluster", ABSENT))
    path = str(command.folder / "config")
    done = without(command, *lacks, AWS_CONFIG_FILE=path, **environment)("plan", "removals.yaml")
    assert done.code == 2
    (line,) = done.out.splitlines()
    assert line.startswith(f"removals.yaml: {sentence}")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            SSLError(endpoint_url="https://sagemaker", error="self-signed certificate"),
            "AWS's certificate could not be verified; check AWS_CA_BUNDLE. (SSLError: ",
        ),
        (
            ProxyConnectionError(proxy_url="http://a:secret@proxy", error="refused"),
            "The proxy cannot be reached; check HTTPS_PROXY and NO_PROXY. (ProxyConnectionError: ",
        ),
        (client_error("AssumeRole", "AccessDenied", "not you", status=403), NOT_OBTAINED),
    ],
)
def test_an_error_of_the_connection_has_a_sentence(error: Exception, sentence: str) -> None:
    with (
        pytest.raises(UnknownError) as caught,
        Connection().explaining("the cluster"),
        aws.map_errors("ListClusterNodes"),
    ):
        raise error
    assert str(caught.value).startswith(sentence)
    assert "secret" not in str(caught.value)


def test_the_region_comes_from_the_arn_and_must_not_differ(
    command: Command, cluster: Cluster
) -> None:
    command.write(file(cluster.arn, cluster.node_ids("workers")[0]))
    assert without(command, *REGIONS)("plan", "removals.yaml").code == 0
    done = command("plan", "removals.yaml", "--region", "eu-west-1")
    assert done.code == 2
    assert (
        "The ARN is in region us-east-1, but the configured region is eu-west-1; specify"
        in done.out
    )


def test_profile_and_region_work_as_in_the_aws_cli(command: Command, cluster: Cluster) -> None:
    (command.folder / "config").write_text(
        "[profile ops]\nregion = us-east-1\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    bare = without(command, *KEYS, *REGIONS, AWS_CONFIG_FILE=str(command.folder / "config"))
    command.write(file(cluster, cluster.node_ids("workers")[0]))
    assert bare("plan", "removals.yaml", "--profile", "ops").code == 0
    assert without(bare, AWS_PROFILE="ops")("plan", "removals.yaml").code == 0
    done = bare("plan", "removals.yaml", "--profile", "dev")
    assert done.code == 2
    assert "The profile was not found" in done.out


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("AccessDeniedException", 403, "sagemaker:ListClusterNodes is required but not allowed."),
        ("ExpiredTokenException", 400, "The AWS credentials have expired; log in again"),
        ("UnrecognizedClientException", 400, "AWS does not recognize these credentials"),
        ("ValidationException", 400, "ListClusterNodes failed: ValidationException: no"),
    ],
)
def test_an_error_of_aws_is_2_with_a_sentence(
    command: Command, cluster: Cluster, sandbox: Sandbox, code: str, status: int, words: str
) -> None:
    sandbox.hyperpod.fail_next("ListClusterNodes", code, status=status, message="no")
    command.write(file(cluster, cluster.node_ids("workers")[0]))
    done = command("plan", "removals.yaml")
    assert done.code == 2
    assert words in done.out


# The function's own plan ---------------------------------------------------------------------


def plan(world: World, folder: Path, text: str) -> Report:
    """The report on a file, over a connection to the model itself, without HTTP."""
    path = folder / "removals.yaml"
    path.write_text(text)
    client = SageMaker(world.hp)
    session = SimpleNamespace(region_name="us-east-1", client=lambda *_, **__: client)
    return plan_file(str(path), Connection(make_session=lambda **_: session))


def test_the_plan_is_that_of_the_function(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World()
    cluster = world.hp.create_cluster("ml-cluster", {"head": 1, "workers": 250}, "head")
    (head,), workers = cluster.node_ids("head"), cluster.node_ids("workers")
    leaving = workers[:2]
    world.remove(leaving, seconds=1)
    caplog.clear()
    nodes = [*workers[1:5], head, ABSENT]
    report = plan(world, tmp_path, file("ml-cluster", *nodes))
    calls = world.hp.calls.copy()
    result = world.remove(nodes, is_dry_run=True)
    rows = [vars(record) for record in caplog.records if "action" in vars(record)]
    keys = ("action", "node", "group", "instance_type", "status")
    assert [
        (node.outcome, node.name, node.group, node.instance_type, node.status)
        for node in report.nodes
    ] == [tuple(row[key] for key in keys) for row in rows]
    assert len(rows) == len(result.removal.nodes) == 6
    assert {row["action"] for row in rows} == {
        "remove",
        "already leaving",
        "already absent",
        "refused",
    }
    # And with the same calls: three pages, twice, since one of several may miss a node.
    assert world.hp.calls["ListClusterNodes"] - calls["ListClusterNodes"] == 6


def test_every_action_of_a_plan_has_an_outcome() -> None:
    actions = {*_WORDS.values(), _row(RequestedNode(node_id=ABSENT)).action}
    of_the_command = {NodeOutcome.FAILED, NodeOutcome.GUARDED}
    assert actions == {str(outcome) for outcome in NodeOutcome} - of_the_command


def test_the_guards_are_those_of_the_function(tmp_path: Path) -> None:
    world = World()
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 8, "spare": 2})
    nodes = cluster.node_ids("workers")[:3]
    more = (
        "min_remaining: {workers: 7}\nmax_removals: 1\nprotected_groups: [workers]\n"
        "expected_groups: [spare]\nmissing_nodes: FAIL\n"
    )
    report = plan(world, tmp_path, file("ml-cluster", *nodes, ABSENT, more=more))
    assert report.conclusion is Conclusion.PROBLEMS
    guards = Guards(
        min_remaining={"workers": 7},
        max_removals=1,
        protected_groups=("workers",),
        expected_groups=("spare",),
        missing_nodes=MissingNodes.FAIL,
    )
    result = world.remove([*nodes, ABSENT], guards=guards)
    assert [problem.text for problem in report.problems] == [
        f"A guard is violated: {phrase}." for phrase in result.objections
    ]
    assert len(result.objections) == 5
