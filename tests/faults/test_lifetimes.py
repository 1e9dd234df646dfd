"""Whole lifetimes of a cluster and two stacks, with whatever may happen in between."""

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
from tests.faults.conftest import Tally
from tests.faults.deployment import Stack
from tests.faults.invariants import check
from tests.faults.stage import Stage
from tests.faults.troubles import MISFORTUNES, Misfortune

GROUP = "7 lifetimes"
NAMES = st.sampled_from(["one", "two"])
PICKS = st.lists(st.integers(0, 11), max_size=4)


class Lifetimes(RuleBasedStateMachine):
    """Each rule is an operation on a stack, with what befalls it, or a change of the cluster."""

    tally: ClassVar[Tally]

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage().__enter__()
        self.token = 0

    def teardown(self) -> None:
        self.stage.__exit__(None, None, None)

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
        self.cluster = self.stage.hp.create_cluster(
            "ml-cluster",
            {"workers": 9, "head": 1, "others": others},
            "head" if has_controller else None,
            continuous=is_continuous,
            shutdown_seconds=shutdown,
            busy_while_leaving=is_busy_while_leaving and not is_continuous,
        )
        self.stage.clusters.append(self.cluster)
        self.stage.functions.seconds = length
        self.stage.functions.is_warm = is_warm
        self.is_continuous = is_continuous
        self.stacks = {name: self.stage.stack(name) for name in ("one", "two")}

    # Operations ------------------------------------------------------------------------------

    @rule(
        name=NAMES,
        ids=PICKS,
        logical_ids=PICKS,
        retry_for=st.sampled_from(["0", "60", "600"]),
        wait_for=st.sampled_from(["REMOVED", "REMOVED", "ACCEPTED"]),
        policy=st.sampled_from(["FAIL", "FAIL", "REPORT"]),
        more=st.sampled_from(
            [{}, {}, {}, {"DryRun": "true"}, {"MaxRemovals": "2"}, {"NodeIds": "i-nonsense"}]
        ),
        timeout=st.sampled_from(["120", "1200", "3600"]),
        misfortunes=MISFORTUNES,
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
        timeout: str,
        misfortunes: list[Misfortune],
    ) -> None:
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
        self.put(self.stacks[name], properties, misfortunes)

    @rule(name=NAMES, misfortunes=MISFORTUNES)
    def deploy_again(self, name: str, misfortunes: list[Misfortune]) -> None:
        stack = self.stacks[name]
        if stack.requests:
            self.token += 1
            given = dict(stack.request.event["ResourceProperties"], RetryToken=str(self.token))
            self.put(stack, given, misfortunes)

    @rule(name=NAMES, misfortunes=MISFORTUNES)
    def delete(self, name: str, misfortunes: list[Misfortune]) -> None:
        stack = self.stacks[name]
        if stack.properties is not None:
            self.operate(stack, stack.delete, misfortunes)

    def put(self, stack: Stack, properties: dict[str, Any], misfortunes: list[Misfortune]) -> None:
        begin = stack.create if stack.properties is None else stack.update
        self.operate(stack, lambda: begin(properties), misfortunes)

    def operate(
        self, stack: Stack, begin: Callable[[], None], misfortunes: list[Misfortune]
    ) -> None:
        stage = self.stage
        with self.tally.fault(str(misfortunes)):
            for misfortune in misfortunes:
                misfortune.prepare(stage, stack)
            begin()
            stage.run()
            assert not stack.is_stuck, stack.status
            stage.outside.troubles.clear()
            stage.outside.latency = lambda call: 0.0
            stage.cloudformation.deliveries = (0.0,)
            check(stage)

    # What changes in between -----------------------------------------------------------------

    @rule(
        pick=st.integers(0, 11),
        code=st.sampled_from(["NodeIdInUse", "InvalidNodeStatus", "Odd", "NodeIdNotFound"]),
        lasting=st.sampled_from([None, 10.0, 100.0, 1000.0]),
    )
    def refuse(self, pick: int, code: str, lasting: float | None) -> None:
        until = None if lasting is None else self.stage.timeline.now() + lasting
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
        """One of the nodes that are there, or were."""
        nodes = {id(node): node for node in self.cluster._state.ever.values()}
        return list(nodes.values())[pick % len(nodes)]

    def names(self, pick: int) -> list[str]:
        node = self.node(pick)
        return [name for name in (node.instance_id, node.logical_id) if name]


@pytest.mark.parametrize(("bus", "examples"), [("", 60), ("operations", 20)])
def test_lifetimes(bus: str, examples: int, tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an event bus, and with one that has its own troubles."""
    monkeypatch.setenv(EVENT_BUS_VARIABLE, bus)
    Lifetimes.tally = tally
    run_state_machine_as_test(
        Lifetimes,
        settings=settings(
            max_examples=examples,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
