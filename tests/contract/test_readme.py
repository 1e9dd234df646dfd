"""What the README shows and promises is what the product does."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal.app import settings_from_context
from hyperpod_node_removal_cli.arguments import PROGRAM
from hyperpod_node_removal_handler.request import RemovalRequest
from release.provider_parameters import EXPORT_NAME
from sandbox.project import ROOT
from tests.docs.code_blocks import TemplateLoader, code_blocks, synthesized

PAGE = ROOT / "README.md"
README = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return [block.text for block in code_blocks(PAGE, language)]


def commands() -> list[list[str]]:
    """The console commands, and those in running text that begin with `cdk`."""
    shown = [command for block in code_blocks(PAGE, "console") for command in block.commands]
    return shown + [shlex.split(command) for command in re.findall(r"`(cdk [^`]+)`", README)]


def test_the_construct_in_ten_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (code,) = code_blocks(PAGE, "python")
    assert len(code.text.split("stack = ")[1].splitlines()) <= 10
    monkeypatch.setenv("CDK_OUTDIR", str(tmp_path))
    synthesized(code).resource_count_is(contract.RESOURCE_TYPE, 1)


def test_the_removal_file_is_one(tmp_path: Path) -> None:
    (file,) = [block for block in blocks("yaml") if block.startswith("cluster:")]
    (tmp_path / "removals.yaml").write_text(file, encoding="utf-8")
    settings = settings_from_context({"removals": "removals.yaml"}, tmp_path)
    assert settings.cluster == "ml-cluster"
    assert len(settings.node_ids) == 2


def test_the_plain_template_is_one_the_function_accepts() -> None:
    (text,) = [block for block in blocks("yaml") if block.startswith("Resources:")]
    template = yaml.load(text, TemplateLoader)
    (resource,) = template["Resources"].values()
    assert resource["Type"] == contract.RESOURCE_TYPE
    wire = {
        key: value if isinstance(value, list) else str(value)
        for key, value in resource["Properties"].items()
    }
    assert resource["Properties"]["ServiceToken"] == {"Fn::ImportValue": EXPORT_NAME}
    assert len(RemovalRequest.from_properties(wire).node_ids) == 2


def test_every_make_command_is_a_target() -> None:
    targets = [command[1] for command in commands() if command[0] == "make"]
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_every_command_is_known_to_this_test() -> None:
    assert {command[0] for command in commands()} == {
        "make",
        "cdk",
        "aws",
        PROGRAM,
    }
