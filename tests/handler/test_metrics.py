"""The metrics of a removal: which lines there are, and what CloudWatch makes of them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal_contract.telemetry import METRIC_CODES, METRICS_VARIABLE
from hyperpod_node_removal_handler.log_lines import LogLine
from hyperpod_node_removal_handler.reconciler import Reconciler
from hyperpod_node_removal_handler.report import Report
from sandbox.hyperpod import Cluster
from tests.handler.embedded_metrics import Datum, is_document, metrics_of
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


def logged(caplog: pytest.LogCaptureFixture) -> dict[tuple[str, str], float]:
    """What was written as metrics, by name and code."""
    events = [json.dumps(vars(record), default=str) for record in caplog.records]
    data = [datum for event in events if is_document(event) for datum in metrics_of(event)]
    return {(datum.name, dict(datum.dimensions).get("Code", "")): datum.value for datum in data}


def test_counts_and_duration_by_cluster_and_failures_by_code() -> None:
    nodes = (removed(0), removed(1), absent(2), failed(3), failed(4), failed(5, "ControllerNode"))
    data = data_of(report_of(*nodes, ended=1_763_900_000.25, cluster=ARN))
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


def test_the_summary_stays_the_last_line() -> None:
    told = report_of(removed(0), failed(1))
    assert told.lines[-1].text.startswith("PARTIAL: ")


@pytest.mark.parametrize("value", ["", "false", "1", "yes"])
def test_nothing_is_written_unless_metrics_are_on(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(METRICS_VARIABLE, value)
    told = report_of(removed(0), failed(1))
    assert not data_of(told)
    assert told.lines


def test_a_partial_failure_is_counted_once(world: World) -> None:
    bad, good, *_ = world.nodes
    world.cluster.refuse(bad)
    world.send("Create", NodeIds=[bad, good], RetryFor="0")
    data = logged(world.log)
    duration = data.pop(("Duration", ""))
    assert duration > 0
    assert data == {
        ("RemovedNodes", ""): 1,
        ("FailedNodes", ""): 1,
        ("AlreadyAbsentNodes", ""): 0,
        ("FailedNodes", "NodeIdInUse"): 1,
    }


def test_a_removal_over_several_invocations_is_counted_once(world: World) -> None:
    world.make_cluster(2, shutdown_seconds=1000)
    world.send("Create", NodeIds=world.nodes)
    assert world.invocations > 1
    assert sum("_aws" in vars(record) for record in world.log.records) == 1
    assert logged(world.log)["Duration", ""] == pytest.approx(1000, abs=60)


def test_a_removal_that_fails_unexpectedly_is_counted_with_what_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(reconciler: Reconciler) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Reconciler, "run", fail)
    world.send("Create", NodeIds=world.nodes[:3])
    assert logged(world.log)["FailedNodes", "NotAttempted"] == 3


REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "delete": ("Delete", {"NodeIds": ["i-0123456789abcdef0"]}),
    "empty set": ("Create", {"NodeIds": ""}),
    "bad property": ("Create", {"NodeIds": "i-1"}),
    "dry run": ("Create", {"NodeIds": ["i-0123456789abcdef0"], "DryRun": "true"}),
    "rollback": ("Update", {"NodeIds": ["i-0123456789abcdef0"]}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_removes_nothing_by_design_has_no_metrics(
    world: World, cluster: Cluster, name: str
) -> None:
    if name == "rollback":
        world.cloudformation.statuses = ["UPDATE_ROLLBACK_IN_PROGRESS"]
    request_type, properties = REQUESTS[name]
    world.send(request_type, **properties)
    assert not logged(world.log)
