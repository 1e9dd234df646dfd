"""cfn-lint as a user runs it."""

import subprocess
import sys
from pathlib import Path

REGIONS = ("us-east-1", "us-west-2")


def cfn_lint(*templates: Path, rules: Path | None = None, ignored: tuple[str, ...] = ()) -> str:
    """What cfn-lint finds, empty if nothing. `rules` has further rules, `ignored` some to skip."""
    command = [str(Path(sys.executable).parent / "cfn-lint"), "--regions", *REGIONS]
    if rules is not None:
        command += ["--append-rules", str(rules)]
    if ignored:
        command += ["--ignore-checks", *ignored]
    command += ["--template", *map(str, templates)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bool(done.returncode) == bool(done.stdout), done.stderr
    return done.stdout
