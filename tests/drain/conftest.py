"""Fixtures for drains: a real Slurm, and a release. The summary reports a missing Slurm."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from awscli.customizations.cloudformation.yamlhelper import yaml_parse

from release.artifacts import PROVIDER, write_templates
from release.drain_templates import EKS_ZIP, MARKER_ZIP, SLURM_ZIP
from release.provider_template import HANDLER_ZIP
from sandbox import slurm as sandbox_slurm
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.slurm import Slurm
from tests.release.cli import Cli

NAMES = tuple(f"ip-10-1-0-{number}" for number in range(1, 4))
BUCKET = "drains"
REMOVAL = """
Parameters:
  Provider: {Type: String}
  Cluster: {Type: String}
  NodeIds: {Type: CommaDelimitedList}
  Drain: {Type: String}
  Seconds: {Type: Number}
Resources:
  Nodes:
    Type: Custom::HyperPodNodeRemoval
    Properties:
      ServiceToken: !Ref Provider
      ServiceTimeout: !Ref Seconds
      ClusterName: !Ref Cluster
      NodeIds: !Ref NodeIds
      BeforeRemoval: !Ref Drain
"""


@pytest.fixture(scope="session")
def dist(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of a release. Its archives are also in the bucket."""
    folder = tmp_path_factory.mktemp("dist")
    write_templates(folder)
    s3 = sandbox.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for archive in (HANDLER_ZIP, SLURM_ZIP, EKS_ZIP, MARKER_ZIP):
        s3.put_object(Bucket=BUCKET, Key=archive, Body=(folder / archive).read_bytes())
    return folder


def deploy_from_release(
    sandbox: Sandbox,
    dist: Path,
    drain: str,
    cluster: Cluster,
    node_ids: str,
    *,
    seconds: int,
    **parameters: str,
) -> str:
    """Deploy a drain with the AWS CLI, a provider that can invoke it, and a removal.

    Return the reasons of the failures, or an empty text.
    """
    name = cluster.name
    drain_arn = Cli(sandbox, dist).deploy(
        f"hyperpod-node-removal-{drain}.yaml",
        f"{name}-drain",
        capabilities=("CAPABILITY_IAM",),
        CodeBucket=BUCKET,
        **parameters,
    )["FunctionArn"]
    provider = sandbox.deploy(
        f"{name}-provider",
        yaml_parse((dist / PROVIDER).read_text(encoding="utf-8")),
        parameters={
            "CodeBucket": BUCKET,
            "CodeKey": HANDLER_ZIP,
            "ClusterArn": cluster.arn,
            "StackName": f"{name}-removal",
            "ExportName": f"{name}-token",
            "BeforeRemovalArn": drain_arn,
        },
    )
    removal = sandbox.deploy(
        f"{name}-removal",
        yaml_parse(REMOVAL),
        parameters={
            "Provider": provider.outputs["ServiceToken"],
            "Cluster": name,
            "NodeIds": node_ids,
            "Drain": drain_arn,
            "Seconds": str(seconds),
        },
    )
    return " ".join(event.reason for event in removal.failures())


def start_slurm(names: Sequence[str]) -> AbstractContextManager[Slurm]:
    """Start a Slurm with these nodes, or skip the test if Slurm is not prepared."""
    if not sandbox_slurm.is_prepared():
        pytest.skip(sandbox_slurm.MISSING)
    return sandbox_slurm.slurm(names)


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    """A Slurm with three idle nodes for one test. It starts in a second."""
    with start_slurm(NAMES) as slurm:
        yield slurm


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", ())
        if sandbox_slurm.MISSING in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.section("SLURM IS NOT TESTED", red=True, bold=True)
        terminalreporter.line(f"{len(skipped)} tests were skipped: {sandbox_slurm.MISSING}.")
