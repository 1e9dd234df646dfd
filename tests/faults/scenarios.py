"""Operations on a stack, each begun and left to the stage: what the faults are tried upon."""

import json
import os
from collections.abc import Callable
from itertools import groupby

from sandbox.hyperpod import ServiceError
from tests.faults.deployment import Stack
from tests.faults.outside import PUT, Call
from tests.faults.stage import Stage
from tests.handler.function import HOOK

Scenario = Callable[[Stage], Stack]


def properties(**more: object) -> dict[str, object]:
    return {"ClusterName": "ml-cluster", "RetryFor": "60", **more}


def a_creation(stage: Stage) -> Stack:
    nodes = stage.cluster(shutdown_seconds=45).node_ids("workers")[:2]
    stack = stage.stack()
    stack.create(properties(NodeIds=list(nodes)))
    return stack


def a_removal_from_many(stage: Stage) -> Stack:
    """Four nodes of 150, one of them busy at first: what is watched is described, not listed."""
    cluster = stage.cluster(150, shutdown_seconds=(10, 45), continuous=True)
    nodes = cluster.node_ids("workers")
    cluster.refuse(nodes[10], until=stage.timeline.now() + 20)
    stack = stage.stack()
    names = [cluster.logical_ids("workers")[149]]
    stack.create(
        properties(NodeIds=[nodes[10], nodes[90], nodes[120]], NodeLogicalIds=names, RetryFor="300")
    )
    return stack


def a_creation_that_fails(stage: Stage) -> Stack:
    cluster = stage.cluster(shutdown_seconds=45)
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    stack = stage.stack()
    stack.create(properties(NodeIds=[bad, good]))
    return stack


def an_update(stage: Stage) -> Stack:
    cluster = stage.cluster(shutdown_seconds=45, continuous=True)
    first, second, *_ = cluster.node_ids("workers")
    third = cluster.logical_ids("workers")[2]
    stack = stage.deployed({"NodeIds": [first]})
    stack.update(properties(NodeIds=[first, second], NodeLogicalIds=[third]))
    return stack


def an_update_that_fails(stage: Stage) -> Stack:
    cluster = stage.cluster(shutdown_seconds=45)
    old, bad, good, *_ = cluster.node_ids("workers")
    cluster.fail_while_leaving(bad)
    stack = stage.deployed({"NodeIds": [old]})
    stack.update(properties(NodeIds=[bad, good]))
    return stack


def an_update_that_reports(stage: Stage) -> Stack:
    cluster = stage.cluster(shutdown_seconds=45)
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    stack = stage.deployed({})
    stack.update(properties(NodeIds=[bad, good], OnPartialFailure="REPORT"))
    return stack


def an_update_with_a_verdict(stage: Stage) -> Stack:
    """Its success is to be seen in the stack's events."""
    cluster = stage.cluster(shutdown_seconds=45)
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    stack = stage.deployed({})
    given = {"OnPartialFailure": "REPORT", "VerdictCondition": "Verdict1"}
    stack.update(properties(NodeIds=[bad, good], **given))
    return stack


def an_update_that_is_refused(stage: Stage) -> Stack:
    nodes = stage.cluster().node_ids("workers")[:1]
    stack = stage.deployed({"NodeIds": list(nodes)})
    stack.update(properties(NodeIds=[*nodes, "i-nonsense"]))
    return stack


def an_update_with_a_hook(stage: Stage) -> Stack:
    """A hook that takes some time and vetoes one node of three."""
    vetoed, *good = stage.cluster(shutdown_seconds=45).node_ids("workers")[:3]

    def hook(event: dict[str, object]) -> bytes:
        stage.timeline.sleep(100.0)
        veto = {"NodeId": vetoed, "Reason": "a pod cannot be evicted"}
        return json.dumps({"Decision": "PROCEED", "VetoedNodes": [veto]}).encode()

    stage.hook = hook
    stack = stage.deployed({})
    stack.update(properties(NodeIds=[vetoed, *good], BeforeRemoval=HOOK))
    return stack


def drained(stage: Stage, *, busy_for: float, vetoes: bool = False, timeout: str = "1800") -> Stack:
    """An update of two nodes whose hook of version 2 has one that is busy for so many seconds."""
    busy, other = stage.cluster(shutdown_seconds=45).node_ids("workers")[:2]
    stack = stage.deployed({})
    free_at = stage.timeline.now() + busy_for

    def hook(event: dict[str, object]) -> bytes:
        stage.timeline.sleep(2.0)
        told = [{"NodeId": busy, "Reason": "job 17 is running"}]
        answer: dict[str, object] = {"Version": "2", "Decision": "PROCEED"}
        if stage.timeline.now() < free_at:
            answer |= {"Decision": "WAIT", "WaitingNodes": told, "RetryAfter": 60}
        elif vetoes:
            answer |= {"VetoedNodes": told}
        return json.dumps(answer).encode()

    stage.hook = hook
    stack.update(properties(NodeIds=[busy, other], BeforeRemoval=HOOK, ServiceTimeout=timeout))
    return stack


def a_drain_that_waits(stage: Stage) -> Stack:
    """The second invocation hears that the nodes are free."""
    stage.functions.seconds = 300.0
    return drained(stage, busy_for=350.0)


def a_drain_that_vetoes_a_node(stage: Stage) -> Stack:
    return drained(stage, busy_for=100.0, vetoes=True)


def a_drain_that_outlasts_the_timeout(stage: Stage) -> Stack:
    return drained(stage, busy_for=1e6, timeout="400")


def a_drain_that_is_canceled(stage: Stage) -> Stack:
    """In its second invocation."""
    stage.functions.seconds = 300.0
    stack = drained(stage, busy_for=1e6)
    stage.timeline.after(350.0, stack.cancel)
    return stack


def an_acceptance(stage: Stage) -> Stack:
    nodes = stage.cluster(shutdown_seconds=300).node_ids("workers")[:2]
    stack = stage.stack()
    stack.create(properties(NodeIds=list(nodes), WaitFor="ACCEPTED"))
    return stack


def a_deletion(stage: Stage) -> Stack:
    nodes = stage.cluster().node_ids("workers")[:1]
    stack = stage.deployed({"NodeIds": list(nodes)})
    stack.delete()
    return stack


def a_busy_cluster(stage: Stage) -> Stack:
    cluster = stage.cluster(shutdown_seconds=20)
    cluster.set_status("Updating", until=stage.timeline.now() + 40)
    stack = stage.stack()
    stack.create(properties(NodeIds=list(cluster.node_ids("workers")[:2])))
    return stack


def a_reply_that_stutters(stage: Stage) -> Stack:
    stage.outside.fail(PUT, lambda: ServiceError("SlowDown", status=503), times=2)
    return a_creation(stage)


def a_chain(stage: Stage) -> Stack:
    """Three links: the first asks, the second waits, the third answers."""
    stage.functions.seconds = 200.0
    nodes = stage.cluster(shutdown_seconds=400).node_ids("workers")[:2]
    stack = stage.stack()
    stack.create(properties(NodeIds=list(nodes)))
    return stack


def a_long_chain(stage: Stage) -> Stack:
    """Two links of the length they have in AWS."""
    nodes = stage.cluster(shutdown_seconds=1000).node_ids("workers")[:2]
    stack = stage.stack()
    stack.create(properties(NodeIds=list(nodes)))
    return stack


def a_partial_chain(stage: Stage) -> Stack:
    """Two links, one node that is refused, one that leaves late."""
    cluster = stage.cluster(shutdown_seconds=870)
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    stack = stage.deployed({})
    stack.update(properties(NodeIds=[bad, good]))
    return stack


def a_chain_that_fails(stage: Stage) -> Stack:
    """One node is refused until the end, another is accepted by the second link only."""
    stage.functions.seconds = 200.0
    cluster = stage.cluster(shutdown_seconds=200)
    stack = stage.deployed({})
    bad, late, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    cluster.refuse(late, until=stage.timeline.now() + 250)
    stack.update(properties(NodeIds=[bad, late], RetryFor="300"))
    return stack


def a_chain_whose_stack_goes_back(stage: Stage) -> Stack:
    stage.functions.seconds = 200.0
    cluster = stage.cluster(shutdown_seconds=100)
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    stack = stage.deployed({})
    stack.update(properties(NodeIds=[bad, good], RetryFor="400"))
    stage.timeline.after(300.0, stack.cancel)
    return stack


SCENARIOS: tuple[Scenario, ...] = (
    a_creation,
    a_creation_that_fails,
    an_update,
    an_update_that_fails,
    an_update_that_reports,
    an_update_with_a_verdict,
    an_update_that_is_refused,
    an_update_with_a_hook,
    a_drain_that_waits,
    a_drain_that_outlasts_the_timeout,
    a_drain_that_is_canceled,
    an_acceptance,
    a_deletion,
    a_busy_cluster,
    a_reply_that_stutters,
    a_chain,
    a_chain_that_fails,
    a_chain_whose_stack_goes_back,
)


LOOKS = ("DescribeCluster", "DescribeClusterNode", "DescribeStacks", "ListClusterNodes")


def calls_of(scenario: Scenario) -> list[Call]:
    """Return the calls of the operation in a run in which nothing else happens.

    Looks in a row mostly show the same. Unless `FAULTS` is `all`, as for `make test-faults`, the
    middle ones of each operation are thinned out to one in eight.
    """
    with Stage() as stage:
        scenario(stage)
        before = len(stage.outside.calls)
        stage.run()
        calls = stage.outside.calls[before:]
    return calls if os.environ.get("FAULTS") == "all" else _thinned_out(calls)


def _thinned_out(calls: list[Call]) -> list[Call]:
    kept: list[Call] = []
    for is_look, group in groupby(calls, lambda call: call.operation in LOOKS):
        row = list(group)
        if not is_look:
            kept += row
            continue
        for operation in LOOKS:
            same = [call for call in row if call.operation == operation]
            kept += same[:2] + same[2:-2:8] + same[2:][-2:]
    return sorted(kept, key=lambda call: call.number)
