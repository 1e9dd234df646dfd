"""Every template of `examples/cloudformation`, deployed by the real AWS CLI."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

from hyperpod_node_removal_contract import RESOURCE_TYPE
from release.artifacts import PACKAGEABLE
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.project import ROOT
from tests.release.cli import Cli, Console
from tests.release.linting import cfn_lint

pytestmark = pytest.mark.slow

EXAMPLES: Final = ROOT / "examples" / "cloudformation"
SCHEMAS: Final = ROOT / "schemas"
PAGE: Final = EXAMPLES / "README.md"
PROVIDER: Final = "hyperpod-node-removal"


@pytest.fixture(scope="module")
def folder(project: Path) -> Path:
    """A copy of the examples, with `dist/` and `schemas/` where they look for them."""
    return project / "examples" / "cloudformation"


@pytest.fixture(scope="module")
def cli(folder: Path) -> Iterator[Cli]:
    """The AWS CLI in a sandbox of its own, with a provider for every stack and cluster."""
    with Sandbox() as sandbox:
        sandbox.hyperpod.shutdown_seconds = 0.5
        cli = Cli(sandbox, folder)
        cli.aws("s3", "mb", f"s3://{Cli.BUCKET}")
        packaged = cli.package(f"../../dist/{PACKAGEABLE}", "provider.yaml")
        cli.deploy(
            packaged,
            PROVIDER,
            capabilities=("CAPABILITY_IAM",),
            ClusterArn="*",
            StackName="*",
            VerdictEvents="true",
        )
        yield cli


@pytest.fixture
def cluster(cli: Cli) -> Cluster:
    """A cluster whose name serves as that of a stack too."""
    return cli.sandbox.hyperpod.create_cluster(
        f"example-{uuid4().hex[:8]}", {"head": 1, "workers": 8}, shutdown_seconds=0.5
    )


def test_a_removal_and_its_retry(cli: Cli, cluster: Cluster) -> None:
    first, second, third, *_ = cluster.node_ids("workers")
    ids = f"{first},{second}"
    outputs = cli.deploy("removal.yaml", cluster.name, ClusterName=cluster.name, NodeIds=ids)
    assert outputs["RemovedNodes"] == ids
    assert json.loads(outputs["InstanceGroupTargetCounts"]) == {"head": 1, "workers": 6}
    assert cluster.present.isdisjoint({first, second})
    again = cli.deploy("removal.yaml", cluster.name, NodeIds=f"{ids},{third}", RetryToken="2")
    assert (again["RemovedNodes"], again["AlreadyAbsentNodes"]) == (third, ids)
    # The provider cannot be deleted while the stack uses it.
    assert cluster.name in cli.refused("cloudformation", "delete-stack", "--stack-name", PROVIDER)


def test_a_removal_of_nothing(cli: Cli) -> None:
    outputs = cli.deploy("removal.yaml", "example-of-nothing", ClusterName="no-such-cluster")
    assert outputs["RemovedNodes"] == ""


def test_a_report(cli: Cli, cluster: Cluster) -> None:
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    ids = f"{bad},{good}"
    outputs = cli.deploy("report.yaml", cluster.name, ClusterName=cluster.name, NodeIds=ids)
    assert outputs == {
        "Outcome": "PARTIAL",
        "FailedCount": "1",
        "FailedNodes": bad,
        "RemovedNodes": good,
    }
    cluster.allow(bad)
    assert cli.deploy("report.yaml", cluster.name, RetryToken="2")["Outcome"] == "COMPLETE"


def test_a_verdict_in_the_events_of_each_deployment(
    cli: Cli, cluster: Cluster, folder: Path
) -> None:
    def signals() -> list[str]:
        text = cli.aws(
            *("cloudformation", "describe-stack-events", "--stack-name", cluster.name),
            *("--query", "StackEvents[?contains(ResourceStatusReason || '', 'signal')]"),
        )
        return [
            event["ResourceStatusReason"].partition("UniqueId ")[2] for event in json.loads(text)
        ]

    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    ids = f"{bad},{good}"
    outputs = cli.deploy("verdict.yaml", cluster.name, ClusterName=cluster.name, NodeIds=ids)
    assert outputs == {"Outcome": "PARTIAL", "RequestedNodes": ids}
    assert signals() == [f"1 of 2 not removed: NodeIdInUse {bad}"]
    cluster.allow(bad)
    text = (folder / "verdict.yaml").read_text(encoding="utf-8")
    (folder / "verdict-2.yaml").write_text(
        text.replace("FaultyNodesVerdict1", "FaultyNodesVerdict2"), encoding="utf-8"
    )
    cli.deploy("verdict-2.yaml", cluster.name, NodeIds=bad)
    assert signals()[0] == "1 of 1 removed"


def test_guards_and_a_dry_run_on_any_cluster(cli: Cli) -> None:
    name = f"example-{uuid4().hex[:8]}"
    cluster = cli.sandbox.hyperpod.create_cluster(
        name, {"gpu-a": 6, "gpu-b": 2}, shutdown_seconds=0.5
    )
    nodes = cluster.node_ids("gpu-a")
    planned = cli.deploy("guarded.yaml", name, ClusterName=name, NodeIds=nodes[0])
    assert (planned["Outcome"], planned["PlannedNodes"]) == ("PLANNED", nodes[0])
    assert nodes[0] in cluster.present
    assert cli.deploy("guarded.yaml", name, DryRun="false")["RemovedNodes"] == nodes[0]
    for given in (
        {"NodeIds": ",".join(nodes[1:6])},  # more than four
        {"NodeIds": nodes[1], "ExpectedGroups": "gpu-b"},
        {"NodeIds": nodes[1], "ProtectedGroups": "gpu-b,gpu-a", "ExpectedGroups": ""},
    ):
        cli.refused(*cli.deployment("guarded.yaml", name, capabilities=(), **given))
    reasons = "\n".join(cli.reasons(name))
    assert all(guard in reasons for guard in ("MaxRemovals", "ExpectedGroups", "ProtectedGroups"))
    assert cluster.present == set(nodes[1:]) | set(cluster.node_ids("gpu-b"))


def test_a_cluster_and_a_removal_in_the_safe_order(cli: Cli) -> None:
    cli.deploy("cluster-and-removal.yaml", "team")
    cluster = cli.sandbox.hyperpod.cluster("team-cluster")
    faulty, *healthy = cluster.logical_ids("workers")
    # Both at once, which the template advises against: the named node goes before the count falls.
    outputs = cli.deploy(
        "cluster-and-removal.yaml", "team", FaultyNodes=faulty, WorkerCount=str(len(healthy))
    )
    assert outputs["RemovedNodes"] == faulty
    assert json.loads(outputs["InstanceGroupTargetCounts"]) == {"workers": len(healthy)}
    assert list(cluster.logical_ids("workers")) == healthy


@pytest.mark.parametrize(
    ("template", "capabilities"),
    [
        ("nested.yaml", ("CAPABILITY_IAM",)),
        ("sam.yaml", ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND")),
    ],
)
def test_the_function_and_a_removal_in_one_stack(
    template: str, capabilities: tuple[str, ...], cli: Cli, cluster: Cluster
) -> None:
    packaged = cli.package(template, f"packaged-{template}")
    (node, *_) = cluster.node_ids("workers")
    outputs = cli.deploy(
        packaged,
        cluster.name,
        capabilities=capabilities,
        ClusterArn=cluster.arn,
        NodeIds=node,
    )
    assert outputs == {"RemovedNodes": node}
    assert node not in cluster.present
    # The removal leaves before the function that has to answer for it.
    cli.aws("cloudformation", "delete-stack", "--stack-name", cluster.name)
    cli.aws("cloudformation", "wait", "stack-delete-complete", "--stack-name", cluster.name)


def test_the_readme_lists_every_template() -> None:
    for path in EXAMPLES.glob("*.yaml"):
        assert f"[{path.name}]({path.name})" in PAGE.read_text(encoding="utf-8")
        assert RESOURCE_TYPE in path.read_text(encoding="utf-8")


def test_cfn_lint_has_nothing_to_say(folder: Path) -> None:
    templates = sorted(EXAMPLES.glob("*.yaml"))
    found = cfn_lint(*(folder / path.name for path in templates), rules=SCHEMAS / "cfn_lint")
    # what `package` is for
    only = f"W3002 This code may only work with 'package' cli command\n{folder}/nested.yaml:"
    assert found.startswith(only)
    assert found.count("\n\n") == 1


def test_cfn_lint_finds_what_the_function_would_refuse(tmp_path: Path) -> None:
    text = (EXAMPLES / "removal.yaml").read_text(encoding="utf-8")
    messages = {}
    for number, (right, wrong, message) in enumerate(
        [
            ("NodeIds: !Ref", "NodeIDs: !Ref", "Did you mean 'NodeIds'?"),
            (
                "ServiceTimeout: 1800",
                "ServiceTimeout: 18000",
                "greater than the maximum of 3600",
            ),
            ("NodeIds: !Ref NodeIds", "NodeIds: [hyperpod-i-0123456789abcdef0]", "does not match"),
            ("      ClusterName: !Ref ClusterName\n", "", "'ClusterName' is a required property"),
        ]
    ):
        assert right in text
        path = tmp_path / f"{number}.yaml"
        path.write_text(text.replace(right, wrong), encoding="utf-8")
        messages[path] = message
    findings = cfn_lint(*messages, rules=SCHEMAS / "cfn_lint").split("\n\n")
    for path, message in messages.items():
        of_file = [one for one in findings if f"\n{path}:" in one]
        assert [one for one in of_file if one.startswith("E9301") and message in one], of_file


def test_the_commands_of_the_readme_work_one_after_the_other(folder: Path) -> None:
    with Sandbox() as sandbox:
        cluster = sandbox.hyperpod.create_cluster(
            "ml-cluster", {"head": 1, "workers": 8}, shutdown_seconds=0.5
        )
        nodes = cluster.node_ids("workers")
        printed = Console(sandbox, folder, cluster).run_page(PAGE)
        assert f"{nodes[0]},{nodes[1]}" in printed
        assert cluster.present.isdisjoint(nodes[:3])
        assert cluster.present >= set(nodes[3:])
