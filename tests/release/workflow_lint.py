"""What linters say of workflows. Each function takes the files it looks at, and fetches nothing."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

_BIN: Final = Path(sys.executable).parent
_CALL: Final = re.compile(
    r"(?P<sourced>\. )?(?P<script>\.?ci/[\w.-]+)(?: (?:\"\$[A-Z_]+\"|[\w./*^-]+))*"
)
"""A script, run or sourced, with quoted variables and words in which the shell changes nothing."""


def loaded(workflow: Path) -> dict[str, Any]:
    """Read a workflow. YAML takes its key `on` for true, which is put right."""
    content: dict[Any, Any] = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    return {"on" if key is True else str(key): value for key, value in content.items()}


def steps(workflow: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each step, with the name of its job."""
    for job, content in loaded(workflow)["jobs"].items():
        for step in content.get("steps", ()):
            yield job, step


def run_lines(workflow: Path) -> list[str]:
    """Return the lines of steps and jobs that run something, in order."""
    if workflow.name == ".gitlab-ci.yml":
        jobs = [job for job in loaded(workflow).values() if isinstance(job, dict)]
        return [
            line
            for job in jobs
            for kind in ("before_script", "script")
            for line in job.get(kind, ())
        ]
    scripts = [step["run"] for _, step in steps(workflow) if "run" in step]
    return [line for script in scripts for line in script.splitlines()]


def schema_problems(files: Sequence[Path], schema: str = "github-workflows") -> str:
    """Return what is not as the schema of such files has it. The schema comes with the tool."""
    tool: list[str | Path] = [_BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}"]
    if schema == "gitlab-ci":
        tool += ["--data-transform", schema]
    done = subprocess.run([*tool, *files], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def security_problems(files: Sequence[Path]) -> list[str]:
    """Return what zizmor finds: expressions in scripts, actions by their tags, ..."""
    tool: list[str | Path] = [_BIN / "zizmor", "--offline", "--no-config"]
    tool += ["--format", "json", "--no-exit-codes"]
    done = subprocess.run([*tool, *files], capture_output=True, text=True, check=True)
    return [
        f"{finding['ident']}: {finding['desc']}: {finding['locations'][0]['symbolic']['key']}"
        for finding in json.loads(done.stdout)
    ]


def script_problems(scripts: Sequence[Path]) -> str:
    """Return what shellcheck finds. Sourced scripts are checked separately."""
    tool: list[str | Path] = [_BIN / "shellcheck", "--shell", "bash", "--exclude", "SC1091"]
    done = subprocess.run([*tool, *scripts], capture_output=True, text=True, check=False)
    return done.stdout


def other_than_calls(workflow: Path, root: Path) -> list[str]:
    """Return the lines that are more than a call of a script that exists below `root`.

    An expression of GitHub is replaced in a line before the shell reads it, so its value is run.
    In `env` it is a value.
    """
    return [
        line
        for line in run_lines(workflow)
        if not (call := _CALL.fullmatch(line))
        or not os.access(root / call["script"], os.R_OK if call["sourced"] else os.X_OK)
    ]
