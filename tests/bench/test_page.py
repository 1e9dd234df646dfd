"""The page that `make bench` writes."""

import json
import re
from pathlib import Path

import pytest

from bench.project import ROOT
from bench.spread import Spread
from bench.telling import table
from bench.virtual_time import VirtualClock

PAGE = ROOT / "docs" / "benchmarks.md"


def test_every_goal_has_a_verdict() -> None:
    text = PAGE.read_text(encoding="utf-8")
    goals = text.partition("## Goals")[2].partition("\n## ")[0].splitlines()
    rows = [line for line in goals if re.match(r"\| \d", line)]
    assert {int(row.split(".")[0].strip("| ")) for row in rows} == set(range(1, 9))
    assert all(row.endswith(("| met |", "| **missed** |")) for row in rows)


def test_every_plot_is_there() -> None:
    plots = re.findall(r"\]\((benchmarks/[^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert len(plots) == 3
    assert all((PAGE.parent / plot).is_file() for plot in plots)


@pytest.mark.parametrize("name", ["benchmarks.md", "benchmarks/results.json"])
def test_nothing_tells_where_it_was_made(name: str) -> None:
    text = (PAGE.parent / name).read_text(encoding="utf-8")
    assert not re.search(
        r"/(?:work|tmp|home|root|Users)/|https?://(?!127)[a-z0-9.-]*registry", text
    )
    assert str(Path.home()) not in text


def test_the_results_are_kept_for_comparison() -> None:
    results = json.loads((PAGE.parent / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    assert results["rounds"] >= 5
    assert {"machine", "Time to done", "Calls", "Package", "Truth under partial failure"} <= set(
        results
    )


def test_a_cell_keeps_its_place_in_the_table() -> None:
    assert table(["a"], [["x|y\nz"]]).splitlines()[-1] == "| x\\|y z |"


def test_ratios_are_taken_round_by_round() -> None:
    assert Spread.of_ratios([1.0, 4.0, 9.0], [1.0, 2.0, 3.0]).text(0) == "2 (1 to 3)"


def test_time_passes_for_whoever_waits() -> None:
    clock = VirtualClock()
    began = clock.now()
    seen: list[float] = []
    clock.timer(5.0, lambda: seen.append(clock.now() - began))
    with clock.invocation(8.0):
        clock.sleep(20.0)
    assert seen == [5.0]
    assert clock.now() - began == 8.0
