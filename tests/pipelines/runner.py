"""What runs the steps of a pipeline: bash, in a checkout, with the sandbox as its AWS.

Two things are put in the place of others, all of them here: the installation (`INSTALL`), since
the tests' own environment has everything, and programs that talk to the outside (`PROGRAMS`).
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.aws import Sandbox
from sandbox.project import ROOT

STEP_SECONDS: Final = 280

READ_ROLE: Final = "arn:aws:iam::000000000000:role/hyperpod-node-removal-read"
DEPLOY_ROLE: Final = "arn:aws:iam::000000000000:role/hyperpod-node-removal-deploy"
VARIABLES: Final = {
    "AWS_REGION": "us-east-1",
    "REMOVAL_READ_ROLE": READ_ROLE,
    "REMOVAL_DEPLOY_ROLE": DEPLOY_ROLE,
}
"""The variables that a team gives its repository or project."""

INSTALL: Final = "ci/install.sh"
"""The script that is not run."""
INSTALLED: Final = f"ln -s '{ROOT / 'node_modules'}' node_modules"
"""What is run instead of it."""

PROGRAMS: Final = {
    # GitHub's own command line: it keeps what it is given to write.
    "gh": '#!/bin/bash\nprintf \'%s\\n\' "$GH_REPO" "$@" >"$KEPT/gh.arguments"\n'
    'cp -- "${@: -1}" "$KEPT/gh.body"\n',
}

_OF_AWS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass(frozen=True)
class Ran:
    """A script that ran."""

    code: int
    output: str


@dataclass(frozen=True)
class Machine:
    """A runner: a folder for its own files, and the sandbox without any credentials."""

    sandbox: Sandbox
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What every script has. Credentials are not among it: a pipeline has to get them."""
        programs = self.folder / "programs"
        kept = self.folder / "kept"
        for folder in (programs, kept):
            folder.mkdir(exist_ok=True)
        for name, text in PROGRAMS.items():
            (programs / name).write_text(text, encoding="utf-8")
            (programs / name).chmod(0o755)
        given = {k: v for k, v in self.sandbox.environment.items() if k not in _OF_AWS}
        del given["AWS_REGION"], given["AWS_DEFAULT_REGION"]
        return given | {
            "PATH": f"{programs}:{given['PATH']}",
            # the project as these tests have it, wherever its packages are
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "KEPT": str(kept),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def kept(self, name: str) -> str:
        """What one of `PROGRAMS` kept."""
        return (self.folder / "kept" / name).read_text(encoding="utf-8")


def run(script: str, cwd: Path, environment: Mapping[str, str], *, shell: str) -> Ran:
    """Run a script with bash and the options that are in `shell`."""
    assert "${{" not in script, "an expression in a script is code by whoever writes its value"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", *shell.split(), "-c", script.replace(INSTALL, INSTALLED)],
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
        timeout=STEP_SECONDS,
    )
    assert "Traceback" not in done.stdout, done.stdout
    return Ran(done.returncode, done.stdout)
