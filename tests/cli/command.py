"""The command as a user runs it, in a process of its own or in this one."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hyperpod_node_removal_cli.main import main

SECONDS = 120


@dataclass
class Command:
    """`hyperpod-node-removal` in a folder, without this machine's configuration of AWS."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": os.environ["PATH"]})

    def __call__(self, *arguments: str, stdin: str = "") -> "Done":
        environment = {"HOME": str(self.folder), **self.environment, "LANG": "C.UTF-8"}
        done = self._run(arguments, environment, stdin)
        assert "Traceback" not in done.err, done.err
        return done

    def _run(self, arguments: Sequence[str], environment: dict[str, str], stdin: str) -> "Done":
        """Run `main` in this process."""
        out, err = io.StringIO(), io.StringIO()
        given = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
        with (
            patch.dict(os.environ, environment, clear=True),
            patch.object(sys, "stdin", given),
            chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                code = main(arguments)
            except SystemExit as error:
                code = int(error.code or 0)
        return Done(code, out.getvalue(), err.getvalue())

    def write(self, text: str, name: str = "removals.yaml") -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return name


class CommandProcess(Command):
    """The same in a process of its own."""

    def _run(self, arguments: Sequence[str], environment: dict[str, str], stdin: str) -> "Done":
        done = subprocess.run(
            [sys.executable, "-m", "hyperpod_node_removal_cli", *arguments],
            cwd=self.folder,
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=SECONDS,
        )
        return Done(done.returncode, done.stdout, done.stderr)


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
