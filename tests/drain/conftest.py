"""A real Slurm, and a release in a sandbox of its own. The summary reports a missing Slurm."""

from collections.abc import Iterator

import pytest

from release.artifacts import write_templates
from release.drain_templates import EKS_ZIP, MARKER_ZIP, SLURM_ZIP
from release.provider_template import HANDLER_ZIP
from sandbox import slurm as sandbox_slurm
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.slurm import Slurm
from tests.release.cli import Cli

NAMES = tuple(f"ip-10-1-0-{number}" for number in range(1, 4))
REMOVAL = """
Parameters:
  Cluster: {Type: String}
  NodeIds: {Type: CommaDelimitedList}
  Drain: {Type: String}
  Seconds: {Type: Number}
Resources:
  Nodes:
    Type: Custom::HyperPodNodeRemoval
    Properties:
      ServiceToken: !ImportValue HyperPodNodeRemovalServiceToken
      ServiceTimeout: !Ref Seconds
      ClusterName: !Ref Cluster
      NodeIds: !Ref NodeIds
      BeforeRemoval: !Ref Drain
"""


@pytest.fixture(scope="session")
def alone() -> Iterator[Sandbox]:
    """A sandbox of its own, because stacks have fixed names."""
    with Sandbox() as sandbox:
        sandbox.bootstrap()
        yield sandbox


@pytest.fixture(scope="session")
def cli(alone: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The AWS CLI, with the files of a release in a bucket."""
    folder = tmp_path_factory.mktemp("dist")
    write_templates(folder)
    (folder / "removal.yaml").write_text(REMOVAL, encoding="utf-8")
    cli = Cli(alone, folder)
    cli.aws("s3", "mb", f"s3://{Cli.BUCKET}")
    for archive in (HANDLER_ZIP, SLURM_ZIP, EKS_ZIP, MARKER_ZIP):
        cli.aws("s3", "cp", archive, f"s3://{Cli.BUCKET}/{archive}")
    return cli


def from_templates(
    cli: Cli, drain_template: str, cluster: Cluster, node_ids: str, seconds: int, **given: str
) -> str:
    """Deploy a drain, a provider that may invoke it, and a removal. Returns the outcome."""
    name = cluster.name
    drain = cli.deploy(
        drain_template,
        f"{name}-drain",
        capabilities=("CAPABILITY_IAM",),
        CodeBucket=Cli.BUCKET,
        **given,
    )["FunctionArn"]
    cli.deploy(
        "hyperpod-node-removal-provider.yaml",
        "provider",
        capabilities=("CAPABILITY_IAM",),
        CodeBucket=Cli.BUCKET,
        CodeKey=HANDLER_ZIP,
        ClusterArn="*",
        StackName="*",
        BeforeRemovalArn=drain,
    )
    deployment = cli.deployment(
        "removal.yaml",
        f"{name}-removal",
        Cluster=name,
        NodeIds=node_ids,
        Drain=drain,
        Seconds=str(seconds),
    )
    done = cli.sandbox.aws(*deployment, cwd=cli.folder)
    reasons = cli.reasons(f"{name}-removal")
    return "COMPLETE" if done.returncode == 0 else " ".join(reasons)


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    """Slurm with three idle nodes, for one test: it starts in a second."""
    if not sandbox_slurm.is_prepared():
        pytest.skip(sandbox_slurm.MISSING)
    with sandbox_slurm.slurm(NAMES) as slurm:
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
