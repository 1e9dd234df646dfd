"""A team's Git repository with the example, whose scripts run on this machine.

The scripts call AWS in the sandbox. Of all other commands, only `gh` is replaced. Everything that
`ci/install.sh` installs is already installed. Only `test_page` runs that script.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.project import ROOT

EXAMPLE: Final = ROOT / "examples" / "pipelines"
REGION: Final = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
ROLE: Final = {"AWS_ACCESS_KEY_ID": "role", "AWS_SECRET_ACCESS_KEY": "role", **REGION}
"""The credentials of a role in a job. Without them, a script cannot call AWS."""
GITHUB: Final = {"GITHUB_ACTIONS": "true"}
GITLAB: Final = {
    "GITLAB_CI": "true",
    "AWS_ID_TOKEN": '{"aud": "sts.amazonaws.com"}',
    "CI_JOB_ID": "11",
    **REGION,
}
ROLE_ARN: Final = "arn:aws:iam::000000000000:role/hyperpod-node-removal-{}"
IGNORED: Final = shutil.ignore_patterns("cdk.out", "node_modules", "results", "__pycache__")
"""Files that a checkout of the example does not have."""

_SCRIPT_SECONDS: Final = 280
_GIT_ENVIRONMENT: Final = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{role}_NAME": "A team" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_EMAIL": "team@example.com" for role in ("AUTHOR", "COMMITTER")},
}
# Saves its arguments, and the text of the comment.
_GH: Final = 'printf "%s\\n" "$GH_REPO" "$@" >"$SAVED/arguments"\ncat >"$SAVED/body"'


@dataclass(frozen=True)
class Ran:
    """The exit code and the output of a script."""

    code: int
    log: str


def bash(script: str, folder: Path, environment: Mapping[str, str]) -> Ran:
    """Run a script as CI runners do, without this machine's Git configuration."""
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=_GIT_ENVIRONMENT | dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
        timeout=_SCRIPT_SECONDS,
    )
    return Ran(done.returncode, done.stdout)


def stand_in(folder: Path, commands: Mapping[str, str]) -> None:
    """Write executable shell scripts, by name, to the folder `bin` of a folder."""
    (folder / "bin").mkdir(exist_ok=True)
    for name, script in commands.items():
        file = folder / "bin" / name
        file.write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{script}\n", encoding="utf-8")
        file.chmod(0o755)


class Team:
    """A checkout of a repository with the example on `main`, without removal files."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder / "checkout"
        self.saved = folder / "saved"
        """The folder with the arguments and the input of `gh`."""
        shutil.copytree(EXAMPLE, self.folder, ignore=IGNORED)
        shutil.rmtree(self.folder / "removals")
        (self.folder / "node_modules").symlink_to(ROOT / "node_modules")
        self.saved.mkdir()
        stand_in(self.saved, {"gh": _GH})
        # `node_modules/` in .gitignore matches a folder, but this is a link
        self.git("init", "--quiet", "--initial-branch", "main")
        (self.folder / ".git" / "info" / "exclude").write_text("node_modules\n", encoding="utf-8")
        self.first = self.commit({})

    def git(self, *arguments: str) -> str:
        """Run a Git command, and return its output."""
        done = bash(shlex.join(["git", *arguments]), self.folder, {"PATH": os.environ["PATH"]})
        assert done.code == 0, done.log
        return done.log.strip()

    def commit(self, files: Mapping[str, str | None]) -> str:
        """Commit changes of files, of which None deletes one, and return the commit."""
        for name, text in files.items():
            path = self.folder / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Change")
        return self.git("rev-parse", "HEAD")

    def pull_request(self, files: Mapping[str, str | None]) -> str:
        """Check out a merge of these changes into main, as GitHub does, and return their commit."""
        self.git("checkout", "--quiet", "-b", "change")
        head = self.commit(files)
        self.git("checkout", "--quiet", "--detach", "main")
        self.git("merge", "--quiet", "--no-ff", "--message", "Merge", "change")
        return head

    def run(self, script: str, **variables: str) -> Ran:
        """Run the script of a step or job, with these environment variables."""
        sandbox = self.sandbox.environment
        environment = {key: value for key, value in sandbox.items() if key not in ROLE} | {
            "PATH": f"{self.saved / 'bin'}:{sandbox['PATH']}",
            # the project and its packages in this environment
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "SAVED": str(self.saved),
        }
        done = bash(script, self.folder, environment | variables)
        assert "Traceback" not in done.log, done.log
        return done

    def result(self, name: str) -> Any:
        """Return a JSON document that a script wrote to `results`."""
        return json.loads((self.folder / "results" / name).read_text(encoding="utf-8"))


def github(workflow: str, job: str, step: str) -> str:
    """Return the script of a step of a workflow."""
    text = (EXAMPLE / ".github" / "workflows" / workflow).read_text(encoding="utf-8")
    steps = yaml.safe_load(text)["jobs"][job]["steps"]
    (found,) = (each["run"] for each in steps if each["name"] == step)
    return str(found)


def gitlab(job: str) -> str:
    """Return the script of a GitLab CI job."""
    text = (EXAMPLE / ".gitlab-ci.yml").read_text(encoding="utf-8")
    return "\n".join(yaml.safe_load(text)[job]["script"])


def path(cluster: Cluster) -> str:
    """Return the path of the removal file of a cluster."""
    return f"removals/{cluster.name}.yaml"


def removals(cluster: Cluster, nodes: Iterable[str], more: str = "") -> str:
    """Return the text of a removal file, with the first node in line 3."""
    lines = "".join(f"  - {node}\n" for node in nodes)
    return f"cluster: {cluster.name}\nnode_ids:\n{lines}{more}"
