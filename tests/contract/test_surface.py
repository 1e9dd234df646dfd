"""Public names that users rely on: names may be added, but none is removed or changed.

`surface.json` was written before the contract became a package. To remove a name, remove it there
as well, and add a line to CHANGELOG.md.
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from hyperpod_node_removal import NodeRemoval, RemovalWarning
from hyperpod_node_removal_cli.report import Conclusion
from hyperpod_node_removal_contract import Attribute, FailureCode, Outcome, Property
from hyperpod_node_removal_contract.properties import BY_KEY
from hyperpod_node_removal_handler import report
from sandbox.project import ROOT
from tests.handler.world import CloudFormation, World

BEFORE: dict[str, Any] = json.loads(
    Path(__file__).with_name("surface.json").read_text(encoding="utf-8")
)
NAMES: dict[str, list[Any]] = {
    "properties": list(Property),
    "attributes": list(Attribute),
    "outcomes": list(Outcome),
    "failure_codes": list(FailureCode),
    "warnings": list(RemovalWarning),
    "file_keys": list(BY_KEY),
    "arguments": list(inspect.signature(NodeRemoval.__init__).parameters),
    "make_targets": re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE),
}


@pytest.mark.parametrize("kind", NAMES)
def test_no_public_name_is_removed(kind: str) -> None:
    assert set(BEFORE[kind]) <= set(map(str, NAMES[kind]))


def test_exit_codes_keep_their_meaning() -> None:
    assert {one.name: int(one) for one in Conclusion} == BEFORE["exit_codes"]


def test_no_log_field_is_removed(caplog: pytest.LogCaptureFixture) -> None:
    world = World(cloudformation=CloudFormation())
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4})
    refused, *nodes = cluster.node_ids("workers")[:3]
    cluster.refuse(refused)
    with caplog.at_level("INFO"):
        summary = report.of_result(world.remove([refused, *nodes], retry_for=3))
    fields = {name for record in caplog.records for name in vars(record)}
    fields |= {name for line in summary.lines for name in line.fields}
    assert set(BEFORE["log_fields"]) <= fields
