"""Operations on a stack during which faults are injected. A scenario begins one, a test runs it."""

import json
from collections.abc import Callable

from sandbox.hyperpod import ServiceError
from tests.faults.cloudformation import Properties, Stack
from tests.faults.fault_injection import PUT, Call
from tests.faults.simulation import Simulation
from tests.handler.function import HOOK

Scenario = Callable[[Simulation], Stack]
EMPTY_SET: Properties = {}


def properties(**more: object) -> dict[str, object]:
    return {"ClusterName": "ml-cluster", "RetryFor": "60", **more}


def _create(sim: Simulation, *, shutdown_seconds: float, **more: object) -> Stack:
    """Create a stack that removes two nodes."""
    nodes = sim.cluster(shutdown_seconds=shutdown_seconds).node_ids("workers")[:2]
    stack = sim.stack()
    stack.create(properties(NodeIds=list(nodes), **more))
    return stack


def _update_in_part(sim: Simulation, *, shutdown_seconds: float = 45, **more: object) -> Stack:
    """Update a stack to remove two nodes, of which one is refused."""
    cluster = sim.cluster(shutdown_seconds=shutdown_seconds)
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    stack = sim.deployed_stack({})
    stack.update(properties(NodeIds=[bad, good], **more))
    return stack


def a_creation(sim: Simulation) -> Stack:
    return _create(sim, shutdown_seconds=45)


def a_removal_from_many(sim: Simulation) -> Stack:
    """Remove four of 150 nodes, one of them busy at first: nodes are described, not listed."""
    cluster = sim.cluster(150, shutdown_seconds=(10, 45), continuous=True)
    nodes = cluster.node_ids("workers")
    cluster.refuse(nodes[10], until=sim.timeline.now() + 20)
    stack = sim.stack()
    names = [cluster.logical_ids("workers")[149]]
    stack.create(
        properties(NodeIds=[nodes[10], nodes[90], nodes[120]], NodeLogicalIds=names, RetryFor="300")
    )
    return stack


def a_creation_that_fails(sim: Simulation) -> Stack:
    cluster = sim.cluster(shutdown_seconds=45)
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    stack = sim.stack()
    stack.create(properties(NodeIds=[bad, good]))
    return stack


def an_update(sim: Simulation) -> Stack:
    cluster = sim.cluster(shutdown_seconds=45, continuous=True)
    first, second, *_ = cluster.node_ids("workers")
    third = cluster.logical_ids("workers")[2]
    stack = sim.deployed_stack({"NodeIds": [first]})
    stack.update(properties(NodeIds=[first, second], NodeLogicalIds=[third]))
    return stack


def an_update_that_fails(sim: Simulation) -> Stack:
    cluster = sim.cluster(shutdown_seconds=45)
    old, bad, good, *_ = cluster.node_ids("workers")
    cluster.fail_while_leaving(bad)
    stack = sim.deployed_stack({"NodeIds": [old]})
    stack.update(properties(NodeIds=[bad, good]))
    return stack


def an_update_that_reports(sim: Simulation) -> Stack:
    return _update_in_part(sim, OnPartialFailure="REPORT")


def an_update_with_a_verdict(sim: Simulation) -> Stack:
    """Update with a wait condition that shows the verdict in the stack's events."""
    return _update_in_part(sim, OnPartialFailure="REPORT", VerdictCondition="Verdict1")


def an_update_that_is_refused(sim: Simulation) -> Stack:
    nodes = sim.cluster().node_ids("workers")[:1]
    stack = sim.deployed_stack({"NodeIds": list(nodes)})
    stack.update(properties(NodeIds=[*nodes, "i-nonsense"]))
    return stack


def an_update_with_a_hook(sim: Simulation) -> Stack:
    """Update with a hook that takes some time and vetoes one node of three."""
    vetoed, *good = sim.cluster(shutdown_seconds=45).node_ids("workers")[:3]

    def hook(event: dict[str, object]) -> bytes:
        sim.timeline.sleep(100.0)
        veto = {"NodeId": vetoed, "Reason": "a pod cannot be evicted"}
        return json.dumps({"Decision": "PROCEED", "VetoedNodes": [veto]}).encode()

    sim.hook = hook
    stack = sim.deployed_stack({})
    stack.update(properties(NodeIds=[vetoed, *good], BeforeRemoval=HOOK))
    return stack


def a_drain(
    sim: Simulation,
    *,
    busy_for: float,
    vetoes: bool = False,
    timeout: str = "1800",
    before: Properties | None = EMPTY_SET,
) -> Stack:
    """Update or create with a hook of version 2 that waits for one of two nodes.

    It waits for `busy_for` seconds. `before` are the properties of the stack that is updated.
    """
    busy, other = sim.cluster(shutdown_seconds=45).node_ids("workers")[:2]
    stack = sim.stack() if before is None else sim.deployed_stack(before)
    free_at = sim.timeline.now() + busy_for

    def hook(event: dict[str, object]) -> bytes:
        sim.timeline.sleep(2.0)
        nodes = [{"NodeId": busy, "Reason": "job 17 is running"}]
        answer: dict[str, object] = {"Version": "2", "Decision": "PROCEED"}
        if sim.timeline.now() < free_at:
            answer |= {"Decision": "WAIT", "WaitingNodes": nodes, "RetryAfter": 60}
        elif vetoes:
            answer |= {"VetoedNodes": nodes}
        return json.dumps(answer).encode()

    sim.hook = hook
    deploy = stack.create if before is None else stack.update
    deploy(properties(NodeIds=[busy, other], BeforeRemoval=HOOK, ServiceTimeout=timeout))
    return stack


def a_drain_that_waits(sim: Simulation) -> Stack:
    """Drain two nodes. They are free in the second invocation."""
    sim.functions.seconds = 300.0
    return a_drain(sim, busy_for=350.0)


def a_drain_that_vetoes_a_node(sim: Simulation) -> Stack:
    return a_drain(sim, busy_for=100.0, vetoes=True)


def a_drain_that_outlasts_the_timeout(sim: Simulation) -> Stack:
    return a_drain(sim, busy_for=1e6, timeout="400")


def a_drain_that_is_canceled(sim: Simulation) -> Stack:
    """Drain two nodes, and cancel in the second invocation."""
    sim.functions.seconds = 300.0
    stack = a_drain(sim, busy_for=1e6)
    sim.timeline.after(350.0, stack.cancel)
    return stack


def an_acceptance(sim: Simulation) -> Stack:
    return _create(sim, shutdown_seconds=300, WaitFor="ACCEPTED")


def a_deletion(sim: Simulation) -> Stack:
    nodes = sim.cluster().node_ids("workers")[:1]
    stack = sim.deployed_stack({"NodeIds": list(nodes)})
    stack.delete()
    return stack


def a_busy_cluster(sim: Simulation) -> Stack:
    cluster = sim.cluster(shutdown_seconds=20)
    cluster.set_status("Updating", until=sim.timeline.now() + 40)
    stack = sim.stack()
    stack.create(properties(NodeIds=list(cluster.node_ids("workers")[:2])))
    return stack


def a_reply_that_is_retried(sim: Simulation) -> Stack:
    sim.injector.fail(PUT, lambda: ServiceError("SlowDown", status=503), times=2)
    return a_creation(sim)


def a_chain(sim: Simulation) -> Stack:
    """Remove two nodes in three invocations: one requests, one waits, and one replies."""
    sim.functions.seconds = 200.0
    return _create(sim, shutdown_seconds=400)


def a_long_chain(sim: Simulation) -> Stack:
    """Remove two nodes in two invocations as long as in AWS."""
    return _create(sim, shutdown_seconds=1000)


def a_partial_chain(sim: Simulation) -> Stack:
    """Update in two invocations, with a node that is refused and one that leaves late."""
    return _update_in_part(sim, shutdown_seconds=870)


def a_chain_that_fails(sim: Simulation) -> Stack:
    """Update with a node that is always refused, and one that is until the second invocation."""
    sim.functions.seconds = 200.0
    cluster = sim.cluster(shutdown_seconds=200)
    stack = sim.deployed_stack({})
    bad, late, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    cluster.refuse(late, until=sim.timeline.now() + 250)
    stack.update(properties(NodeIds=[bad, late], RetryFor="300"))
    return stack


def a_chain_whose_stack_rolls_back(sim: Simulation) -> Stack:
    sim.functions.seconds = 200.0
    stack = _update_in_part(sim, shutdown_seconds=100, RetryFor="400")
    sim.timeline.after(300.0, stack.cancel)
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
    a_reply_that_is_retried,
    a_chain,
    a_chain_that_fails,
    a_chain_whose_stack_rolls_back,
)


def calls_of(scenario: Scenario) -> list[Call]:
    """Return the calls of the operation in a run without faults."""
    with Simulation() as sim:
        scenario(sim)
        before = len(sim.injector.calls)
        sim.run()
        return sim.injector.calls[before:]
