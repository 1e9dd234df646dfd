"""The real CDK CLI, run against an embedded AWS."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sandbox.project import CDK, ROOT

CDK_SECONDS: Final = 300
"""How long one command may take."""


def run_cdk(
    *args: str,
    environment: Mapping[str, str],
    cwd: Path | None = None,
    check: bool = False,
    on_line: Callable[[str], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the CDK CLI. Its output and its errors come back as one text, `stdout`.

    Args:
        cwd: where the app is. Default: the project.
        check: raise CalledProcessError when it fails.
        on_line: called with each line as it comes.
    """
    command = [str(CDK), *args]
    lines = []
    with subprocess.Popen(
        command,
        cwd=cwd or ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if on_line is not None:
                on_line(line.rstrip("\n"))
        code = process.wait(CDK_SECONDS)
    completed = subprocess.CompletedProcess(command, code, "".join(lines))
    if check:
        completed.check_returncode()
    return completed
