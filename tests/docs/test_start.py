"""The commands of the start page remove nodes."""

import json
import sys
from pathlib import Path

import pytest

from sandbox.aws import ACCOUNT, REGION, Sandbox
from sandbox.hyperpod import HyperPod
from sandbox.project import ROOT
from tests.aws_cli import run_aws
from tests.docs.code_blocks import DOCS, code_blocks, commands

pytestmark = pytest.mark.slow

START = DOCS / "start.md"
NODES = ("i-0123456789abcdef0", "i-0123456789abcdef1")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the project's `cdk.json`."""
    write_settings(tmp_path, (ROOT / "cdk.json").read_text(encoding="utf-8"))
    return tmp_path


def write_settings(folder: Path, text: str) -> None:
    settings = json.loads(text)
    assert settings["app"] == json.loads((ROOT / "cdk.json").read_text("utf-8"))["app"]
    settings["app"] = f"{sys.executable} {ROOT / 'app.py'}"
    (folder / "cdk.json").write_text(json.dumps(settings), encoding="utf-8")


def test_the_commands_of_the_page_remove_the_nodes(checkout: Path) -> None:
    (restricted,) = [block.text for block in code_blocks(START, "json") if '"app"' in block.text]
    outcomes = []
    with Sandbox(HyperPod(account=ACCOUNT, region=REGION)) as sandbox:
        cluster = sandbox.hyperpod.create_cluster(
            "ml-cluster", {"workers": 4}, shutdown_seconds=0.5
        )
        nodes = cluster.node_ids("workers")[:2]
        real = {
            "111122223333": ACCOUNT,
            "us-west-2": REGION,
            **dict(zip(NODES, nodes, strict=True)),
        }
        for words in commands(START, real=real):
            match words[:2]:
                case ["aws", _]:
                    completed = run_aws(sandbox, *words[1:])
                    assert completed.code == 0, completed.log
                case ["cdk", "bootstrap"]:
                    done = sandbox.cdk(*words[1:], cwd=checkout)
                    assert done.returncode == 0, done.stdout
                    if "hpnr" in words:
                        write_settings(checkout, restricted)
                case ["cdk", "deploy"]:
                    done = sandbox.cdk(*words[1:], "--require-approval", "never", cwd=checkout)
                    assert done.returncode == 0, done.stdout
                    outputs = sandbox.outputs("hyperpod-node-removal-ml-cluster")
                    outcomes.append((outputs["Outcome"], len(cluster.present)))
                case _:
                    pytest.fail(f"unknown command: {words}")
        deployed = sandbox.client("cloudformation").get_template(
            StackName="hyperpod-node-removal-ml-cluster"
        )["TemplateBody"]
    assert outcomes == [("PLANNED", 4), ("COMPLETE", 2), ("COMPLETE", 2)]
    assert "policy/hyperpod-node-removal-boundary" in json.dumps(deployed)
    assert "cdk-hpnr-assets" in json.dumps(deployed)


def test_the_page_begins_with_the_first_deployment() -> None:
    page = START.read_text(encoding="utf-8")
    assert page[: page.index("$ cdk deploy")].count("\n") <= 15
    assert '"Statement"' not in page  # policies are files
