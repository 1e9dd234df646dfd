"""The command as a user runs it: in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS = 120


@dataclass
class Command:
    """`hyperpod-node-removal` in a folder, with nothing of this machine's AWS in reach."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": os.environ["PATH"]})

    def __call__(self, *arguments: str, stdin: str = "") -> "Done":
        where = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LANG": "C.UTF-8"}
        done = subprocess.run(
            [sys.executable, "-m", "hyperpod_node_removal_cli", *arguments],
            cwd=self.folder,
            env={"HOME": str(self.folder), **self.environment, **where},
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=SECONDS,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def write(self, text: str, name: str = "removals.yaml") -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return name


def run_python(code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run Python code in a folder, in a process of its own, with this project importable."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    def report(self) -> dict[str, Any]:
        """The one report of `--json`."""
        (report,) = self.document()["reports"]
        assert isinstance(report, dict)
        return report
