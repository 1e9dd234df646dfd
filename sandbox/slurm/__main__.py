"""Prepare Slurm for the sandbox and the tests: `make slurm`."""

import sys

from sandbox.slurm.root import PrepareError, prepare

try:
    prepare()
except PrepareError as error:
    sys.exit(f"Slurm is not prepared, and the tests that need it are skipped: {error}")
