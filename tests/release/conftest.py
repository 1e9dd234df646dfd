"""What `make dist` makes, and a command line in front of the sandbox."""

import shutil
from pathlib import Path

import pytest

from release.artifacts import PROVIDER, write_templates
from release.provider_template import HANDLER_ZIP
from sandbox.aws import Sandbox
from sandbox.project import ROOT
from tests.release.cli import Cli


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what users of templates need of the project, with `dist/`."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("examples/cloudformation", "schemas"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "dist").mkdir()
    write_templates(folder / "dist")
    return folder


@pytest.fixture(scope="session")
def templates(project: Path) -> Path:
    """A folder with the function's code and its templates."""
    return project / "dist"


@pytest.fixture(scope="session")
def cli(sandbox: Sandbox, templates: Path) -> Cli:
    """The real AWS CLI in that folder."""
    cli = Cli(sandbox, templates)
    cli.aws("s3", "mb", f"s3://{Cli.BUCKET}")
    return cli


@pytest.fixture(scope="session")
def provider(cli: Cli) -> str:
    """The provider's stack under its usual export name, for every stack and cluster."""
    cli.aws("s3", "cp", HANDLER_ZIP, f"s3://{Cli.BUCKET}/{HANDLER_ZIP}")
    name = "node-removal-provider"
    cli.deploy(
        PROVIDER,
        name,
        capabilities=("CAPABILITY_IAM",),
        CodeBucket=Cli.BUCKET,
        CodeKey=HANDLER_ZIP,
        ClusterArn="*",
        StackName="*",
    )
    return name
