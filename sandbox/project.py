"""The project's folder, and the CDK CLI of its environment."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CDK: Final = ROOT / "node_modules" / ".bin" / "cdk"
"""The CDK CLI, as package-lock.json pins it."""
BOOTSTRAP: Final = ROOT / "node_modules/aws-cdk/lib/api/bootstrap/bootstrap-template.yaml"
"""The template that it deploys for `cdk bootstrap`."""
PATH: Final = ":".join(
    [str(Path(sys.executable).parent), str(CDK.parent), "/usr/local/bin", "/usr/bin", "/bin"]
)
"""`PATH` for tools: this Python and its Node.js first."""
_SECONDS: Final = 300
"""How long one command may take."""


def run_cdk(
    *args: str, environment: Mapping[str, str], cwd: Path | None = None, check: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the CDK CLI. Its output and its errors are one text, `stdout`.

    Args:
        cwd: where the app is. Default: the project.
        check: raise CalledProcessError if it fails.
    """
    return subprocess.run(
        [str(CDK), *args],
        cwd=cwd or ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=_SECONDS,
        check=check,
    )
