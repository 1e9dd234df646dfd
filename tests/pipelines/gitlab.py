"""GitLab CI on this machine: reads `.gitlab-ci.yml` and runs the jobs of a pipeline."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import yaml

from tests.pipelines.repository import EXAMPLE, Repository, check_out
from tests.pipelines.runner import VARIABLES, Machine, run

# What a runner's bash script begins with: gitlab-runner, shells/bash.go
SHELL: Final = "-e -o pipefail"

PREDEFINED: Final = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "CI_DEFAULT_BRANCH": "main",
    "CI_JOB_ID": "11",
    "CI_PROJECT_ID": "5",
    "GITLAB_CI": "true",
}
_KEYWORDS: Final = frozenset({"default", "stages", "variables", "workflow"})
_VARIABLE: Final = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")


@dataclass
class JobRun:
    """What came of a job."""

    result: str
    """success or failure."""
    log: str = ""
    workspace: Path = Path()
    reports: dict[str, list[Path]] = field(default_factory=dict)


class GitLab:
    """A pipeline of the example at one commit of a repository."""

    def __init__(
        self, machine: Machine, repository: Repository, commit: str, **variables: str
    ) -> None:
        text = (EXAMPLE / ".gitlab-ci.yml").read_text(encoding="utf-8")
        self._content: dict[str, Any] = yaml.safe_load(text)
        self._machine, self._repository, self._commit = machine, repository, commit
        self.variables = VARIABLES | PREDEFINED | variables
        self._changed = self._changes()

    def pipeline(self) -> dict[str, JobRun]:
        """Run the jobs whose rules hold, stage by stage, until one fails."""
        runs: dict[str, JobRun] = {}
        if self._rule(self._content["workflow"]["rules"]) is None:
            return runs
        for name, job, when in self._jobs():
            failed = any(run.result == "failure" for run in runs.values())
            if not failed or when == "always":
                runs[name] = self._run(name, job, runs)
        return runs

    def _jobs(self) -> Iterator[tuple[str, dict[str, Any], str]]:
        stages = [".pre", *self._content["stages"], ".post"]
        jobs = {name: job for name, job in self._content.items() if name not in _KEYWORDS}
        for stage in stages:
            for name, job in jobs.items():
                if job["stage"] == stage and (when := self._rule(job["rules"])):
                    yield name, job, when

    def _rule(self, rules: list[dict[str, Any]]) -> str | None:
        """`when` of the first rule that holds."""
        for rule in rules:
            changes = rule.get("changes")
            changed = changes is None or any(
                fnmatchcase(file, pattern) for file in self._changed for pattern in changes
            )
            if changed and self._holds(rule["if"]):
                return str(rule.get("when", "on_success"))
        return None

    def _holds(self, condition: str) -> bool:
        """`$A == "b" && $C == $D && $E`."""
        for part in condition.split(" && "):
            left, equal, right = part.partition(" == ")
            if not equal and not self._value(left):
                return False
            if equal and self._value(left) != self._value(right):
                return False
        return True

    def _value(self, word: str) -> str | None:
        if word.startswith('"'):
            return word.strip('"')
        return self.variables.get(word.removeprefix("$"))

    def _changes(self) -> list[str]:
        before = self.variables.get("CI_COMMIT_BEFORE_SHA", "")
        if not before.strip("0"):
            return ["removals/any.yaml"]
        return self._repository.git("diff", "--name-only", before, self._commit).splitlines()

    def _run(self, name: str, job: Mapping[str, Any], runs: Mapping[str, JobRun]) -> JobRun:
        workspace = self._machine.folder / name
        check_out(self._repository.folder, self._commit, workspace, depth=0)
        for needed in job.get("needs", ()):
            source = runs[needed["job"]].workspace / "results"
            if source.exists():
                (workspace / "results").mkdir()
                for file in source.iterdir():
                    (workspace / "results" / file.name).write_bytes(file.read_bytes())
        given = self._machine.environment | self.variables
        given |= {
            key: _VARIABLE.sub(lambda found: given.get(found[1], ""), value)
            for key, value in {**self._content["variables"], **job.get("variables", {})}.items()
        }
        for token, wanted in job.get("id_tokens", {}).items():
            given[token] = json.dumps({"aud": wanted["aud"]})
        before = job.get("before_script", self._content["default"]["before_script"])
        ran = run("\n".join([*before, *job["script"]]), workspace, given, shell=SHELL)
        reports = job.get("artifacts", {}).get("reports", {})
        return JobRun(
            "success" if ran.code == 0 else "failure",
            ran.output,
            workspace,
            {kind: sorted(workspace.glob(pattern)) for kind, pattern in reports.items()},
        )
