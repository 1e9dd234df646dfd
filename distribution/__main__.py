"""Makes `dist/`: `python -m distribution [FOLDER]`."""

import sys
from pathlib import Path

from distribution.folder import write_distribution

write_distribution(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"))
