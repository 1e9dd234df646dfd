"""The page that `make bench` writes."""

import json
import re
from pathlib import Path

import pytest

from bench.reporting import Chapter, Verdict, page, results, table
from bench.scenario import Case
from bench.sections import removals
from bench.shapes import LIMITED_CASES, Shape, shapes
from sandbox.project import ROOT

SMALL = (
    Shape("2 of 20", (Case(2, 20, 5.0), Case(2, 20, 9.0, seed=1)), "within 5 to 9 s"),
    Shape("2 of 20, 1 refused", (Case(2, 20, refused=1),), "within 60 s"),
    Shape("2 of 250, 3 calls a second", (Case(2, 250, rate=3.0),), "within 60 s"),
)


@pytest.fixture(scope="module")
def chapter() -> Chapter:
    return removals.chapter(removals.measure(SMALL, 1))


def test_every_shape_is_in_the_page_with_its_goals_and_the_scripts(chapter: Chapter) -> None:
    goals, peers = chapter.tables
    assert [line.split(" | ")[0] for line in goals.splitlines()[2:]] == [
        f"| {shape.name}" for shape in SMALL
    ]
    assert all(peer.name in peers for peer in removals.PEERS)
    assert peers.count(" s, ") == len(SMALL) * len(removals.PEERS)
    assert {verdict.is_met for verdict in chapter.verdicts} <= {True, False}


def test_the_page_begins_with_the_goals_and_has_the_limits_of_a_test(chapter: Chapter) -> None:
    text = page({"system": "Linux"}, [chapter])
    head, _, rest = text.partition("## 1. ")
    assert head.count("| 1. How far from the bound |") == len(chapter.verdicts)
    assert rest.index(chapter.tables[0]) < rest.index(chapter.what)
    assert all(limited.name in chapter.what for limited in LIMITED_CASES)


def test_the_results_have_one_row_a_line(chapter: Chapter) -> None:
    text = results({"system": "Linux"}, [chapter])
    rows = json.loads(text)["rows"]
    assert len(rows) == len(SMALL) * len(removals.PEERS)
    assert text.count("\n") == len(rows) + 3
    assert all(len(row["seconds"]) == len(row["calls"]["BatchDeleteClusterNodes"]) for row in rows)


def test_what_cannot_be_measured_is_no_miss() -> None:
    assert [Verdict("", is_met, "").word for is_met in (True, False, None)] == [
        "met",
        "**missed**",
        "not measured",
    ]


def test_no_two_shapes_have_the_same_name_and_times() -> None:
    names = [(shape.name, shape.leaves) for shape in shapes()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["benchmarks.md", "benchmarks/results.json"])
def test_no_file_says_where_it_was_made(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert not re.search(
        r"/(?:work|tmp|home|root|Users)/|https?://(?!127)[a-z0-9.-]*registry", text
    )
    assert str(Path.home()) not in text


def test_every_file_that_the_page_names_exists() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`((?:bench|tests)/[\w/]+\.py)`", text))
    names |= {f"{one.replace('.', '/')}.py" for one in re.findall(r"`python -m ([\w.]+)`", text)}
    assert len(names) > 5
    assert [name for name in sorted(names) if not (ROOT / name).is_file()] == []


def test_a_cell_keeps_its_place_in_the_table() -> None:
    assert table(["a"], [["x|y\nz"]]).splitlines()[-1] == "| x\\|y z |"
