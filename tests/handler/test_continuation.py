"""What one invocation hands to the next: its format, read by this and by other versions."""

import base64
import json
import math
import random
import zlib
from collections.abc import Callable, Iterator
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
from tests.handler.world import Shown, World

Plain = dict[str, Any]

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
def test_a_missing_key_is_refused_by_its_name(continuation: Continuation, chance: Random) -> None:
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


# Another version of the function -------------------------------------------------------------


def hand_over(world: World, change: Callable[[Plain], object], *, removed_before: int = 0) -> Any:
    """Return the reply to a removal in two invocations of which the second gets something else.

    Its nodes are free in the second invocation, and the first ones before.
    """
    world.shutdown_seconds = 60
    for node in world.nodes[removed_before:]:
        world.cluster.refuse(node, until=world.clock.now() + 250)
    world.shows((0, Shown("UPDATE_IN_PROGRESS", {"UPDATE_STACK": "op-1"}, world.clock.now() - 1)))

    def rewrite(*_: object) -> None:
        event = json.loads(world.aws_lambda.queue[-1])
        plain = unpacked(event[KEY])
        change(plain)
        event[KEY] = packed(plain)
        world.aws_lambda.queue[-1] = json.dumps(event).encode()

    world.after("Invoke", rewrite)
    nodes = world.nodes[:2]
    return world.send("Update", seconds=200.0, NodeIds=nodes, MinRemaining={"workers": "6"})


def test_keys_that_are_not_known_are_ignored(world: World) -> None:
    def add(plain: Plain) -> None:
        request = plain["request"]
        for part in (plain, request, request["guards"], plain["operation"], plain["removal"]):
            part["of_a_newer_version"] = {"a": [1]}
        for node in plain["removal"]["nodes"]:
            node["of_a_newer_version"] = "x"
            node["node"]["of_a_newer_version"] = "x"

    answer = hand_over(world, add)
    assert world.invocations == 3
    assert answer["Data"]["RemovedCount"] == "2"


@pytest.mark.parametrize(
    "path",
    [
        "operation",
        "approved_at",
        "reached_at",
        "started",
        "removal.needs_approval",
        "removal.nodes",
        "request",
        "request.guards",
        "request.scope",
        "request.guards.min_remaining",
        "request.before_removal",
        "operation.ids",
        "operation.updated_at",
        "removal.nodes.0.may_have_been_requested",
        "removal.nodes.0.phase",
    ],
)
def test_a_missing_key_is_refused_and_never_taken_for_cleared(world: World, path: str) -> None:
    def remove(plain: Any) -> None:
        *parents, last = path.split(".")
        for name in parents:
            plain = plain[int(name) if name.isdigit() else name]
        del plain[last]

    answer = hand_over(world, remove)
    assert world.invocations == 2
    assert answer["Status"] == "FAILED"
    assert f"no '{path.rpartition('.')[2]}'" in answer["Reason"]
    assert len(world.cluster.present) == 8


@pytest.mark.parametrize("value", ["SOME_NEWER_PHASE", 7, None])
def test_a_phase_that_is_not_known_is_refused(world: World, value: object) -> None:
    answer = hand_over(world, lambda plain: plain["removal"]["nodes"][0].update(phase=value))
    assert answer["Status"] == "FAILED"
    assert "  " not in answer["Reason"]
    assert len(world.cluster.present) == 8


def test_what_a_rollback_finds_of_another_version_lets_it_pass(world: World) -> None:
    def go_back(plain: Plain) -> None:
        del plain["operation"]
        world.shows((0, "UPDATE_ROLLBACK_IN_PROGRESS"))

    answer = hand_over(world, go_back, removed_before=1)
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "ROLLED_BACK")
    assert len(world.cluster.present) == 7
    assert "This invocation removed no node, and a rollback does not" in answer["Reason"]
