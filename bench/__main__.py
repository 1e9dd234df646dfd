"""Measure everything and write the page: `make bench`.

python -m bench [--quick] [--output FOLDER]
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench.reporting import Chapter, page, results
from bench.sections import package, removals, start, truth
from bench.shapes import quick, shapes
from sandbox.project import PATH, ROOT

_PACKAGES: Final = ("aws-cdk-lib", "boto3", "botocore", "crhelper", "cdk-nag")


def main() -> None:
    """Measure, then write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of few small shapes")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="folder of the page")
    given = parser.parse_args()
    machine = this_machine()
    measured = list(quick() if given.quick else shapes())
    chapters = [
        _timed(lambda: removals.chapter(removals.measure(measured, os.cpu_count() or 1))),
        _timed(lambda: truth.chapter(truth.measure())),
        _timed(lambda: package.chapter(package.measure())),
        _timed(lambda: start.chapter(start.measure())),
    ]
    data = given.output / "benchmarks"
    data.mkdir(parents=True, exist_ok=True)
    (given.output / "benchmarks.md").write_text(page(machine, chapters), encoding="utf-8")
    (data / "results.json").write_text(results(machine, chapters), encoding="utf-8")
    for chapter in chapters:
        for verdict in chapter.verdicts:
            print(f"{verdict.word}: {chapter.title}: {verdict.goal}: {verdict.result}")


def _timed(measure: Callable[[], Chapter]) -> Chapter:
    began = time.monotonic()
    chapter = measure()
    print(f"{chapter.title}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return chapter


def this_machine() -> dict[str, str]:
    """Return this machine, its load, and the versions that it runs, without host names or paths."""
    node = subprocess.run(
        ["node", "--version"], env={"PATH": PATH}, capture_output=True, text=True, check=True
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}",
        "memory": f"{memory:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "node": node.stdout.strip().removeprefix("v"),
        **{name: version(name) for name in _PACKAGES},
        "load when it began": f"{os.getloadavg()[1]:.1f}",
    }


if __name__ == "__main__":
    main()
