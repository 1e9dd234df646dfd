"""The provider's stack from `dist/`, with the real AWS CLI and nothing else."""

from pathlib import Path
from uuid import uuid4

import pytest

from release.artifacts import PACKAGEABLE
from release.provider_parameters import EXPORT_NAME
from sandbox.hyperpod import Cluster
from tests.release.cli import Cli

pytestmark = pytest.mark.xdist_group("release-stacks")

REMOVAL = """
Parameters:
  Cluster: {Type: String}
  NodeIds: {Type: CommaDelimitedList}
Resources:
  FaultyNodes:
    Type: Custom::HyperPodNodeRemoval
    Properties:
      ServiceToken: !ImportValue %s
      ServiceTimeout: 600
      ClusterName: !Ref Cluster
      NodeIds: !Ref NodeIds
      RetryFor: 0
Outputs:
  RemovedNodes: {Value: !GetAtt FaultyNodes.RemovedNodes}
"""


@pytest.fixture
def cluster(cli: Cli) -> Cluster:
    """A cluster of this test, whose name serves as that of a stack too."""
    name = f"raw-{uuid4().hex[:8]}"
    return cli.sandbox.hyperpod.create_cluster(name, {"workers": 6}, shutdown_seconds=0.5)


def removal(folder: Path, export: str) -> Path:
    path = folder / "removal.yaml"
    path.write_text(REMOVAL % export, encoding="utf-8")
    return path


def test_a_template_that_imports_the_service_token(
    cli: Cli, provider: str, cluster: Cluster, tmp_path: Path
) -> None:
    nodes = cluster.node_ids("workers")[:2]
    template = removal(tmp_path, EXPORT_NAME)
    outputs = cli.deploy(template, cluster.name, Cluster=cluster.name, NodeIds=",".join(nodes))
    assert outputs == {"RemovedNodes": ",".join(nodes)}
    assert cluster.present.isdisjoint(nodes)
    # It cannot be taken away from under the stack that uses it.
    assert cluster.name in cli.refused("cloudformation", "delete-stack", "--stack-name", provider)


def test_a_partial_failure_is_read_in_the_stack_events(
    cli: Cli, provider: str, cluster: Cluster, tmp_path: Path
) -> None:
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    template = removal(tmp_path, EXPORT_NAME)
    deployment = cli.deployment(
        template, cluster.name, Cluster=cluster.name, NodeIds=f"{bad},{good}"
    )
    assert "Failed to create/update the stack" in cli.refused(*deployment)
    (reason,) = [one for one in cli.reasons(cluster.name) if "FaultyNodes" not in one]
    assert f"1 of 2 nodes not removed from {cluster.name} (1 removed)" in reason
    assert f"NodeIdInUse: {bad}." in reason
    assert cluster.present >= {bad}


def test_a_second_provider_from_the_packageable_template(
    cli: Cli, provider: str, cluster: Cluster, tmp_path: Path
) -> None:
    """Two live in one account and region, each under an export name of its own."""
    packaged = cli.package(PACKAGEABLE, str(tmp_path / "packaged.yaml"))
    export = f"{cluster.name}-token"
    cli.deploy(
        packaged,
        f"{cluster.name}-provider",
        capabilities=("CAPABILITY_IAM",),
        ClusterArn="*",
        StackName="raw-*",
        ExportName=export,
    )
    (node, *_) = cluster.node_ids("workers")
    outputs = cli.deploy(
        removal(tmp_path, export), cluster.name, Cluster=cluster.name, NodeIds=node
    )
    assert outputs == {"RemovedNodes": node}
