"""Lifecycles of a removal in the sandbox, with the real template and asset."""

import json

from tests.contract.lifecycle import Removal, at_any_lag, log_lines, reason, types

ABSENT = "i-0123456789abcdef0"


@at_any_lag
def test_create_and_update_remove_nodes_and_delete_removes_none(removal: Removal) -> None:
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
def test_a_new_retry_token_runs_the_same_set_again(removal: Removal) -> None:
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
def test_report_fails_if_no_node_is_removed(removal: Removal) -> None:
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


def test_a_cluster_that_does_not_exist_fails_with_its_name(removal: Removal) -> None:
    failed = removal.deploy(ABSENT)
    assert failed.status == "ROLLBACK_COMPLETE"
    assert f"Cluster '{removal.name}' was not found" in reason(failed, "CREATE_FAILED")


def test_a_controller_node_is_refused_and_a_logical_id_is_removed(removal: Removal) -> None:
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


def test_a_dry_run_can_be_followed_by_the_removal(removal: Removal) -> None:
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
    outcomes = [line for line in lines if "not removed" in line or "removed (group" in line]
    assert f"{good}: removed" in outcomes[0]
    assert f"{bad}: not removed: NodeIdInUse" in outcomes[1]
    assert "PARTIAL: 1 of 2 nodes not removed" in outcomes[-1]
    assert not any("cfn-response" in line or "ResponseURL" in line for line in lines)


def test_replacement_warnings_and_the_plan_are_logged(removal: Removal) -> None:
    cluster = removal.cluster(autoscaler="Karpenter")
    first, second, *_ = cluster.node_ids("workers")
    deployment = removal.deploy(first, second, ABSENT)
    warning = "Karpenter scales this cluster and may add nodes to workers"
    assert warning in deployment.outputs["Warnings"]
    logged = [json.loads(line) for line in log_lines(removal.sandbox, deployment)]
    rows = [line for line in logged if "action" in line]
    assert [(row["action"], row["node"]) for row in rows] == [
        ("remove", first),
        ("remove", second),
        ("already absent", ABSENT),
    ]
    assert rows[0]["group"] == "workers"
    assert rows[0]["message"].startswith(f"Plan: remove          {first}  workers")
    (warning,) = [line for line in logged if line.get("level") == "WARNING"]
    assert warning["message"] == deployment.outputs["Warnings"]
    (count,) = [line for line in logged if "instance_count" in line]
    assert (count["instance_count_before"], count["instance_count"]) == (8, 6)
