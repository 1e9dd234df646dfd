"""The event of a finished removal: what it says, when it is sent, and that it never hurts."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal_contract import MAX_NODES, Outcome
from hyperpod_node_removal_contract.telemetry import (
    EVENT_BUS_VARIABLE,
    EVENT_DETAIL_MAX_BYTES,
    METRICS_VARIABLE,
)
from hyperpod_node_removal_handler import announcement
from hyperpod_node_removal_handler.cluster import Node
from hyperpod_node_removal_handler.report import Report
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode
from hyperpod_node_removal_handler.timing import EVENT_RETRY
from sandbox.hyperpod import Cluster, ServiceError
from tests.handler.embedded_metrics import logged_metrics
from tests.handler.event_schema import SCHEMA, checked
from tests.handler.results import absent, failed, leaving, removed, report_of
from tests.handler.world import ENVELOPE, STACK_ID, World

BUS = "arn:aws:events:us-east-1:123456789012:event-bus/operations"
NODE = "i-0123456789abcdef0"


@pytest.fixture(autouse=True)
def _on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EVENT_BUS_VARIABLE, BUS)
    monkeypatch.setenv(METRICS_VARIABLE, "true")


def detail_of(told: Report) -> str:
    assert told.result
    return announcement.detail(told.result, ENVELOPE)


def detail_for(*nodes: RequestedNode, **more: Any) -> dict[str, Any]:
    return checked(detail_of(report_of(*nodes, **more)))


def named(name: str) -> RequestedNode:
    accepted = Node("", name, "w", "Running")
    return RequestedNode(logical_id=name, phase=Phase.REMOVED, node=accepted, accepted=accepted)


# What it says --------------------------------------------------------------------------------


def test_it_names_each_node_and_where_to_look() -> None:
    nodes = (removed(0), leaving(1), absent(2), failed(3), failed(4, "ControllerNode", "no"))
    told = detail_for(*nodes, target_counts={"workers": 6})
    assert told == {
        "Version": "1",
        "StackId": STACK_ID,
        "LogicalResourceId": "Removal4F2A91C0",
        "RequestId": "0d4c4f8a-3f9b-4a7c-9a41-5a6f0f5d1e11",
        "Cluster": "ml-cluster",
        "ClusterName": "ml-cluster",
        "Status": "FAILED",
        "Outcome": "PARTIAL",
        "Summary": "2 of 5 nodes not removed from ml-cluster (1 removed, 1 accepted and leaving, 1"
        " already absent).",
        "DurationSeconds": 63.0,
        "RequestedCount": 5,
        "RemovedCount": 1,
        "AcceptedCount": 1,
        "AlreadyAbsentCount": 1,
        "FailedCount": 2,
        "OmittedCount": 0,
        "RemovedNodes": ["i-00000000000000000"],
        "AcceptedNodes": ["i-00000000000000001"],
        "AlreadyAbsentNodes": ["i-00000000000000002"],
        "Failures": [
            {"Code": code, "Count": 1, "Message": message, "Nodes": [node]}
            for code, message, node in [
                ("NodeIdInUse", "in use", "i-00000000000000003"),
                ("ControllerNode", "no", "i-00000000000000004"),
            ]
        ],
        "InstanceGroupTargetCounts": {"workers": 6},
        "LogGroup": "/aws/lambda/removal",
        "LogStream": "2026/11/23/[$LATEST]4f2a91c0",
    }


def test_three_thousand_instances_fit() -> None:
    told = detail_for(*(failed(number) for number in range(MAX_NODES)))
    assert told["OmittedCount"] == 0
    assert len(told["Failures"][0]["Nodes"]) == MAX_NODES


def test_what_does_not_fit_is_counted_and_failures_come_first() -> None:
    gone = [named(f"{'long' * 30}-{number}") for number in range(MAX_NODES - 1)]
    told = detail_for(*gone, failed(1))
    assert 0 < told["OmittedCount"] < MAX_NODES
    assert told["Failures"][0]["Nodes"] == ["i-00000000000000001"]
    assert told["RemovedNodes"] == [node.name for node in gone[: len(told["RemovedNodes"])]]


TEXT = st.text(max_size=400)
LONG = "\\\U0001f4a5" * 2000


def test_hostile_texts_do_not_make_it_too_large() -> None:
    nodes = [failed(number, f"{number}{LONG}", LONG) for number in range(MAX_NODES)]
    envelope = replace(ENVELOPE, stack_id=LONG, request_id=LONG, logical_resource_id=LONG)
    counts = {f"{number}{LONG}": number for number in range(1000)}
    told = report_of(*nodes, target_counts=counts, cluster_name=LONG)
    assert told.result
    text = announcement.detail(told.result, envelope)
    assert len(text) <= EVENT_DETAIL_MAX_BYTES
    detail = checked(text)
    assert detail["Failures"][-1]["Code"] == "Other"
    assert detail["Failures"][-1]["Count"] == MAX_NODES - 40
    assert len(detail["InstanceGroupTargetCounts"]) == 100


NODES = st.lists(
    st.one_of(
        st.integers(0, 10**6).map(removed),
        st.integers(0, 10**6).map(absent),
        st.integers(0, 10**6).map(leaving),
        st.builds(failed, st.integers(0, 10**6), TEXT, TEXT),
        st.text(min_size=100, max_size=128).map(named),
    ),
    min_size=1,
    max_size=60,
)


@given(NODES, st.integers(1, 50), st.dictionaries(TEXT, st.integers(0, 3000)), TEXT)
def test_it_is_sound_and_never_too_large(
    nodes: list[RequestedNode], times: int, counts: dict[str, int], name: str
) -> None:
    told = report_of(*nodes * times, target_counts=counts, cluster_name=name * 9)
    text = detail_of(told)
    checked(text)
    assert len(text.encode("ascii")) <= EVENT_DETAIL_MAX_BYTES


def test_the_schema_has_every_outcome_but_those_that_remove_nothing_by_design() -> None:
    by_design = {Outcome.PLANNED, Outcome.EMPTY, Outcome.ROLLED_BACK, Outcome.DELETED}
    assert set(SCHEMA["properties"]["Outcome"]["enum"]) == set(Outcome) - by_design


# When it is sent -----------------------------------------------------------------------------


def test_one_event_and_one_count_follow_the_reply(world: World) -> None:
    bad, good, *_ = world.nodes
    world.cluster.refuse(bad)
    replies: list[int] = []
    world.event_bus.on_call = lambda: replies.append(len(world.endpoint.requests))
    world.send("Create", NodeIds=[bad, good], RetryFor="0")
    (entry,) = world.event_bus.entries
    assert replies == [1], "the reply came first"
    detail = checked(entry.pop("Detail"))
    assert entry == {
        "Source": "hyperpod.node-removal",
        "DetailType": "HyperPod Node Removal Finished",
        "EventBusName": BUS,
        "Resources": [STACK_ID],
    }
    assert (detail["Outcome"], detail["Status"]) == ("PARTIAL", "FAILED")
    assert detail["RemovedNodes"] == [good]
    assert "s3cret" in world.endpoint.url
    assert "s3cret" not in json.dumps([entry, detail])
    assert "127.0.0.1" not in json.dumps([entry, detail])
    metrics = logged_metrics(world.log.records)
    assert metrics.pop(("Duration", "")) > 0
    assert metrics == {
        ("RemovedNodes", ""): 1,
        ("FailedNodes", ""): 1,
        ("AlreadyAbsentNodes", ""): 0,
        ("FailedNodes", "NodeIdInUse"): 1,
    }


def test_a_removal_over_several_invocations_is_announced_and_counted_once(world: World) -> None:
    world.make_cluster(2, shutdown_seconds=1000)
    world.send("Create", NodeIds=world.nodes)
    assert world.invocations > 1
    (entry,) = world.event_bus.entries
    assert checked(entry["Detail"])["DurationSeconds"] == pytest.approx(1000, abs=60)
    assert sum("_aws" in vars(record) for record in world.log.records) == 1
    duration = logged_metrics(world.log.records)["Duration", ""]
    assert duration == pytest.approx(1000, abs=60)


def test_a_cluster_that_does_not_exist_is_announced(world: World) -> None:
    world.send("Create", NodeIds=[NODE])
    (entry,) = world.event_bus.entries
    detail = checked(entry["Detail"])
    assert detail["Outcome"] == "FAILED"
    assert "was not found" in detail["Summary"]


@pytest.mark.parametrize(
    ("request_type", "properties", "status"),
    [
        ("Delete", {"NodeIds": [NODE]}, "UPDATE_IN_PROGRESS"),
        ("Create", {"NodeIds": ""}, "UPDATE_IN_PROGRESS"),
        ("Create", {"NodeIds": "i-1"}, "UPDATE_IN_PROGRESS"),
        ("Create", {"NodeIds": [NODE], "DryRun": "true"}, "UPDATE_IN_PROGRESS"),
        ("Update", {"NodeIds": [NODE]}, "UPDATE_ROLLBACK_IN_PROGRESS"),
    ],
    ids=["delete", "empty set", "bad property", "dry run", "rollback"],
)
def test_what_removes_nothing_by_design_has_no_event_and_no_metrics(
    world: World, cluster: Cluster, request_type: str, properties: dict[str, Any], status: str
) -> None:
    world.cloudformation.statuses = [status]
    world.send(request_type, **properties)
    assert not world.event_bus.entries
    assert not logged_metrics(world.log.records)


def test_nothing_is_sent_without_a_bus(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EVENT_BUS_VARIABLE, "")
    world.send("Create", NodeIds=world.nodes[:2])
    assert not world.event_bus.entries


# That it never hurts -------------------------------------------------------------------------

REFUSED = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
PASSING = [
    ServiceError("ThrottlingException"),
    ServiceError("AccessDeniedException"),
    ServiceError("InternalException", status=500),
    REFUSED,
    {},
]


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_what_may_pass_is_retried(world: World, error: Exception | dict[str, Any]) -> None:
    world.event_bus.errors = [error]
    world.send("Create", NodeIds=world.nodes[:2])
    assert len(world.event_bus.entries) == 1


LASTING: list[Exception | dict[str, Any]] = [
    ServiceError("ResourceNotFoundException", "no bus \x1b[31m"),
    ServiceError("AccessDeniedException"),
    ServiceError("InternalException", status=500),
    {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "MalformedDetail"}]},
    RuntimeError("a defect\x1b[31m"),
]


@pytest.mark.parametrize("error", LASTING, ids=str)
def test_an_event_that_is_lost_is_logged_and_nothing_else(
    world: World, error: Exception | dict[str, Any]
) -> None:
    world.event_bus.errors = [error] * 1000
    replied_at: list[float] = []
    world.endpoint.on_request = lambda: replied_at.append(world.clock.now())
    world.succeeds("Create", NodeIds=world.nodes[:2])
    assert world.clock.now() - replied_at[0] <= EVENT_RETRY
    assert f"not sent to {BUS}" in world.log.text
    assert "\x1b" not in world.log.text
