"""`python -m sandbox` is an AWS in a second terminal, for the commands of the README."""

import re
import shlex
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
from tests.docs.code_blocks import code_blocks, commands

pytestmark = pytest.mark.slow

README = ROOT / "README.md"
SHOWN = ("i-0123456789abcdef0", "i-0123456789abcdef1")


@dataclass(frozen=True)
class Terminal:
    """A shell with the variables that the sandbox exports, and none of this process."""

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


def test_the_commands_of_the_readme_work(tmp_path: Path) -> None:
    """As written, except for the nodes that a template removes and the command with `--query`."""
    for name in ("app.py", "cdk.json"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "examples" / "cloudformation", tmp_path / "examples" / "cloudformation")
    (tmp_path / "dist").mkdir()
    write_templates(tmp_path / "dist")
    (file,) = (block for block in code_blocks(README, "yaml") if block.text.startswith("cluster:"))
    (tmp_path / "removals.yaml").write_text(file.text, encoding="utf-8")
    (from_file,) = set(re.findall(r"`(cdk [^`]+)`", README.read_text(encoding="utf-8")))
    with second_terminal("--group", "workers=6", home=tmp_path) as terminal:
        nodes, deploy, bucket = terminal.first
        ids = re.findall(r'"InstanceId": "(.*)"', terminal.run(nodes))
        assert len(ids) == 6
        terminal.run(bucket)
        real = dict(zip(SHOWN, ids[4:], strict=True))
        for command in commands(README, of="handler.zip", real=real):
            terminal.run(command, tmp_path)
        left = terminal.run(nodes)
        assert [node for node in ids if node in left] == ids[:4]
        for command in [*commands(README, "cdk"), shlex.split(from_file)]:
            terminal.run(command, tmp_path)
        for command in commands(README, "hyperpod-node-removal"):
            terminal.run(command, tmp_path)
        (query,) = commands(README, "aws", "cloudformation", "describe-stacks")
        assert terminal.run(query).strip() == "", "no node failed"
        terminal.run(deploy, tmp_path)
        left = terminal.run(nodes)
        assert [node for node in ids if node in left] == ids[2:4]


@pytest.mark.parametrize("kind", KINDS)
def test_a_drain_is_deployed_next_to_its_scheduler(kind: str, tmp_path: Path) -> None:
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


def test_a_group_without_a_count_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--group", "workers"])
    assert "'workers'; allowed: a name and a number, workers=8" in capsys.readouterr().err
