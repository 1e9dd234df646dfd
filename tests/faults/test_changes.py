"""Changes of the cluster during a removal, at any of its calls."""

from collections.abc import Callable, Mapping
from functools import partial

import pytest

from sandbox.hyperpod import Cluster
from tests.aws_transport import Answer
from tests.faults.cloudformation import Stack
from tests.faults.conftest import Tally
from tests.faults.fault_injection import Call, Fault
from tests.faults.invariants import check
from tests.faults.sampling import sample
from tests.faults.scenarios import Scenario, a_removal_from_many, calls_of, properties
from tests.faults.simulation import Simulation

GROUP = "2 calls to AWS"


def a_removal(sim: Simulation) -> Stack:
    """Remove two nodes by instance id, one by logical id, and one by both."""
    cluster = sim.cluster(8, continuous=True, shutdown_seconds=(20, 60))
    nodes, names = cluster.node_ids("workers"), cluster.logical_ids("workers")
    stack = sim.stack()
    stack.create(
        properties(NodeIds=list(nodes[:3]), NodeLogicalIds=list(names[2:4]), RetryFor="300")
    )
    return stack


def first(cluster: Cluster) -> str:
    """Return the id of the first node in the cluster, which is in the set until it has left."""
    return cluster.nodes[0].logical_id or ""


def third(cluster: Cluster) -> str:
    return cluster.nodes[min(2, len(cluster.nodes) - 1)].logical_id or ""


Change = Callable[[Simulation, Cluster], object]
CHANGES: Mapping[str, Change] = {
    "a node is recovered": lambda sim, c: c.replace_instance(third(c)),
    "another node is recovered": lambda sim, c: c.replace_instance(c.nodes[-1].logical_id or ""),
    "a node will fail while it leaves": lambda sim, c: c.fail_while_leaving(first(c)),
    "a node turns to Failure": lambda sim, c: c.set_node_status(first(c), "Failure"),
    "a node stays after all": lambda sim, c: c.set_node_status(third(c), "Running"),
    "a node is patched": lambda sim, c: c.set_node_status(
        first(c), "SystemUpdating", sim.timeline.now() + 70
    ),
    "a node is in use": lambda sim, c: c.refuse(first(c), until=sim.timeline.now() + 30),
    "a node is not found for a while": lambda sim, c: c.refuse(
        third(c), "NodeIdNotFound", until=sim.timeline.now() + 25
    ),
    "a node is never found": lambda sim, c: c.refuse(first(c), "NodeLogicalIdNotFound"),
    "a node is refused for an unknown reason": lambda sim, c: c.refuse(first(c), "\x1b[31mOdd\n"),
    "a node is added": lambda sim, c: c.add_pending("workers"),
    "the cluster is updated": lambda sim, c: c.set_status(
        "Updating", until=sim.timeline.now() + 240
    ),
    "the cluster is patched for longer than retries last": lambda sim, c: c.set_status(
        "SystemUpdating", until=sim.timeline.now() + 400
    ),
    "the group is being changed": lambda sim, c: c.set_group_status(
        "workers", "Updating", until=sim.timeline.now() + 100
    ),
    "the cluster fails": lambda sim, c: c.set_status("Failed"),
    "the cluster is deleted": lambda sim, c: c.delete(),
}


@pytest.mark.parametrize(
    ("scenario", "stride", "busy_code"),
    [
        (a_removal, 1, "ConflictException"),
        (a_removal, 1, "ValidationException"),
        (a_removal_from_many, 4, "ConflictException"),
    ],
    ids=["few", "few, ValidationException", "many"],
)
def test_a_change_of_the_cluster_at_any_call_is_reported_correctly(
    scenario: Scenario, stride: int, busy_code: str, tally: Tally
) -> None:
    for call, (name, change) in sample(calls_of(scenario)[::stride], CHANGES.items()):
        with tally.fault(f"{name} at call {call.number}, {call.operation}"), Simulation() as sim:
            sim.hp.rules.busy_code = busy_code
            stack = scenario(sim)
            sim.injector.at(call, partial(change, sim, sim.clusters[0]))
            sim.run()
            assert not stack.is_stuck
            check(sim)


def a_removal_on_two_pages(sim: Simulation) -> Stack:
    cluster = sim.cluster(150, shutdown_seconds=(20, 60))
    nodes = cluster.node_ids("workers")
    stack = sim.stack()
    stack.create(properties(NodeIds=[nodes[10], nodes[90], nodes[120], nodes[149]]))
    return stack


def test_a_node_that_moves_between_pages_is_reported_correctly(tally: Tally) -> None:
    """A listing misses a node that moves to a page that was already read, or shows it twice."""
    calls = [
        call
        for call in calls_of(a_removal_on_two_pages)
        if call.operation == "ListClusterNodes" and "NextToken" in call.request
    ]
    for call, what, index in sample(calls, ("slips", "is shown twice"), (90, 120, 149)):
        with tally.fault(f"node {index} {what} at call {call.number}"), Simulation() as sim:
            stack = a_removal_on_two_pages(sim)
            node = sim.clusters[0].node_ids("workers")[index]
            turn_page(sim, call.number, node, is_lost=what == "slips")
            sim.run()
            assert stack.status == "CREATE_COMPLETE"
            check(sim)


def turn_page(sim: Simulation, number: int, node_id: str, *, is_lost: bool) -> None:
    seen: dict[str, object] = {}

    def turn(call: Call, answer: Answer | None) -> None:
        assert answer is not None
        shown = answer["ClusterNodeSummaries"]
        mine = [summary for summary in shown if summary["InstanceId"] == node_id]
        if is_lost and number - 1 <= call.number <= number:
            answer["ClusterNodeSummaries"] = [s for s in shown if s["InstanceId"] != node_id]
        elif mine and call.number == number - 1:
            seen.update(mine[0])
        elif seen and call.number == number:
            shown.append(seen)

    sim.injector.add(Fault(turn, "ListClusterNodes", is_after_work=True))


def test_a_node_that_reappears_is_not_reported_as_gone(tally: Tally) -> None:
    """It is missing from one listing at any time before the other nodes have left."""
    calls = [call for call in calls_of(a_removal) if call.operation == "ListClusterNodes"]
    for call in calls[:-2]:
        with tally.fault(f"missing at call {call.number}"), Simulation() as sim:
            stack = a_removal(sim)
            node = sim.clusters[0].node_ids("workers")[0]
            turn_page(sim, call.number, node, is_lost=True)
            sim.run()
            assert not stack.is_stuck
            check(sim)
