"""`validate`: offline, every problem, and where."""

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch
from xml.etree import ElementTree as ET

import pytest

from tests.cli.command import Command, CommandProcess
from tests.cli.test_rendering import has_no_commands

ONE, TWO = "i-0123456789abcdef0", "i-0123456789abcdef1"

BAD = f"""\
cluster: ml_cluster
node_ids:
  - i-1
  - {ONE}
  - hyperpod-{TWO}
retry_for: 10m
"""


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.mark.parametrize("run", [Command, CommandProcess])
def test_a_valid_file(tmp_path: Path, run: type[Command]) -> None:
    command = run(tmp_path)
    command.write(f"cluster: ml-cluster\nnode_ids: [{ONE}, {TWO}]\n")
    done = command("validate", "removals.yaml")
    valid = "removals.yaml: The file is valid: 2 nodes of ml-cluster.\n"
    assert (done.code, done.out, done.err) == (0, valid, "")


def test_all_problems_with_file_and_line(command: Command) -> None:
    command.write(BAD)
    done = command("validate", "removals.yaml")
    assert done.code == 1
    headline, *problems = done.out.splitlines()
    assert headline == "removals.yaml has 4 problems and cannot be deployed."
    assert [problem.strip().partition(": '")[0] for problem in problems] == [
        "removals.yaml, line 1: cluster",
        "removals.yaml, line 3: node_ids",
        "removals.yaml, line 5: node_ids",
        "removals.yaml, line 6: retry_for",
    ]
    assert f"use its instance id, {TWO}" in problems[2]


def test_several_files_return_the_highest_code(command: Command) -> None:
    command.write(f"cluster: ml-cluster\nnode_ids: [{ONE}]\n", "good.yaml")
    command.write(BAD, "bad.yaml")
    done = command("validate", "--json", "good.yaml", "bad.yaml")
    assert done.code == 1
    assert [report["exit_code"] for report in done.document()["reports"]] == [0, 1]
    assert command("validate", "good.yaml", "bad.yaml", "gone.yaml").code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["validate", "gone.yaml"], "gone.yaml: cannot be read: No such file or directory"),
        (["validate"], "the following arguments are required: FILE"),
        (["validate", "--jsn", "a.yaml"], "unrecognized arguments: --jsn"),
        (["remove", "a.yaml"], "invalid choice: 'remove'"),
        ([], "arguments are required: COMMAND"),
        (["validate", "a.yaml", "--junit", "no/a.xml"], "no/a.xml: No such file or directory"),
    ],
)
def test_wrong_usage_is_2(command: Command, arguments: list[str], words: str) -> None:
    command.write("cluster: ml-cluster\n", "a.yaml")
    done = command(*arguments)
    assert done.code == 2
    assert words in done.out + done.err


def test_names_of_files_are_not_commands(command: Command) -> None:
    hostile = "\n::error::forged ##[error]x\x1b[2J"
    for arguments in (
        ["validate", f"{hostile}.yaml"],
        ["validate", "--x\n::error::forged##[error]x\x1b[2J"],
        ["validate", "a.yaml", "--junit", f"no/such/{hostile}"],
    ):
        command.write(f"cluster: ml-cluster\nnode_ids: [{ONE}]\n", "a.yaml")
        done = command(*arguments)
        assert done.code == 2
        assert has_no_commands(done.out + done.err)
        assert "\x1b" not in done.out + done.err


def test_the_reports_of_pipelines(command: Command) -> None:
    command.write(BAD)
    done = command(
        "validate",
        "removals.yaml",
        "--junit=junit.xml",
        "--code-quality=quality.json",
        "--annotations=github",
    )
    assert done.code == 1
    annotations = done.err.splitlines()
    assert len(annotations) == 4
    assert annotations[1].startswith(
        "::error file=removals.yaml,line=3,title=validate%3A removals.yaml::removals.yaml, line 3:"
        " node_ids: 'i-1' is not an instance id;"
    )
    quality = json.loads((command.folder / "quality.json").read_text())
    assert [entry["location"]["lines"]["begin"] for entry in quality] == [1, 3, 5, 6]
    assert len({entry["fingerprint"] for entry in quality}) == 4
    root = ET.parse(command.folder / "junit.xml").getroot()
    assert [suite.attrib["failures"] for suite in root] == ["1"]
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.text is not None
    assert len(failure.text.splitlines()) == 4


def test_neither_the_cdk_nor_boto3_is_imported(tmp_path: Path) -> None:
    """It is run on every save and in every pull request."""
    (tmp_path / "a.yaml").write_text(f"cluster: ml-cluster\nnode_ids: [{ONE}]\n")
    code = (
        "import sys\n"
        "from hyperpod_node_removal_cli.main import main\n"
        "assert main(['validate', 'a.yaml']) == 0\n"
        "slow = {'aws_cdk', 'jsii', 'boto3', 'botocore', 'crhelper'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | {"PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


@pytest.mark.parametrize(
    ("library", "arguments", "words"),
    [
        (
            "rich",
            ["validate", "a.json"],
            "rich is not installed; install this package with its extra cli",
        ),
        (
            "boto3",
            ["plan", "a.json"],
            "boto3 is not installed; install this package with its extra cli",
        ),
        ("yaml", ["validate", "a.yaml"], "YAML needs PyYAML; install"),
        ("shtab", ["completion", "bash"], "install this package with its extra completion"),
    ],
)
def test_a_missing_library_is_a_sentence(
    command: Command, library: str, arguments: list[str], words: str
) -> None:
    command.write(f'{{"cluster": "ml-cluster", "node_ids": ["{ONE}"]}}', "a.json")
    command.write("cluster: ml-cluster\n", "a.yaml")
    with patch.dict(sys.modules, {library: None}):
        for name in ("connection", "terminal"):  # they are imported again, with what they import
            sys.modules.pop(f"hyperpod_node_removal_cli.{name}", None)
        done = command(*arguments)
    assert done.code == 2
    assert words in done.out + done.err
