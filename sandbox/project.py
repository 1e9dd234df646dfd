"""Where the project is, and the tools that its environment holds."""

import sys
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
