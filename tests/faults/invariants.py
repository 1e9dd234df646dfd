"""The invariants I1 to I9, which `check` asserts after every fault.

I1  Every request gets at least one reply that arrives; no invocation sends more than one that is
    acknowledged with a 2xx; and all replies to one request have the same PhysicalResourceId.
    CloudFormation acts on the first reply to a request and ignores later ones. An invocation that
    was killed after its reply and is retried may reply again, since it does not know of the first.
I2  Every identifier in a delete request is in the event's properties; the event is a Create or an
    Update; within the ten seconds before the request, a look at the stack by the same invocation
    showed it creating or updating; and CloudFormation closed the request at most those ten seconds
    ago, whatever the stack's status is by then, unless it waits for the signal of this request. A
    node that no event names does not change at all.
I3  A body is JSON in printable ASCII of at most 4,096 bytes that CloudFormation can act on; it and
    the log contain only printable characters, and the log never contains the presigned URL.
I4  The PhysicalResourceId is that of the event or, on Create, the one that is derived from the
    stack and the logical id.
I5  A node that is reported as removed or absent is not in the cluster; a node that is in the
    cluster is reported as failed or, if the removal waits only for acceptance, as accepted. The
    counts add up. A node whose removal the service accepted is not reported as already absent, even
    if the answer was lost. Every failed node has a line in the log and is named or counted in the
    reason. A node that is reported as not attempted was not requested. A reply without counts comes
    from an invocation that requested nothing.
I6  If the event is delivered once more (after one fault in eight), no node is requested that was
    reported as gone or leaving, and no other node changes. A success is followed by a success,
    except of a removal that had been rolled back, and a failure by a failure as long as the nodes
    that failed are in the cluster. If the cluster itself is gone, neither holds: the second run
    cannot distinguish that from a mistyped name.
I7  If there is a hook, a node is requested only after the same invocation, or one that handed over
    to it, invoked the hook for it and got its approval.
I8  A node that is released to the hook is not leaving at that time through the same request, and is
    not requested after that by the same invocation or one that it hands over to.
I9  A wait condition is signaled for the request whose reply it waited for, a success, with the
    counts of that reply.
A process does nothing after its end, and no invocation raises.
"""

import json

from hyperpod_node_removal_contract import REASON_MAX_BYTES, Attribute
from tests.faults.cloudformation import FORWARD, Reply, Request, Truth, View
from tests.faults.simulation import FRESHNESS, Deletion, Simulation

REDELIVERED_ONE_IN = 8
"""Events are delivered again after one fault in this many, selected by the number of calls."""
_NOT_FOUND = ("NodeIdNotFound", "NodeLogicalIdNotFound")
_RUN_OUTCOMES = ("COMPLETE", "ACCEPTED", "PARTIAL", "FAILED")


def check(
    sim: Simulation,
    *,
    is_answered: bool = True,
    is_repeatable: bool = True,
) -> None:
    """Assert the invariants.

    Args:
        sim: the simulation, after everything has happened.
        is_answered: whether every request must have a reply. There is none to an event that is lost
            with its process, or if the URL is never reached.
        is_repeatable: whether events may be delivered again. Not if the stack or the cluster has
            changed since.
    """
    _check_all(sim, is_answered=is_answered)
    # Delivering the events again takes more time than the fault itself.
    if is_repeatable and is_answered and len(sim.injector.calls) % REDELIVERED_ONE_IN == 0:
        for request in _last_of_each_stack(sim):
            _check_redelivery(sim, request)
        _check_all(sim, is_answered=True)


def _check_all(sim: Simulation, *, is_answered: bool) -> None:
    _check_ends(sim)
    for request in sim.cloudformation.requests:
        assert request.arrived or not is_answered, "I1: a request without a reply"
        _check_replies(sim, request)
        for reply in request.replies:
            _check_body(request, reply)
            _check_outcome(sim, request, reply)
        _check_signals(request)
    for deletion in sim.deletions:
        _check_deletion(sim, deletion)
        _check_approvals(sim, deletion)
    for error in sim.assertions:
        raise error
    _check_other_nodes(sim)
    _check_log(sim)


def _check_ends(sim: Simulation) -> None:
    assert sim.injector.after_death == []
    for invocation in sim.functions.invocations:
        assert invocation.end in {"returned", "killed", "timed out"}, invocation.error


# I1 ------------------------------------------------------------------------------------------


def _check_replies(sim: Simulation, request: Request) -> None:
    for invocation in sim.functions.invocations:
        own = [reply for reply in request.replies if reply.invocation is invocation]
        assert sum(reply.is_acknowledged for reply in own) <= 1, "I1: one invocation replied twice"
        assert len({reply.body for reply in own}) <= 1, "I1: one invocation, two replies"
        if own and invocation.end == "returned" and not any(r.is_acknowledged for r in own):
            text = own[0].body.decode()
            assert any(text in line for line in invocation.log), "I1: a lost reply is not logged"


# I2 ------------------------------------------------------------------------------------------


def _check_deletion(sim: Simulation, deletion: Deletion) -> None:
    request = deletion.request
    assert request.event["RequestType"] in {"Create", "Update"}, "I2: a delete during a Delete"
    assert request.is_forward, "I2: a delete in a rollback"
    assert set(deletion.identifiers) <= ids_of(request), "I2: a node that is not in the event"
    assert not deletion.is_late, "I2: a delete for a deployment that has ended"
    assert len(deletion.identifiers) == len(set(deletion.identifiers))
    assert any(
        invocation is deletion.invocation
        and deletion.time - FRESHNESS <= time <= deletion.time
        and status in FORWARD
        for invocation, time, status in sim.looks
    ), "I2: a delete without a fresh look at the stack"


def _check_approvals(sim: Simulation, deletion: Deletion) -> None:
    if "BeforeRemoval" not in deletion.request.event["ResourceProperties"]:
        return
    approved: set[str] = set()
    for invocation, identifiers in sim.approvals:
        if invocation.number in deletion.invocation.ancestors:
            approved |= identifiers
    assert set(deletion.identifiers) <= approved, "I7: a delete that the hook did not approve"
    for invocation, time, nodes in sim.releases:
        if invocation.number in deletion.invocation.ancestors and time <= deletion.time:
            assert not nodes & set(deletion.identifiers), "I8: a delete of a released node"


def _check_other_nodes(sim: Simulation) -> None:
    identifiers: set[str] = set()
    for request in sim.cloudformation.requests:
        if request.is_forward:
            identifiers |= ids_of(request)
    for cluster in sim.clusters:
        state = cluster._state
        requested = {id(state.ever[name]) for name in identifiers if name in state.ever}
        for node in () if state.deleted else state.ever.values():
            if id(node) not in requested:
                assert node in state.listed(), "I2: a node that is in no event is gone"
                assert node.status != "ShuttingDown", "I2: a node that is in no event is leaving"


# I9 ------------------------------------------------------------------------------------------


def _check_signals(request: Request) -> None:
    for text, signaled in request.stack.signals:
        if signaled is request:
            assert request.is_forward, "I9: a signal in a rollback"
            assert request.answer, "I9: a signal before the reply"
            assert request.answer["Status"] == "SUCCESS", "I9: a signal after a failure"
            data = request.answer["Data"]
            requested, failed = data["RequestedCount"], data["FailedCount"]
            begins = f"{failed} of {requested} " if failed != "0" else ""
            assert text.startswith(begins), "I9: the counts"
            assert (" not " in text) is bool(begins), "I9: a failure that is signaled as none"
            assert f" of {requested} " in text, "I9: the counts"


# I3, I4 --------------------------------------------------------------------------------------


def _check_body(request: Request, reply: Reply) -> None:
    assert len(reply.body) <= 4096, "I3"
    assert _is_printable(reply.body.decode("ascii")), "I3"
    content = reply.content
    for key in ("StackId", "RequestId", "LogicalResourceId"):
        assert content[key] == request.event[key], f"I3: {key}"
    assert content["PhysicalResourceId"] == request.physical_id, "I4"
    assert content["Status"] in {"SUCCESS", "FAILED"}, "I3"
    assert content["Reason"], "I3"
    assert len(content["Reason"]) <= REASON_MAX_BYTES, "I3"
    assert _is_printable(content["Reason"]), "I3"
    assert set(content["Data"]) == set(Attribute), "I3"
    for value in content["Data"].values():
        assert isinstance(value, str), "I3"
        assert _is_printable(value), "I3"
    json.loads(content["Data"]["InstanceGroupTargetCounts"])


def _check_log(sim: Simulation) -> None:
    for invocation in sim.functions.invocations:
        for line in invocation.log:
            assert _is_printable(line), "I3: the log"
            assert "s3cret" not in line, "I3: the presigned URL is in the log"


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


# I5 ------------------------------------------------------------------------------------------


def ids_of(request: Request) -> set[str]:
    """Return every identifier in the properties of a request."""
    identifiers: set[str] = set()
    for key in ("NodeIds", "NodeLogicalIds"):
        value = request.event["ResourceProperties"].get(key) or ()
        items = value.split(",") if isinstance(value, str) else value
        identifiers.update(item.strip() for item in items if isinstance(item, str))
    return identifiers - {""}


def _check_outcome(sim: Simulation, request: Request, reply: Reply) -> None:
    content = reply.content
    data = content["Data"]
    requested, planned, removed, accepted, absent, failed = (
        int(data[f"{kind}Count"])
        for kind in ("Requested", "Planned", "Removed", "Accepted", "AlreadyAbsent", "Failed")
    )
    is_refused = content["Reason"].startswith("Nothing was removed from ")
    if requested == 0 or is_refused or data["Outcome"] == "PLANNED":
        deletions = [d for d in sim.deletions if d.is_done and d.invocation is reply.invocation]
        assert not deletions, "I5: the reply does not mention the nodes that were requested"
        is_failure = data["Outcome"] == "FAILED"
        assert content["Status"] == ("FAILED" if is_failure else "SUCCESS")
        assert planned + removed + accepted + absent + failed == requested
        return
    assert data["Outcome"] in _RUN_OUTCOMES
    assert removed + accepted + absent + failed == requested, "I5: the counts do not add up"
    gone = _complete_ids(data["RemovedNodes"]) + _complete_ids(data["AlreadyAbsentNodes"])
    present = _identifiers(reply.truth)
    assert not set(gone) & present, "I5: a node that is reported as gone is in the cluster"
    accepted_names: set[str] = set()
    for deletion in sim.deletions:
        if deletion.invocation.number in reply.invocation.ancestors:
            accepted_names |= deletion.accepted
    already_absent = set(_complete_ids(data["AlreadyAbsentNodes"]))
    assert not already_absent & accepted_names, "I5: a removed node is reported as already absent"
    stayed = [node for node in reply.truth if {node.instance_id, node.logical_id} & ids_of(request)]
    assert len(stayed) <= accepted + failed, "I5: a node in the cluster is not reported"
    reported = _complete_ids(data["AcceptedNodes"]) + _complete_ids(data["FailedNodes"])
    if len(reported) == accepted + failed:
        for node in stayed:
            assert {node.instance_id, node.logical_id} & set(reported), (
                "I5: a node in the cluster is not reported"
            )
    _check_status(request, content, failed=failed, requested=requested)
    if failed:
        _check_failures(sim, request, reply, failed=failed, requested=requested)


def _check_status(
    request: Request, content: dict[str, object], *, failed: int, requested: int
) -> None:
    policy = request.event["ResourceProperties"].get("OnPartialFailure", "FAIL")
    may_succeed = not failed or (failed < requested and policy == "REPORT")
    assert (content["Status"] == "SUCCESS") is may_succeed, "I5: the status"


def _check_failures(
    sim: Simulation, request: Request, reply: Reply, *, failed: int, requested: int
) -> None:
    content = reply.content
    assert f"{failed} of {requested} node" in content["Reason"], "I5: no count in the reason"
    lines = [line for line in reply.invocation.log if ": not removed: " in line]
    codes = {line.split(": ")[0]: line.split(": ")[2] for line in lines}
    assert set(_complete_ids(content["Data"]["FailedNodes"])) <= set(codes) <= ids_of(request), "I5"
    assert len(codes) == failed, "I5: a failed node without a line in the log"
    own = [
        deletion
        for deletion in sim.deletions
        if deletion.time <= reply.time and deletion.invocation.number in reply.invocation.ancestors
    ]
    named_in_calls = {name for deletion in own for name in deletion.identifiers}
    requested_names = {
        name for deletion in own if deletion.is_done for name in deletion.identifiers
    }
    remaining = {
        name
        for node in reply.truth
        if node.status != "ShuttingDown"
        for name in (node.instance_id, node.logical_id)
    }
    looks = [
        call.number
        for call in sim.injector.calls
        if call.invocation is reply.invocation
        and call.operation in {"ListClusterNodes", "DescribeClusterNode"}
    ]
    has_looked = bool(looks) and looks[-1] not in sim.injector.failed
    is_confirmed = bool(looks) and looks[-1] > max((d.number for d in own), default=-1)
    for name, code in codes.items():
        if code == "NotAttempted":
            assert name not in requested_names, "I5: a requested node is reported as not attempted"
        elif code == "NoAnswer":
            assert name in named_in_calls, "I5: NoAnswer for a node that was not requested"
        elif code in _NOT_FOUND and not is_confirmed:
            assert name not in remaining, "I5: a node in the cluster is reported as not existing"
        elif has_looked and code != "StillPresent":
            assert name in remaining, f"I5: a node that is leaving is reported as failed: {code}"


def _complete_ids(ids: str) -> list[str]:
    return [name for name in ids.split(",") if name and not name.endswith(" more")]


def _identifiers(truth: Truth) -> set[str]:
    return {name for node in truth for name in (node.instance_id, node.logical_id) if name}


# I6 ------------------------------------------------------------------------------------------


def _last_of_each_stack(sim: Simulation) -> list[Request]:
    last: dict[tuple[str, bool], Request] = {}
    for request in sim.cloudformation.requests:
        last[request.stack.stack_id, request.is_forward] = request
    return list(last.values())


def _check_redelivery(sim: Simulation, request: Request) -> None:
    sim.end_faults()
    _check_requests_nothing(sim, request, None if request.is_forward else request.view)
    if not request.is_forward:
        assert request.replies[-1].content["Status"] == "SUCCESS", "I6: a rollback failed"
        return
    first = request.arrived[0].content
    before = len(sim.deletions)
    remaining = _remaining_ids(sim)
    replies = sim.deliver_again(request, request.view)
    assert replies, "I6: no reply"
    second = replies[-1].content
    names = {name for deletion in sim.deletions[before:] for name in deletion.identifiers}
    assert names <= remaining, "I6: a node that is gone or leaving was requested"
    if any(cluster._state.deleted for cluster in sim.clusters):
        return
    was_canceled = first["Data"]["Outcome"] == "ROLLED_BACK"
    if first["Status"] == "SUCCESS" and not was_canceled and not remaining & ids_of(request):
        assert second["Status"] == "SUCCESS", "I6: a failure after a success"
    failed = set(_complete_ids(first["Data"]["FailedNodes"]))
    remaining = _remaining_ids(sim)
    if failed and failed <= remaining:
        assert second["Status"] == first["Status"], "I6: the second run ended differently"


def _check_requests_nothing(sim: Simulation, request: Request, view: View | None) -> None:
    """Deliver the event while the stack is stable or rolling back."""
    before = len(sim.deletions)
    assert sim.deliver_again(request, view), "I6: no reply"
    assert len(sim.deletions) == before, "I6: a late delivery requested nodes"


def _remaining_ids(sim: Simulation) -> set[str]:
    """Return the ids of the nodes that are in a cluster and not leaving."""
    return {
        name
        for cluster in sim.clusters
        for node in (() if cluster._state.deleted else cluster.nodes)
        if node.status != "ShuttingDown"
        for name in (node.instance_id, node.logical_id)
        if name
    }
