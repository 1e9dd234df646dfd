"""Where the benchmark's own things are."""

from pathlib import Path
from typing import Final

BENCH: Final = Path(__file__).resolve().parent
ROOT: Final = BENCH.parent
CACHE: Final = ROOT / ".bench"
"""What is unpacked once and kept."""
