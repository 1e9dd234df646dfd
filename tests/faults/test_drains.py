"""A hook of version 2 that waits, vetoes, or is no longer needed, and which nodes are released."""

import pytest

from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.errors import BEFORE
from tests.faults.fault_injection import RELEASE
from tests.faults.invariants import check
from tests.faults.sampling import sample
from tests.faults.scenarios import Scenario
from tests.faults.simulation import Simulation

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


@pytest.mark.parametrize("second", [8, 29, 47, 100, 301])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_hook_is_notified_before_the_rollback_can_delete_it(
    second: int, is_new: bool, tally: Tally
) -> None:
    """A deployment that creates the hook is canceled while the hook waits. The rollback deletes the
    hook as soon as the resource has replied. After that, nothing could release the nodes."""
    with tally.fault(f"canceled after {second} s"), Simulation() as sim:
        stack = scenarios.a_drain(sim, busy_for=1e6, is_new=is_new)
        sim.timeline.after(second, stack.cancel)
        sim.run()
        forward, backward = stack.requests[-2:]
        assert backward.event["RequestType"] == ("Delete" if is_new else "Update")
        assert released(sim) == set(forward.event["ResourceProperties"]["NodeIds"])
        assert max(time for _, time, _ in sim.releases) < backward.closed_at
        check(sim, is_repeatable=False)


def test_the_rollback_of_a_hook_ends_within_its_timeout(tally: Tally) -> None:
    with tally.fault("canceled after 5 s"), Simulation() as sim:
        stack = scenarios.a_drain(sim, busy_for=1e6, timeout="60", is_new=True)
        sim.timeline.after(5.0, stack.cancel)
        sim.run()
        assert stack.status == "ROLLBACK_COMPLETE"
        check(sim, is_repeatable=False)


def test_a_removal_with_a_hook_is_deleted_immediately(tally: Tally) -> None:
    with tally.fault("none"), Simulation() as sim:
        stack = scenarios.a_drain(sim, busy_for=0.0, is_new=True)
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
