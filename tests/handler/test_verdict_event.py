"""The verdict of a success as an event of the stack: what is signaled, when, and when not."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal_contract import Outcome
from hyperpod_node_removal_contract.telemetry import EVENT_BUS_VARIABLE
from hyperpod_node_removal_handler import index
from hyperpod_node_removal_handler.cluster import Refusal
from hyperpod_node_removal_handler.outcome import signal_id
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode
from sandbox.hyperpod import Cluster, ServiceError
from tests.aws_transport import Answer, Parameters, Sent
from tests.handler.function import Context
from tests.handler.world import STACK_ID, Shown, World

CONDITION = "FaultyNodesVerdict1f3a9c07"
NOT_YET = ServiceError(
    "ValidationError", f"Resource {CONDITION} is not waiting for signals", status=400
)


class Condition:
    """A wait condition: takes signals from a moment on, seconds after the reply."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.waits_after = 2.0
        self.signals: list[str] = []
        self.attempts = 0
        self.waits_at: float | None = None
        self.error: Callable[[], Exception | None] = lambda: None
        world.services["SignalResource"] = self.answer

    def answer(self, sent: Sent) -> Answer:
        assert self.world.endpoint.requests, "signaled before the reply"
        assert sent.parameters["StackName"] == STACK_ID
        assert sent.parameters["LogicalResourceId"] == CONDITION
        assert sent.parameters["Status"] == "SUCCESS"
        self.attempts += 1
        if error := self.error():
            raise error
        if self.waits_at is None:
            self.waits_at = self.world.clock.now() + self.waits_after
        if self.world.clock.now() < self.waits_at:
            raise NOT_YET
        self.signals.append(sent.parameters["UniqueId"])
        return {}


@pytest.fixture
def condition(world: World) -> Condition:
    world.cloudformation.statuses = ["CREATE_IN_PROGRESS"]
    return Condition(world)


@pytest.fixture(autouse=True)
def cluster(world: World) -> Cluster:
    return world.make_cluster(8, shutdown_seconds=5)


def send(world: World, nodes: list[str], **more: Any) -> Any:
    more.setdefault("VerdictCondition", CONDITION)
    return world.send("Create", NodeIds=nodes, OnPartialFailure="REPORT", **more)


# What it says --------------------------------------------------------------------------------


def test_a_complete_removal_is_signaled_with_its_counts(world: World, condition: Condition) -> None:
    send(world, world.nodes[:5])
    assert condition.signals == ["5 of 5 removed"]


def test_a_partial_one_names_the_code_and_the_node(world: World, condition: Condition) -> None:
    nodes = world.nodes[:5]
    world.cluster.refuse(nodes[3], "ValidationError")
    assert send(world, nodes, RetryFor="0")["Status"] == "SUCCESS"
    assert condition.signals == [f"1 of 5 not removed: ValidationError {nodes[3]}"]


def test_nodes_that_were_gone_are_counted_apart(world: World, condition: Condition) -> None:
    send(world, [world.nodes[0], "i-0123456789abcdef0"])
    assert condition.signals == ["1 of 2 removed, 1 already absent"]


def test_a_dry_run_and_an_empty_set_are_signaled_too(world: World, condition: Condition) -> None:
    send(world, world.nodes[:2], DryRun="true")
    assert condition.signals.pop() == "2 of 2 would be removed"
    world.endpoint.requests.clear()
    send(world, [])
    assert condition.signals == ["0 of 0 removed: empty set"]


codes = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64)


@given(
    failed=st.lists(st.tuples(codes, st.text("abc-0123", min_size=2, max_size=128)), max_size=99),
    others=st.integers(0, 2999),
)
def test_whatever_failed_the_verdict_has_1_to_64_characters_and_the_counts(
    failed: list[tuple[str, str]], others: int
) -> None:
    nodes = [
        RequestedNode(logical_id=name).fail(Refusal(code=code, message="")) for code, name in failed
    ]
    removed = [RequestedNode(logical_id="worker-1")] * others
    by_phase = dict.fromkeys(Phase, ()) | {Phase.FAILED: nodes, Phase.REMOVED: removed}
    text = signal_id(Outcome.PARTIAL, by_phase)
    assert 1 <= len(text) <= 64
    assert text.isprintable()
    count = len(nodes) or others
    assert text.startswith(f"{count} of {others + len(nodes)} {'not ' if nodes else ''}removed")


# When ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 2.0, 30.0, 250.0])
def test_it_is_retried_until_the_condition_waits(
    world: World, condition: Condition, seconds: float
) -> None:
    condition.waits_after = seconds
    send(world, world.nodes[:1])
    assert condition.signals == ["1 of 1 removed"]


def test_a_short_invocation_hands_the_signal_over(world: World, condition: Condition) -> None:
    event = world.event(
        "Create",
        {
            "ClusterName": "ml-cluster",
            "NodeIds": world.nodes[:1],
            "OnPartialFailure": "REPORT",
            "VerdictCondition": CONDITION,
            "ServiceTimeout": "60",
        },
    )
    index.handler(event, Context(59.0))
    assert world.endpoint.requests
    assert condition.attempts == 0
    (successor,) = world.aws_lambda.queue
    condition.waits_after = 40.0
    world.aws_lambda.queue.clear()
    world.run(json.loads(successor), 900.0)
    assert condition.signals == ["1 of 1 removed"]
    assert len(world.endpoint.requests) == 1, "the reply was sent twice"
    assert world.deletes == 1


def test_a_copy_of_the_event_that_signals_removes_nothing_and_replies_nothing(
    world: World, condition: Condition
) -> None:
    index.handler(
        world.event(
            "Create",
            {
                "ClusterName": "ml-cluster",
                "NodeIds": world.nodes[:1],
                "OnPartialFailure": "REPORT",
                "VerdictCondition": CONDITION,
            },
        ),
        Context(59.0),
    )
    (successor,) = world.aws_lambda.queue
    world.aws_lambda.queue.clear()
    for _ in range(2):
        world.run(json.loads(successor))
    assert set(condition.signals) == {"1 of 1 removed"}
    assert (len(world.endpoint.requests), world.deletes) == (1, 1)


# When not ------------------------------------------------------------------------------------


def test_a_failure_is_not_signaled(world: World, condition: Condition) -> None:
    nodes = world.nodes[:2]
    for node in nodes:
        world.cluster.refuse(node, "ValidationError")
    assert send(world, nodes, RetryFor="0")["Status"] == "FAILED"
    assert condition.attempts == 0


def test_a_rollback_is_not_signaled(world: World, condition: Condition) -> None:
    world.cloudformation.statuses = ["UPDATE_ROLLBACK_IN_PROGRESS"]
    nodes = world.nodes[:2]
    for new in (nodes[:1], []):
        world.reply_to(
            world.event(
                "Update",
                {"ClusterName": "ml-cluster", "NodeIds": new, "VerdictCondition": CONDITION},
                OldResourceProperties={
                    "ClusterName": "ml-cluster",
                    "NodeIds": nodes,
                    "VerdictCondition": "FaultyNodesVerdict2b000000",
                },
            )
        )
    assert condition.attempts == 0


def test_a_condition_that_was_there_before_is_not_signaled(
    world: World, condition: Condition
) -> None:
    world.cloudformation.statuses = ["UPDATE_IN_PROGRESS"]
    properties = {
        "ClusterName": "ml-cluster",
        "NodeIds": world.nodes[:2],
        "OnPartialFailure": "REPORT",
        "VerdictCondition": CONDITION,
    }
    update = world.event(
        "Update", {**properties, "RetryFor": "60"}, OldResourceProperties=properties
    )
    assert world.reply_to(update)["Status"] == "SUCCESS"
    assert condition.attempts == 0


def test_turned_on_with_an_unchanged_set_it_tells_what_is_there(
    world: World, condition: Condition
) -> None:
    world.cloudformation.statuses = ["UPDATE_IN_PROGRESS"]
    properties = {
        "ClusterName": "ml-cluster",
        "NodeIds": [world.nodes[0], "i-0123456789abcdef0"],
        "OnPartialFailure": "REPORT",
    }
    update = world.event(
        "Update", {**properties, "VerdictCondition": CONDITION}, OldResourceProperties=properties
    )
    assert world.reply_to(update)["Data"]["Outcome"] == "PARTIAL"
    assert condition.signals == [
        f"1 of 2 not removed: NotRequestedAgain {world.cluster.node_ids('workers')[0]}"
    ]
    assert world.deletes == 0


def test_a_stack_that_rolls_back_meanwhile_ends_the_attempts(
    world: World, condition: Condition
) -> None:
    world.shows((0, "CREATE_IN_PROGRESS"), (20, "ROLLBACK_IN_PROGRESS"))
    condition.waits_after = 10_000
    began = world.clock.now()
    send(world, world.nodes[:1])
    assert max(world.times("SignalResource")) < began + 20
    assert condition.signals == []


def test_another_deployment_of_the_same_set_is_not_signaled_for_this_one(
    world: World, condition: Condition
) -> None:
    world.shows(
        (0, Shown("UPDATE_IN_PROGRESS", {"UPDATE_STACK": "first"})),
        (20, Shown("UPDATE_IN_PROGRESS", {"UPDATE_STACK": "second"})),
    )
    condition.waits_after = 25.0
    send(world, world.nodes[:1])
    assert condition.signals == []


# What goes wrong -----------------------------------------------------------------------------


def test_a_signal_that_may_not_be_sent_is_given_up_and_logged_with_what_to_do(
    world: World, condition: Condition
) -> None:
    condition.error = lambda: ServiceError(
        "AccessDenied", "is not authorized to perform: cloudformation:SignalResource", status=403
    )
    assert send(world, world.nodes[:1])["Status"] == "SUCCESS"
    (error,) = (record for record in world.log.records if record.levelname == "ERROR")
    assert CONDITION in error.getMessage()
    assert "cloudformation:SignalResource" in error.getMessage()
    assert "change RetryToken" in error.getMessage()
    assert condition.attempts < 30


def test_a_throttled_signal_is_sent_again(world: World, condition: Condition) -> None:
    errors: list[Exception] = [ServiceError("Throttling", "Rate exceeded", status=400)] * 3
    condition.error = lambda: errors.pop() if errors else None
    send(world, world.nodes[:1])
    assert condition.signals == ["1 of 1 removed"]


def test_a_hand_over_that_fails_is_logged(world: World, condition: Condition) -> None:
    world.aws_lambda.errors = [
        ServiceError("AccessDeniedException", "no", status=403) for _ in range(99)
    ]
    send(world, world.nodes[:1], seconds=59.0, ServiceTimeout="60")
    assert condition.attempts == 0
    assert any(CONDITION in r.getMessage() for r in world.log.records if r.levelname == "ERROR")


def test_a_hand_over_that_fails_after_a_reply_at_the_last_moment_leaves_time_for_the_event(
    world: World, condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EVENT_BUS_VARIABLE, "default")
    node, busy, *_ = world.nodes
    world.cluster.refuse(busy)
    world.aws_lambda.errors = [
        ServiceError("TooManyRequestsException", "no", status=429) for _ in range(99)
    ]
    end = world.clock.now() + 40.0
    context = Context()
    remaining = lambda: int(1000 * (end - world.clock.now()))  # noqa: E731
    monkeypatch.setattr(context, "get_remaining_time_in_millis", remaining)

    def hang(_: Parameters) -> None:
        while world.deletes and not world.endpoint.requests:
            world.clock.sleep(1.0)

    world.before("ListClusterNodes", hang)
    world.before("DescribeClusterNode", hang)
    announced_at: list[float] = []
    world.event_bus.on_call = lambda: announced_at.append(world.clock.now())
    properties = {
        "ClusterName": "ml-cluster",
        "NodeIds": [node, busy],
        "OnPartialFailure": "REPORT",
        "WaitFor": "ACCEPTED",
        "VerdictCondition": CONDITION,
    }
    index.handler(world.event("Create", properties), context)
    assert condition.attempts == 0
    assert [at < end for at in announced_at] == [True]


def test_the_finished_event_does_not_wait_for_a_stack_that_takes_no_signal(
    world: World, condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EVENT_BUS_VARIABLE, "default")
    condition.waits_after = 10_000
    attempts: list[int] = []
    world.event_bus.on_call = lambda: attempts.append(condition.attempts)
    send(world, world.nodes[:1])
    assert (attempts, condition.attempts > 10) == ([0], True)
