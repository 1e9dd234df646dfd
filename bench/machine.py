"""The machine of a run, in words: no names of hosts, no paths."""

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from sandbox.project import PATH

_PACKAGES: Final = ("aws-cdk-lib", "boto3", "botocore", "crhelper", "cdk-nag")


@dataclass(frozen=True)
class Machine:
    """What ran the benchmark."""

    processor: str
    cores: int
    memory_gigabytes: int
    system: str
    python: str
    node: str
    packages: dict[str, str]
    load: float
    """Processes that wanted to run when it began, on average of five minutes."""

    @property
    def sentence(self) -> str:
        """All of it in words."""
        packages = ", ".join(f"{name} {number}" for name, number in self.packages.items())
        return (
            f"{self.cores} cores ({self.processor}), {self.memory_gigabytes} GB, {self.system};"
            f" Python {self.python}, Node.js {self.node}; {packages}. Load when it began:"
            f" {self.load:.1f}."
        )


def this_machine() -> Machine:
    """The one that this runs on."""
    node = subprocess.run(
        ["node", "--version"], env={"PATH": PATH}, capture_output=True, text=True, check=True
    )
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gigabytes=round(pages * page / 2**30),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        node=node.stdout.strip().removeprefix("v"),
        packages={name: version(name) for name in _PACKAGES},
        load=os.getloadavg()[1],
    )


def _processor() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor() or "unknown"
