"""GitHub Actions on this machine: reads a workflow and runs its jobs, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.pipelines.actions import ACTIONS, Job
from tests.pipelines.expressions import Expressions, as_text
from tests.pipelines.repository import EXAMPLE, Repository
from tests.pipelines.runner import VARIABLES, Machine, run
from tests.release.workflow_lint import loaded

# docs.github.com, "Workflow syntax": what `shell: bash` stands for
SHELL: Final = "-e -o pipefail"


@dataclass
class JobRun:
    """What came of a job, or of one of its matrix."""

    result: str
    """success, failure or skipped."""
    log: str = ""
    ran: list[str] = field(default_factory=list)
    """Names of the steps that ran."""
    failed: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    summary: str = ""
    group: str = ""
    """The concurrency group."""


class GitHub:
    """A workflow of the example at one commit of a repository."""

    def __init__(
        self, machine: Machine, workflow: str, repository: Repository, commit: str, **github: Any
    ) -> None:
        self.machine = machine
        self.artifacts = machine.folder / "artifacts"
        self.artifacts.mkdir(exist_ok=True)
        self._workflow = loaded(EXAMPLE / ".github" / "workflows" / workflow)
        self._repository, self._commit = repository, commit
        self._contexts: dict[str, Any] = {
            "github": {"repository": "team/removals", "sha": commit, "token": "t", **github},
            "vars": VARIABLES,
            "inputs": {},
        }
        self._done: dict[str, dict[str, Any]] = {}
        """Jobs that ran: result and outputs."""

    def dispatch(self, **inputs: str) -> None:
        """Give what a person fills in."""
        self._contexts["inputs"] = inputs

    def job(self, name: str) -> JobRun:
        """Run a job that has no matrix."""
        (made,) = self.matrix(name)
        return made

    def matrix(self, name: str) -> list[JobRun]:
        """Run a job once for each entry of its matrix, after what it needs."""
        job = self._workflow["jobs"][name]
        needed = job.get("needs", [])
        needed = [needed] if isinstance(needed, str) else needed
        self._contexts["needs"] = {other: self._done[other] for other in needed}
        needs = [self._done[other]["result"] for other in needed]
        status = {
            "success": lambda: all(result == "success" for result in needs),
            "failure": lambda: "failure" in needs,
            "cancelled": lambda: False,
        }
        if not Expressions(self._contexts, status).condition(job.get("if")):
            made = [JobRun("skipped")]
        else:
            made = [self._run(name, job, entry) for entry in self._entries(job)]
        worst = "failure" if any(run.result == "failure" for run in made) else made[0].result
        self._done[name] = {"result": worst, "outputs": made[0].outputs}
        return made

    def _entries(self, job: Mapping[str, Any]) -> list[dict[str, str]]:
        matrix = job.get("strategy", {}).get("matrix")
        if matrix is None:
            return [{}]
        ((key, values),) = matrix.items()
        return [{key: value} for value in Expressions(self._contexts).filled(values)]

    def _run(self, name: str, content: Mapping[str, Any], entry: Mapping[str, str]) -> JobRun:
        folder = self.machine.folder / "-".join([name, *entry.values()])
        folder.mkdir()
        steps: dict[str, Any] = {}
        contexts = self._contexts | {"matrix": entry, "steps": steps}
        made = JobRun("success")
        status = {
            "success": lambda: not made.failed,
            "failure": lambda: bool(made.failed),
            "cancelled": lambda: False,
        }
        expressions = Expressions(contexts, status)
        job = Job(
            sandbox=self.machine.sandbox,
            origin=self._repository.folder,
            commit=self._commit,
            workspace=folder / "workspace",
            artifacts=self.artifacts,
            permissions=content["permissions"],
            environment=self.machine.environment
            | {"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_REPOSITORY": "team/removals"}
            | self._filled(expressions, content.get("env")),
            roles=made.roles,
        )
        job.environment["GITHUB_STEP_SUMMARY"] = str(folder / "summary")
        made.group = expressions.filled(content.get("concurrency", {}).get("group", ""))
        for step in content["steps"]:
            known = steps.setdefault(step.get("id", step["name"]), {"outcome": "skipped"})
            if not expressions.condition(step.get("if")):
                continue
            made.ran.append(step["name"])
            known["outcome"] = self._step(step, job, made, known, expressions)
            if known["outcome"] == "failure":
                made.failed.append(step["name"])
                made.result = "failure"
        made.outputs = self._filled(expressions, content.get("outputs"))
        if (folder / "summary").exists():
            made.summary = (folder / "summary").read_text(encoding="utf-8")
        return made

    def _step(
        self,
        step: Mapping[str, Any],
        job: Job,
        made: JobRun,
        known: dict[str, Any],
        expressions: Expressions,
    ) -> str:
        if "uses" in step:
            inputs = {k: expressions.filled(v) for k, v in step.get("with", {}).items()}
            ACTIONS[step["uses"].partition("@")[0]](job, inputs)
            return "success"
        job.workspace.mkdir(exist_ok=True)
        output = job.workspace.with_name("output")
        output.write_text("", encoding="utf-8")
        given = job.environment | self._filled(expressions, step.get("env"))
        ran = run(step["run"], job.workspace, given | {"GITHUB_OUTPUT": str(output)}, shell=SHELL)
        made.log += ran.output
        lines = output.read_text(encoding="utf-8").splitlines()
        known["outputs"] = dict(line.split("=", 1) for line in lines)
        return "success" if ran.code == 0 else "failure"

    @staticmethod
    def _filled(expressions: Expressions, values: Mapping[str, Any] | None) -> dict[str, str]:
        return {key: as_text(expressions.filled(v)) for key, v in (values or {}).items()}
