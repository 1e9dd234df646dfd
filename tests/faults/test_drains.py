"""A hook of version 2 that waits, vetoes, or is no longer needed, and which nodes are released."""

import json
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from tests.faults import scenarios
from tests.faults.cloudformation import Properties
from tests.faults.conftest import Tally
from tests.faults.errors import BEFORE
from tests.faults.fault_injection import RELEASE
from tests.faults.invariants import check
from tests.faults.sampling import sample
from tests.faults.scenarios import Scenario, properties
from tests.faults.scheduler import Scheduler
from tests.faults.simulation import Simulation
from tests.handler.function import HOOK

GROUP = "10 drains"

ENDS: dict[Scenario, tuple[str, int, int]] = {
    scenarios.a_drain_that_waits: ("UPDATE_COMPLETE", 2, 0),
    scenarios.a_drain_that_vetoes_a_node: ("UPDATE_ROLLBACK_COMPLETE", 1, 1),
    scenarios.a_drain_that_outlasts_the_timeout: ("UPDATE_ROLLBACK_COMPLETE", 1, 1),
    scenarios.a_drain_that_is_canceled: ("UPDATE_ROLLBACK_COMPLETE", 0, 2),
}
"""The status of the stack, and how many nodes are removed and released."""


def released(sim: Simulation) -> set[str]:
    return {node for _, _, nodes in sim.releases for node in nodes}


@pytest.mark.parametrize("scenario", ENDS)
def test_every_drained_node_is_removed_or_released(scenario: Scenario, tally: Tally) -> None:
    status, removed, stayed = ENDS[scenario]
    with tally.fault("none"), Simulation() as sim:
        stack = scenario(sim)
        sim.run()
        assert stack.status == status
        assert len(sim.hp.requested_nodes) == removed
        assert len(released(sim)) == stayed
        assert released(sim) <= sim.clusters[0].present
        check(sim)


@pytest.mark.parametrize("second", range(8, 410, 35))
def test_a_deployment_that_is_canceled_at_any_time_releases_the_other_nodes(
    second: int, tally: Tally
) -> None:
    with tally.fault(f"canceled after {second} s"), Simulation() as sim:
        stack = scenarios.a_drain_that_waits(sim)
        sim.timeline.after(second, stack.cancel)
        sim.run()
        named = set(stack.requests[1].event["ResourceProperties"]["NodeIds"])
        assert sim.hp.requested_nodes | released(sim) == named
        check(sim, is_repeatable=False)


BEFORE_THE_HOOK: dict[str, Properties | None] = {
    "a new stack": None,
    "no hook": scenarios.EMPTY_SET,
    "another hook": {"BeforeRemoval": f"{HOOK}-before"},
}
"""The properties of the stack before a deployment that brings the hook. Calls of another hook fail
the test: its nodes, if there were any, are not those of this deployment."""


@pytest.mark.parametrize("before", BEFORE_THE_HOOK)
def test_a_hook_is_notified_before_the_rollback_can_delete_it(before: str, tally: Tally) -> None:
    """A deployment that brings the hook is canceled while the hook waits. It deletes the hook as
    soon as the resource has answered, and then nobody releases the nodes."""
    for (second,) in sample((*range(6, 70), 100, 301)):
        with tally.fault(f"canceled after {second} s"), Simulation() as sim:
            stack = scenarios.a_drain(sim, busy_for=1e6, before=BEFORE_THE_HOOK[before])
            sim.timeline.after(second, stack.cancel)
            sim.run()
            forward, backward = stack.requests[-2:]
            request_type = "Update" if stack.properties else "Delete"
            assert backward.event["RequestType"] == request_type
            assert released(sim) == set(forward.event["ResourceProperties"]["NodeIds"])
            assert max(time for _, time, _ in sim.releases) < backward.closed_at
            check(sim, is_repeatable=False)


def test_a_canceled_request_does_not_resume_what_the_next_one_has_drained(tally: Tally) -> None:
    """It notices up to half a minute later, when the next deployment may have drained the nodes
    that both name and be about to remove them."""
    for second, busy_for in sample(range(6, 62, 4), (40.0, 60.0)):
        with tally.fault(f"canceled after {second} s"), Simulation() as sim:
            dropped, kept, new = sim.cluster(shutdown_seconds=45).node_ids("workers")[:3]
            stack = sim.deployed_stack({"BeforeRemoval": HOOK})
            scheduler = Scheduler(sim, busy_for=busy_for)
            stack.update(properties(NodeIds=[dropped, kept], BeforeRemoval=HOOK))
            fixed = properties(NodeIds=[kept, new], BeforeRemoval=HOOK)
            sim.timeline.after(second, partial(stack.cancel_and_redeploy, fixed))
            sim.run()
            assert stack.status == "UPDATE_COMPLETE"
            assert set(scheduler.drained) == sim.hp.requested_nodes
            check(sim, is_repeatable=False)


def test_each_drained_node_is_gone_or_released_whatever_is_deployed_and_canceled(
    tally: Tally,
) -> None:
    """Random deployments with and without the hook, which is deleted with the last that has it."""
    for (seed,) in sample(range(240)):
        with tally.fault(f"seed {seed}"), Simulation(seed) as sim:
            draw = random.Random(seed)
            cluster = sim.cluster(8, shutdown_seconds=draw.choice([5, 45, 200]))
            nodes = cluster.node_ids("workers")
            sim.functions.seconds = draw.choice([300.0, 900.0])
            sim.injector.latency = draw.choice([0.0, 0.3, 1.5])
            stack = sim.deployed_stack({})
            stack.lag_backward, stack.lag_forward = draw.choice([0, 3]), draw.choice([0, 20])
            scheduler = Scheduler(sim, stack=stack)
            for number in range(3):
                stack.update(_drawn(draw, nodes, number))
                scheduler.busy_for(draw.choice([0, 60, 150, 400]))
                redeploy = partial(stack.cancel_and_redeploy, _drawn(draw, nodes, number + 0.5))
                actions: list[Callable[[], None]] = [stack.cancel, redeploy, lambda: None]
                sim.timeline.after(draw.uniform(0.5, 200.0), draw.choice(actions))
                sim.run()
            staying = {node.instance_id for node in cluster.nodes if node.status == "Running"}
            assert not staying & scheduler.drained.keys(), "a drained node was not released"
            check(sim, is_repeatable=False)


def _drawn(draw: random.Random, nodes: Sequence[str], token: float) -> Properties:
    """Draw properties of a deployment. The token makes each of them remove its nodes."""
    optional: dict[str, Any] = {
        "BeforeRemoval": HOOK,
        "MinRemaining": {"workers": "5"},
        "MissingNodes": "FAIL",
        "ServiceTimeout": "300",
        "WaitFor": "ACCEPTED",
    }
    likely = {"BeforeRemoval": 0.8}
    given = {key: one for key, one in optional.items() if draw.random() < likely.get(key, 0.2)}
    return properties(
        NodeIds=draw.sample(nodes, draw.randint(0, 3)), RetryToken=str(token), **given
    )


def test_a_copy_of_a_request_does_not_release_what_the_other_copy_removes(tally: Tally) -> None:
    """It is canceled while it waits for the hook, which the other copy has asked a moment before:
    its nodes are leaving."""
    for delay, second in sample((1.0, 5.0, 12.0, 25.0), range(24, 100, 4)):
        with tally.fault(f"{delay} s later, canceled after {second} s"), Simulation() as sim:
            nodes = sim.cluster(shutdown_seconds=45).node_ids("workers")[:2]
            stack = sim.deployed_stack({"BeforeRemoval": HOOK})
            scheduler = Scheduler(sim, busy_for=70.0)
            sim.cloudformation.deliveries = (0.0, delay)
            stack.update(properties(NodeIds=list(nodes), BeforeRemoval=HOOK))
            sim.timeline.after(second, stack.cancel)
            sim.run()
            assert set(scheduler.drained) == sim.hp.requested_nodes
            check(sim, is_repeatable=False)


def test_an_update_that_drops_a_hook_leaves_time_for_a_canceled_request(tally: Tally) -> None:
    """Its stack deletes the hook as soon as it is complete. The deployment before it had the same
    hook, and so did its rollback, which had nothing to wait for."""
    for second, number in sample(range(6, 70, 4), (0, 1)):
        with tally.fault(f"canceled after {second} s, {number} nodes"), Simulation() as sim:
            one, other, gone = sim.cluster(shutdown_seconds=45).node_ids("workers")[:3]
            stack = sim.deployed_stack({"NodeIds": [gone], "BeforeRemoval": HOOK})
            scheduler = Scheduler(sim, busy_for=1e6)
            stack.update(properties(NodeIds=[one, other], BeforeRemoval=HOOK))
            fixed = properties(NodeIds=[gone][:number])
            sim.timeline.after(second, partial(stack.cancel_and_redeploy, fixed))
            sim.run()
            assert stack.status == "UPDATE_COMPLETE"
            assert scheduler.drained == {}
            assert max(time for _, time, _ in sim.releases) < stack.request.closed_at
            check(sim, is_repeatable=False)


def test_a_listing_that_takes_a_minute_does_not_delay_a_release(tally: Tally) -> None:
    with tally.fault("4 s for each of 15 pages"), Simulation() as sim:
        nodes = sim.cluster(1500, shutdown_seconds=45).node_ids("workers")[:2]
        stack = sim.deployed_stack({})
        scheduler = Scheduler(sim, busy_for=1e6)
        sim.injector.latency = lambda call: 4.0 if call.operation == "ListClusterNodes" else 0.0
        stack.update(properties(NodeIds=list(nodes), BeforeRemoval=HOOK))
        sim.timeline.after(100.0, stack.cancel)
        sim.run()
        assert scheduler.drained == {}
        assert max(time for _, time, _ in sim.releases) < stack.request.closed_at
        check(sim, is_repeatable=False)


def test_a_slow_look_at_what_was_requested_does_not_delay_a_release(tally: Tally) -> None:
    with tally.fault("4 s for each of 15 pages, one node is leaving"), Simulation() as sim:
        vetoed, leaving = sim.cluster(1500, shutdown_seconds=600).node_ids("workers")[:2]
        veto = {"NodeId": vetoed, "Reason": "job 17 is running"}
        answer = {"Version": "2", "Decision": "PROCEED", "VetoedNodes": [veto]}
        sim.hook = lambda _: json.dumps(answer).encode()
        stack = sim.deployed_stack({})
        sim.injector.latency = lambda call: 4.0 if call.operation == "ListClusterNodes" else 0.0
        stack.update(properties(NodeIds=[vetoed, leaving], BeforeRemoval=HOOK))
        sim.timeline.after(250.0, stack.cancel)
        sim.run()
        assert sim.hp.requested_nodes == {leaving}
        assert released(sim) == {vetoed}
        assert max(time for _, time, _ in sim.releases) < stack.request.closed_at
        check(sim, is_repeatable=False)


def test_the_rollback_of_a_hook_ends_within_its_timeout(tally: Tally) -> None:
    with tally.fault("canceled after 5 s"), Simulation() as sim:
        stack = scenarios.a_drain(sim, busy_for=1e6, timeout="60", before=None)
        sim.timeline.after(5.0, stack.cancel)
        sim.run()
        assert stack.status == "ROLLBACK_COMPLETE"
        check(sim, is_repeatable=False)


def test_a_removal_with_a_hook_is_deleted_immediately(tally: Tally) -> None:
    with tally.fault("none"), Simulation() as sim:
        stack = scenarios.a_drain(sim, busy_for=0.0, before=None)
        sim.run()
        began = sim.timeline.now()
        stack.delete()
        sim.run()
        assert stack.status == "DELETE_COMPLETE"
        assert stack.request.closed_at < began + 5
        check(sim)


def test_a_lost_release_does_not_change_the_status_of_the_stack(tally: Tally) -> None:
    for (scenario, (status, _, stayed)), (name, error) in sample(ENDS.items(), BEFORE.items()):
        with tally.fault(f"{name} at the release"), Simulation() as sim:
            stack = scenario(sim)
            fault = sim.injector.fail(RELEASE, error, times=1e9)
            sim.run()
            assert bool(fault.hits) is bool(stayed)
            assert stack.status == status
            check(sim, is_repeatable=False)
