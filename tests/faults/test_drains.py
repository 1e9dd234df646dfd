"""A hook of version 2 that waits, vetoes, or is left behind: which nodes are told to stay."""

import pytest

from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.errors import BEFORE
from tests.faults.invariants import check
from tests.faults.outside import RELEASE
from tests.faults.scenarios import Scenario
from tests.faults.stage import Stage

GROUP = "10 drains"

ENDS: dict[Scenario, tuple[str, int, int]] = {
    scenarios.a_drain_that_waits: ("UPDATE_COMPLETE", 2, 0),
    scenarios.a_drain_that_vetoes_a_node: ("UPDATE_ROLLBACK_COMPLETE", 1, 1),
    scenarios.a_drain_that_outlasts_the_timeout: ("UPDATE_ROLLBACK_COMPLETE", 1, 1),
    scenarios.a_drain_that_is_canceled: ("UPDATE_ROLLBACK_COMPLETE", 0, 2),
}
"""The status of the stack, and how many nodes are removed and released."""


def released(stage: Stage) -> set[str]:
    return {node for _, _, nodes in stage.releases for node in nodes}


@pytest.mark.parametrize("scenario", ENDS, ids=lambda scenario: scenario.__name__)
def test_each_drained_node_is_gone_or_released(scenario: Scenario, tally: Tally) -> None:
    status, removed, stayed = ENDS[scenario]
    with tally.fault("none"), Stage() as stage:
        stack = scenario(stage)
        stage.run()
        assert stack.status == status
        assert len(stage.hp.requested_nodes) == removed
        assert len(released(stage)) == stayed
        assert released(stage) <= stage.clusters[0].present
        check(stage)


@pytest.mark.parametrize("second", range(8, 410, 35))
def test_a_deployment_that_is_canceled_at_any_time_releases_what_it_did_not_remove(
    second: int, tally: Tally
) -> None:
    with tally.fault(f"canceled after {second} s"), Stage() as stage:
        stack = scenarios.a_drain_that_waits(stage)
        stage.timeline.after(second, stack.cancel)
        stage.run()
        named = set(stack.requests[1].event["ResourceProperties"]["NodeIds"])
        assert stage.hp.requested_nodes | released(stage) == named
        check(stage, is_repeatable=False)


def test_a_lost_release_changes_no_end(tally: Tally) -> None:
    for scenario, (status, _, stayed) in ENDS.items():
        for name, error in BEFORE.items():
            with tally.fault(f"{name} at the release"), Stage() as stage:
                stack = scenario(stage)
                trouble = stage.outside.fail(RELEASE, error, times=1e9)
                stage.run()
                assert bool(trouble.met) is bool(stayed)
                assert stack.status == status
                check(stage, is_repeatable=False)
