"""What one invocation hands to the next, read by another version of the function."""

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.hyperpod import Cluster
from tests.handler.function import HOOK, Function
from tests.handler.world import Shown, World

Plain = dict[str, Any]


@pytest.fixture
def cluster(world: World) -> Cluster:
    """A cluster whose nodes are free in the second invocation of 200 s."""
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 8})
    for node in cluster.node_ids("workers"):
        cluster.refuse(node, until=world.clock.now() + 250)
    identity = Shown("UPDATE_IN_PROGRESS", {"UPDATE_STACK": "op-1"}, world.clock.now() - 1)
    world.shows((0, identity))
    return cluster


def edit(world: World, function: Function, change: Callable[[Plain], object]) -> None:
    """Change what is handed over on its way."""

    def rewrite(*_: object) -> None:
        event = json.loads(function.aws_lambda.queue[-1])
        plain = json.loads(zlib.decompress(base64.b64decode(event["Continuation"])))
        change(plain)
        packed = base64.b64encode(zlib.compress(json.dumps(plain).encode()))
        event["Continuation"] = packed.decode()
        function.aws_lambda.queue[-1] = json.dumps(event).encode()

    world.after("Invoke", rewrite)


def send(function: Function, cluster: Cluster) -> Any:
    nodes = [*cluster.node_ids("workers")[:2]]
    return function.send("Update", seconds=200.0, NodeIds=nodes, MinRemaining={"workers": "6"})


def test_keys_that_are_not_known_are_ignored(
    world: World, function: Function, cluster: Cluster
) -> None:
    def add(plain: Plain) -> None:
        request = plain["request"]
        for part in (plain, request, request["guards"], plain["operation"], plain["removal"]):
            part["of_a_newer_version"] = {"a": [1]}
        for node in plain["removal"]["nodes"]:
            node["of_a_newer_version"] = "x"
            node["node"]["of_a_newer_version"] = "x"

    edit(world, function, add)
    answer = send(function, cluster)
    assert function.links == 3
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
def test_a_missing_key_is_refused_and_never_taken_for_cleared(
    world: World, function: Function, cluster: Cluster, path: str
) -> None:
    def remove(plain: Any) -> None:
        *parents, last = path.split(".")
        for name in parents:
            plain = plain[int(name) if name.isdigit() else name]
        del plain[last]

    edit(world, function, remove)
    answer = send(function, cluster)
    assert function.links == 2
    assert answer["Status"] == "FAILED"
    assert f"no '{path.rpartition('.')[2]}'" in answer["Reason"]
    assert len(cluster.present) == 8


@pytest.mark.parametrize("value", ["SOME_NEWER_PHASE", 7, None])
def test_a_phase_that_is_not_known_is_refused(
    world: World, function: Function, cluster: Cluster, value: object
) -> None:
    edit(world, function, lambda plain: plain["removal"]["nodes"][0].update(phase=value))
    assert send(function, cluster)["Status"] == "FAILED"
    assert len(cluster.present) == 8


def test_what_a_rollback_finds_of_another_version_lets_it_pass(
    world: World, function: Function, cluster: Cluster
) -> None:
    def go_back(plain: Plain) -> None:
        del plain["operation"]
        world.shows((0, "UPDATE_ROLLBACK_IN_PROGRESS"))

    edit(world, function, go_back)
    answer = send(function, cluster)
    assert (answer["Status"], answer["Data"]["Outcome"]) == ("SUCCESS", "ROLLED_BACK")


def test_the_hook_is_asked_once_however_many_invocations_it_takes(
    function: Function, cluster: Cluster
) -> None:
    node = cluster.node_ids("workers")[0]
    answer = function.send("Create", seconds=200.0, NodeIds=[node], BeforeRemoval=HOOK)
    assert answer["Status"] == "SUCCESS"
    assert function.links > 1
    assert len(function.aws_lambda.asked) == 1
