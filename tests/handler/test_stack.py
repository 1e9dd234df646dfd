"""Which operation of the stack a request belongs to, when it is over, and answers that lag."""

from typing import Any

import pytest

from sandbox.hyperpod import ServiceError
from tests.handler.world import Shown, World

UPDATE, CREATE = "UPDATE_STACK", "CREATE_STACK"
KINDS = ["Create", "Update"]


def update(identity: str = "", updated_at: float | None = None, **others: str) -> Shown:
    """Show a stack whose update goes forward."""
    ids = {UPDATE: identity} if identity else {}
    return Shown("UPDATE_IN_PROGRESS", ids | others, updated_at)


def send(world: World, kind: str, *, busy_for: float = 0.0) -> tuple[str, str]:
    """Return the status and the outcome of removing a node that is busy at first."""
    node = world.nodes[0]
    if busy_for:
        world.cluster.refuse(node, until=world.clock.now() + busy_for)
    answer = world.send(kind, NodeIds=[node])
    assert (answer["Data"]["RemovedNodes"] == node) is (node not in world.cluster.present)
    return answer["Status"], answer["Data"]["Outcome"]


FOREVER = float("inf")
DONE = ("SUCCESS", "COMPLETE")
ROLLED_BACK = ("SUCCESS", "ROLLED_BACK")
FAILED = ("FAILED", "FAILED")


# Identity ------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", range(0, 91, 5))
@pytest.mark.parametrize("has_ids", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_requested_for_an_operation_that_was_canceled_and_followed_by_another(
    world: World, second: int, has_ids: bool, kind: str
) -> None:
    now = world.clock.now()
    first = update("op-1" if has_ids else "", now - 2)
    again = now + second + 8
    world.shows(
        (0, first),
        (second + 6, Shown("UPDATE_ROLLBACK_IN_PROGRESS", first.ids, now - 2)),
        (second + 7, Shown("UPDATE_ROLLBACK_COMPLETE", first.ids, now - 2)),
        (second + 8, update("op-2" if has_ids else "", again)),
    )
    # Each attempt is refused until the first operation is over.
    world.fail_for(second + 8, "BatchDeleteClusterNodes", "ThrottlingException")
    send(world, kind)
    assert [time for time in world.request_times if time >= again] == []
    assert len(world.cluster.present) == 8


def test_an_invocation_that_takes_over_knows_the_operation_of_the_one_before(world: World) -> None:
    now, node = world.clock.now(), world.nodes[0]
    world.cluster.refuse(node)
    # The change of the operation lies between the last look of one invocation and the next.
    world.before("Invoke", lambda _: world.shows((0, update("op-2"))))
    world.shows((0, update("op-1", now - 2)))
    reason = world.fails("Create", NodeIds=[node], seconds=200.0)
    assert world.invocations == 2
    assert "operation that sent this request has ended" in reason
    assert max(world.request_times) <= now + 180


@pytest.mark.parametrize(
    "later",
    [
        update("", 999_998.0),
        update("op-1"),
        update("op-1", 1_000_030.0),
        update("op-1", 999_000.0),
        update("op-1", 999_998.0, CREATE_CHANGESET="cs-2", CREATE_STACK="op-0"),
    ],
    ids=["no id", "no time", "a later time", "an earlier time", "a change set"],
)
def test_the_same_operation_is_recognized_by_its_id(world: World, later: Shown) -> None:
    usual = update("op-1", 999_998.0, CREATE_CHANGESET="cs-1")
    world.shows((0, usual), (20, later), (45, usual))
    assert send(world, "Update", busy_for=60) == DONE


def test_an_earlier_time_is_lag_and_a_later_one_another_operation(world: World) -> None:
    now = world.clock.now()
    usual = update("", now - 2)
    world.shows((0, usual), (20, update("", now - 500)), (40, usual), (100, update("", now + 99)))
    assert send(world, "Update", busy_for=FOREVER) == FAILED
    times = world.request_times
    assert any(now + 40 < time < now + 100 for time in times)
    assert not any(now + 20 < time < now + 40 or now + 100 < time for time in times)


def test_a_stack_made_by_a_change_set_may_show_its_time_later(world: World) -> None:
    made = Shown("CREATE_IN_PROGRESS", {}, world.clock.now() - 3)
    world.shows((0, "CREATE_IN_PROGRESS"), (20, made))
    assert send(world, "Create", busy_for=60) == DONE


INSIDE = (
    Shown("UPDATE_IN_PROGRESS", {CREATE: "op-0", UPDATE: "op-1"}, 999_998.0),
    Shown("UPDATE_IN_PROGRESS", {CREATE: "op-0", UPDATE: "op-2"}, 999_998.0),
)


@pytest.mark.parametrize(
    ("first", "second"),
    [INSIDE, ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")],
    ids=["a create inside an update belongs to it", "the update after the creation"],
)
def test_another_operation_ends_a_create(world: World, first: Any, second: Any) -> None:
    now = world.clock.now()
    world.shows((0, first), (50, second))
    assert send(world, "Create", busy_for=FOREVER) == FAILED
    assert max(world.request_times) < now + 50


@pytest.mark.parametrize("late", [3, 30])
def test_a_request_sent_before_the_stack_was_updated_is_a_late_copy(
    world: World, late: int
) -> None:
    now = world.clock.now()
    world.shows((0, update("op-2", now)))
    query = f"&Expires={int(now) - late + 7200}"
    world.fails("Update", query=query, NodeIds=world.nodes[:1])
    assert world.deletes == 0


@pytest.mark.parametrize("early", [0.0, 0.9, 2.0])
def test_an_update_that_began_as_the_request_was_sent_is_its_own(
    world: World, early: float
) -> None:
    world.shows((0, update("op-1", world.clock.now() + early)))
    assert send(world, "Update") == DONE


# At rest -------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [62, 70])  # a look at least every 30 s
def test_one_look_at_rest_with_the_same_identity_ends_the_removal(world: World, again: int) -> None:
    now = world.clock.now()
    usual = update("op-1", now - 2)
    world.shows((0, usual), (31, Shown("UPDATE_COMPLETE", usual.ids, now - 2)), (again, usual))
    assert send(world, "Update", busy_for=FOREVER) == FAILED
    assert max(world.request_times) < now + 31


def test_a_stack_at_rest_without_identity_counts_when_seen_again_after_10_s(world: World) -> None:
    now = world.clock.now()
    world.shows((0, "CREATE_IN_PROGRESS"), (31, "CREATE_COMPLETE"))
    assert send(world, "Create", busy_for=FOREVER) == FAILED
    assert max(world.request_times) < now + 31
    assert world.clock.now() < now + 120


def test_one_glimpse_of_a_stack_at_rest_without_identity_is_lag(world: World) -> None:
    world.shows((0, "CREATE_IN_PROGRESS"), (31, "CREATE_COMPLETE"), (38, "CREATE_IN_PROGRESS"))
    assert send(world, "Create", busy_for=60) == DONE


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"])
def test_the_rollback_of_an_earlier_operation_is_lag(world: World, status: str) -> None:
    usual = update("", world.clock.now() - 2)
    world.shows((0, usual), (31, Shown(status, {}, world.clock.now() - 300)), (38, usual))
    assert send(world, "Create", busy_for=60) == DONE


# Lag -----------------------------------------------------------------------------------------

AT_FIRST = [
    "",
    "REVIEW_IN_PROGRESS",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_COMPLETE",
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_FAILED",
]
ROLLS_BACK = [
    "ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_IN_PROGRESS",
    "DELETE_IN_PROGRESS",
]


@pytest.mark.parametrize("lag", [1, 4, 11, 30, 55])
@pytest.mark.parametrize("status", AT_FIRST)
@pytest.mark.parametrize("kind", KINDS)
def test_a_status_of_before_the_operation_is_waited_out(
    world: World, kind: str, status: str, lag: int
) -> None:
    before = Shown(status, {UPDATE: "op-0"}, world.clock.now() - 999)
    world.shows((0, before), (lag, update("op-1", world.clock.now() - 1)))
    assert send(world, kind) == DONE
    assert min(world.request_times) >= world.journal[0][1] + lag


@pytest.mark.parametrize("status", ROLLS_BACK)
@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_or_deletion_succeeds_untouched(world: World, kind: str, status: str) -> None:
    world.shows((0, status))
    assert send(world, kind) == ROLLED_BACK
    assert world.hp.calls.total() == 0


@pytest.mark.parametrize("status", [status for status in AT_FIRST if status not in ROLLS_BACK])
@pytest.mark.parametrize("kind", KINDS)
def test_any_other_status_that_stays_for_a_minute_fails_with_nothing_removed(
    world: World, kind: str, status: str
) -> None:
    world.shows((0, status))
    reason = world.fails(kind, NodeIds=world.nodes[:2])
    assert (f"The stack is in {status}" if status else "not visible") in reason
    assert "Nothing was removed." in reason
    assert world.hp.calls.total() == 0


@pytest.mark.parametrize("lag", [1, 2, 3, 4])
@pytest.mark.parametrize("has_identity", [True, False])
def test_the_update_of_a_rollback_removes_nothing_where_the_status_lags_behind(
    world: World, lag: int, has_identity: bool
) -> None:
    shown = update("op-1", world.clock.now() - 60) if has_identity else update()
    back = Shown("UPDATE_ROLLBACK_IN_PROGRESS", shown.ids, shown.updated_at)
    world.shows((0, shown), (lag, back))
    assert send(world, "Update") == ROLLED_BACK
    assert world.deletes == 0


def test_the_update_of_a_rollback_removes_nothing_after_a_stale_look(world: World) -> None:
    shown = update("op-1", world.clock.now() - 60)
    back = Shown("UPDATE_ROLLBACK_IN_PROGRESS", shown.ids, shown.updated_at)
    world.shows((0, back), (1, shown), (50, back))
    assert send(world, "Update") == ROLLED_BACK
    assert world.deletes == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_ids", [True, False])
def test_an_operation_that_is_newer_than_the_rollback_seen_first_goes_forward(
    world: World, kind: str, has_ids: bool
) -> None:
    now = world.clock.now()
    old = {UPDATE: "op-0"} if has_ids else {}
    back = Shown("UPDATE_ROLLBACK_IN_PROGRESS", old, now - 60)
    world.shows((0, back), (3, update("op-1" if has_ids else "", now - 1)))
    assert send(world, kind) == DONE


@pytest.mark.parametrize("status", ["REVIEW_IN_PROGRESS", ""])
def test_a_stack_seen_as_before_its_creation_again_is_lag(world: World, status: str) -> None:
    world.shows((0, "CREATE_IN_PROGRESS"), (31, status), (55, "CREATE_IN_PROGRESS"))
    assert send(world, "Create", busy_for=60) == DONE


def test_a_stack_that_cannot_be_looked_at_at_first_is_waited_for(world: World) -> None:
    throttled = ServiceError("Throttling")
    world.cloudformation.statuses = [throttled, throttled, "UPDATE_IN_PROGRESS"]
    assert send(world, "Update") == DONE
