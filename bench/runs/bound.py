"""What nobody can beat: a removal by somebody who knows when each node leaves.

It makes the calls that no removal can do without, on the same scenario as the peers: the pages of a
plan; for each batch a look at the stack and a delete request; at the moment when the last node has
left, one listing that confirms it. Nodes that are refused are requested once more at the end of
`RetryFor`; where guards are set and nothing was accepted yet, after one more listing (the plan is
the listing before the first request). Where calls have a rate, each is made as soon as the rate
allows, and none is refused.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from bench.scenario import BATCH, CLUSTER, PAGE, RETRY_FOR, Case, PeerResult, Scenario
from sandbox.hyperpod import ServiceError

_MOMENT: Final = 1e-6
"""Seconds by which it comes later than exactly on time."""


def run(case: Case) -> PeerResult:
    """One run, of all removals of a case."""
    scenario = Scenario(case)
    pace = _Pace(scenario)
    scenario.clock.together(
        [partial(_Removal(scenario, pace, number).run) for number in range(case.removals)]
    )
    return scenario.result()


class _Pace:
    """When the next call may be made, for a bucket of tokens as the model has it."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        rate = scenario.case.rate
        self._apart = 1 / rate if rate else 0.0
        self._ahead = max(0.0, 1.0 - self._apart)
        self._next = scenario.started

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        clock = self._scenario.clock
        at = max(clock.now(), self._next - self._ahead) + _MOMENT
        self._next = max(self._next, at) + self._apart
        clock.sleep(at - clock.now())
        return self._scenario.hyperpod.call(operation, {"ClusterName": CLUSTER, **request})


class _Removal:
    def __init__(self, scenario: Scenario, pace: _Pace, number: int) -> None:
        self._scenario = scenario
        self._call = pace.call
        self._number = number
        self._last_leaves = scenario.started

    def run(self) -> None:
        scenario = self._scenario
        nodes = scenario.sets[self._number]
        self._list()
        self._request(nodes)
        if scenario.refused:
            self._sleep_until(scenario.started + RETRY_FOR)
            if scenario.case.is_guarded and len(scenario.refused) == len(nodes):
                self._list()
            self._request(scenario.refused)
        self._sleep_until(self._last_leaves)
        self._list()
        scenario.exit(self._number, "FAILED" if scenario.refused else "SUCCESS", "")

    def _list(self) -> None:
        token: dict[str, str] = {}
        while True:
            page = self._call("ListClusterNodes", MaxResults=PAGE, **token)
            if "NextToken" not in page:
                return
            token = {"NextToken": page["NextToken"]}

    def _request(self, nodes: Sequence[str]) -> None:
        scenario = self._scenario
        accepted = [node for node in nodes if node not in scenario.refused]
        for start in range(0, len(nodes), BATCH):
            batch = nodes[start : start + BATCH]
            scenario.called("DescribeStacks")
            self._delete(batch)
            for node in set(batch).intersection(accepted):
                leaves = scenario.clock.now() + scenario.leaves_after[node]
                self._last_leaves = max(self._last_leaves, leaves)

    def _delete(self, batch: Sequence[str]) -> None:
        try:
            self._call("BatchDeleteClusterNodes", NodeIds=list(batch))
        except ServiceError:
            # Every node of the batch was refused.
            assert set(batch) <= set(self._scenario.refused)

    def _sleep_until(self, time: float) -> None:
        self._scenario.clock.sleep(time + _MOMENT - self._scenario.clock.now())
