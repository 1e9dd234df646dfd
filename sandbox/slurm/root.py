"""The chroot with Slurm's daemons, made once by `make slurm`: 35 s, 285 MB.

Debian 12's Slurm has a REST API that cannot change a node, so this is Debian 13's, from the archive
that the machine's own apt is set up for.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from sandbox.project import ROOT as PROJECT

FOLDER: Final = PROJECT / ".slurm"
ROOT: Final = FOLDER / "root"
MISSING: Final = "there is no Slurm on this machine; `make slurm` prepares it, as root on Debian"
_READY: Final = FOLDER / "ready"
_SUITE: Final = "trixie"
_PACKAGES: Final = (
    "munge",
    "slurm-client",
    "slurm-wlm-basic-plugins",
    "slurm-wlm-jwt-plugin",
    "slurmctld",
    "slurmd",
    "slurmrestd",
)


class PrepareError(Exception):
    """Slurm cannot be prepared here. The text is a sentence."""


def is_prepared() -> bool:
    """Whether Slurm can be started here."""
    return _READY.exists() and os.geteuid() == 0


def prepare() -> None:
    """Make the chroot, unless it is there.

    Raises:
        PrepareError: this machine is not one for it.
    """
    if is_prepared():
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise PrepareError("Slurm can be prepared as root on Debian only.")
    if shutil.which("debootstrap") is None:
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "debootstrap")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    packages = f"--include={','.join(_PACKAGES)}"
    _run("debootstrap", "--variant=minbase", packages, _SUITE, str(ROOT), _archive())
    _READY.touch()


def _archive() -> str:
    """Where this machine's apt gets Debian's packages from."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for file in sources:
        if not file.is_file() or file.suffix not in {".list", ".sources"}:
            continue
        text = file.read_text(encoding="utf-8")
        for line in text.splitlines():
            found = re.match(r"(?:deb\s+(?:\[[^\]]*\]\s+)?|URIs:\s*)(\S+?/debian/?)(?:\s|$)", line)
            if found:
                return found[1]
    raise PrepareError("The settings of apt name no archive of Debian.")


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        raise PrepareError(f"`{command[0]}` failed.")
