"""Lambda: calls that hang, memory that runs out, frozen and warm processes, two at once."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from tests.aws_transport import Answer
from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.errors import URL
from tests.faults.invariants import check
from tests.faults.outside import PUT, Call, Trouble
from tests.faults.scenarios import Scenario, calls_of
from tests.faults.stage import Stage

GROUP = "4 invocations"


def ids(scenario: Scenario) -> str:
    return scenario.__name__


def at(number: int) -> Callable[[Call], bool]:
    return lambda call: call.number == number


def hang(stage: Stage, number: int, *, is_given_up: bool, is_after_work: bool) -> None:
    """Let a call get no answer, and the caller give up in time or not. A reply is given up, and so
    is a hand-over."""

    def wait(call: Call, answer: Answer | None) -> None:
        in_time = is_given_up or call.operation in {PUT, "Invoke"}
        stage.timeline.sleep(call.timeout if in_time else 1e6)
        raise TimeoutError if call.operation == PUT else ReadTimeoutError(endpoint_url=URL)

    stage.outside.add(Trouble(wait, "", at(number), is_after_work, times=1))


@pytest.mark.parametrize("is_after_work", [False, True])
@pytest.mark.parametrize("is_given_up", [True, False])
@pytest.mark.parametrize(
    "scenario",
    [scenarios.an_update_that_fails, scenarios.a_long_chain, scenarios.a_partial_chain],
    ids=ids,
)
def test_a_call_that_hangs_does_not_keep_the_reply_back(
    scenario: Scenario, is_given_up: bool, is_after_work: bool, tally: Tally
) -> None:
    for call in calls_of(scenario):
        with tally.fault(f"call {call.number}, {call.operation}, hangs"), Stage() as stage:
            stack = scenario(stage)
            hang(stage, call.number, is_given_up=is_given_up, is_after_work=is_after_work)
            stage.run()
            check(stage)
            # A rollback that cannot look at the stack is the one thing that has to fail.
            assert not stack.is_stuck or call.operation == "DescribeStacks"


def test_a_process_is_not_frozen_while_its_reply_is_on_its_way(stage: Stage, tally: Tally) -> None:
    """A call hangs until the function replies without it, and returns while it does."""
    with tally.fault("a call returns in the middle of the reply"):
        nodes = stage.cluster(shutdown_seconds=2000).node_ids("workers")[:1]
        stage.functions.retries = 0
        stack = stage.stack()
        stack.create(scenarios.properties(NodeIds=list(nodes)))
        stage.outside.add(
            Trouble(lambda *_: stage.timeline.sleep(891), "ListClusterNodes", skip=1, times=1)
        )
        stage.outside.latency = lambda call: 6.0 if call.operation == PUT else 0.0
        stage.run()
        assert stack.requests[0].answer
        stage.outside.latency = lambda call: 0.0
        check(stage)


@pytest.mark.parametrize(
    "scenario", [scenarios.a_creation, scenarios.an_update_that_fails, scenarios.a_chain], ids=ids
)
def test_memory_that_runs_out_at_any_call_is_a_reply_with_the_outcome(
    scenario: Scenario, tally: Tally
) -> None:
    for call in calls_of(scenario):
        for is_after_work in (False, True):
            if call.operation == PUT:
                continue  # Nothing is left to be done with the memory there would be.
            with tally.fault(f"at call {call.number}, {call.operation}"), Stage() as stage:
                stack = scenario(stage)
                stage.outside.fail(
                    "", MemoryError, when=at(call.number), is_after_work=is_after_work
                )
                stage.run()
                check(stage)
                assert not stack.is_stuck or call.operation == "DescribeStacks"


@pytest.mark.parametrize("is_failure", [False, True])
def test_a_thawed_process_finds_its_connections_closed(is_failure: bool, tally: Tally) -> None:
    scenario = scenarios.an_update_that_fails if is_failure else scenarios.an_update
    with tally.fault("every connection of the process"), Stage() as stage:
        stage.functions.is_warm = True
        known: set[tuple[int, str]] = set()

        def is_stale(call: Call) -> bool:
            """The first call to each service in each invocation but the first."""
            service = "sagemaker" if "Cluster" in call.operation else call.operation
            key = (call.invocation.number, service)
            is_first = key not in known
            known.add(key)
            return is_first and call.invocation.number > 0 and call.operation != PUT

        stage.outside.fail(
            "", lambda: ConnectionClosedError(endpoint_url=URL), times=1e9, when=is_stale
        )
        stack = scenario(stage)
        stage.run()
        assert len({id(i.process) for i in stage.functions.invocations}) == 1
        assert stack.status == ("UPDATE_ROLLBACK_COMPLETE" if is_failure else "UPDATE_COMPLETE")
        check(stage)


def test_a_warm_process_that_serves_two_stacks_mixes_nothing_up(tally: Tally) -> None:
    """Each of their operations, in each order of two, in one process."""
    operations: dict[str, dict[str, Any]] = {
        "good": {"NodeIds": [0]},
        "bad": {"NodeIds": [1], "RetryFor": "0"},
        "refused": {"NodeIds": ["i-nonsense"]},
        "accepted": {"NodeIds": [2], "WaitFor": "ACCEPTED"},
        "empty": {},
    }
    for first in operations:
        for second in operations:
            with tally.fault(f"{first}, then {second}"), Stage() as stage:
                stage.functions.is_warm = True
                cluster = stage.cluster(20, shutdown_seconds=30)
                nodes = cluster.node_ids("workers")
                for offset, name in ((0, first), (10, second), (0, second)):
                    chosen = dict(operations[name])
                    if "NodeIds" in chosen:
                        chosen["NodeIds"] = [
                            nodes[i + offset] if isinstance(i, int) else i
                            for i in chosen["NodeIds"]
                        ]
                    cluster.refuse(nodes[1 + offset])
                    stack = stage.stack(f"stack-{len(stage.cloudformation.requests)}")
                    stack.create(scenarios.properties(**chosen))
                    stage.run()
                    assert stack.status == (
                        "ROLLBACK_COMPLETE" if name in {"bad", "refused"} else "CREATE_COMPLETE"
                    )
                check(stage)


@pytest.mark.parametrize("seed", range(30))
def test_two_invocations_of_one_event_at_the_same_time(seed: int, tally: Tally) -> None:
    """Their calls take some time, and so mix in another way with each seed."""
    chance = random.Random(seed)
    kinds = (
        scenarios.a_creation,
        scenarios.a_creation_that_fails,
        scenarios.an_update,
        scenarios.an_update_that_fails,
        scenarios.an_update_that_reports,
        scenarios.a_chain,
        scenarios.a_chain_that_fails,
        scenarios.an_acceptance,
    )
    for scenario in kinds:
        with tally.fault(f"{scenario.__name__}, seed {seed}"), Stage(seed) as stage:
            stage.cloudformation.deliveries = (0.0, chance.choice((0.0, 0.1, 1.0, 5.0, 30.0)))
            stack = scenario(stage)
            stage.outside.latency = lambda call: chance.uniform(0.0, 1.5)
            stage.run()
            assert not stack.is_stuck
            stage.outside.latency = lambda call: 0.0
            stage.cloudformation.deliveries = (0.0,)
            check(stage)
