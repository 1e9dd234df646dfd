"""Measure everything and write the page: `make bench`.

python -m bench [--quick] [--output FOLDER]
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.machine import this_machine
from bench.project import ROOT
from bench.reporting import Chapter, page, results
from bench.sections import package, removals, start, truth
from bench.shapes import quick, shapes


def main() -> None:
    """Measure, then write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of few small shapes")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="folder of the page")
    given = parser.parse_args()
    output: Path = given.output
    machine = this_machine()
    measured = list(quick() if given.quick else shapes())
    chapters = [
        _timed(lambda: removals.chapter(removals.measure(measured, os.cpu_count() or 1))),
        _timed(lambda: truth.chapter(truth.measure())),
        _timed(lambda: package.chapter(package.measure())),
        _timed(lambda: start.chapter(start.measure())),
    ]
    text = ", ".join(f"{name} {value}" for name, value in machine.items())
    (output / "benchmarks").mkdir(parents=True, exist_ok=True)
    (output / "benchmarks.md").write_text(page(text, chapters), encoding="utf-8")
    rows = results(machine, chapters)
    (output / "benchmarks" / "results.json").write_text(rows, encoding="utf-8")
    for chapter in chapters:
        for verdict in chapter.verdicts:
            print(f"{verdict.word}: {chapter.title}: {verdict.goal}: {verdict.result}")


def _timed(measure: Callable[[], Chapter]) -> Chapter:
    began = time.monotonic()
    chapter = measure()
    print(f"{chapter.title}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return chapter


if __name__ == "__main__":
    main()
