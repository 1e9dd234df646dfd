"""Run the lines of a workflow locally, with replacements for commands that use the network."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def run_line(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run what a step says in a folder, as GitHub does on Linux.

    Commands in `folder/bin` come first. Of this process's environment only what a shell needs is
    passed on, so nothing is reached that the step does not name.
    """
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", line],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "LANG": os.environ.get("LANG", "C.UTF-8")}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def stand_in(folder: Path, commands: Mapping[str, str]) -> None:
    """Write commands, by name the lines of a shell script, where `run_line` finds them first."""
    (folder / "bin").mkdir(exist_ok=True)
    for name, script in commands.items():
        file = folder / "bin" / name
        file.write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{script}\n", encoding="utf-8")
        file.chmod(0o755)
