"""Updates that roll back in the sandbox, with the real template and asset."""

from tests.contract.lifecycle import Removal, at_any_lag, reason, types


@at_any_lag
def test_a_failed_update_rolls_back_without_touching_the_cluster(removal: Removal) -> None:
    cluster = removal.cluster(autoscaler="Karpenter")
    first, busy, bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(busy)
    # The first set leaves a node behind, which an incorrect rollback would request.
    reported = removal.deploy(first, busy, OnPartialFailure="REPORT")
    assert reported.status == "CREATE_COMPLETE"
    cluster.allow(busy)
    cluster.refuse(bad)
    deletes = len(removal.sandbox.hyperpod.delete_requests)

    failed = removal.deploy(bad, good)
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    assert f"NodeIdInUse: {bad}" in reason(failed, "UPDATE_FAILED")
    assert types(removal) == ["Create", "Update", "Update"]
    replies = removal.replies()
    assert [reply["Status"] for reply in replies] == ["SUCCESS", "FAILED", "SUCCESS"]
    assert replies[-1]["Data"]["Outcome"] == "ROLLED_BACK"
    requests = removal.sandbox.hyperpod.delete_requests[deletes:]
    assert [request.node_ids for request in requests] == [(bad, good)]
    assert busy in cluster.present, "a node of the previous set"

    assert removal.deploy(bad).status == "UPDATE_ROLLBACK_COMPLETE"
    assert busy in cluster.present
    # Karpenter may add nodes where some were removed.
    warned = [reply["Data"]["Warnings"] != "" for reply in removal.replies()]
    assert warned == [True, True, False, False, False]


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
