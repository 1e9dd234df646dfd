"""Whoever follows the start page gets to a removal."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from sandbox.aws import ACCOUNT, REGION, Sandbox
from sandbox.hyperpod import HyperPod
from sandbox.project import ROOT
from tests.docs.aws_command import read_command
from tests.docs.code_blocks import DOCS, code_blocks

pytestmark = pytest.mark.xdist_group("docs-start")

START = DOCS / "start.md"


NODES = ("i-0123456789abcdef0", "i-0123456789abcdef1")


def commands(nodes: Iterable[str]) -> Iterator[list[str]]:
    """Those of the page, with account, region and nodes of the sandbox in place of the page's."""
    real = {"111122223333": ACCOUNT, "us-west-2": REGION} | dict(zip(NODES, nodes, strict=True))
    for block in code_blocks(START, "console"):
        for words in block.commands:
            yield [replaced(word, real) for word in words]


def replaced(text: str, real: Mapping[str, str]) -> str:
    for shown, value in real.items():
        text = text.replace(shown, value)
    return text


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the `cdk.json` of the page."""
    (text,) = [block.text for block in code_blocks(START, "json") if '"app"' in block.text]
    settings = json.loads(text)
    assert settings["app"] == json.loads((ROOT / "cdk.json").read_text("utf-8"))["app"]
    settings["app"] = f"{sys.executable} {ROOT / 'app.py'}"
    (tmp_path / "cdk.json").write_text(json.dumps(settings), encoding="utf-8")
    return tmp_path


def test_the_commands_of_the_page_lead_to_a_removal(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outcomes = []
    with Sandbox(HyperPod(account=ACCOUNT, region=REGION)) as sandbox:
        cluster = sandbox.hyperpod.create_cluster(
            "ml-cluster", {"workers": 4}, shutdown_seconds=0.5
        )
        nodes = cluster.node_ids("workers")[:2]
        for words in commands(nodes):
            match words[:2]:
                case ["aws", _]:
                    called = read_command(words, ROOT)
                    client = sandbox.client(called.service)
                    getattr(client, called.operation)(**called.parameters)
                case ["cdk", "bootstrap"]:
                    done = sandbox.cdk(*words[1:], cwd=tmp_path_factory.mktemp("empty"))
                    assert done.returncode == 0, done.stdout
                case ["cdk", "deploy"]:
                    done = sandbox.cdk(*words[1:], "--require-approval", "never", cwd=checkout)
                    assert done.returncode == 0, done.stdout
                    outputs = sandbox.outputs("hyperpod-node-removal-ml-cluster")
                    outcomes.append((outputs["Outcome"], len(cluster.present)))
                case _:
                    pytest.fail(f"unknown command: {words}")
    assert outcomes == [("PLANNED", 4), ("COMPLETE", 2)]
