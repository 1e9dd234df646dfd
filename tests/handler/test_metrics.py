"""The metrics of a removal: which lines there are, and what CloudWatch makes of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal_contract.telemetry import METRIC_CODES, METRICS_VARIABLE
from hyperpod_node_removal_handler.reconciler import Reconciler
from hyperpod_node_removal_handler.report import LogLine, Report
from tests.handler.embedded_metrics import Datum, is_document, logged_metrics, metrics_of
from tests.handler.results import absent, failed, removed, report_of
from tests.handler.world import World

ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"


@pytest.fixture(autouse=True)
def _on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(METRICS_VARIABLE, "true")


def event_of(line: LogLine) -> str:
    """The log event that the JSON log format makes of a line."""
    return json.dumps({"level": "INFO", "message": line.text, **line.fields})


def data_of(told: Report) -> list[Datum]:
    events = map(event_of, told.lines)
    return [datum for event in events if is_document(event) for datum in metrics_of(event)]


def test_counts_and_duration_by_cluster_and_failures_by_code() -> None:
    nodes = (removed(0), removed(1), absent(2), failed(3), failed(4), failed(5, "ControllerNode"))
    told = report_of(*nodes, ended=1_763_900_000.25, cluster=ARN)
    assert told.lines[-1].text.startswith("PARTIAL: "), "the summary stays the last line"
    data = data_of(told)
    assert {datum.namespace for datum in data} == {"HyperPodNodeRemoval"}
    assert {datum.timestamp for datum in data} == {1_763_900_000_250}
    cluster = ("ClusterName", ARN)
    assert {(datum.name, datum.dimensions, datum.value, datum.unit) for datum in data} == {
        ("RemovedNodes", frozenset({cluster}), 2, "Count"),
        ("FailedNodes", frozenset({cluster}), 3, "Count"),
        ("AlreadyAbsentNodes", frozenset({cluster}), 1, "Count"),
        ("Duration", frozenset({cluster}), 63.0, "Seconds"),
        ("FailedNodes", frozenset({cluster, ("Code", "NodeIdInUse")}), 2, "Count"),
        ("FailedNodes", frozenset({cluster, ("Code", "ControllerNode")}), 1, "Count"),
    }


CODES = st.one_of(st.sampled_from(sorted(METRIC_CODES)), st.text(min_size=1))


@given(st.lists(st.one_of(CODES, st.none()), min_size=1, max_size=60))
def test_whatever_the_service_answers_the_metrics_are_sound_and_few(
    codes: list[str | None],
) -> None:
    nodes = [
        removed(number) if code is None else failed(number, code)
        for number, code in enumerate(codes)
    ]
    data = data_of(report_of(*nodes))
    by_code = {
        dict(datum.dimensions)["Code"]: datum.value for datum in data if len(datum.dimensions) == 2
    }
    assert len(data) == 4 + len(by_code)
    assert by_code.keys() <= METRIC_CODES | {"Other"}
    assert sum(by_code.values()) == sum(code is not None for code in codes)
    (total,) = (d.value for d in data if d.name == "FailedNodes" and len(d.dimensions) == 1)
    assert total == sum(by_code.values())


@pytest.mark.parametrize("value", ["", "false", "1", "yes"])
def test_metrics_are_off_unless_turned_on(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(METRICS_VARIABLE, value)
    told = report_of(removed(0), failed(1))
    assert not data_of(told)
    assert told.lines


def test_a_removal_that_fails_unexpectedly_is_counted_with_what_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(reconciler: Reconciler) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Reconciler, "run", fail)
    world.send("Create", NodeIds=world.nodes[:3])
    assert logged_metrics(world.log.records)["FailedNodes", "NotAttempted"] == 3
