"""A removal that takes longer than one invocation."""

import base64
import json
import logging
import math
import random
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperpod_node_removal_contract import PartialFailure, WaitFor
from hyperpod_node_removal_handler.cluster import Node, Refusal
from hyperpod_node_removal_handler.handover import KEY, Continuation
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.request import RemovalRequest, RequestError, Scope
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode
from hyperpod_node_removal_handler.stack import Operation
from sandbox.hyperpod import ServiceError
from tests.aws_transport import Parameters
from tests.handler.function import Function
from tests.handler.world import World

# Everything is printable ASCII once it was read, from a template as from AWS.
text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
nodes = st.builds(Node, text, text, text, text, text)
refusals = st.one_of(st.none(), st.builds(Refusal, text, text))
requested = st.builds(
    RequestedNode,
    node_id=text,
    logical_id=text,
    node=st.one_of(st.none(), nodes),
    phase=st.sampled_from(Phase),
    misses=st.integers(0, 100),
    was_seen_leaving=st.booleans(),
    failures=st.integers(0, 2),
    may_have_been_requested=st.booleans(),
    accepted=st.one_of(st.none(), nodes),
    attempts=st.integers(0, 100),
    refusal=refusals,
    deferral=refusals,
    approved=text,
)
moments = st.one_of(st.none(), st.floats(0, 1e10))
operations = st.builds(
    Operation,
    st.sampled_from(["CREATE_STACK", "UPDATE_STACK"]),
    st.lists(text, max_size=2).map(tuple),
    moments,
)
requests = st.builds(
    RemovalRequest,
    cluster=text,
    node_ids=st.lists(text, max_size=3).map(tuple),
    node_logical_ids=st.lists(text, max_size=3).map(tuple),
    on_partial_failure=st.sampled_from(PartialFailure),
    wait_for=st.sampled_from(WaitFor),
    retry_for=st.integers(0, 3600),
    service_timeout=st.integers(1, 3600),
    scope=st.sampled_from(Scope),
)


@st.composite
def continuations(draw: st.DrawFn) -> Continuation:
    request = draw(requests)
    return Continuation(
        request=request,
        removal=Removal(
            tuple(draw(st.lists(requested, max_size=5))),
            scope=request.scope,
            needs_approval=draw(st.booleans()),
        ),
        started=draw(st.floats(0, 1e10)),
        invocation=draw(st.integers(1, 10)),
        target_counts_before=draw(st.dictionaries(text, st.integers(0, 6758))),
        operation=draw(st.one_of(st.none(), operations)),
        approved_at=draw(moments),
        reached_at=draw(moments),
    )


@given(continuations())
def test_nothing_is_lost_on_the_way_to_the_successor(continuation: Continuation) -> None:
    assert Continuation.from_text(continuation.to_text()) == continuation


def _maps(plain: Any, name: str = "") -> Iterator[dict[str, Any]]:
    """Every map in a continuation whose keys are those of the format."""
    if isinstance(plain, list):
        for one in plain:
            yield from _maps(one)
    elif isinstance(plain, dict) and name not in {"target_counts_before", "min_remaining"}:
        yield plain
        for key, value in plain.items():
            yield from _maps(value, key)


def unpacked(text: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(text)))


def packed(plain: Any) -> str:
    return base64.b64encode(zlib.compress(json.dumps(plain).encode())).decode()


@given(continuations(), st.randoms())
def test_a_key_of_a_later_version_is_ignored(continuation: Continuation, chance: Random) -> None:
    plain = unpacked(continuation.to_text())
    chance.choice(list(_maps(plain)))["something_new"] = {"approved_at": 1}
    assert Continuation.from_text(packed(plain)) == continuation


@given(continuations(), st.randoms())
def test_a_key_that_is_missing_is_refused_by_its_name(
    continuation: Continuation, chance: Random
) -> None:
    plain = unpacked(continuation.to_text())
    place = chance.choice(list(_maps(plain)))
    key = chance.choice(list(place))
    del place[key]
    with pytest.raises(RequestError, match=f"no '{key}'"):
        Continuation.from_text(packed(plain))


@given(st.one_of(st.text(), st.none(), st.binary().map(lambda raw: raw.hex())))
def test_what_is_not_a_continuation_is_refused(given: object) -> None:
    with pytest.raises(RequestError, match="is not from this version of the function"):
        Continuation.from_text(given)


@given(continuations(), st.randoms(), st.sampled_from([[5], 5, {"a": 5}, math.inf, math.nan, ""]))
def test_a_value_of_another_form_is_refused_unless_it_can_be_read(
    continuation: Continuation, chance: Random, value: object
) -> None:
    plain = unpacked(continuation.to_text())
    place = chance.choice(list(_maps(plain)))
    place[chance.choice(list(place))] = value
    with suppress(RequestError):
        Continuation.from_text(packed(plain))


def test_a_form_that_is_nested_too_deeply_is_refused() -> None:
    nested = base64.b64encode(zlib.compress(b"[" * 100_000)).decode()
    with pytest.raises(RequestError, match="RecursionError"):
        Continuation.from_text(nested)


@given(requests, text, st.sampled_from("\x00\n\x1b\x7f\x80\u202e\U000e0041"), text)
def test_a_text_that_cannot_be_printed_is_refused(
    request: RemovalRequest, before: str, hidden: str, after: str
) -> None:
    hostile = replace(request, cluster=before + hidden + after)
    with pytest.raises(RequestError, match="is not from this version of the function"):
        Continuation.from_text(Continuation(hostile, Removal(()), 0, 1).to_text())


def test_an_hour_takes_five_invocations_and_one_reply(function: Function, world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4}, shutdown_seconds=3400)
    nodes = cluster.node_ids("workers")[:2]
    answer = function.send("Create", NodeIds=list(nodes), ServiceTimeout="3600")
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RemovedNodes"] == ",".join(nodes)
    assert function.links == 5
    assert world.deletes == 1


def test_the_counts_of_the_beginning_are_told_at_the_end_of_a_chain(
    function: Function, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4}, shutdown_seconds=3400)
    function.send("Create", NodeIds=list(cluster.node_ids("workers")[:2]), ServiceTimeout="3600")
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in lines if "InstanceCount 4 -> 2" in line] == [
        "workers"
    ]


def test_the_chain_has_a_deadline_of_its_own(function: Function, world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4}, shutdown_seconds=10_000)
    start = world.clock.now()
    node = cluster.node_ids("workers")[0]
    answer = function.send("Create", NodeIds=[node], ServiceTimeout="2000")
    assert answer["Status"] == "FAILED"
    assert f"StillPresent: {node}" in answer["Reason"]
    assert world.clock.now() - start == pytest.approx(1985, abs=1)


def test_refusals_are_retried_across_invocations(function: Function, world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4})
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad, until=world.clock.now() + 2000)
    answer = function.send("Create", NodeIds=[bad, good], RetryFor="2500", ServiceTimeout="3600")
    assert answer["Status"] == "SUCCESS"
    assert set(answer["Data"]["RemovedNodes"].split(",")) == {bad, good}
    assert function.links > 2


def test_an_outage_at_the_time_of_a_hand_over_is_no_end(function: Function, world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4}, shutdown_seconds=1000)
    nodes = cluster.node_ids("workers")[:1]
    start = world.clock.now()
    world.hp.fail_while(
        "ListClusterNodes", lambda _: 600 < world.clock.now() - start < 1000, status=500
    )
    assert function.send("Create", NodeIds=list(nodes))["Status"] == "SUCCESS"


@pytest.mark.slow
def test_3000_nodes_fit_the_payload_of_an_asynchronous_invocation(
    function: Function, world: World
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 3000}, shutdown_seconds=1500)
    for node in cluster.node_ids("workers")[:200]:
        cluster.refuse(node, "NodeIdInUse", f"Node {node} is used by a job of team {node[-4:]}.")
    sizes: list[int] = []
    world.before("Invoke", lambda request: sizes.append(len(request["Payload"])))
    answer = function.send("Create", NodeIds=list(cluster.node_ids("workers")), RetryFor="3000")
    assert answer["Data"]["FailedCount"] == "200"
    assert answer["Data"]["RemovedCount"] == "2800"
    assert sizes
    assert max(sizes) < 256 * 1024


def test_a_hand_over_that_fails_is_a_failure_with_the_outcome_so_far(
    function: Function, world: World
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4}, shutdown_seconds=3000)
    node = cluster.node_ids("workers")[0]
    denied = ServiceError("AccessDeniedException", "not authorized")
    function.aws_lambda.errors = [denied] * 100
    answer = function.send("Create", NodeIds=[node])
    assert answer["Status"] == "FAILED"
    assert "could not be handed over" in answer["Reason"]
    assert f"StillPresent: {node}" in answer["Reason"]


def test_a_hand_over_that_stutters_goes_through(function: Function, world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4}, shutdown_seconds=1000)
    node = cluster.node_ids("workers")[0]
    function.aws_lambda.errors = [ServiceError("TooManyRequestsException")] * 2
    assert function.send("Create", NodeIds=[node])["Status"] == "SUCCESS"


def test_a_successor_asks_for_nothing_once_the_stack_goes_back(
    function: Function, world: World
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4}, shutdown_seconds=3000)
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad, until=world.clock.now() + 900)
    start = world.clock.now()

    def go_back(_: Parameters) -> None:
        if world.clock.now() - start > 800:
            world.cloudformation.statuses = ["UPDATE_ROLLBACK_IN_PROGRESS"]

    world.before("DescribeStacks", go_back)
    answer = function.send("Update", NodeIds=[bad, good], RetryFor="3000")
    assert answer["Status"] == "FAILED"
    assert "is rolling back" in answer["Reason"]
    assert function.links == 2
    assert all(r.time - start <= 800 for r in world.hp.delete_requests)
    assert bad in cluster.present


def test_a_cluster_deleted_between_two_invocations_took_its_nodes_with_it(
    function: Function, world: World
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4}, shutdown_seconds=3000)
    nodes = cluster.node_ids("workers")[:2]
    world.before("Invoke", lambda _: cluster.delete())
    answer = function.send("Create", NodeIds=list(nodes))
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RemovedCount"] == "2"


def test_the_chain_is_shorter_than_lambdas_limit_on_recursion(
    function: Function, world: World
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4}, shutdown_seconds=3000)
    node = cluster.node_ids("workers")[0]
    answer = function.send("Create", seconds=120, NodeIds=[node])
    assert answer["Status"] == "FAILED"
    assert "reached the limit of 9 hand-overs" in answer["Reason"]
    assert function.links == 10


def test_a_template_cannot_pose_as_a_continuation(function: Function, world: World) -> None:
    function.run(function.event("Create", {"ClusterName": "ml-cluster", KEY: "eNoDAAAAAAE="}))
    ((_, _, body),) = function.endpoint.requests
    assert f"Unknown property '{KEY}'" in json.loads(body)["Reason"]


def test_a_continuation_that_is_none_is_a_failure(function: Function, world: World) -> None:
    event = function.event("Create", {"ClusterName": "ml-cluster"}, **{KEY: "nonsense"})
    function.run(event)
    ((_, _, body),) = function.endpoint.requests
    assert json.loads(body)["Status"] == "FAILED"


def test_with_wait_for_accepted_the_nodes_need_not_have_left(
    function: Function, world: World
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4}, shutdown_seconds=3000)
    nodes = cluster.node_ids("workers")[:2]
    answer = function.send("Create", NodeIds=list(nodes), WaitFor="ACCEPTED")
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["Outcome"] == "ACCEPTED"
    assert answer["Data"]["AcceptedNodes"] == ",".join(nodes)
    assert answer["Data"]["RemovedCount"] == "0"
    assert function.links == 1


def test_with_wait_for_accepted_a_refusal_still_fails(function: Function, world: World) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 4}, shutdown_seconds=3000)
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    answer = function.send("Create", NodeIds=[bad, good], WaitFor="ACCEPTED", RetryFor="60")
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(
        "1 of 2 nodes not removed from ml-cluster (0 removed, 1 accepted and leaving)."
        f" NodeIdInUse: {bad}."
    )
    assert answer["Data"]["AcceptedNodes"] == good


def test_what_a_hook_said_of_thousands_of_nodes_is_cut_to_fit() -> None:
    chance = random.Random(0)

    def vetoed() -> RequestedNode:
        node_id = f"i-{chance.getrandbits(68):017x}"
        said = Refusal("Vetoed", f"{chance.getrandbits(1200):0300x}")
        node = Node(node_id, "", "workers", "Running", private_dns_hostname=f"ip-{node_id}")
        return RequestedNode(node_id=node_id, phase=Phase.FAILED, node=node, refusal=said)

    removal = Removal(tuple(vetoed() for _ in range(3000)))
    request = RemovalRequest(cluster="ml-cluster", node_ids=("i-12345678",))
    text = Continuation(request=request, removal=removal, started=1.0, invocation=2).to_text()
    assert len(text) <= 250_000
    again = Continuation.from_text(text).removal.nodes
    assert [node.name for node in again] == [node.name for node in removal.nodes]
    assert {node.refusal.code for node in again if node.refusal} == {"Vetoed"}
