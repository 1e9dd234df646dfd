"""Which operation of the stack a request belongs to, and what is made of a stack that lags."""

from typing import Any

import pytest

from sandbox.hyperpod import Cluster, ServiceError
from tests.aws_transport import Parameters
from tests.handler.function import Function
from tests.handler.world import Shown, World

UPDATE, CREATE = "UPDATE_STACK", "CREATE_STACK"


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8})


def update(identity: str = "", updated_at: float | None = None, **others: str) -> Shown:
    ids = {UPDATE: identity} if identity else {}
    return Shown("UPDATE_IN_PROGRESS", ids | others, updated_at)


def rolled_back(answer: Any) -> bool:
    return (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "ROLLED_BACK")


# One look, one request -----------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 99, 100, 250])
def test_the_stack_is_looked_at_immediately_before_each_request(
    world: World, function: Function, count: int
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": count})
    world.hp.fail_next("BatchDeleteClusterNodes", status=503, times=3)
    function.send("Create", NodeIds=[*cluster.node_ids("workers")])
    names = [name for name, _ in world.journal]
    deletes = [i for i, name in enumerate(names) if name == "BatchDeleteClusterNodes"]
    assert len(deletes) == -(-count // 99) + 3
    assert {names[i - 1] for i in deletes} == {"DescribeStacks"}


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 500},
        {"status": 503},
        {"code": "ThrottlingException"},
        {"code": "RequestTimeout"},
        {"code": "ConflictException"},
        {"code": "PriorRequestNotComplete"},
    ],
)
def test_nothing_is_sent_again_to_a_stack_that_turned_back(
    world: World, function: Function, cluster: Cluster, trouble: dict[str, Any]
) -> None:
    def turn_back(_: Parameters) -> None:
        world.shows((0, "UPDATE_ROLLBACK_IN_PROGRESS"))

    world.before("BatchDeleteClusterNodes", turn_back)
    world.hp.fail_next("BatchDeleteClusterNodes", times=9, **trouble)
    function.send("Create", NodeIds=[*cluster.node_ids("workers")[:2]])
    assert world.deletes == 1
    assert len(cluster.present) == 8


def test_a_look_that_takes_until_the_deadline_is_followed_by_no_request(
    world: World, function: Function, cluster: Cluster
) -> None:
    world.before("DescribeStacks", lambda _: world.clock.sleep(46 if world.hp.calls else 0))
    answer = function.send("Create", NodeIds=[cluster.node_ids("workers")[0]], ServiceTimeout="60")
    assert answer["Status"] == "FAILED"
    assert world.deletes == 0


def test_a_look_during_which_the_reply_was_sent_is_followed_by_no_request(
    world: World, function: Function, cluster: Cluster
) -> None:
    world.before("DescribeStacks", lambda _: world.clock.sleep(54 if world.hp.calls else 0))
    answer = function.send("Create", NodeIds=[cluster.node_ids("workers")[0]], ServiceTimeout="60")
    assert answer["Status"] == "FAILED"
    assert world.deletes == 0


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
    world.before("Invoke", lambda _: world.shows((0, update("op-2", now + 200))))
    world.shows((0, update("op-1", now - 2)))
    answer = function.send("Create", NodeIds=[node], seconds=200.0)
    assert function.links == 2
    assert answer["Status"] == "FAILED"
    assert "operation that sent this request is over" in answer["Reason"]
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


@pytest.mark.parametrize("lag", [1, 4, 11, 30, 55])
@pytest.mark.parametrize("status", AT_FIRST)
@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_a_status_of_before_the_operation_is_waited_out(
    world: World, function: Function, cluster: Cluster, kind: str, status: str, lag: int
) -> None:
    before = Shown(status, {UPDATE: "op-0"}, world.clock.now() - 999)
    world.shows((0, before), (lag, update("op-1", world.clock.now() - 1)))
    nodes = [*cluster.node_ids("workers")[:2]]
    answer = function.send(kind, NodeIds=nodes)
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "COMPLETE")
    assert min(world.times("BatchDeleteClusterNodes")) >= world.journal[0][1] + lag


@pytest.mark.parametrize("status", AT_FIRST)
@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_a_status_that_stays_for_a_minute_is_no_lag(
    world: World, function: Function, cluster: Cluster, kind: str, status: str
) -> None:
    world.shows((0, Shown(status)))
    answer = function.send(kind, NodeIds=[*cluster.node_ids("workers")[:2]])
    assert world.deletes == 0
    if status in {"ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"}:
        assert rolled_back(answer)
    else:
        assert answer["Status"] == "FAILED"
        assert (status or "not visible") in answer["Reason"]
        assert "Nothing was removed." in answer["Reason"]


@pytest.mark.parametrize("kind", ["Create", "Update"])
@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS"])
def test_a_stack_that_is_going_back_or_being_deleted_succeeds_untouched(
    world: World, function: Function, cluster: Cluster, kind: str, status: str
) -> None:
    world.shows((0, Shown(status)))
    assert rolled_back(function.send(kind, NodeIds=[cluster.node_ids("workers")[0]]))
    assert world.deletes == 0


@pytest.mark.parametrize("lag", [1, 2, 3, 4])
@pytest.mark.parametrize("has_identity", [True, False])
def test_the_update_of_a_rollback_removes_nothing_where_the_status_lags_behind(
    world: World, function: Function, cluster: Cluster, lag: int, has_identity: bool
) -> None:
    shown = update("op-1", world.clock.now() - 60) if has_identity else update()
    back = Shown("UPDATE_ROLLBACK_IN_PROGRESS", shown.ids, shown.updated_at)
    world.shows((0, shown), (lag, back))
    assert rolled_back(function.send("Update", NodeIds=[*cluster.node_ids("workers")[:2]]))
    assert world.deletes == 0


def test_the_update_of_a_rollback_removes_nothing_when_a_stale_look_comes_after_the_right_one(
    world: World, function: Function, cluster: Cluster
) -> None:
    shown = update("op-1", world.clock.now() - 60)
    back = Shown("UPDATE_ROLLBACK_IN_PROGRESS", shown.ids, shown.updated_at)
    world.shows((0, back), (1, shown), (50, back))
    assert rolled_back(function.send("Update", NodeIds=[cluster.node_ids("workers")[0]]))
    assert world.deletes == 0


@pytest.mark.parametrize("kind", ["Create", "Update"])
@pytest.mark.parametrize("has_ids", [True, False])
def test_an_operation_that_is_newer_than_the_rollback_seen_first_goes_forward(
    world: World, function: Function, cluster: Cluster, kind: str, has_ids: bool
) -> None:
    now = world.clock.now()
    old, new = ({UPDATE: "op-0"}, {UPDATE: "op-1"}) if has_ids else ({}, {})
    world.shows(
        (0, Shown("UPDATE_ROLLBACK_IN_PROGRESS", old, now - 60)),
        (3, Shown("UPDATE_IN_PROGRESS", new, now - 1)),
    )
    node = cluster.node_ids("workers")[0]
    assert function.send(kind, NodeIds=[node])["Data"]["Outcome"] == "COMPLETE"
    assert node not in cluster.present


# Never past a look ---------------------------------------------------------------------------


def longest_gap(times: list[float], end: float) -> float:
    return max(after - before for before, after in zip(times, [*times[1:], end], strict=True))


@pytest.mark.parametrize("waiting", ["nodes", "busy nodes", "busy cluster", "outage", "settling"])
def test_whatever_is_waited_for_the_stack_is_looked_at_every_30_s(
    world: World, function: Function, waiting: str
) -> None:
    cluster = world.hp.create_cluster(
        "ml-cluster",
        {"workers": 8},
        shutdown_seconds=400 if waiting == "nodes" else 20,
        busy_after_leaving=300 if waiting == "settling" else 0,
    )
    node, *_ = cluster.node_ids("workers")
    now = world.clock.now()
    match waiting:
        case "busy nodes":
            cluster.refuse(node, until=now + 400)
        case "busy cluster":
            cluster.set_status("Updating", until=now + 400)
        case "outage":
            error = ServiceError("InternalFailure", status=500)

            def fail(_: Parameters) -> None:
                if world.deletes and world.clock.now() < now + 400:
                    raise error

            world.before("ListClusterNodes", fail)
    assert function.send("Create", NodeIds=[node])["Status"] == "SUCCESS"
    assert world.clock.now() > now + 300
    assert longest_gap(world.times("DescribeStacks"), world.clock.now()) <= 30.001


@pytest.mark.parametrize("status", ["REVIEW_IN_PROGRESS", ""])
def test_a_stack_that_is_seen_as_before_its_creation_again_is_lag(
    world: World, function: Function, cluster: Cluster, status: str
) -> None:
    node = cluster.node_ids("workers")[0]
    cluster.refuse(node, until=world.clock.now() + 60)
    world.shows((0, "CREATE_IN_PROGRESS"), (31, status), (55, "CREATE_IN_PROGRESS"))
    assert function.send("Create", NodeIds=[node])["Status"] == "SUCCESS"
