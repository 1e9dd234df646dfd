"""From `dist/` to a removal with the commands that pages show, and nothing but the AWS CLI."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from release.provider_template import provider_template
from sandbox.aws import Sandbox
from sandbox.project import ROOT
from tests.release.cli import Console

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "cloudformation.md"


@pytest.fixture
def console(project: Path) -> Iterator[Console]:
    """In front of an account with a cluster and a bucket, and nothing else."""
    with Sandbox() as sandbox:
        cluster = sandbox.hyperpod.create_cluster(
            "ml-cluster", {"workers": 4}, shutdown_seconds=0.5
        )
        console = Console(sandbox, project, cluster)
        console.aws("s3", "mb", "s3://team-artifacts")
        yield console


def test_the_commands_of_the_documentation_work_one_after_the_other(console: Console) -> None:
    console.run_page(PAGE)
    for stack in ("hyperpod-node-removal", "maintenance-by-sam"):
        assert console.sandbox.status(stack) == "CREATE_COMPLETE"


def test_the_files_of_a_release_are_those_that_are_written(templates: Path) -> None:
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    _, table = text.split("| file | what it is |\n", 1)
    shown = set(re.findall(r"`([\w.-]+\.(?:zip|yaml|json))`", table.partition("\n\n")[0]))
    assert shown == {path.name for path in templates.iterdir()}


def test_the_parameters_are_those_of_the_template_with_their_defaults() -> None:
    _, table = PAGE.read_text(encoding="utf-8").split("| parameter | value | default |\n", 1)
    rows = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()[1:]]
    shown = {row[0].strip("`"): row[-1].strip("`") for row in rows}
    parameters = provider_template()["Parameters"]
    defaults = {name: str(one.get("Default", "required")) for name, one in parameters.items()}
    assert shown == {name: default or "none" for name, default in defaults.items()}
