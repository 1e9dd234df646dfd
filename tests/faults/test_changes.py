"""The cluster changes under the removal's hands, at any of its calls."""

from collections.abc import Callable, Mapping

import pytest

from sandbox.hyperpod import Cluster
from tests.aws_transport import Answer
from tests.faults.conftest import Tally
from tests.faults.deployment import Stack
from tests.faults.invariants import check
from tests.faults.outside import Call, Trouble
from tests.faults.scenarios import Scenario, a_removal_from_many, calls_of, properties
from tests.faults.stage import Stage

GROUP = "2 calls to AWS"


def a_removal(stage: Stage) -> Stack:
    """Two nodes by instance id, one by logical id, one by both."""
    cluster = stage.cluster(8, continuous=True, shutdown_seconds=(20, 60))
    nodes, names = cluster.node_ids("workers"), cluster.logical_ids("workers")
    stack = stage.stack()
    stack.create(
        properties(NodeIds=list(nodes[:3]), NodeLogicalIds=list(names[2:4]), RetryFor="300")
    )
    return stack


def first(cluster: Cluster) -> str:
    """An id of the first node of the set that is still there, else of a bystander."""
    return cluster.nodes[0].logical_id or ""


def third(cluster: Cluster) -> str:
    return cluster.nodes[min(2, len(cluster.nodes) - 1)].logical_id or ""


Change = Callable[[Stage, Cluster], object]
CHANGES: Mapping[str, Change] = {
    "a node is recovered": lambda stage, c: c.replace_instance(third(c)),
    "a bystander is recovered": lambda stage, c: c.replace_instance(c.nodes[-1].logical_id or ""),
    "a node will fail while it leaves": lambda stage, c: c.fail_while_leaving(first(c)),
    "a node turns to Failure": lambda stage, c: c.set_node_status(first(c), "Failure"),
    "a node stays after all": lambda stage, c: c.set_node_status(third(c), "Running"),
    "a node is patched": lambda stage, c: c.set_node_status(
        first(c), "SystemUpdating", stage.timeline.now() + 70
    ),
    "a node is in use": lambda stage, c: c.refuse(first(c), until=stage.timeline.now() + 30),
    "a node is not found for a while": lambda stage, c: c.refuse(
        third(c), "NodeIdNotFound", until=stage.timeline.now() + 25
    ),
    "a node is not found for ever": lambda stage, c: c.refuse(first(c), "NodeLogicalIdNotFound"),
    "a node is refused for an unknown reason": lambda stage, c: c.refuse(first(c), "\x1b[31mOdd\n"),
    "a node is added": lambda stage, c: c.add_pending("workers"),
    "the cluster is updated": lambda stage, c: c.set_status(
        "Updating", until=stage.timeline.now() + 240
    ),
    "the cluster is patched for longer than retries last": lambda stage, c: c.set_status(
        "SystemUpdating", until=stage.timeline.now() + 400
    ),
    "the group is being changed": lambda stage, c: c.set_group_status(
        "workers", "Updating", until=stage.timeline.now() + 100
    ),
    "the cluster fails": lambda stage, c: c.set_status("Failed"),
    "the cluster is deleted": lambda stage, c: c.delete(),
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
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_at_any_call_is_told_as_it_is(
    change: str, scenario: Scenario, stride: int, busy_code: str, tally: Tally
) -> None:
    for call in calls_of(scenario)[::stride]:
        with tally.fault(f"{change} at call {call.number}, {call.operation}"), Stage() as stage:
            stage.hp.rules.busy_code = busy_code
            stack = scenario(stage)
            at_call(stage, call.number, lambda stage=stage: act(stage, change))  # type: ignore[misc]
            stage.run()
            assert not stack.is_stuck
            check(stage)


def act(stage: Stage, change: str) -> None:
    CHANGES[change](stage, stage.clusters[0])


def at_call(stage: Stage, number: int, do: Callable[[], object]) -> None:
    stage.outside.add(Trouble(lambda *_: do(), "", lambda call: call.number == number, times=1))


def a_removal_on_two_pages(stage: Stage) -> Stack:
    cluster = stage.cluster(150, shutdown_seconds=(20, 60))
    nodes = cluster.node_ids("workers")
    stack = stage.stack()
    stack.create(properties(NodeIds=[nodes[10], nodes[90], nodes[120], nodes[149]]))
    return stack


@pytest.mark.parametrize("what", ["slips", "is shown twice"])
def test_pages_that_change_between_two_calls_are_no_reason_to_lie(what: str, tally: Tally) -> None:
    """A node leaves the first page, and one of the set slips from the second page to the first,
    which has been read by then; or the other way round."""
    for call in calls_of(a_removal_on_two_pages):
        if call.operation == "ListClusterNodes" and "NextToken" in call.request:
            for index in (90, 120, 149):
                with tally.fault(f"node {index} {what} at call {call.number}"), Stage() as stage:
                    stack = a_removal_on_two_pages(stage)
                    node = f"{stage.clusters[0].node_ids('workers')[index]}"
                    turn_page(stage, call.number, node, is_lost=what == "slips")
                    stage.run()
                    assert stack.status == "CREATE_COMPLETE"
                    check(stage)


def turn_page(stage: Stage, number: int, node_id: str, *, is_lost: bool) -> None:
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

    stage.outside.add(Trouble(turn, "ListClusterNodes", is_after_work=True))


def test_a_node_that_reappears_is_not_told_to_be_gone(tally: Tally) -> None:
    """It is missing from one listing, at any time before the others of the set have left."""
    calls = [call for call in calls_of(a_removal) if call.operation == "ListClusterNodes"]
    for call in calls[:-2]:
        with tally.fault(f"missing at call {call.number}"), Stage() as stage:
            stack = a_removal(stage)
            slow = [n for n in stage.clusters[0].nodes if n.instance_id]
            turn_page(stage, call.number, slow[0].instance_id or "", is_lost=True)
            stage.run()
            assert not stack.is_stuck
            check(stage)
