"""cfn-lint as a user runs it."""

import subprocess
import sys
from pathlib import Path

REGIONS = ("us-east-1", "us-west-2")


def cfn_lint(*templates: Path, schemas: Path | None = None) -> str:
    """What cfn-lint finds, empty if nothing. `schemas` has the schemas of further types."""
    command = [str(Path(sys.executable).parent / "cfn-lint"), "--regions", *REGIONS]
    if schemas is not None:
        command += ["--registry-schemas", str(schemas)]
    command += ["--template", *map(str, templates)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bool(done.returncode) == bool(done.stdout), done.stderr
    return done.stdout
