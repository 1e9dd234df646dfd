"""A removal that takes longer than one invocation."""

import json
from typing import Any

import pytest

from hyperpod_node_removal_handler.handover import KEY
from sandbox.hyperpod import ServiceError
from tests.aws_transport import Parameters
from tests.handler.function import HOOK
from tests.handler.world import World


def test_an_hour_takes_five_invocations_and_one_reply(world: World) -> None:
    world.make_cluster(4, shutdown_seconds=3400)
    nodes = world.nodes[:2]
    data = world.succeeds("Create", NodeIds=nodes, ServiceTimeout="3600")
    assert data["RemovedNodes"] == ",".join(nodes)
    assert world.invocations == 5
    assert world.deletes == 1
    counts = [line for line in world.log.messages if "InstanceCount 4 -> 2" in line]
    assert [line.partition(":")[0] for line in counts] == ["workers"], "as the first one saw it"


def test_the_chain_has_a_deadline_of_its_own(world: World) -> None:
    world.make_cluster(4, shutdown_seconds=10_000)
    start, node = world.clock.now(), world.nodes[0]
    assert f"StillPresent: {node}" in world.fails("Create", NodeIds=[node], ServiceTimeout="2000")
    assert world.clock.now() - start == pytest.approx(1985, abs=1)


def test_refusals_are_retried_across_invocations(world: World) -> None:
    bad, good, *_ = world.nodes
    world.cluster.refuse(bad, until=world.clock.now() + 2000)
    data = world.succeeds("Create", NodeIds=[bad, good], RetryFor="2500", ServiceTimeout="3600")
    assert set(data["RemovedNodes"].split(",")) == {bad, good}
    assert world.invocations > 2


def test_an_outage_at_the_time_of_a_hand_over_is_no_end(world: World) -> None:
    world.make_cluster(4, shutdown_seconds=1000)
    world.clock.timer(600, lambda: world.fail_for(400, "ListClusterNodes", status=500))
    world.succeeds("Create", NodeIds=world.nodes[:1])


@pytest.mark.slow
@pytest.mark.parametrize("why", ["refused", "vetoed", "not ready"])
def test_3000_nodes_fit_the_payload_of_an_asynchronous_invocation(world: World, why: str) -> None:
    cluster = world.make_cluster(3000, shutdown_seconds=250)
    nodes = world.nodes
    more: dict[str, Any] = {"RetryFor": "240"} if why == "refused" else {"BeforeRemoval": HOOK}
    failed, seconds = 200, 200.0
    match why:
        case "refused":
            for node in nodes[:200]:
                used = f"Node {node} is used by a job of team {node[-4:]}."
                cluster.refuse(node, "NodeIdInUse", used)
        case "vetoed":
            failed = 400
            vetoed = [{"NodeId": node, "Reason": f"{node}: {'x' * 300}"} for node in nodes[:400]]
            world.set_hook({"Decision": "PROCEED", "VetoedNodes": vetoed})
        case "not ready":
            failed, seconds = 3000, 900.0
            entries = [{"NodeId": node, "Reason": "job 17 is running"} for node in nodes]
            wait = {"Version": "2", "Decision": "WAIT", "WaitingNodes": entries}
            world.set_hook(wait | {"RetryAfter": 300})
            more["ServiceTimeout"] = "1800"
    sizes: list[int] = []

    def measure(request: Parameters) -> None:
        if request["InvocationType"] == "Event":
            sizes.append(len(request["Payload"]))

    world.before("Invoke", measure)
    answer = world.send("Create", NodeIds=nodes, seconds=seconds, **more)
    assert answer["Data"]["FailedCount"] == str(failed)
    assert answer["Data"]["RemovedCount"] == str(3000 - failed)
    assert world.invocations > 1
    assert 0 < max(sizes) < 256 * 1024
    assert sorted(world.released) == (sorted(nodes) if why == "not ready" else [])


def test_a_hand_over_that_fails_is_a_failure_with_the_outcome_so_far(world: World) -> None:
    world.make_cluster(4, shutdown_seconds=3000)
    node = world.nodes[0]
    world.aws_lambda.errors = [ServiceError("AccessDeniedException", "not authorized")] * 100
    reason = world.fails("Create", NodeIds=[node])
    assert "could not be handed over" in reason
    assert f"StillPresent: {node}" in reason


def test_a_hand_over_that_stutters_goes_through(world: World) -> None:
    world.make_cluster(4, shutdown_seconds=1000)
    world.aws_lambda.errors = [ServiceError("TooManyRequestsException")] * 2
    world.succeeds("Create", NodeIds=world.nodes[:1])
    assert world.invocations == 2


def test_a_hand_over_that_comes_too_late_does_not_start_another_invocation(world: World) -> None:
    node = world.nodes[0]
    world.cluster.refuse(node)

    def hang(_: object) -> None:
        if 1_000_150 < world.clock.now() < 1_000_195:
            world.clock.sleep(1_000_195 - world.clock.now())

    world.before("ListClusterNodes", hang)
    world.fails("Create", NodeIds=[node], seconds=200.0)
    assert world.invocations == 1
    assert "nexpected" not in world.log.text


@pytest.mark.parametrize(("after", "invocations"), [(10, 1), (800, 2)])
def test_a_rollback_ends_the_requests(world: World, after: int, invocations: int) -> None:
    cluster = world.make_cluster(4, shutdown_seconds=3000)
    bad, good, *_ = world.nodes
    cluster.refuse(bad, until=world.clock.now() + 900)
    start = world.clock.now()
    world.shows((0, "UPDATE_IN_PROGRESS"), (after + 1, "UPDATE_ROLLBACK_IN_PROGRESS"))
    answer = world.send("Update", NodeIds=[bad, good], RetryFor="3000")
    assert answer["Status"] == "FAILED"
    assert "is rolling back" in answer["Reason"]
    assert world.invocations == invocations
    assert max(world.request_times) <= start + after
    assert answer["Data"]["FailedNodes"].split(",")[0] == bad
    assert bad in cluster.present


def test_a_cluster_deleted_between_two_invocations_took_its_nodes_with_it(world: World) -> None:
    cluster = world.make_cluster(4, shutdown_seconds=3000)
    world.before("Invoke", lambda _: cluster.delete())
    assert world.succeeds("Create", NodeIds=world.nodes[:2])["RemovedCount"] == "2"


def test_the_chain_is_shorter_than_lambdas_limit_on_recursion(world: World) -> None:
    world.make_cluster(4, shutdown_seconds=3000)
    reason = world.fails("Create", seconds=120, NodeIds=world.nodes[:1])
    assert "reached the limit of 9 hand-overs" in reason
    assert world.invocations == 10


def test_a_template_cannot_pose_as_a_continuation(world: World) -> None:
    answer = world.send("Create", **{KEY: "eNoDAAAAAAE="})
    assert f"Unknown property '{KEY}'" in answer["Reason"]


def test_a_continuation_that_is_none_is_a_failure(world: World) -> None:
    world.run(world.event("Create", {"ClusterName": "ml-cluster"}, **{KEY: "nonsense"}))
    ((_, _, body),) = world.endpoint.requests
    assert json.loads(body)["Status"] == "FAILED"


# Without waiting for the nodes to leave ------------------------------------------------------


def test_with_wait_for_accepted_the_nodes_need_not_have_left(world: World) -> None:
    world.make_cluster(4, shutdown_seconds=3000)
    nodes = world.nodes[:2]
    data = world.succeeds("Create", NodeIds=nodes, WaitFor="ACCEPTED")
    assert data["Outcome"] == "ACCEPTED"
    assert data["AcceptedNodes"] == ",".join(nodes)
    assert data["RemovedCount"] == "0"
    assert world.invocations == 1


def test_with_wait_for_accepted_a_refusal_still_fails(world: World) -> None:
    cluster = world.make_cluster(4, shutdown_seconds=3000)
    bad, good, *_ = world.nodes
    cluster.refuse(bad)
    answer = world.send("Create", NodeIds=[bad, good], WaitFor="ACCEPTED", RetryFor="60")
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(
        "1 of 2 nodes not removed from ml-cluster (0 removed, 1 accepted and leaving)."
        f" NodeIdInUse: {bad}."
    )
    assert answer["Data"]["AcceptedNodes"] == good
