"""Lambda: calls that hang, memory that runs out, frozen and warm processes, concurrent copies."""

import random
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from tests.aws_transport import Answer
from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.errors import URL
from tests.faults.fault_injection import PUT, Call, Fault, is_call
from tests.faults.invariants import check
from tests.faults.sampling import sample
from tests.faults.scenarios import Scenario, calls_of
from tests.faults.simulation import Simulation

GROUP = "4 invocations"


def hang(sim: Simulation, number: int, *, times_out: bool, is_after_work: bool) -> None:
    """Let a call hang, with or without a timeout. Replies and hand-overs always time out."""

    def wait(call: Call, answer: Answer | None) -> None:
        in_time = times_out or call.operation in {PUT, "Invoke"}
        sim.timeline.sleep(call.timeout if in_time else 1e6)
        raise TimeoutError if call.operation == PUT else ReadTimeoutError(endpoint_url=URL)

    sim.injector.add(Fault(wait, "", is_call(number), is_after_work, times=1))


@pytest.mark.parametrize(
    "scenario",
    [scenarios.an_update_that_fails, scenarios.a_long_chain, scenarios.a_partial_chain],
)
def test_a_call_that_hangs_does_not_prevent_the_reply(scenario: Scenario, tally: Tally) -> None:
    for call, times_out, is_after_work in sample(calls_of(scenario), (True, False), (False, True)):
        with tally.fault(f"call {call.number}, {call.operation}, hangs"), Simulation() as sim:
            stack = scenario(sim)
            hang(sim, call.number, times_out=times_out, is_after_work=is_after_work)
            sim.run()
            check(sim)
            # Only a rollback that cannot look at the stack has to fail.
            assert not stack.is_stuck or call.operation == "DescribeStacks"


def test_a_process_is_not_frozen_while_it_sends_its_reply(sim: Simulation, tally: Tally) -> None:
    """A call hangs until the function replies without its response, and then returns."""
    with tally.fault("a call returns in the middle of the reply"):
        nodes = sim.cluster(shutdown_seconds=2000).node_ids("workers")[:1]
        sim.functions.retries = 0
        stack = sim.stack()
        stack.create(scenarios.properties(NodeIds=list(nodes)))
        sim.injector.add(
            Fault(lambda *_: sim.timeline.sleep(891), "ListClusterNodes", skip=1, times=1)
        )
        sim.injector.latency = lambda call: 6.0 if call.operation == PUT else 0.0
        sim.run()
        assert stack.requests[0].answer
        check(sim)


@pytest.mark.parametrize(
    "scenario", [scenarios.a_creation, scenarios.an_update_that_fails, scenarios.a_chain]
)
def test_the_reply_has_the_outcome_if_memory_runs_out_at_any_call(
    scenario: Scenario, tally: Tally
) -> None:
    # Nothing is done after the reply.
    calls = [call for call in calls_of(scenario) if call.operation != PUT]
    for call, is_after_work in sample(calls, (False, True)):
        with tally.fault(f"at call {call.number}, {call.operation}"), Simulation() as sim:
            stack = scenario(sim)
            sim.injector.fail(
                "", MemoryError, when=is_call(call.number), is_after_work=is_after_work
            )
            sim.run()
            check(sim)
            assert not stack.is_stuck or call.operation == "DescribeStacks"


@pytest.mark.parametrize("is_failure", [False, True])
def test_connections_that_are_closed_while_a_process_is_frozen_are_reopened(
    is_failure: bool, tally: Tally
) -> None:
    scenario = scenarios.an_update_that_fails if is_failure else scenarios.an_update
    with tally.fault("every connection of the process"), Simulation() as sim:
        sim.functions.is_warm = True
        known: set[tuple[int, str]] = set()

        def is_stale(call: Call) -> bool:
            """Return whether it is the first call of a service in a later invocation."""
            service = "sagemaker" if "Cluster" in call.operation else call.operation
            key = (call.invocation.number, service)
            is_first = key not in known
            known.add(key)
            return is_first and call.invocation.number > 0 and call.operation != PUT

        sim.injector.fail(
            "", lambda: ConnectionClosedError(endpoint_url=URL), times=1e9, when=is_stale
        )
        stack = scenario(sim)
        sim.run()
        assert len({id(i.process) for i in sim.functions.invocations}) == 1
        assert stack.status == ("UPDATE_ROLLBACK_COMPLETE" if is_failure else "UPDATE_COMPLETE")
        check(sim)


def test_a_warm_process_does_not_mix_up_the_removals_of_two_stacks(tally: Tally) -> None:
    operations: dict[str, dict[str, Any]] = {
        "good": {"NodeIds": [0]},
        "bad": {"NodeIds": [1], "RetryFor": "0"},
        "refused": {"NodeIds": ["i-nonsense"]},
        "accepted": {"NodeIds": [2], "WaitFor": "ACCEPTED"},
        "empty": {},
    }
    for first, second in sample(operations, operations):
        with tally.fault(f"{first}, then {second}"), Simulation() as sim:
            sim.functions.is_warm = True
            cluster = sim.cluster(20, shutdown_seconds=30)
            nodes = cluster.node_ids("workers")
            for offset, name in ((0, first), (10, second), (0, second)):
                chosen = dict(operations[name])
                if "NodeIds" in chosen:
                    chosen["NodeIds"] = [
                        nodes[i + offset] if isinstance(i, int) else i for i in chosen["NodeIds"]
                    ]
                cluster.refuse(nodes[1 + offset])
                stack = sim.stack(f"stack-{len(sim.cloudformation.requests)}")
                stack.create(scenarios.properties(**chosen))
                sim.run()
                assert stack.status == (
                    "ROLLBACK_COMPLETE" if name in {"bad", "refused"} else "CREATE_COMPLETE"
                )
            check(sim)


CONCURRENT = (
    scenarios.a_creation,
    scenarios.a_creation_that_fails,
    scenarios.an_update,
    scenarios.an_update_that_fails,
    scenarios.an_update_that_reports,
    scenarios.a_chain,
    scenarios.a_chain_that_fails,
    scenarios.an_acceptance,
)


def test_a_stack_survives_concurrent_invocations_of_one_event(tally: Tally) -> None:
    """Calls take random times, so the two invocations interleave differently with each seed."""
    for scenario, seed in sample(CONCURRENT, range(30)):
        chance = random.Random(seed)
        with tally.fault(f"{scenario.__name__}, seed {seed}"), Simulation(seed) as sim:
            sim.cloudformation.deliveries = (0.0, chance.choice((0.0, 0.1, 1.0, 5.0, 30.0)))
            stack = scenario(sim)
            sim.injector.latency = lambda call, chance=chance: chance.uniform(0.0, 1.5)
            sim.run()
            assert not stack.is_stuck
            check(sim)
