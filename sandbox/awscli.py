"""The real AWS CLI, run against an embedded AWS."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sandbox.project import AWS, ROOT

AWS_SECONDS: Final = 300
"""How long one command may take."""
_TRIES: Final = 5
_SAME_SECOND: Final = re.compile(
    r"AlreadyExistsException.*ChangeSet \[awscli-cloudformation-package-deploy-[0-9]+\]"
)
"""`deploy` calls its change set by the second, and nothing on AWS is so fast that two of one stack
meet."""


def run_aws(
    *args: str, environment: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the AWS CLI. Its output and its errors come back as one text, `stdout`.

    Args:
        cwd: where files that it names are. Default: the project.
    """
    for _ in range(_TRIES):
        done = _run(args, environment, cwd or ROOT)
        if not _SAME_SECOND.search(done.stdout):
            break
    return done


def _run(
    args: tuple[str, ...], environment: Mapping[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(AWS), *args],
        cwd=cwd,
        env={**environment, "AWS_PAGER": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=AWS_SECONDS,
        check=False,
    )
