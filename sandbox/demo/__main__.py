"""Runs the demo. Exits with 1 when something did not go as told."""

import sys

from sandbox.demo.screen import Screen
from sandbox.demo.story import Unexpected, tell
from sandbox.process import SandboxError

try:
    tell(Screen())
except (SandboxError, Unexpected) as error:
    sys.exit(f"\nThis did not go as told: {error}")
except KeyboardInterrupt:
    sys.exit(130)
