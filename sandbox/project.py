"""The project's folder, and the command line tools of its environment."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CDK: Final = ROOT / "node_modules" / ".bin" / "cdk"
"""The CDK CLI, as package-lock.json pins it."""
AWS: Final = Path(sys.executable).parent / "aws"
"""The AWS CLI, as requirements.lock pins it."""
PATH: Final = ":".join(
    [str(Path(sys.executable).parent), str(CDK.parent), "/usr/local/bin", "/usr/bin", "/bin"]
)
"""`PATH` for tools: this Python and its Node.js first."""
_SECONDS: Final = 300
"""How long one command may take."""
_TRIES: Final = 5
_SAME_SECOND: Final = re.compile(
    r"AlreadyExistsException.*ChangeSet \[awscli-cloudformation-package-deploy-[0-9]+\]"
)
"""`deploy` names its change set by the second. On AWS, no stack is so fast that two collide."""


def run_cdk(
    *args: str, environment: Mapping[str, str], cwd: Path | None = None, check: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the CDK CLI. Its output and its errors are one text, `stdout`.

    Args:
        cwd: where the app is. Default: the project.
        check: raise CalledProcessError if it fails.
    """
    done = _run([str(CDK), *args], environment, cwd)
    if check:
        done.check_returncode()
    return done


def run_aws(
    *args: str, environment: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the AWS CLI. Its output and its errors are one text, `stdout`.

    Args:
        cwd: where files that it reads are. Default: the project.
    """
    for _ in range(_TRIES):
        done = _run([str(AWS), *args], {**environment, "AWS_PAGER": ""}, cwd)
        if not _SAME_SECOND.search(done.stdout):
            break
    return done


def _run(
    command: list[str], environment: Mapping[str, str], cwd: Path | None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd or ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=_SECONDS,
        check=False,
    )
