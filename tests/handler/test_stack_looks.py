"""When the stack is looked at: right before each request, and while anything is waited for."""

from typing import Any

import pytest

from tests.aws_transport import Parameters
from tests.handler.function import HOOK
from tests.handler.world import World

# One look, one request -----------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 99, 100, 250])
def test_the_stack_is_looked_at_immediately_before_each_request(world: World, count: int) -> None:
    world.make_cluster(count)
    world.hp.fail_next("BatchDeleteClusterNodes", status=503, times=3)
    world.send("Create", NodeIds=world.nodes)
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
def test_nothing_is_sent_again_after_a_rollback(world: World, trouble: dict[str, Any]) -> None:
    rolled_back = (0, "UPDATE_ROLLBACK_IN_PROGRESS")
    world.before("BatchDeleteClusterNodes", lambda _: world.shows(rolled_back))
    world.hp.fail_next("BatchDeleteClusterNodes", times=9, **trouble)
    world.send("Create", NodeIds=world.nodes[:2])
    assert world.deletes == 1
    assert len(world.cluster.present) == 8


def test_a_look_that_takes_until_the_deadline_is_followed_by_no_request(world: World) -> None:
    world.before("DescribeStacks", lambda _: world.clock.sleep(46 if world.hp.calls else 0))
    world.fails("Create", NodeIds=world.nodes[:1], ServiceTimeout="60")
    assert world.deletes == 0


def test_a_look_during_which_the_reply_was_sent_is_followed_by_no_request(world: World) -> None:
    def reply(_: Parameters) -> None:
        if world.hp.calls["ListClusterNodes"]:
            for timer in world.clock.timers:
                timer.action()

    world.before("DescribeStacks", reply)
    world.fails("Create", NodeIds=world.nodes[:1])
    assert world.deletes == 0


# Never past a look ---------------------------------------------------------------------------


def longest_gap(times: list[float], end: float) -> float:
    return max(after - before for before, after in zip(times, [*times[1:], end], strict=True))


@pytest.mark.parametrize("waiting", ["nodes", "busy nodes", "busy cluster", "outage", "settling"])
def test_the_stack_is_looked_at_every_30_s_during_any_wait(world: World, waiting: str) -> None:
    cluster = world.make_cluster(
        8,
        shutdown_seconds=400 if waiting == "nodes" else 20,
        busy_after_leaving=300 if waiting == "settling" else 0,
    )
    node, now = world.nodes[0], world.clock.now()
    match waiting:
        case "busy nodes":
            cluster.refuse(node, until=now + 400)
        case "busy cluster":
            cluster.set_status("Updating", until=now + 400)
        case "outage":
            fail = lambda *_: world.fail_for(400, "ListClusterNodes", status=500)  # noqa: E731
            world.after("BatchDeleteClusterNodes", fail)
    world.succeeds("Create", NodeIds=[node])
    assert world.clock.now() > now + 300
    assert longest_gap(world.times("DescribeStacks"), world.clock.now()) <= 30.001


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_COMPLETE"])
def test_a_stack_that_turns_during_the_hook_is_noticed(world: World, status: str) -> None:
    world.set_hook(seconds=400)
    # For a minute only: then the next deployment goes forward.
    world.shows((0, "UPDATE_IN_PROGRESS"), (100, status), (160, "UPDATE_IN_PROGRESS"))
    answer = world.send("Create", NodeIds=world.nodes[:1], BeforeRemoval=HOOK)
    assert world.deletes == 0
    assert answer["Data"]["RemovedCount"] == "0"
    until = world.journal[0][1] + 100
    looks = [time for time in world.times("DescribeStacks") if time < until]
    assert longest_gap(looks, until) <= 30.001
