"""The commands that a page shows, run as a reader would run them."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from tests.docs.code_blocks import code_blocks

SHOWN_CLUSTER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"


def console_commands(page: Path, *, of: str = "") -> list[list[str]]:
    """The commands of the console blocks of a page, or of those in which a text occurs."""
    blocks = code_blocks(page, "console")
    return [command for block in blocks if of in block.text for command in block.commands]


@dataclass(frozen=True)
class Console:
    """A command line in front of a sandbox, in a folder."""

    sandbox: Sandbox
    folder: Path
    cluster: Cluster
    """The cluster in place of the one on the page."""

    def run(self, command: list[str]) -> str:
        """What a command prints that has to succeed."""
        program, *args = map(self._real, command)
        done = self._aws(args) if program == "aws" else self._other(program, args)
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout.strip()

    def _aws(self, args: list[str]) -> subprocess.CompletedProcess[str]:
        return self.sandbox.aws(*args, cwd=self.folder)

    def _other(self, program: str, args: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *args],
            cwd=self.folder,
            env=self.sandbox.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def _real(self, word: str) -> str:
        for shown, real in self._replacements.items():
            word = word.replace(shown, real)
        return word

    @cached_property
    def _replacements(self) -> Mapping[str, str]:
        """What differs for each reader, as the page shows it and as it is here."""
        nodes = self.cluster.node_ids("workers")
        shown = {f"i-0123456789abcdef{number}": nodes[number] for number in range(len(nodes))}
        return {**shown, SHOWN_CLUSTER_ARN: self.cluster.arn}
