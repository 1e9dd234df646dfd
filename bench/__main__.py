"""Measure everything and write the page: `make bench`.

python -m bench [--quick] [--output FOLDER]
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Final, TypeVar

from bench import plots
from bench.document import document
from bench.machine import this_machine
from bench.project import ROOT
from bench.sections import cold_start, cost, growth, package, removals, synth, truth

T = TypeVar("T")

ROUNDS: Final = 5
PROCESS_ROUNDS: Final = 9
"""Rounds of whole processes, which other processes of the machine disturb."""


def main() -> None:
    """Measure, then write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds of small sets")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="folder of the page")
    given = parser.parse_args()
    output: Path = given.output
    is_quick: bool = given.quick
    machine = this_machine()
    rounds, process_rounds = (2, 2) if is_quick else (ROUNDS, PROCESS_ROUNDS)
    # What is timed comes first and alone; what is in virtual time may use all processors.
    starts = _timed(
        "cold start",
        lambda: cold_start.measure(process_rounds, (99,) if is_quick else cold_start.SIZES),
    )
    synths = _timed("synth", lambda: synth.measure(process_rounds))
    deployed = _timed("package", lambda: _silently(package.measure))
    grown = _timed("growth", lambda: _silently(growth.measure))
    told = _timed("truth", truth.measure)
    sizes = (1, 10, 99) if is_quick else removals.SIZES
    runs = _timed("removals", lambda: removals.measure(rounds, sizes))
    chapters = [
        removals.time_chapter(runs),
        removals.calls_chapter(runs),
        cold_start.chapter(starts),
        package.chapter(deployed),
        synth.chapter(synths),
        truth.chapter(told),
        cost.chapter(runs),
        growth.chapter(grown),
    ]
    folder = output / "benchmarks"
    plots.time_to_done(runs, folder)
    plots.memory(starts, folder)
    plots.growth(grown, folder)
    results = {
        "machine": asdict(machine),
        "rounds": rounds,
        **{chapter.title: chapter.data for chapter in chapters},
    }
    text = json.dumps(results, indent=1)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    page = document(machine, rounds, process_rounds, chapters)
    (output / "benchmarks.md").write_text(page, encoding="utf-8")
    for chapter in chapters:
        for verdict in chapter.verdicts:
            sign = "met   " if verdict.is_met else "MISSED"
            print(f"{sign} {chapter.title}: {verdict.goal}: {verdict.result}")


def _timed(what: str, measure: Callable[[], T]) -> T:
    began = time.monotonic()
    found = measure()
    print(f"{what}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return found


def _silently(measure: Callable[[], T]) -> T:
    """In a process of its own, without what the CDK has to say."""
    with ProcessPoolExecutor(1, initializer=_fall_silent) as pool:
        return pool.submit(measure).result()


def _fall_silent() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


if __name__ == "__main__":
    main()
