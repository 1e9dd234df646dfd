"""A real Slurm on this machine: Debian 13's daemons in a chroot, on 127.0.0.1."""

from sandbox.slurm.daemons import Slurm, SlurmStartError, slurm
from sandbox.slurm.root import MISSING, is_prepared

__all__ = ["MISSING", "Slurm", "SlurmStartError", "is_prepared", "slurm"]
