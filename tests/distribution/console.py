"""The console blocks of a page, run as a reader would run them."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.aws import Sandbox

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)


def console_commands(markdown: str) -> Iterator[str]:
    """The commands of all console blocks, in order, each as it would be pasted."""
    for block in _BLOCK.findall(markdown):
        yield from _COMMAND.findall(block)


@dataclass(frozen=True)
class Console:
    """A shell in front of the sandbox, in a folder of its own."""

    sandbox: Sandbox
    folder: Path
    real: Mapping[str, str]
    """What stands in the page for something that each reader has another of: its place in here."""

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a shell. Its output and its errors come back as one text, `stdout`."""
        for shown, real in self.real.items():
            command = command.replace(shown, real)
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env={**self.sandbox.environment, "AWS_PAGER": ""},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
