"""Which operation of the stack a request belongs to, and when that operation is over."""

import pytest

from sandbox.hyperpod import Cluster
from tests.handler.function import Function
from tests.handler.world import Shown, World

UPDATE, CREATE = "UPDATE_STACK", "CREATE_STACK"


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8})


def update(identity: str = "", updated_at: float | None = None, **others: str) -> Shown:
    """Show a stack whose update goes forward."""
    ids = {UPDATE: identity} if identity else {}
    return Shown("UPDATE_IN_PROGRESS", ids | others, updated_at)


# Identity ------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", range(0, 91, 5))
@pytest.mark.parametrize("has_ids", [True, False])
@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_nothing_is_requested_for_an_operation_that_was_canceled_and_followed_by_another(
    world: World, function: Function, cluster: Cluster, second: int, has_ids: bool, kind: str
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
    node = cluster.node_ids("workers")[0]
    # Each attempt is refused until the first operation is over.
    world.hp.fail_while(
        "BatchDeleteClusterNodes", lambda _: world.clock.now() < again, "ThrottlingException"
    )
    function.send(kind, NodeIds=[node])
    assert [t for t in world.times("BatchDeleteClusterNodes") if t >= again] == []
    assert node in cluster.present


def test_an_invocation_that_takes_over_knows_the_operation_of_the_one_before(
    world: World, function: Function, cluster: Cluster
) -> None:
    now = world.clock.now()
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node)
    # The change of the operation lies between the last look of one invocation and the next.
    world.before("Invoke", lambda _: world.shows((0, update("op-2"))))
    world.shows((0, update("op-1", now - 2)))
    answer = function.send("Create", NodeIds=[node], seconds=200.0)
    assert function.links == 2
    assert answer["Status"] == "FAILED"
    assert "operation that sent this request has ended" in answer["Reason"]
    assert len([t for t in world.times("BatchDeleteClusterNodes") if t > now + 180]) == 0


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
def test_the_same_operation_is_known_by_its_id_and_a_missing_entry_says_nothing(
    world: World, function: Function, cluster: Cluster, later: Shown
) -> None:
    usual = update("op-1", 999_998.0, CREATE_CHANGESET="cs-1")
    world.shows((0, usual), (20, later), (45, usual))
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node, until=world.clock.now() + 60)
    assert function.send("Update", NodeIds=[node])["Status"] == "SUCCESS"
    assert node not in cluster.present


def test_an_earlier_time_is_lag_and_a_later_one_another_operation(
    world: World, function: Function, cluster: Cluster
) -> None:
    now = world.clock.now()
    usual = update("", now - 2)
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node)
    world.shows((0, usual), (20, update("", now - 500)), (40, usual), (100, update("", now + 99)))
    answer = function.send("Update", NodeIds=[node])
    assert answer["Status"] == "FAILED"
    deletes = world.times("BatchDeleteClusterNodes")
    assert any(now + 40 < time < now + 100 for time in deletes)
    assert not any(now + 20 < time < now + 40 or now + 100 < time for time in deletes)


def test_a_stack_made_by_a_change_set_may_tell_its_time_later(
    world: World, function: Function, cluster: Cluster
) -> None:
    now = world.clock.now()
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node, until=now + 60)
    world.shows((0, "CREATE_IN_PROGRESS"), (20, Shown("CREATE_IN_PROGRESS", {}, now - 3)))
    assert function.send("Create", NodeIds=[node])["Status"] == "SUCCESS"


def test_a_create_inside_an_update_belongs_to_the_update(
    world: World, function: Function, cluster: Cluster
) -> None:
    now = world.clock.now()
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node)
    created = {CREATE: "op-0"}
    world.shows(
        (0, Shown("UPDATE_IN_PROGRESS", created | {UPDATE: "op-1"}, now - 2)),
        (50, Shown("UPDATE_IN_PROGRESS", created | {UPDATE: "op-2"}, now - 2)),
    )
    assert function.send("Create", NodeIds=[node])["Status"] == "FAILED"
    assert max(world.times("BatchDeleteClusterNodes")) < now + 50


def test_the_update_after_the_creation_is_another_operation(
    world: World, function: Function, cluster: Cluster
) -> None:
    now = world.clock.now()
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node)
    world.shows((0, "CREATE_IN_PROGRESS"), (50, "UPDATE_IN_PROGRESS"))
    assert function.send("Create", NodeIds=[node])["Status"] == "FAILED"
    assert max(world.times("BatchDeleteClusterNodes")) < now + 50


@pytest.mark.parametrize("late", [3, 30])
def test_a_request_that_was_sent_before_the_stack_was_updated_is_a_late_copy(
    world: World, function: Function, cluster: Cluster, late: int
) -> None:
    now = world.clock.now()
    world.shows((0, update("op-2", now)))
    sent_at = int(now) - late + 7200
    event = function.event(
        "Update",
        {"ClusterName": "ml-cluster", "NodeIds": [cluster.node_ids("workers")[0]]},
        ResponseURL=f"{function.endpoint.url}&Expires={sent_at}",
    )
    answer = function.reply_to(event)
    assert answer["Status"] == "FAILED"
    assert world.deletes == 0


@pytest.mark.parametrize("early", [0.0, 0.9, 2.0])
def test_a_stack_whose_update_began_as_the_request_was_sent_is_no_other_operation(
    world: World, function: Function, cluster: Cluster, early: float
) -> None:
    world.shows((0, update("op-1", world.clock.now() + early)))
    assert function.send("Update", NodeIds=[cluster.node_ids("workers")[0]])["Status"] == "SUCCESS"


# At rest -------------------------------------------------------------------------------------


def test_one_look_at_rest_with_the_same_identity_ends_the_removal(
    world: World, function: Function, cluster: Cluster
) -> None:
    now = world.clock.now()
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node)
    usual = update("op-1", now - 2)
    world.shows((0, usual), (31, Shown("UPDATE_COMPLETE", usual.ids, now - 2)), (70, usual))
    answer = function.send("Update", NodeIds=[node])
    assert answer["Status"] == "FAILED"
    assert max(world.times("BatchDeleteClusterNodes")) < now + 31


def test_a_stack_at_rest_without_identity_counts_when_it_is_seen_again_after_10_s(
    world: World, function: Function, cluster: Cluster
) -> None:
    now = world.clock.now()
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node)
    world.shows((0, "CREATE_IN_PROGRESS"), (31, "CREATE_COMPLETE"))
    assert function.send("Create", NodeIds=[node])["Status"] == "FAILED"
    assert max(world.times("BatchDeleteClusterNodes")) < now + 31
    assert world.clock.now() < now + 120


def test_one_glimpse_of_a_stack_at_rest_without_identity_is_lag(
    world: World, function: Function, cluster: Cluster
) -> None:
    now = world.clock.now()
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node, until=now + 60)
    world.shows((0, "CREATE_IN_PROGRESS"), (31, "CREATE_COMPLETE"), (38, "CREATE_IN_PROGRESS"))
    assert function.send("Create", NodeIds=[node])["Status"] == "SUCCESS"


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_rollback_of_the_operation_before_this_one_that_is_seen_late_is_lag(
    world: World, function: Function, cluster: Cluster, status: str
) -> None:
    now = world.clock.now()
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node, until=now + 60)
    usual = update("", now - 2)
    world.shows((0, usual), (31, Shown(status, {}, now - 300)), (38, usual))
    answer = function.send("Create", NodeIds=[node])
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "COMPLETE")
