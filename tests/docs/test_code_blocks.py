"""The code in the README and the documentation is valid, and the commands exist."""

import ast
import contextlib
import json
import re
import subprocess
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jmespath
import pytest
import yaml
from awscli.clidriver import create_clidriver

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal.app import settings_from_context
from hyperpod_node_removal_cli.arguments import parser
from hyperpod_node_removal_handler.request import RemovalRequest
from release.provider_parameters import EXPORT_NAME
from sandbox.project import CDK, PATH, ROOT
from tests.docs.code_blocks import (
    DOCS,
    PAGES,
    CodeBlock,
    TemplateLoader,
    all_code_blocks,
    code_blocks,
)

README = ROOT / "README.md"

REMOVAL_FILE = re.compile(r"^cluster: ", re.MULTILINE)


def each(*languages: str) -> pytest.MarkDecorator:
    blocks = all_code_blocks(*languages)
    assert blocks
    return pytest.mark.parametrize("block", blocks, ids=[block.place for block in blocks])


@each("python")
def test_python_runs(block: CodeBlock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Synthesize an app. Of other code, run the imports."""
    if "app.synth()" in block.text:
        monkeypatch.setenv("CDK_OUTDIR", str(tmp_path))
        scope: dict[str, Any] = {}
        exec(compile(block.text, block.place, "exec"), scope)
        assert scope["app"].synth().stacks
        return
    tree = ast.parse(block.text, block.place)
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(tree, block.place, "exec"), {})


@each("yaml")
def test_removal_files_and_templates_are_valid(block: CodeBlock, tmp_path: Path) -> None:
    if REMOVAL_FILE.search(block.text):
        (tmp_path / "removals.yaml").write_text(block.text, encoding="utf-8")
        assert settings_from_context({"removals": "removals.yaml"}, tmp_path).cluster
        return
    loaded = yaml.load(block.text, TemplateLoader)
    for resource in loaded.get("Resources", {}).values():
        if resource["Type"] == contract.RESOURCE_TYPE:
            assert RemovalRequest.from_properties(literal(resource["Properties"])).cluster


def literal(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties as the function receives them, without intrinsic functions."""
    assert set(properties) <= set(contract.Property)
    assert properties["ServiceToken"] == {"Fn::ImportValue": EXPORT_NAME}
    known: dict[str, Any] = {"ClusterName": "ml-cluster"}
    for name, value in properties.items():
        if not isinstance(value, dict | list):
            known[name] = str(value)
        elif not (isinstance(value, dict) and next(iter(value)).startswith("Fn::")):
            known[name] = value
    return known


@each("json", "bash")
def test_json_and_bash_have_no_syntax_errors(block: CodeBlock) -> None:
    if block.language == "json":
        assert json.loads(block.text)
    else:
        subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)


CUSTOM = {"s3", "deploy", "package", "wait"}
"""AWS CLI commands that are not API operations. Tests in other folders run them."""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs the AWS CLI without AWS: commands are only validated."""
    monkeypatch.chdir(ROOT)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> str:
        with contextlib.suppress(SystemExit):
            create_clidriver().main(list(words))
        return capsys.readouterr().err

    return run


def test_unknown_aws_cli_commands_and_options_are_found(aws: Callable[..., str]) -> None:
    assert "--policy-document" in aws("iam", "create-policy", "--policy-name", "a")
    assert "Unknown options" in aws("iam", "list-policies", "--polcy-name", "a")
    assert "Invalid choice" in aws("iam", "make-policy")


@each("console")
def test_commands_and_their_options_exist(block: CodeBlock, aws: Callable[..., str]) -> None:
    assert block.commands
    for words in block.commands:
        for option, value in pairwise(words):
            if option == "--query":
                jmespath.compile(value)
        match words[0]:
            case "make":
                subprocess.run(
                    ["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True
                )
            case "aws" if CUSTOM.isdisjoint(words[1:3]):
                assert "Could not connect to the endpoint URL" in aws(*words[1:])
            case "cdk":
                options = {word.partition("=")[0] for word in words if word.startswith("--")}
                shown = cdk_help(words[1])
                assert all(o in shown or o.replace("--no-", "--") in shown for o in options)
            case "hyperpod-node-removal":
                assert parser().parse_args(words[1:])
            case _:
                assert words[0] in {"aws", "gh", "git", "pip", "scontrol", "sinfo"}


def test_the_readme_has_two_commands_to_try_and_an_app_in_ten_lines() -> None:
    commands = [words for block in code_blocks(README, "console") for words in block.commands]
    assert [words for words in commands if words[0] == "make"] == [
        ["make", "demo"],
        ["make", "test"],
    ]
    (app,) = code_blocks(README, "python")
    assert len(app.text.split("stack = ")[1].splitlines()) <= 10


@cache
def cdk_help(command: str) -> frozenset[str]:
    """Return the long options of a CDK CLI command."""
    done = subprocess.run(
        [CDK, command, "--help"],
        env={"PATH": PATH, "HOME": "/nonexistent", "CDK_DISABLE_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"cdk {command}" in done.stdout
    return frozenset(re.findall(r"--[a-z][a-z-]+", done.stdout))


def test_every_code_block_has_a_language() -> None:
    """Otherwise, none of these tests would check it."""
    assert DOCS / "index.md" in PAGES
    assert len(all_code_blocks("python")) >= 3
    for page in PAGES:
        fences = re.findall(r"^ *```(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert all(fences[::2]), page
        assert len(fences) == 2 * len(code_blocks(page)), page
