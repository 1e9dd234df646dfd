"""The page on metrics and events says what the function does."""

import re

from hyperpod_node_removal_contract import telemetry
from sandbox.project import ROOT
from tests.docs.code_blocks import code_blocks
from tests.handler.event_schema import PATH, checked

PAGE = ROOT / "docs" / "observability.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_event_shown_is_one_of_the_schema() -> None:
    (block,) = code_blocks(PAGE, "json")
    assert checked(block.text)["Version"] == telemetry.EVENT_VERSION
    assert f"({PATH.relative_to(PAGE.parent)})" in TEXT


def test_the_table_has_every_metric() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \| (Count|Seconds) \| (.*?) \|", TEXT, re.MULTILINE))
    assert {name for name, _, _ in rows} == set(telemetry.Metric)
    assert {unit for name, unit, _ in rows if name == telemetry.Metric.DURATION} == {"Seconds"}
    assert {dimensions for _, _, dimensions in rows} == {"`ClusterName`", "`ClusterName`, `Code`"}


def test_names_and_limits_are_those_of_the_function() -> None:
    told = (
        telemetry.METRIC_NAMESPACE,
        telemetry.EVENT_SOURCE,
        telemetry.EVENT_DETAIL_TYPE,
        telemetry.METRICS_VARIABLE,
        telemetry.EVENT_BUS_VARIABLE,
        telemetry.OTHER_CODE,
    )
    for name in told:
        assert f"`{name}`" in TEXT
    assert f"{telemetry.EVENT_DETAIL_MAX_BYTES:,} bytes" in TEXT
