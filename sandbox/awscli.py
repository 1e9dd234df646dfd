"""The real AWS CLI, run against an embedded AWS."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sandbox.project import AWS, ROOT

AWS_SECONDS: Final = 300
"""How long one command may take."""


def run_aws(
    *args: str, environment: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the AWS CLI. Its output and its errors come back as one text, `stdout`.

    Args:
        cwd: where files that it names are. Default: the project.
    """
    return subprocess.run(
        [str(AWS), *args],
        cwd=cwd or ROOT,
        env={**environment, "AWS_PAGER": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=AWS_SECONDS,
        check=False,
    )
