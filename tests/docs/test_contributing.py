"""The contributor's guide leads from a symptom to modules that exist."""

import re

from sandbox.project import ROOT

SOURCES = ("cli", "constructs", "lambda", "release", "shared")


def is_there(place: str) -> bool:
    """Tell whether a place is a path of the repository, or a module of one of the packages."""
    if "/" in place:
        return (ROOT / place).exists()
    name = place.partition(".")[0]
    return any(any((ROOT / source).rglob(f"{name}.py")) for source in SOURCES)


def test_every_module_that_a_symptom_leads_to_is_there() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, text = page.partition("| what you see | where to look |\n| --- | --- |\n")
    rows = [line.strip("| ").split(" | ") for line in text.partition("\n\n")[0].splitlines()]
    assert len(rows) > 10
    places = {place for _, where in rows for place in re.findall(r"`([^`]+)`", where)}
    assert [place for place in sorted(places) if not is_there(place)] == []
    assert not is_there("no_such_module")
