"""The verdict of a success as an event of the stack: what is signaled, when, and when not."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal_contract.telemetry import EVENT_BUS_VARIABLE
from hyperpod_node_removal_handler import index
from hyperpod_node_removal_handler.cluster import Refusal
from hyperpod_node_removal_handler.handover import KEY
from hyperpod_node_removal_handler.outcome import signal_id
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode
from sandbox.hyperpod import ServiceError
from tests.aws_transport import Answer, Sent
from tests.handler.function import Context
from tests.handler.results import result
from tests.handler.world import STACK_ID, Shown, World

CONDITION = "FaultyNodesVerdict1f3a9c07"
NOT_YET = ServiceError("ValidationError", f"Resource {CONDITION} is not waiting for signals", 400)


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
    world.make_cluster(8, shutdown_seconds=5)
    world.cloudformation.statuses = ["CREATE_IN_PROGRESS"]
    return Condition(world)


ON = {"OnPartialFailure": "REPORT", "VerdictCondition": CONDITION}


def send(world: World, nodes: list[str], **more: Any) -> Any:
    return world.send("Create", NodeIds=nodes, **ON, **more)


# What it says --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "others", "properties", "signal"),
    [
        (5, [], {}, "5 of 5 removed"),
        (5, [], {"RetryFor": "0"}, "1 of 5 not removed: ValidationError {busy}"),
        (1, ["i-0123456789abcdef0"], {}, "1 of 2 removed, 1 already absent"),
        (2, [], {"DryRun": "true"}, "2 of 2 would be removed"),
        (0, [], {}, "0 of 0 removed: empty set"),
    ],
    ids=["complete", "partial", "some were gone", "dry run", "empty set"],
)
def test_a_success_is_signaled_with_its_counts(
    world: World,
    condition: Condition,
    count: int,
    others: list[str],
    properties: dict[str, str],
    signal: str,
) -> None:
    busy = world.nodes[3]
    if "RetryFor" in properties:
        world.cluster.refuse(busy, "ValidationError")
    answer = send(world, [*world.nodes[:count], *others], **properties)
    assert answer["Status"] == "SUCCESS"
    assert condition.signals == [signal.format(busy=busy)]


def test_a_plan_is_signaled_as_it_is(world: World, condition: Condition) -> None:
    world.make_cluster({"head": 1, "workers": 4}, "head", shutdown_seconds=1000)
    (controller,) = world.cluster.node_ids("head")
    leaving, *others = world.nodes
    world.remove([leaving], seconds=1)
    send(world, [leaving, *others], DryRun="true")
    send(world, [leaving, controller, *others], DryRun="true")
    assert condition.signals == [
        "3 of 4 would be removed, 1 leaving",
        f"1 of 5 would not be removed: ControllerNode {controller}",
    ]


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
    removed = [RequestedNode(logical_id="worker-1", phase=Phase.REMOVED)] * others
    text = signal_id(result(*nodes, *removed))
    assert 1 <= len(text) <= 64
    assert text.isprintable()
    count = len(nodes) or others
    assert text.startswith(f"{count} of {others + len(nodes)} {'not ' if nodes else ''}removed")


# When ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 2.0, 30.0, 250.0])
def test_it_is_retried_until_it_is_taken(
    world: World, condition: Condition, seconds: float
) -> None:
    condition.waits_after = seconds
    send(world, world.nodes[:1])
    assert condition.signals == ["1 of 1 removed"]


@pytest.mark.parametrize("copies", [1, 2])
def test_a_short_invocation_hands_the_signal_over_and_nothing_else(
    world: World, condition: Condition, copies: int
) -> None:
    properties = {"ClusterName": "ml-cluster", "NodeIds": world.nodes[:1], **ON}
    index.handler(world.event("Create", properties | {"ServiceTimeout": "60"}), Context(59.0))
    assert len(world.endpoint.requests) == 1
    assert condition.attempts == 0
    successor = json.loads(world.aws_lambda.queue.pop())
    condition.waits_after = 40.0
    for _ in range(copies):
        world.run(successor)
    assert set(condition.signals) == {"1 of 1 removed"}
    assert len(world.endpoint.requests) == 1, "the reply was sent twice"
    assert world.deletes == 1


def test_a_signal_handed_over_to_another_version_leads_to_no_second_reply(
    world: World, condition: Condition
) -> None:
    properties = {"ClusterName": "ml-cluster", "NodeIds": world.nodes[:1], **ON}
    index.handler(world.event("Create", properties | {"ServiceTimeout": "60"}), Context(59.0))
    successor = json.loads(world.aws_lambda.queue.pop())
    world.run(successor | {KEY: "unreadable"})
    assert len(world.endpoint.requests) == 1
    (error,) = errors(world)
    assert "was not signaled" in error


def test_turned_on_later_it_reports_what_is_present(world: World, condition: Condition) -> None:
    world.cloudformation.statuses = ["UPDATE_IN_PROGRESS"]
    node = world.nodes[0]
    old = {"NodeIds": [node, "i-0123456789abcdef0"], "OnPartialFailure": "REPORT"}
    assert world.send("Update", old=old, **{**old, **ON})["Data"]["Outcome"] == "PARTIAL"
    assert condition.signals == [f"1 of 2 not removed: NotRequestedAgain {node}"]
    assert world.deletes == 0


# When not ------------------------------------------------------------------------------------


def test_a_failure_is_not_signaled(world: World, condition: Condition) -> None:
    nodes = world.nodes[:2]
    for node in nodes:
        world.cluster.refuse(node, "ValidationError")
    assert send(world, nodes, RetryFor="0")["Status"] == "FAILED"
    assert condition.attempts == 0


@pytest.mark.parametrize("count", [1, 0])
def test_a_rollback_is_not_signaled(world: World, condition: Condition, count: int) -> None:
    world.cloudformation.statuses = ["UPDATE_ROLLBACK_IN_PROGRESS"]
    old = {"NodeIds": world.nodes[:2], "VerdictCondition": "FaultyNodesVerdict2b000000"}
    world.send("Update", old=old, NodeIds=world.nodes[:count], VerdictCondition=CONDITION)
    assert condition.attempts == 0


def test_a_condition_of_before_is_not_signaled(world: World, condition: Condition) -> None:
    world.cloudformation.statuses = ["UPDATE_IN_PROGRESS"]
    old = {"NodeIds": world.nodes[:2], **ON}
    world.succeeds("Update", old=old, **old, RetryFor="60")
    assert condition.attempts == 0


def test_a_rollback_meanwhile_ends_the_attempts(world: World, condition: Condition) -> None:
    world.shows((0, "CREATE_IN_PROGRESS"), (20, "ROLLBACK_IN_PROGRESS"))
    condition.waits_after = 10_000
    began = world.clock.now()
    send(world, world.nodes[:1])
    assert max(world.times("SignalResource")) < began + 20
    assert condition.signals == []


def test_another_deployment_is_not_signaled_for_this_one(
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


def errors(world: World) -> list[str]:
    """Return the errors of the log."""
    return [r.getMessage() for r in world.log.records if r.levelname == "ERROR"]


def test_a_denied_signal_is_logged_with_what_to_do(world: World, condition: Condition) -> None:
    message = "is not authorized to perform: cloudformation:SignalResource"
    condition.error = lambda: ServiceError("AccessDenied", message, status=403)
    assert send(world, world.nodes[:1])["Status"] == "SUCCESS"
    (error,) = errors(world)
    assert CONDITION in error
    assert "cloudformation:SignalResource" in error
    assert "change RetryToken" in error
    assert condition.attempts < 30


def test_a_throttled_signal_is_sent_again(world: World, condition: Condition) -> None:
    throttled: list[Exception] = [ServiceError("Throttling", "Rate exceeded", status=400)] * 3
    condition.error = lambda: throttled.pop() if throttled else None
    send(world, world.nodes[:1])
    assert condition.signals == ["1 of 1 removed"]


def test_a_hand_over_that_fails_is_logged(world: World, condition: Condition) -> None:
    world.aws_lambda.errors = [ServiceError("AccessDeniedException", "no", status=403)] * 99
    send(world, world.nodes[:1], seconds=59.0, ServiceTimeout="60")
    assert condition.attempts == 0
    assert any(CONDITION in error for error in errors(world))


def test_a_hand_over_that_fails_after_a_reply_at_the_last_moment_leaves_time_for_the_event(
    world: World, condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EVENT_BUS_VARIABLE, "default")
    node, busy, *_ = world.nodes
    world.cluster.refuse(busy)
    world.aws_lambda.errors = [ServiceError("TooManyRequestsException", "no", status=429)] * 99
    end, context = world.clock.now() + 40.0, Context()
    remaining = lambda: int(1000 * (end - world.clock.now()))  # noqa: E731
    monkeypatch.setattr(context, "get_remaining_time_in_millis", remaining)

    def hang(_: object) -> None:
        while world.deletes and not world.endpoint.requests:
            world.clock.sleep(1.0)

    world.before("ListClusterNodes", hang)
    world.before("DescribeClusterNode", hang)
    announced_at: list[float] = []
    world.event_bus.on_call = lambda: announced_at.append(world.clock.now())
    properties = {"ClusterName": "ml-cluster", "NodeIds": [node, busy], "WaitFor": "ACCEPTED", **ON}
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
