"""What holds whatever happens: I1 to I9. `check` is called at the end of every test of a fault.

I1  Every request gets at least one reply that arrives; no invocation sends more than one that is
    acknowledged with a 2xx; and all replies to one request agree in PhysicalResourceId.
    CloudFormation acts on the first reply to a request and ignores later ones. An invocation that
    was killed after its reply and is run again may reply again: it has no memory to know better.
I2  Every identifier in a delete call is one of the event's own; the event is a Create or an Update;
    within the ten seconds before the call a look at the stack, by the same invocation, showed it
    creating or updating; and CloudFormation has not been done with the request for more than those
    ten seconds, whatever the stack is at by then, unless it is waiting for the signal about it. No
    node that no event names changes at all.
I3  A body is JSON in printable ASCII of at most 4,096 bytes that CloudFormation can act on; it and
    the log hold nothing that is not printable, and the log never holds the presigned URL.
I4  The PhysicalResourceId is the one of the event or, on Create, the one that follows from the
    stack and the logical id.
I5  A node told removed, or absent, is not in the cluster; a node that is in the cluster is told
    failed or, if only acceptance is waited for, accepted. The counts add up. Every failed node has
    a line in the log and is named or counted in the reason. What is told not to have been asked
    for was not asked for. A reply without counts comes from an invocation that asked for nothing.
I6  The same event once more (tried after one fault in eight) asks for no node that was told to be
    gone or leaving, and changes no other; what succeeded succeeds again, unless it was that the
    stack had turned back, and what failed fails again as long as the nodes it failed for are there.
    There is one exception: where the cluster itself is gone, the second run cannot tell that from a
    mistyped name.
I7  Where there is a hook, a node is asked for only after the hook was asked about it, by the same
    invocation or one that handed over to it, and its agreement was heard.
I8  A node that the hook was told stays is not leaving then, and is asked for no more by the same
    invocation or one that it hands over to.
I9  A wait condition is signaled for the request whose reply it waited for, a success, with the
    counts of that reply.
No process does anything after its end, and no invocation raises.
"""

import json

from hyperpod_node_removal_contract import REASON_MAX_BYTES, Attribute
from tests.faults.deployment import FORWARD, Reply, Request, Truth, View
from tests.faults.stage import FRESHNESS, Deletion, Stage

AGAIN = 8
"""Events are run once more after one fault in so many, by the number of calls that it took."""
_NOT_FOUND = ("NodeIdNotFound", "NodeLogicalIdNotFound")
_RUN = ("COMPLETE", "ACCEPTED", "PARTIAL", "FAILED")


def check(
    stage: Stage,
    *,
    is_answered: bool = True,
    is_repeatable: bool = True,
) -> None:
    """Hold everything that happened on the stage against the invariants.

    Args:
        is_answered: whether every request has to be answered. Nobody answers for an event that is
            lost with its process, and a URL that is never reached takes no answer.
        is_repeatable: whether to run events once more. A test that is about the clean-up of a
            world that has moved on says no.
    """
    _check_all(stage, is_answered=is_answered)
    # To deliver everything again costs more than the fault itself.
    if is_repeatable and is_answered and len(stage.outside.calls) % AGAIN == 0:
        for request in _last_of_each_stack(stage):
            _check_again(stage, request)
        _check_all(stage, is_answered=True)


def _check_all(stage: Stage, *, is_answered: bool) -> None:
    _check_ends(stage)
    for request in stage.cloudformation.requests:
        assert request.arrived or not is_answered, "I1: a request without a reply"
        _check_replies(stage, request)
        for reply in request.replies:
            _check_body(request, reply)
            _check_outcome(stage, request, reply)
        _check_signals(request)
    for deletion in stage.deletions:
        _check_deletion(stage, deletion)
        _check_agreement(stage, deletion)
    _check_bystanders(stage)
    _check_log(stage)


def _check_ends(stage: Stage) -> None:
    assert stage.outside.after_death == []
    for invocation in stage.functions.invocations:
        assert invocation.end in {"returned", "killed", "timed out"}, invocation.error


# I1 ------------------------------------------------------------------------------------------


def _check_replies(stage: Stage, request: Request) -> None:
    for invocation in stage.functions.invocations:
        own = [reply for reply in request.replies if reply.invocation is invocation]
        assert sum(reply.is_acknowledged for reply in own) <= 1, "I1: one invocation replied twice"
        assert len({reply.body for reply in own}) <= 1, "I1: one invocation, two replies"
        if own and invocation.end == "returned" and not any(r.is_acknowledged for r in own):
            text = own[0].body.decode()
            assert any(text in line for line in invocation.log), "I1: a lost reply is not logged"


# I2 ------------------------------------------------------------------------------------------


def _check_deletion(stage: Stage, deletion: Deletion) -> None:
    request = deletion.request
    assert request.event["RequestType"] in {"Create", "Update"}, "I2: a delete during a Delete"
    assert request.is_forward, "I2: a delete in a rollback"
    assert set(deletion.identifiers) <= named(request), "I2: a node outside of the set"
    assert not deletion.is_late, "I2: a delete for a deployment that is over"
    assert len(deletion.identifiers) == len(set(deletion.identifiers))
    assert any(
        invocation is deletion.invocation
        and deletion.time - FRESHNESS <= time <= deletion.time
        and status in FORWARD
        for invocation, time, status in stage.looks
    ), "I2: a delete without a fresh look at the stack"


def _check_agreement(stage: Stage, deletion: Deletion) -> None:
    if "BeforeRemoval" not in deletion.request.event["ResourceProperties"]:
        return
    agreed: set[str] = set()
    for invocation, identifiers in stage.agreements:
        if invocation.number in deletion.invocation.ancestors:
            agreed |= identifiers
    assert set(deletion.identifiers) <= agreed, "I7: a delete that the hook did not agree to"
    for invocation, time, nodes in stage.releases:
        if invocation.number in deletion.invocation.ancestors and time <= deletion.time:
            assert not nodes & set(deletion.identifiers), "I8: a delete of a released node"


def _check_bystanders(stage: Stage) -> None:
    everyone: set[str] = set()
    for request in stage.cloudformation.requests:
        if request.is_forward:
            everyone |= named(request)
    for cluster in stage.clusters:
        state = cluster._state
        named_ones = {id(node) for identifier, node in state.ever.items() if identifier in everyone}
        for node in () if state.deleted else state.ever.values():
            if id(node) not in named_ones:
                assert node in state.listed(), "I2: a node that nobody named is gone"
                assert node.status != "ShuttingDown", "I2: a node that nobody named is leaving"


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
            assert (" not " in text) is bool(begins), "I9: a failure that is told as none"
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


def _check_log(stage: Stage) -> None:
    for invocation in stage.functions.invocations:
        for line in invocation.log:
            assert _is_printable(line), "I3: the log"
            assert "s3cret" not in line, "I3: the presigned URL is in the log"


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


# I5 ------------------------------------------------------------------------------------------


def named(request: Request) -> set[str]:
    """Every identifier in the properties of a request."""
    identifiers: set[str] = set()
    for key in ("NodeIds", "NodeLogicalIds"):
        value = request.event["ResourceProperties"].get(key) or ()
        items = value.split(",") if isinstance(value, str) else value
        identifiers.update(item.strip() for item in items if isinstance(item, str))
    return identifiers - {""}


def _check_outcome(stage: Stage, request: Request, reply: Reply) -> None:
    content = reply.content
    data = content["Data"]
    requested, planned, removed, accepted, absent, failed = (
        int(data[f"{kind}Count"])
        for kind in ("Requested", "Planned", "Removed", "Accepted", "AlreadyAbsent", "Failed")
    )
    is_refused = content["Reason"].startswith("Nothing was removed from ")
    if requested == 0 or is_refused or data["Outcome"] == "PLANNED":
        asked = [d for d in stage.deletions if d.is_done and d.invocation is reply.invocation]
        assert not asked, "I5: nodes were asked for, and the reply says nothing of them"
        is_failure = data["Outcome"] == "FAILED"
        assert content["Status"] == ("FAILED" if is_failure else "SUCCESS")
        assert planned + removed + accepted + absent + failed == requested
        return
    assert data["Outcome"] in _RUN
    assert removed + accepted + absent + failed == requested, "I5: the counts do not add up"
    gone = _whole(data["RemovedNodes"]) + _whole(data["AlreadyAbsentNodes"])
    present = _identifiers(reply.truth)
    assert not set(gone) & present, "I5: a node that is told to be gone is in the cluster"
    there = [node for node in reply.truth if {node.instance_id, node.logical_id} & named(request)]
    assert len(there) <= accepted + failed, "I5: nodes are in the cluster and not told"
    told = _whole(data["AcceptedNodes"]) + _whole(data["FailedNodes"])
    if len(told) == accepted + failed:
        for node in there:
            assert {node.instance_id, node.logical_id} & set(told), "I5: a node is not told"
    _check_status(request, content, failed=failed, requested=requested)
    if failed:
        _check_failures(stage, request, reply, failed=failed, requested=requested)


def _check_status(
    request: Request, content: dict[str, object], *, failed: int, requested: int
) -> None:
    policy = request.event["ResourceProperties"].get("OnPartialFailure", "FAIL")
    may_succeed = not failed or (failed < requested and policy == "REPORT")
    assert (content["Status"] == "SUCCESS") is may_succeed, "I5: the status"


def _check_failures(
    stage: Stage, request: Request, reply: Reply, *, failed: int, requested: int
) -> None:
    content = reply.content
    assert f"{failed} of {requested} node" in content["Reason"], "I5: no count in the reason"
    lines = [line for line in reply.invocation.log if ": not removed: " in line]
    codes = {line.split(": ")[0]: line.split(": ")[2] for line in lines}
    assert set(_whole(content["Data"]["FailedNodes"])) <= set(codes) <= named(request), "I5"
    assert len(codes) == failed, "I5: a failed node without a line in the log"
    own = [
        deletion
        for deletion in stage.deletions
        if deletion.time <= reply.time and deletion.invocation.number in reply.invocation.ancestors
    ]
    named_in_calls = {name for deletion in own for name in deletion.identifiers}
    asked = {name for deletion in own if deletion.is_done for name in deletion.identifiers}
    standing = {
        name
        for node in reply.truth
        if node.status != "ShuttingDown"
        for name in (node.instance_id, node.logical_id)
    }
    looks = [
        call.number
        for call in stage.outside.calls
        if call.invocation is reply.invocation
        and call.operation in {"ListClusterNodes", "DescribeClusterNode"}
    ]
    has_looked = bool(looks) and looks[-1] not in stage.outside.failed
    is_last_word = bool(looks) and looks[-1] > max((d.number for d in own), default=-1)
    for name, code in codes.items():
        if code == "NotAttempted":
            assert name not in asked, "I5: a node that was asked for is told not to have been"
        elif code == "NoAnswer":
            assert name in named_in_calls, "I5: a node that was not asked for is told to have been"
        elif code in _NOT_FOUND and not is_last_word:
            assert name not in standing, "I5: a node that is there is told not to exist"
        elif has_looked and code != "StillPresent":
            assert name in standing, f"I5: a node that is leaving is told failed for {code}"


def _whole(ids: str) -> list[str]:
    return [name for name in ids.split(",") if name and not name.endswith(" more")]


def _identifiers(truth: Truth) -> set[str]:
    return {name for node in truth for name in (node.instance_id, node.logical_id) if name}


# I6 ------------------------------------------------------------------------------------------


def _last_of_each_stack(stage: Stage) -> list[Request]:
    last: dict[tuple[str, bool], Request] = {}
    for request in stage.cloudformation.requests:
        last[request.stack.stack_id, request.is_forward] = request
    return list(last.values())


def _check_again(stage: Stage, request: Request) -> None:
    stage.outside.troubles.clear()
    _check_asks_nothing(stage, request, None if request.is_forward else request.view)
    if not request.is_forward:
        assert request.replies[-1].content["Status"] == "SUCCESS", "I6: a rollback failed"
        return
    first = request.arrived[0].content
    before = len(stage.deletions)
    standing, _ = _names(stage)
    replies = stage.deliver_again(request, request.view)
    assert replies, "I6: no reply"
    second = replies[-1].content
    asked = {name for deletion in stage.deletions[before:] for name in deletion.identifiers}
    assert asked <= standing, "I6: a node that is gone or leaving was asked for"
    if any(cluster._state.deleted for cluster in stage.clusters):
        return
    was_cancelled = first["Data"]["Outcome"] == "ROLLED_BACK"
    if first["Status"] == "SUCCESS" and not was_cancelled and not standing & named(request):
        assert second["Status"] == "SUCCESS", "I6: what succeeded failed"
    failed = set(_whole(first["Data"]["FailedNodes"]))
    standing, _ = _names(stage)
    if failed and failed <= standing:
        assert second["Status"] == first["Status"], "I6: the second run ended in another way"


def _check_asks_nothing(stage: Stage, request: Request, view: View | None) -> None:
    """A late delivery, when the stack is at rest or going back."""
    before = len(stage.deletions)
    assert stage.deliver_again(request, view), "I6: no reply"
    assert len(stage.deletions) == before, "I6: a late delivery asked for nodes"


def _names(stage: Stage) -> tuple[set[str], set[str]]:
    """Ids of the nodes that are in a cluster and not leaving, and of those that are leaving."""
    names: tuple[set[str], set[str]] = (set(), set())
    for cluster in stage.clusters:
        for node in () if cluster._state.deleted else cluster.nodes:
            ids = {name for name in (node.instance_id, node.logical_id) if name}
            names[node.status == "ShuttingDown"].update(ids)
    return names
