"""The bound: a removal that knows when each node leaves. No other can be faster.

It makes the calls that no removal can do without, in the same scenario as the peers: the pages of a
plan; for each batch a check of the stack and a delete request; when the last node has left, one
listing that confirms it. Nodes that are refused are requested once more at the end of
`RetryFor`; where guards are set and nothing was accepted yet, after one more listing (the plan is
the listing before the first request). Where calls have a rate, each is made as soon as the rate
allows, and none is refused.

The *safe* bound knows as much, and also keeps the rules of this product (docs/adr/0013, 0014,
0016): it checks the stack at first and every half minute, and describes the cluster before and
after; it lists it every two minutes, or every 12 s for each of its pages if those are more than
ten; and it sees twice that nodes have left, by describing each or by listing the cluster once more,
whichever takes fewer calls.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from bench.scenario import BATCH, CLUSTER, LATENCY, PAGE, RETRY_FOR, Case, PeerResult, Scenario
from sandbox.hyperpod import ServiceError

_MOMENT: Final = 1e-6
"""Seconds that it adds, so as not to be a moment early."""

_STACK_EVERY: Final = 30.0
_LISTING_EVERY: Final = 120.0
_LISTING_PAGES: Final = 10
"""The rules of the safe bound: ADR 13 and 16."""


def run(case: Case, *, is_safe: bool = False) -> PeerResult:
    """Run all removals of a case."""
    scenario = Scenario(case)
    pace = _Pace(scenario)
    removal = _SafeRemoval if is_safe else _Removal
    jobs = [removal(scenario, pace, number).run for number in range(case.removals)]
    scenario.clock.together(jobs)
    return scenario.result()


class _Pace:
    """When the next call is allowed, for a bucket of tokens as the model has it."""

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
        self._nodes = scenario.sets[number]
        self._last_leaves = scenario.started

    def run(self) -> None:
        scenario = self._scenario
        self._begin()
        self._list()
        self._request(self._nodes)
        if scenario.refused:
            self._sleep_until(scenario.started + RETRY_FOR)
            if scenario.case.is_guarded and len(scenario.refused) == len(self._nodes):
                self._list()
            self._request(scenario.refused)
        self._sleep_until(self._last_leaves)
        self._confirm()
        scenario.exit(self._number, "FAILED" if scenario.refused else "SUCCESS", "")

    def _begin(self) -> None:
        """Make the calls that come before the plan's."""

    def _confirm(self) -> None:
        """Make the calls that show that all nodes have left."""
        self._list()

    def _list(self) -> None:
        token: dict[str, str] = {}
        while True:
            page = self._call("ListClusterNodes", MaxResults=PAGE, **token)
            if "NextToken" not in page:
                return
            token = {"NextToken": page["NextToken"]}

    def _request(self, nodes: Sequence[str]) -> None:
        scenario = self._scenario
        for start in range(0, len(nodes), BATCH):
            batch = list(nodes[start : start + BATCH])
            accepted = set(batch).difference(scenario.refused)
            scenario.called("DescribeStacks")
            try:
                self._call("BatchDeleteClusterNodes", NodeIds=batch)
            except ServiceError:
                assert not accepted
            for node in accepted:
                leaves = scenario.clock.now() + scenario.leaves_after[node]
                self._last_leaves = max(self._last_leaves, leaves)

    def _sleep_until(self, time: float) -> None:
        self._scenario.clock.sleep(time + _MOMENT - self._scenario.clock.now())


class _SafeRemoval(_Removal):
    def _begin(self) -> None:
        self._scenario.called("DescribeStacks")
        self._call("DescribeCluster")

    def _confirm(self) -> None:
        left = set(self._nodes) - set(self._scenario.refused)
        self._list()
        if len(left) > -(-len(self._scenario.cluster.present) // PAGE):
            self._list()
        else:
            for node in left:
                with suppress(ServiceError):  # It is gone.
                    self._call("DescribeClusterNode", NodeId=node)
        self._call("DescribeCluster")

    def _sleep_until(self, time: float) -> None:
        clock, pages = self._scenario.clock, self._scenario.case.pages
        listing_every = _LISTING_EVERY * max(1.0, pages / _LISTING_PAGES)
        look_at, list_at = clock.now() + _STACK_EVERY, clock.now() + listing_every
        # A listing that is under way when the last node leaves shows nothing.
        while min(look_at, list_at) < time - 2 * pages * LATENCY:
            super()._sleep_until(min(look_at, list_at))
            if list_at < look_at:
                self._list()
                list_at = clock.now() + listing_every
            else:
                self._scenario.called("DescribeStacks")
                look_at = clock.now() + _STACK_EVERY
        super()._sleep_until(time)
