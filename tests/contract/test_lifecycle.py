"""Whole lives of a removal in the sandbox, on the real template and the real asset."""

import json
from collections.abc import Iterator

import pytest

from hyperpod_node_removal_contract import Attribute
from sandbox.aws import Sandbox
from tests.contract.lifecycle import Removal, log_lines, reason, synthesized

ABSENT = "i-0123456789abcdef0"


at_any_lag = pytest.mark.parametrize("removal", [0.0, 3.0], ids=["exact", "lagging"], indirect=True)
"""With the stack shown as it is, and as it was three seconds ago."""


@pytest.fixture
def removal(
    request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Removal]:
    removal = Removal(sandbox, synthesized(tmp_path_factory))
    lag = getattr(request, "param", 0.0)
    with sandbox.settings(lag_forward=lag, lag_back=lag):
        yield removal
    # Whatever a test did: one reply to each request, all with the resource's one id.
    replies = removal.replies()
    assert [reply["RequestId"] for reply in replies] == [
        request["RequestId"] for request in removal.requests()
    ]
    ids = {(reply["StackId"], reply["PhysicalResourceId"]) for reply in replies}
    assert len(ids) == len({reply["StackId"] for reply in replies})
    assert all(set(reply["Data"]) == set(Attribute) for reply in replies)


def types(removal: Removal) -> list[str]:
    return [request["RequestType"] for request in removal.requests()]


@at_any_lag
def test_create_update_delete(removal: Removal) -> None:
    cluster = removal.cluster()
    first, second, third, *others = cluster.node_ids("workers")

    created = removal.deploy(first, ABSENT)
    assert created.status == "CREATE_COMPLETE"
    assert created.outputs["Outcome"] == "COMPLETE"
    assert created.outputs["RemovedNodes"] == first
    assert created.outputs["AlreadyAbsentNodes"] == ABSENT
    assert json.loads(created.outputs["InstanceGroupTargetCounts"]) == {"workers": 7}

    updated = removal.deploy(second, third)
    assert updated.status == "UPDATE_COMPLETE"
    assert updated.outputs["RemovedNodes"] == f"{second},{third}"
    assert updated.outputs["RemovedCount"] == "2"

    assert removal.delete().status == "DELETE_COMPLETE"
    assert cluster.present == set(others)
    assert types(removal) == ["Create", "Update", "Delete"]
    assert removal.replies()[2]["Data"]["Outcome"] == "DELETED"


@at_any_lag
def test_a_failed_create_names_the_nodes_and_rolls_back(removal: Removal) -> None:
    cluster = removal.cluster()
    in_use, patched, good, *others = cluster.node_ids("workers")
    cluster.refuse(in_use)
    cluster.set_node_status(patched, "SystemUpdating")

    failed = removal.deploy(in_use, patched, good)
    assert failed.status == "ROLLBACK_COMPLETE"
    assert reason(failed, "CREATE_FAILED").startswith(
        "Received response status [FAILED] from custom resource. Message returned:"
        f" 2 of 3 nodes not removed from {cluster.name} (1 removed)."
        f" NodeIdInUse: {in_use}; InvalidNodeStatus: {patched}."
    )
    assert types(removal) == ["Create", "Delete"]
    assert cluster.present == {in_use, patched, *others}

    cluster.allow(in_use)
    cluster.set_node_status(patched, "Running")
    again = removal.deploy(in_use, patched, good)
    assert again.status == "CREATE_COMPLETE"
    assert again.outputs["RemovedNodes"] == f"{in_use},{patched}"
    assert again.outputs["AlreadyAbsentNodes"] == good


@at_any_lag
def test_a_failed_update_rolls_back_without_touching_the_cluster(removal: Removal) -> None:
    cluster = removal.cluster()
    first, bad, good, *_ = cluster.node_ids("workers")
    removal.deploy(first)
    cluster.refuse(bad)
    deletes = len(removal.sandbox.hyperpod.delete_requests)

    failed = removal.deploy(bad, good)
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    assert f"NodeIdInUse: {bad}" in reason(failed, "UPDATE_FAILED")
    assert types(removal) == ["Create", "Update", "Update"]
    assert [reply["Status"] for reply in removal.replies()] == ["SUCCESS", "FAILED", "SUCCESS"]
    assert removal.replies()[-1]["Data"]["Outcome"] == "ROLLED_BACK"
    asked = removal.sandbox.hyperpod.delete_requests[deletes:]
    assert [request.node_ids for request in asked] == [(bad, good)]


@at_any_lag
def test_a_rollback_does_not_remove_the_nodes_of_the_previous_set(removal: Removal) -> None:
    cluster = removal.cluster()
    busy, bad, *_ = cluster.node_ids("workers")
    cluster.refuse(busy)
    # The first set succeeds although its node stays, so the rollback has something to get wrong.
    reported = removal.deploy(busy, ABSENT, OnPartialFailure="REPORT")
    assert reported.status == "CREATE_COMPLETE"
    cluster.allow(busy)
    cluster.refuse(bad)
    assert removal.deploy(bad).status == "UPDATE_ROLLBACK_COMPLETE"
    assert busy in cluster.present


@at_any_lag
def test_a_retry_token_runs_the_same_set_again(removal: Removal) -> None:
    cluster = removal.cluster()
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    reported = removal.deploy(bad, good, OnPartialFailure="REPORT")
    assert reported.status == "CREATE_COMPLETE"
    assert reported.outputs["Outcome"] == "PARTIAL"
    assert reported.outputs["FailedNodes"] == bad
    assert reported.outputs["FailedCount"] == "1"
    cluster.allow(bad)
    assert types(removal) == ["Create"]
    again = removal.deploy(bad, good, OnPartialFailure="REPORT", RetryToken="2")
    assert again.outputs["Outcome"] == "COMPLETE"
    assert again.outputs["RemovedNodes"] == bad


@at_any_lag
def test_report_fails_if_every_node_failed(removal: Removal) -> None:
    cluster = removal.cluster()
    bad = cluster.node_ids("workers")[0]
    cluster.refuse(bad)
    failed = removal.deploy(bad, OnPartialFailure="REPORT")
    assert failed.status == "ROLLBACK_COMPLETE"
    assert f"1 of 1 node not removed from {cluster.name}" in reason(failed, "CREATE_FAILED")


def test_an_empty_set_needs_no_cluster(removal: Removal) -> None:
    deployment = removal.deploy()
    assert deployment.status == "CREATE_COMPLETE"
    assert deployment.outputs["Outcome"] == "EMPTY"


def test_a_cluster_that_does_not_exist_fails_with_a_sentence(removal: Removal) -> None:
    failed = removal.deploy(ABSENT)
    assert failed.status == "ROLLBACK_COMPLETE"
    assert f"Cluster '{removal.name}' was not found" in reason(failed, "CREATE_FAILED")


def test_logical_ids_and_a_controller(removal: Removal) -> None:
    cluster = removal.cluster(
        groups={"head": 1, "workers": 4}, controller_group="head", continuous=True
    )
    (controller,) = cluster.node_ids("head")
    logical_id = cluster.logical_ids("workers")[0]
    failed = removal.deploy(controller, NodeLogicalIds=logical_id)
    assert failed.status == "ROLLBACK_COMPLETE"
    assert f"ControllerNode: {controller}" in reason(failed, "CREATE_FAILED")
    assert logical_id not in cluster.logical_ids("workers")
    assert controller in cluster.present
    assert controller not in removal.sandbox.hyperpod.requested_nodes


@at_any_lag
def test_a_broken_guard_refuses_the_whole_set_and_rolls_back(removal: Removal) -> None:
    cluster = removal.cluster()
    nodes = cluster.node_ids("workers")
    removal.deploy(nodes[0], properties={"MinRemaining": {"workers": 4}})
    deletes = len(removal.sandbox.hyperpod.delete_requests)
    failed = removal.deploy(*nodes[1:7], properties={"MinRemaining": {"workers": 4}})
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    assert reason(failed, "UPDATE_FAILED").startswith(
        "Received response status [FAILED] from custom resource. Message returned:"
        f" Nothing was removed from {cluster.name}: removing 6 of 7 nodes of group workers leaves"
        " 1, fewer than 4 (MinRemaining)."
    )
    assert len(removal.sandbox.hyperpod.delete_requests) == deletes
    assert cluster.present == set(nodes[1:])


def test_a_dry_run_first_and_then_the_removal(removal: Removal) -> None:
    cluster = removal.cluster()
    nodes = cluster.node_ids("workers")[:2]
    planned = removal.deploy(*nodes, properties={"DryRun": True})
    assert planned.status == "CREATE_COMPLETE"
    assert planned.outputs["Outcome"] == "PLANNED"
    assert planned.outputs["PlannedNodes"] == ",".join(nodes)
    assert set(nodes) <= cluster.present
    done = removal.deploy(*nodes, properties={"DryRun": False})
    assert done.status == "UPDATE_COMPLETE"
    assert done.outputs["RemovedNodes"] == ",".join(nodes)
    assert cluster.present.isdisjoint(nodes)


def test_the_log_ends_with_the_summary_and_has_no_presigned_url(removal: Removal) -> None:
    cluster = removal.cluster()
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    deployment = removal.deploy(bad, good, OnPartialFailure="REPORT")
    lines = log_lines(removal.sandbox, deployment)
    told = [line for line in lines if "not removed" in line or "removed (group" in line]
    assert f"{good}: removed" in told[0]
    assert f"{bad}: not removed: NodeIdInUse" in told[1]
    assert "PARTIAL: 1 of 2 nodes not removed" in told[-1]
    assert not any("cfn-response" in line or "ResponseURL" in line for line in lines)


def test_what_brings_nodes_back_and_the_plan_are_told(removal: Removal) -> None:
    cluster = removal.cluster(autoscaler="Karpenter")
    first, second, *_ = cluster.node_ids("workers")
    deployment = removal.deploy(first, second, ABSENT)
    warning = "Karpenter scales this cluster and may add nodes to workers"
    assert warning in deployment.outputs["Warnings"]
    told = [json.loads(line) for line in log_lines(removal.sandbox, deployment)]
    rows = [line for line in told if "action" in line]
    assert [(row["action"], row["node"]) for row in rows] == [
        ("remove", first),
        ("remove", second),
        ("already absent", ABSENT),
    ]
    assert rows[0]["group"] == "workers"
    assert rows[0]["message"].startswith(f"Plan: remove          {first}  workers")
    (warning,) = [line for line in told if line.get("level") == "WARNING"]
    assert warning["message"] == deployment.outputs["Warnings"]
    (count,) = [line for line in told if "instance_count" in line]
    assert (count["instance_count_before"], count["instance_count"]) == (8, 6)


@at_any_lag
def test_nothing_is_warned_of_after_a_rollback(removal: Removal) -> None:
    cluster = removal.cluster(autoscaler="Karpenter")
    bad, good, *_ = cluster.node_ids("workers")
    removal.deploy(good)
    cluster.refuse(bad)
    assert removal.deploy(bad).status == "UPDATE_ROLLBACK_COMPLETE"
    assert [reply["Data"]["Warnings"] != "" for reply in removal.replies()] == [True, False, False]
