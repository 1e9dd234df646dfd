"""The machine of a run, in words: no names of hosts, no paths."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

from sandbox.project import PATH

_PACKAGES: Final = ("aws-cdk-lib", "boto3", "botocore", "crhelper", "cdk-nag")


def this_machine() -> dict[str, str]:
    """The machine that this runs on, its load on average of five minutes, and what it runs."""
    node = subprocess.run(
        ["node", "--version"], env={"PATH": PATH}, capture_output=True, text=True, check=True
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "processor": f"{os.cpu_count()} cores of {_processor()}",
        "memory": f"{memory:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "node": node.stdout.strip().removeprefix("v"),
        **{name: version(name) for name in _PACKAGES},
        "load when it began": f"{os.getloadavg()[1]:.1f}",
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "an unknown kind"
