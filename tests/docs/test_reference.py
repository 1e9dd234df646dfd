"""The contract reference has the whole contract, and matches the code."""

import re

import hyperpod_node_removal
import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract import Attribute, FailureCode, Outcome, Property
from hyperpod_node_removal_contract.properties import BY_KEY
from hyperpod_node_removal_handler.request import RemovalRequest
from release import contract_reference
from release.contract_reference import documented, tables

PAGE = contract_reference.PAGE.read_text(encoding="utf-8")
PROPERTIES = f"## Properties of `{contract.RESOURCE_TYPE}`"


def rows(heading: str) -> dict[str, list[str]]:
    """Return the rows of the table under a heading, by their first cells."""
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


def test_the_page_has_every_name_of_the_contract_with_its_meaning() -> None:
    for heading, names in (
        (PROPERTIES, Property),
        ("## Attributes", Attribute),
        ("## Outcomes", Outcome),
        ("## Codes of failed nodes", FailureCode),
        ("## Warnings at synth", hyperpod_node_removal.RemovalWarning),
        ("## Removal file", BY_KEY),
    ):
        shown = rows(heading)
        assert set(shown) == {str(name) for name in names}
        assert all(row[0] for row in shown.values())
    assert list(rows("## Attributes")) == list(Attribute)
    limits = rows("## Limits")
    assert limits["MAX_NODES"][0] == "3,000"
    assert all(meaning for _, meaning in limits.values())


def test_the_page_is_up_to_date() -> None:
    """To update it, run `python -m release.contract_reference`."""
    assert contract_reference.updated(PAGE) == PAGE
    assert sorted(re.findall(r"<!-- table: (.*) -->", PAGE)) == sorted(tables())


def test_the_texts_of_failure_codes_match_the_contract() -> None:
    shown = [(code, *words) for code, words in rows("## Codes of failed nodes").items()]
    assert shown == [(code, code.what_happened, code.next_step) for code in FailureCode]


def test_the_defaults_match_the_function() -> None:
    defaults = {name: row[-1].strip("`") for name, row in rows(PROPERTIES).items()}
    request = RemovalRequest.from_properties({"ClusterName": "ml-cluster"})
    assert defaults[Property.ON_PARTIAL_FAILURE] == request.on_partial_failure
    assert defaults[Property.WAIT_FOR] == request.wait_for
    assert defaults[Property.RETRY_FOR] == str(request.retry_for)
    assert defaults[Property.SERVICE_TIMEOUT] == str(request.service_timeout)
    assert defaults[Property.MISSING_NODES] == request.guards.missing_nodes
    assert defaults[Property.DRY_RUN] == str(request.is_dry_run).lower()


def test_the_allowed_values_match_the_function() -> None:
    shown = {name: row[1] for name, row in rows(PROPERTIES).items()}
    least, most = contract.SERVICE_TIMEOUT_MIN, contract.SERVICE_TIMEOUT_MAX
    assert shown[Property.SERVICE_TIMEOUT] == f"{least} to {most} seconds"
    assert shown[Property.RETRY_FOR] == f"0 to {contract.RETRY_FOR_MAX} seconds"
    assert shown[Property.MAX_REMOVALS] == f"0 to {contract.GROUP_SIZE_MAX} nodes"
    assert shown[Property.ON_PARTIAL_FAILURE] == "FAIL or REPORT"
    assert [name for name, text in shown.items() if not text] == [Property.SERVICE_TOKEN]


def test_every_public_class_has_its_arguments_and_methods() -> None:
    methods = 0
    for name in hyperpod_node_removal.__all__:
        kind = getattr(hyperpod_node_removal, name)
        assert f"### `{name}`\n" in PAGE or name in {"Outcome", "RemovalWarning"}
        if name in {"NodeRemoval", "NodeRemovalDashboard", "NodeRemovalProvider"}:
            assert list(rows(f"### `{name}`")) == list(kind.__init__.__annotations__)[:-1]
        section = PAGE.partition(f"### `{name}`\n")[2].partition("\n### ")[0]
        for method in dir(kind):
            if method.startswith(("metric", "on_", "alarm_")):
                assert f"| `{method}()` | " in section, f"{name}.{method}"
                methods += 1
    assert methods >= 15


def test_a_docstring_documents_the_name_before_it() -> None:
    source = 'A = 1\n"""About\n  A."""\nB: int = 2\nprint()\n"""About nothing."""\n'
    assert documented(source) == {"A": "About A.", "B": ""}
