"""The function as CloudFormation calls it: one event in, one reply out."""

import json
import logging
import threading
from typing import Any

import pytest
from crhelper import CfnResource
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperpod_node_removal_handler import index
from hyperpod_node_removal_handler.reconciler import Reconciler
from sandbox.hyperpod import Cluster
from tests.aws_transport import Parameters
from tests.handler.endpoint import Endpoint
from tests.handler.function import Context
from tests.handler.world import World
from tests.https_transport import Put, status_line, taken_by

NODE = "i-0123456789abcdef0"


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_success_means_that_every_requested_node_has_left(world: World, request_type: str) -> None:
    world.shutdown_seconds = 60
    first, second, *others = world.nodes
    began = world.clock.now()
    data = world.succeeds(request_type, NodeIds=f"{first},{second}")
    assert data["RemovedNodes"] == f"{first},{second}"
    assert data["InstanceGroupTargetCounts"] == '{"workers": 6}'
    assert world.cluster.present == set(others)
    assert world.clock.now() >= began + 60


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_partial_failure_fails_and_names_the_nodes(world: World, request_type: str) -> None:
    bad, good, *_ = world.nodes
    world.cluster.refuse(bad)
    reason = world.fails(request_type, NodeIds=[bad, good], RetryFor="0")
    assert reason.startswith(
        f"1 of 2 nodes not removed from ml-cluster (1 removed). NodeIdInUse: {bad}."
    )
    assert reason.endswith("CloudWatch Log Stream: 2026/11/23/[$LATEST]4f2a91c0")
    assert world.deletes == 1, "there is no time for retries"


def test_report_succeeds_with_the_outcome_in_the_attributes(world: World) -> None:
    bad, good, *_ = world.nodes
    world.cluster.refuse(bad)
    data = world.succeeds("Create", NodeIds=[bad, good], RetryFor="0", OnPartialFailure="REPORT")
    assert data["Outcome"] == "PARTIAL"
    assert data["FailedNodes"] == bad
    warnings = [record for record in world.log.records if record.levelno == logging.WARNING]
    assert any(bad in record.getMessage() for record in warnings)


def test_the_deadline_is_that_of_service_timeout_if_it_is_shorter(world: World) -> None:
    world.make_cluster(1, shutdown_seconds=10_000)
    start = world.clock.now()
    reason = world.fails("Create", NodeIds=world.nodes, ServiceTimeout="300")
    assert f"StillPresent: {world.nodes[0]}" in reason
    assert "status ShuttingDown" in world.log.text
    assert world.clock.now() - start == pytest.approx(285, abs=1)


# What leaves the cluster alone ---------------------------------------------------------------


@pytest.mark.parametrize(
    "properties", [{"NodeIds": [NODE]}, {"ClusterName": ["?"]}, {"Unknown": "1"}]
)
def test_delete_calls_nothing_and_succeeds(world: World, properties: Any) -> None:
    assert world.succeeds("Delete", **properties)["Outcome"] == "DELETED"
    assert world.calls == 0


@pytest.mark.parametrize("properties", [{}, {"NodeIds": [""]}, {"NodeLogicalIds": ""}])
def test_an_empty_set_calls_nothing_and_succeeds(world: World, properties: Any) -> None:
    assert world.succeeds("Create", **properties)["Outcome"] == "EMPTY"
    assert world.calls == 0


@pytest.mark.parametrize("properties", [{"Obsolete": "1"}, {"NodeLogicalIds": ["ip-10-0-0-1"]}])
def test_a_rollback_to_properties_that_are_no_longer_allowed_succeeds(
    world: World, properties: dict[str, Any]
) -> None:
    world.cloudformation.statuses = ["UPDATE_ROLLBACK_IN_PROGRESS"]
    assert world.succeeds("Update", **properties)["Outcome"] == "ROLLED_BACK"
    assert world.hp.calls.total() == 0


@pytest.mark.parametrize("request_type", ["Create", "Update"])
@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"NodeIds": ["i-nonsense"]}, "NodeIds: 'i-nonsense' is not an instance id; allowed:"),
        ({"Typo": "1"}, "Unknown property 'Typo'"),
    ],
)
def test_bad_properties_fail_before_any_call_to_the_cluster(
    world: World, request_type: str, properties: dict[str, Any], sentence: str
) -> None:
    reason = world.fails(request_type, **properties)
    assert sentence in reason
    assert "Nothing was removed." in reason
    assert world.hp.calls.total() == 0
    assert request_type == "Update" or world.calls == 0


# Whatever happens, one reply -----------------------------------------------------------------


def test_a_defect_is_a_failure_with_the_same_id(
    world: World, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: Reconciler) -> None:
        raise KeyError("\x1b[31mred\n")

    monkeypatch.setattr(Reconciler, "run", run)
    assert "failed unexpectedly (KeyError:" in world.fails("Create", NodeIds=[NODE])


def test_a_defect_does_not_fail_a_delete(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError("broken")

    monkeypatch.setattr(index.handler, "_delete_func", broken)
    assert world.send("Delete")["Status"] == "SUCCESS"


@pytest.mark.parametrize(("service_timeout", "seconds"), [("3600", 892), ("300", 292)])
def test_a_call_that_hangs_does_not_keep_the_reply_back(
    world: World, service_timeout: str, seconds: int
) -> None:
    nodes = world.nodes[:2]
    start = world.clock.now()
    replied_at: list[float] = []
    world.endpoint.on_request = lambda: replied_at.append(world.clock.now() - start)

    def hang(_: Parameters) -> None:
        if world.deletes and not world.endpoint.requests:
            world.clock.sleep(seconds)

    world.before("ListClusterNodes", hang)
    reason = world.fails("Create", NodeIds=nodes, ServiceTimeout=service_timeout)
    assert f"StillPresent: {nodes[0]}, {nodes[1]}" in reason
    assert replied_at == [pytest.approx(seconds, abs=1)]


def test_the_handler_does_not_return_while_the_reply_is_on_its_way(
    world: World, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda freezes the process when the handler returns, and with it the thread that replies."""
    nodes = world.nodes[:2]
    on_its_way, is_waited_for = threading.Event(), threading.Event()

    def slow() -> None:
        on_its_way.set()
        assert is_waited_for.wait(20), "the handler does not wait"

    def hang(_: Parameters) -> None:
        if world.deletes and not on_its_way.is_set():
            (timer,) = world.clock.timers
            threading.Thread(target=timer.action).start()
            assert on_its_way.wait(20)
            monkeypatch.setattr(world.clock, "sleep", lambda seconds: is_waited_for.set())

    endpoint.on_request = slow
    world.before("ListClusterNodes", hang)
    world.fails("Create", NodeIds=nodes)
    assert is_waited_for.is_set()


def test_an_unknown_request_type_fails(world: World) -> None:
    index.handler(world.event("Rename", {}), Context())
    ((_, _, body),) = world.endpoint.requests
    answer = json.loads(body)
    assert answer["Status"] == "FAILED"
    assert "RequestType 'Rename' is unknown" in answer["Reason"]


@pytest.mark.parametrize("missing", ["ResponseURL", "StackId", "RequestId", "LogicalResourceId"])
def test_an_incomplete_event_does_not_answer_an_earlier_one(world: World, missing: str) -> None:
    world.send("Delete")
    event = world.event("Delete", {})
    del event[missing]
    index.handler(event, Context())
    assert len(world.endpoint.requests) == 1


# The log -------------------------------------------------------------------------------------


def test_the_log_has_no_presigned_url_and_ends_with_the_summary(world: World) -> None:
    world.log.set_level(logging.DEBUG)
    bad, good, *_ = world.nodes
    world.cluster.refuse(bad, message="in use\x1b[2J\nby job 7")
    world.send("Create", NodeIds=[bad, good], RetryFor="0")
    assert "s3cret" not in world.log.text
    messages = world.log.messages
    assert messages[-1].startswith("PARTIAL: 1 of 2 nodes not removed from ml-cluster")
    assert not any(set(message) & {"\x1b", "\n"} for message in messages)


def test_no_client_of_crhelpers_poller_is_made() -> None:
    assert not hasattr(index.handler, "_lambda_client")
    assert not hasattr(index.handler, "_events_client")
    assert hasattr(CfnResource(), "_set_timeout"), "what is overridden exists"


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=200)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=20), inner, max_size=4)
    ),
    max_leaves=8,
)
keys = ["RequestType", "StackId", "RequestId", "LogicalResourceId", "PhysicalResourceId"]


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.dictionaries(st.sampled_from([*keys, "CrHelperPoll", "CrHelperData"]), values),
    st.one_of(
        values,
        st.dictionaries(st.sampled_from(["ClusterName", "NodeIds", "RetryFor", "x"]), values),
    ),
)
def test_no_input_makes_the_function_raise(world: World, given: Any, properties: Any) -> None:
    bodies: list[bytes] = []

    def take(put: Put) -> bytes:
        bodies.append(put.body)
        return status_line(200)

    with taken_by(take):
        index.handler({**world.event("Create", properties), **given}, Context())
    assert len(bodies) <= 1
    for body in bodies:
        assert len(body) <= 4096
        assert json.loads(body)["Status"] in {"SUCCESS", "FAILED"}
    assert world.deletes == 0
