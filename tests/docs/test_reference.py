"""The contract reference tells the whole contract."""

import re

from constructs import Construct

import hyperpod_node_removal
import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract import Attribute, FailureCode, Outcome, Property
from hyperpod_node_removal_contract.properties import BY_KEY
from release.contract_reference import TABLES, allowed, documented, filled
from sandbox.project import ROOT

PAGE = filled((ROOT / "docs" / "contract.md").read_text(encoding="utf-8"))


def rows(heading: str) -> dict[str, list[str]]:
    """The table under a heading, by its first cell."""
    _, _, text = PAGE.partition(f"{heading}\n")
    found = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert found
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in found[0].splitlines()
    ]
    head, _, *body = cells
    assert all(len(row) == len(head) for row in body)
    return {row[0].strip("`"): row[1:] for row in body}


def test_everything_of_the_contract_is_there_and_told() -> None:
    for heading, names in (
        (f"## Properties of `{contract.RESOURCE_TYPE}`", Property),
        ("## Attributes", Attribute),
        ("## Outcomes", Outcome),
        ("## Codes of failed nodes", FailureCode),
        ("## Warnings at synth", hyperpod_node_removal.RemovalWarning),
        ("## Removal file", BY_KEY),
    ):
        told = rows(heading)
        assert set(told) == {str(name) for name in names}
        assert all(row[0] for row in told.values())


def test_every_table_stands_in_the_page_once() -> None:
    page = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"<!-- table: (.*) -->", page)) == sorted(TABLES)


def test_every_number_has_a_meaning() -> None:
    numbers = rows("## Limits")
    assert numbers["MAX_NODES"][0] == "3,000"
    assert all(meaning for _, meaning in numbers.values())


def test_what_is_allowed_is_what_the_function_says() -> None:
    told = {name: allowed(name) for name in Property}
    assert told[Property.RETRY_FOR] == "0 to 3600 seconds"
    assert told[Property.ON_PARTIAL_FAILURE] == "FAIL or REPORT"
    assert [name for name, text in told.items() if not text] == [Property.SERVICE_TOKEN]


def test_every_argument_of_every_public_construct_is_told() -> None:
    public = [getattr(hyperpod_node_removal, name) for name in hyperpod_node_removal.__all__]
    constructs = [kind for kind in public if isinstance(kind, type) and issubclass(kind, Construct)]
    assert constructs
    for kind in constructs:
        assert list(rows(f"### `{kind.__name__}`")) == list(kind.__init__.__annotations__)[:-1]


def test_a_string_belongs_to_the_name_before_it() -> None:
    source = 'A = 1\n"""About\n  A."""\nB: int = 2\nprint()\n"""About nothing."""\n'
    assert documented(source) == {"A": "About A.", "B": ""}
