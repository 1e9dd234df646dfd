"""CONTRIBUTING.md leads from symptoms and rules to code that exists."""

import re

import pytest

from sandbox.project import ROOT

SOURCES = ("cli", "constructs", "lambda", "release", "shared")
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SYMPTOMS = "| what you see | where to look |\n| --- | --- |\n"
RULES = "| rule | code | explanation |\n| --- | --- | --- |\n"


def rows(head: str) -> list[list[str]]:
    """Return the cells of a table of the page."""
    _, _, text = PAGE.partition(head)
    return [line.strip("| ").split(" | ") for line in text.partition("\n\n")[0].splitlines()]


def exists(place: str) -> bool:
    """Return whether a path of the repository, or a module of one of the packages, exists."""
    if "/" in place:
        return (ROOT / place).exists()
    name = place.partition(".")[0]
    return any(any((ROOT / source).rglob(f"{name}.py")) for source in SOURCES)


def is_defined(name: str) -> bool:
    """Return whether a module defines a constant, class, or function with this name."""
    definition = re.compile(rf"^(?:class |def )?{re.escape(name)}\b", re.MULTILINE)
    paths = (path for source in SOURCES for path in (ROOT / source).rglob("*.py"))
    return any(definition.search(path.read_text(encoding="utf-8")) for path in paths)


def test_every_symptom_leads_to_a_module_that_exists() -> None:
    symptoms = rows(SYMPTOMS)
    assert len(symptoms) > 10
    places = {place for _, where in symptoms for place in re.findall(r"`([^`]+)`", where)}
    assert [place for place in sorted(places) if not exists(place)] == []
    assert not exists("no_such_module")


@pytest.mark.parametrize(("rule", "code", "explanation"), rows(RULES))
def test_every_rule_is_found_in_two_hops(rule: str, code: str, explanation: str) -> None:
    """The page links to the code, and to a page that explains the rule."""
    places = re.findall(r"`([^`]+)`", code)
    assert [place for place in places if not (exists(place) or is_defined(place))] == []
    assert not is_defined("NO_SUCH_LIMIT")
    (path,) = re.findall(r"\]\(([^)#]+)", explanation)
    (topic,) = re.findall(r"NodeIdInUse|removal|polled|rollback|99", rule)[:1]
    assert topic.replace("polled", "polling") in (ROOT / path).read_text(encoding="utf-8")
