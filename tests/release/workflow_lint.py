"""What linters say of GitHub workflows. Every function takes the files it looks at."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

_BIN: Final = Path(sys.executable).parent


@dataclass(frozen=True)
class RunStep:
    """A step that runs a script."""

    place: str
    """For example `ci.yml: ci: .ci/run`."""
    script: str
    shell: str


def loaded(workflow: Path) -> dict[str, Any]:
    """A workflow. YAML takes its key `on` for true, which is put right."""
    content: dict[Any, Any] = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    return {"on" if key is True else str(key): value for key, value in content.items()}


def steps(workflow: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each step, with the name of its job."""
    for job, content in loaded(workflow)["jobs"].items():
        for step in content.get("steps", ()):
            yield job, step


def run_steps(workflow: Path) -> list[RunStep]:
    """The steps that run a script, in order."""
    default = loaded(workflow).get("defaults", {}).get("run", {}).get("shell", "bash")
    return [
        RunStep(
            f"{workflow.name}: {job}: {step.get('name', step['run'].splitlines()[0])}",
            step["run"],
            step.get("shell", default),
        )
        for job, step in steps(workflow)
        if "run" in step
    ]


def schema_problems(files: Sequence[Path], schema: str = "github-workflows") -> str:
    """What is not as the schema of such files has it. The schema comes with the tool."""
    tool: list[str | Path] = [_BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*tool, *files], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def security_problems(files: Sequence[Path]) -> list[str]:
    """What zizmor finds, of whatever severity: templates in scripts, tags for commits, ..."""
    tool: list[str | Path] = [
        _BIN / "zizmor",
        "--offline",
        "--no-config",
        "--format",
        "json",
        "--no-exit-codes",
    ]
    done = subprocess.run([*tool, *files], capture_output=True, text=True, check=True)
    return [
        f"{finding['ident']}: {finding['desc']}: {finding['locations'][0]['symbolic']['key']}"
        for finding in json.loads(done.stdout)
    ]


def script_problems(workflow: Path) -> list[str]:
    """Scripts with an expression in them, or of which shellcheck has something to say.

    An expression is put into a script before the shell reads it, so what it holds is run. In `env`
    it is a value.
    """
    problems = []
    for step in run_steps(workflow):
        if "${{" in step.script:
            problems.append(f"{step.place}: an expression in a script; give it in env")
        done = subprocess.run(
            [_BIN / "shellcheck", "--shell", step.shell, "--format", "gcc", "-"],
            input=step.script,
            capture_output=True,
            text=True,
            check=False,
        )
        problems += [f"{step.place}: {line}" for line in done.stdout.splitlines()]
    return problems
