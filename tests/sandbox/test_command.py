"""`python -m sandbox` is an AWS in a second terminal, for the commands of the README."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from release.artifacts import write_templates
from sandbox import slurm
from sandbox.__main__ import arguments
from sandbox.project import PATH, ROOT
from sandbox.schedulers import KINDS
from tests.docs.code_blocks import code_blocks


@dataclass(frozen=True)
class Terminal:
    """A shell with what the sandbox said to export, and nothing of this process's."""

    environment: dict[str, str]
    first: list[str]
    """The first commands to try."""
    process: subprocess.Popen[str]

    def run(self, command: str | list[str], folder: Path = ROOT) -> str:
        done = subprocess.run(
            command,
            shell=isinstance(command, str),
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout


@contextmanager
def second_terminal(*words: str, home: Path) -> Iterator[Terminal]:
    command = [sys.executable, "-m", "sandbox", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line.strip())
            if "Ctrl-C" in line:
                break
        exported = dict(re.findall(r"^export (\w+)=(.*)$", "\n".join(said), re.MULTILINE))
        own = {
            "PATH": PATH,
            "HOME": str(home),
            # nobody can approve the changes of IAM
            "CDK_REQUIRE_APPROVAL": "never",
            # the project's own folder may be in use by the demo of another test
            "CDK_OUTPUT": str(home / "cdk.out"),
        }
        first = [line for line in said if re.match("aws |cdk ", line)]
        try:
            yield Terminal(own | exported, first, process)
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            assert process.wait(30) == 0
            assert rest.endswith("The sandbox has stopped, and nothing of it is left.\n")
            assert not Path(exported["SSL_CERT_FILE"]).exists()


def test_the_commands_of_the_readme_work_exactly_as_written(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "cloudformation", tmp_path / "examples" / "cloudformation")
    (tmp_path / "dist").mkdir()
    write_templates(tmp_path / "dist")
    blocks = code_blocks(ROOT / "README.md", "console")
    aws = next(block.commands for block in blocks if "handler.zip" in block.text)
    cdk = next(block.commands for block in blocks if block.text.startswith("$ cdk deploy"))
    with second_terminal("--group", "workers=4", home=tmp_path) as terminal:
        nodes, deploy, bucket = terminal.first
        assert terminal.run(nodes).count("InstanceId") == 4
        terminal.run(bucket)
        for command in aws:
            terminal.run(command, tmp_path)
        for command in cdk:
            terminal.run(command)
        terminal.run(deploy)
        assert terminal.run(nodes).count("InstanceId") == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_scheduler_is_there_for_a_drain(kind: str, tmp_path: Path) -> None:
    if kind == "slurm" and not slurm.is_prepared():
        pytest.skip(slurm.MISSING)
    (tmp_path / "dist").mkdir()
    write_templates(tmp_path / "dist")
    with second_terminal("--group", "workers=2", "--drain", kind, home=tmp_path) as terminal:
        *_, upload, deploy = terminal.first
        terminal.run(upload, tmp_path)
        terminal.run(deploy, tmp_path)
        assert "FunctionArn" in terminal.run("aws cloudformation describe-stacks")


def test_a_group_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--group", "workers=4", "--busy", "trainers=1"])
    assert "there is no group trainers; allowed: workers" in capsys.readouterr().err


def test_a_count_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--group", "workers"])
    assert "'workers'; allowed: a name and a number, workers=8" in capsys.readouterr().err
