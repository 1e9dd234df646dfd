"""Random sequences of operations on a cluster and two stacks, with faults in each operation."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hyperpod_node_removal_contract.telemetry import EVENT_BUS_VARIABLE
from sandbox.hyperpod.nodes import Node
from tests.faults.cloudformation import Stack
from tests.faults.conftest import Tally
from tests.faults.invariants import check
from tests.faults.random_faults import RANDOM_FAULTS, RandomFault
from tests.faults.sampling import examples
from tests.faults.scheduler import Scheduler
from tests.faults.simulation import Simulation
from tests.handler.function import HOOK

GROUP = "7 lifetimes"
NAMES = st.sampled_from(["one", "two"])
PICKS = st.lists(st.integers(0, 11), max_size=4)


class Lifetimes(RuleBasedStateMachine):
    """Each rule is an operation on a stack, with faults, or a change of the cluster."""

    tally: ClassVar[Tally]

    def __init__(self) -> None:
        super().__init__()
        self.sim = Simulation().__enter__()
        self.token = 0

    def teardown(self) -> None:
        self.sim.__exit__(None, None, None)

    @initialize(
        is_continuous=st.booleans(),
        has_controller=st.booleans(),
        shutdown=st.sampled_from([0.0, 30.0, 250.0, (5.0, 400.0)]),
        is_busy_while_leaving=st.booleans(),
        length=st.sampled_from([150.0, 300.0, 900.0]),
        is_warm=st.booleans(),
        others=st.sampled_from([1, 1, 1, 140]),
    )
    def begin(
        self,
        is_continuous: bool,
        has_controller: bool,
        shutdown: Any,
        is_busy_while_leaving: bool,
        length: float,
        is_warm: bool,
        others: int,
    ) -> None:
        self.cluster = self.sim.hp.create_cluster(
            "ml-cluster",
            {"workers": 9, "head": 1, "others": others},
            "head" if has_controller else None,
            continuous=is_continuous,
            shutdown_seconds=shutdown,
            busy_while_leaving=is_busy_while_leaving and not is_continuous,
        )
        self.sim.clusters.append(self.cluster)
        self.sim.functions.seconds = length
        self.sim.functions.is_warm = is_warm
        self.is_continuous = is_continuous
        self.stacks = {name: self.sim.stack(name) for name in ("one", "two")}

    # Operations ------------------------------------------------------------------------------

    @rule(
        name=NAMES,
        ids=PICKS,
        logical_ids=PICKS,
        retry_for=st.sampled_from(["0", "60", "600"]),
        wait_for=st.sampled_from(["REMOVED", "REMOVED", "ACCEPTED"]),
        policy=st.sampled_from(["FAIL", "FAIL", "REPORT"]),
        more=st.sampled_from(
            [
                {},
                {},
                {},
                {"DryRun": "true"},
                {"MaxRemovals": "2"},
                {"NodeIds": "i-nonsense"},
                {"BeforeRemoval": HOOK},
                {"BeforeRemoval": HOOK, "MaxRemovals": "2"},
            ]
        ),
        busy_for=st.sampled_from([0.0, 60.0, 400.0]),
        timeout=st.sampled_from(["120", "1200", "3600"]),
        faults=RANDOM_FAULTS,
    )
    def deploy(
        self,
        name: str,
        ids: list[int],
        logical_ids: list[int],
        retry_for: str,
        wait_for: str,
        policy: str,
        more: dict[str, str],
        busy_for: float,
        timeout: str,
        faults: list[RandomFault],
    ) -> None:
        Scheduler(self.sim, busy_for=busy_for)
        properties = {
            "ClusterName": self.cluster.name,
            "NodeIds": [i for n in ids if (i := self.node(n).instance_id)],
            "NodeLogicalIds": [i for n in logical_ids if (i := self.node(n).logical_id)],
            "RetryFor": retry_for,
            "WaitFor": wait_for,
            "OnPartialFailure": policy,
            "ServiceTimeout": timeout,
            **more,
        }
        self.put(self.stacks[name], properties, faults)

    @rule(name=NAMES, faults=RANDOM_FAULTS)
    def deploy_again(self, name: str, faults: list[RandomFault]) -> None:
        stack = self.stacks[name]
        if stack.requests:
            self.token += 1
            given = dict(stack.request.event["ResourceProperties"], RetryToken=str(self.token))
            self.put(stack, given, faults)

    @rule(name=NAMES, faults=RANDOM_FAULTS)
    def delete(self, name: str, faults: list[RandomFault]) -> None:
        stack = self.stacks[name]
        if stack.properties is not None:
            self.operate(stack, stack.delete, faults)

    def put(self, stack: Stack, properties: dict[str, Any], faults: list[RandomFault]) -> None:
        begin = stack.create if stack.properties is None else stack.update
        self.operate(stack, lambda: begin(properties), faults)

    def operate(self, stack: Stack, begin: Callable[[], None], faults: list[RandomFault]) -> None:
        sim = self.sim
        with self.tally.fault(str(faults)):
            for fault in faults:
                fault.prepare(sim, stack)
            begin()
            sim.run()
            assert not stack.is_stuck, stack.status
            sim.end_faults()
            check(sim)

    # Changes of the cluster ------------------------------------------------------------------

    @rule(
        pick=st.integers(0, 11),
        code=st.sampled_from(["NodeIdInUse", "InvalidNodeStatus", "Odd", "NodeIdNotFound"]),
        lasting=st.sampled_from([None, 10.0, 100.0, 1000.0]),
    )
    def refuse(self, pick: int, code: str, lasting: float | None) -> None:
        until = None if lasting is None else self.sim.timeline.now() + lasting
        for identifier in self.names(pick):
            self.cluster.refuse(identifier, code, until=until)

    @rule(pick=st.integers(0, 11))
    def allow(self, pick: int) -> None:
        for identifier in self.names(pick):
            self.cluster.allow(identifier)

    @precondition(lambda self: self.is_continuous)
    @rule()
    def add_a_node(self) -> None:
        self.cluster.add_pending("workers")

    def node(self, pick: int) -> Node:
        """Return one of the nodes that are or were in the cluster."""
        nodes = {id(node): node for node in self.cluster._state.ever.values()}
        return list(nodes.values())[pick % len(nodes)]

    def names(self, pick: int) -> list[str]:
        node = self.node(pick)
        return [name for name in (node.instance_id, node.logical_id) if name]


@pytest.mark.parametrize(("bus", "count"), [("", 60), ("operations", 20)])
def test_stacks_survive_random_sequences_of_operations(
    bus: str, count: int, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an event bus, and with one that has faults of its own."""
    monkeypatch.setenv(EVENT_BUS_VARIABLE, bus)
    Lifetimes.tally = tally
    run_state_machine_as_test(
        Lifetimes,
        settings=settings(
            max_examples=examples(count),
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
