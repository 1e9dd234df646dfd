"""The example as a team has it: a Git repository of its own, with commits and pull requests."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sandbox.project import ROOT

EXAMPLE: Final = ROOT / "examples" / "pipelines"
_IGNORED: Final = ("cdk.out", "node_modules", "results", "__pycache__")


class Repository:
    """The origin, with the example on `main` and no removal file yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(*_IGNORED))
        shutil.rmtree(folder / "removals")
        self.git("init", "--quiet", "--initial-branch", "main")
        self.first = self.commit({}, "Begin")

    def git(self, *arguments: str) -> str:
        """What a command of Git prints. Nothing of this machine's configuration counts."""
        return git(*arguments, cwd=self.folder)

    def commit(self, files: Mapping[str, str | None], message: str = "Change") -> str:
        """Commit changes of files on the branch that is out; None deletes. Returns the commit."""
        for name, text in files.items():
            path = self.folder / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def pull_request(self, files: Mapping[str, str | None]) -> tuple[str, str]:
        """A branch with one commit, and its merge into main. Returns the two commits."""
        self.git("checkout", "--quiet", "-b", "change")
        head = self.commit(files)
        self.git("checkout", "--quiet", "--detach", "main")
        self.git("merge", "--quiet", "--no-ff", "--message", "Merge", "change")
        merge = self.git("rev-parse", "HEAD")
        self.git("update-ref", "refs/pull/7/merge", merge)
        self.git("checkout", "--quiet", "main")
        return head, merge


def check_out(origin: Path, commit: str, workspace: Path, depth: int) -> None:
    """Fetch one commit with `depth` of its history (0: all), as runners do."""
    workspace.mkdir(parents=True)
    git("init", "--quiet", cwd=workspace)
    shallow = [f"--depth={depth}"] if depth else []
    git("fetch", "--quiet", *shallow, origin.as_uri(), commit, cwd=workspace)
    git("checkout", "--quiet", "FETCH_HEAD", cwd=workspace)


def git(*arguments: str, cwd: Path) -> str:
    """Run Git with an author of its own and nobody's configuration."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=cwd,
        env=_ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


_ENVIRONMENT: Final = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "uploadpack.allowAnySHA1InWant",
    "GIT_CONFIG_VALUE_0": "true",
    **{
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "A team"), ("EMAIL", "team@example.com"))
    },
}
