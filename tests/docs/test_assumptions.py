"""The places in the code that the list of assumptions names exist."""

import re
from functools import reduce
from importlib import import_module

from sandbox.project import ROOT

PAGE = ROOT / "docs" / "assumptions.md"
HANDLER = "hyperpod_node_removal_handler"
CONTRACT = "hyperpod_node_removal_contract"


def is_there(place: str) -> bool:
    """Whether a place is a decision record, a path (`...` is any one folder), or a name in the
    handler or the contract."""
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


def test_every_place_that_an_assumption_names_is_there() -> None:
    rows = re.findall(r"^\| .* \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[2:]
    places = {place.strip("`") for row in rows for place in row.split(", ")}
    assert len(rows) > 20
    assert [place for place in sorted(places) if not is_there(place)] == []
    assert not is_there("timing.NO_SUCH_LIMIT")
    assert not is_there("constructs/.../no_such_file.py")
    assert not is_there("ADR 999")
