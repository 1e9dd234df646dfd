"""The list of assumptions refers to code that exists."""

import re
from functools import reduce
from importlib import import_module

from sandbox.project import ROOT

PAGE = ROOT / "docs" / "assumptions.md"
HANDLER = "hyperpod_node_removal_handler"
CONTRACT = "hyperpod_node_removal_contract"


def exists(place: str) -> bool:
    """Return whether a decision record, a path (`...` is any folder), or a name in the handler or
    the contract exists."""
    if record := re.fullmatch(r"ADR (\d+)", place):
        return any(ROOT.glob(f"docs/adr/{int(record[1]):04}-*.md"))
    if "/" in place:
        return any(ROOT.glob(place.replace("...", "*")))
    module, *names = place.split(".")
    try:
        found = import_module(CONTRACT if module == "contract" else f"{HANDLER}.{module}")
        reduce(getattr, names, found)
    except (ImportError, AttributeError):
        return False
    return True


def test_every_place_that_an_assumption_refers_to_exists() -> None:
    rows = re.findall(r"^\| .* \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[2:]
    places = {place.strip("`") for row in rows for place in row.split(", ")}
    assert len(rows) > 20
    assert [place for place in sorted(places) if not exists(place)] == []
    assert not exists("timing.NO_SUCH_LIMIT")
    assert not exists("constructs/.../no_such_file.py")
    assert not exists("ADR 999")
