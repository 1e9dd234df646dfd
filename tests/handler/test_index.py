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
from sandbox.hyperpod import Cluster, ServiceError
from tests.aws_transport import Parameters
from tests.handler.endpoint import Endpoint
from tests.handler.function import Context, Function
from tests.handler.world import World
from tests.https_transport import Put, status_line, taken_by

NODE = "i-0123456789abcdef0"


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8})


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_create_and_update_remove_the_nodes(
    function: Function, cluster: Cluster, request_type: str
) -> None:
    nodes = cluster.node_ids("workers")[:2]
    answer = function.send(request_type, NodeIds=",".join(nodes))
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RemovedNodes"] == ",".join(nodes)
    assert cluster.present.isdisjoint(nodes)


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_partial_failure_fails_with_the_names_of_the_nodes(
    function: Function, cluster: Cluster, request_type: str
) -> None:
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    answer = function.send(request_type, NodeIds=[bad, good], RetryFor="0")
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(
        f"1 of 2 nodes not removed from ml-cluster (1 removed). NodeIdInUse: {bad}."
    )
    assert answer["Reason"].endswith("CloudWatch Log Stream: 2026/11/23/[$LATEST]4f2a91c0")


def test_report_succeeds_with_the_outcome_in_the_attributes(
    function: Function, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad)
    answer = function.send("Create", NodeIds=[bad, good], RetryFor="0", OnPartialFailure="REPORT")
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["Outcome"] == "PARTIAL"
    assert answer["Data"]["FailedNodes"] == bad
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert any(bad in record.getMessage() for record in warnings)


def test_the_deadline_is_that_of_service_timeout_if_it_is_shorter(
    function: Function, world: World
) -> None:
    world.hp.create_cluster("ml-cluster", {"workers": 1}, shutdown_seconds=10_000)
    start = world.clock.now()
    (node,) = [node.instance_id for node in world.hp._clusters[0].listed()]
    answer = function.send("Create", NodeIds=[node], ServiceTimeout="300")
    assert answer["Status"] == "FAILED"
    assert "StillPresent" in answer["Reason"]
    assert world.clock.now() - start == pytest.approx(285, abs=1)


# What leaves the cluster alone ---------------------------------------------------------------


@pytest.mark.parametrize(
    "properties", [{"NodeIds": [NODE]}, {"ClusterName": ["?"]}, {"Unknown": "1"}]
)
def test_delete_calls_nothing_and_succeeds(function: Function, properties: Any) -> None:
    answer = function.send("Delete", **properties)
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["Outcome"] == "DELETED"
    assert function.calls == 0


@pytest.mark.parametrize("properties", [{}, {"NodeIds": [""]}, {"NodeLogicalIds": ""}])
def test_an_empty_set_calls_nothing_and_succeeds(function: Function, properties: Any) -> None:
    answer = function.send("Create", **properties)
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["Outcome"] == "EMPTY"
    assert function.calls == 0


@pytest.mark.parametrize(
    "status",
    [
        "ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_FAILED",
        "DELETE_IN_PROGRESS",
    ],
)
@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_rollback_removes_nothing_and_succeeds(
    function: Function, world: World, cluster: Cluster, request_type: str, status: str
) -> None:
    world.cloudformation.statuses = [status]
    answer = function.send(request_type, NodeIds=list(cluster.node_ids("workers")))
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["Outcome"] == "ROLLED_BACK"
    assert world.hp.calls.total() == 0


@pytest.mark.parametrize(
    "status",
    [
        "CREATE_COMPLETE",
        "REVIEW_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    ],
)
@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_status_in_which_no_request_is_sent_fails_after_a_minute_with_nothing_removed(
    function: Function, world: World, cluster: Cluster, request_type: str, status: str
) -> None:
    world.cloudformation.statuses = [status]
    answer = function.send(request_type, NodeIds=list(cluster.node_ids("workers")))
    assert answer["Status"] == "FAILED"
    assert f"The stack is in {status}" in answer["Reason"]
    assert "Nothing was removed." in answer["Reason"]
    assert world.hp.calls.total() == 0


def test_a_rollback_to_properties_that_are_no_longer_allowed_succeeds(
    function: Function, world: World
) -> None:
    world.cloudformation.statuses = ["UPDATE_ROLLBACK_IN_PROGRESS"]
    answer = function.send("Update", Obsolete="1")
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["Outcome"] == "ROLLED_BACK"


def test_a_stack_that_cannot_be_looked_at_means_that_nothing_is_removed(
    function: Function, world: World, cluster: Cluster
) -> None:
    denied = ServiceError(
        "AccessDenied",
        "User: arn:aws:sts::123456789012:assumed-role/removal/removal is not authorized to perform:"
        " cloudformation:DescribeStacks because no identity-based policy allows the"
        " cloudformation:DescribeStacks action",
    )
    world.cloudformation.statuses = [denied]
    answer = function.send("Update", NodeIds=list(cluster.node_ids("workers")))
    assert answer["Status"] == "FAILED"
    assert "nothing was removed" in answer["Reason"]
    assert "cloudformation:DescribeStacks" in answer["Reason"]
    assert world.hp.calls.total() == 0
    assert world.cloudformation.calls > 1


@pytest.mark.parametrize("first", [ServiceError("Throttling"), "UPDATE_ROLLBACK_COMPLETE"])
def test_a_stack_that_answers_late_is_waited_for(
    function: Function, world: World, cluster: Cluster, first: Any
) -> None:
    world.cloudformation.statuses = [first, first, "UPDATE_IN_PROGRESS"]
    node = cluster.node_ids("workers")[0]
    assert function.send("Update", NodeIds=[node])["Data"]["RemovedNodes"] == node


def test_bad_properties_of_a_new_resource_fail_before_any_call(function: Function) -> None:
    answer = function.send("Create", NodeIds=["i-nonsense"])
    assert answer["Status"] == "FAILED"
    assert "NodeIds: 'i-nonsense' is not an instance id; allowed:" in answer["Reason"]
    assert "Nothing was removed." in answer["Reason"]
    assert function.calls == 0


def test_bad_properties_of_an_update_fail_before_any_call_to_the_cluster(
    function: Function, world: World
) -> None:
    answer = function.send("Update", Typo="1")
    assert answer["Status"] == "FAILED"
    assert "Unknown property 'Typo'" in answer["Reason"]
    assert world.hp.calls.total() == 0


# Whatever happens, one reply -----------------------------------------------------------------


def test_a_defect_is_a_failure_with_the_same_id(
    function: Function, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: Reconciler) -> None:
        raise KeyError("\x1b[31mred\n")

    monkeypatch.setattr(Reconciler, "run", run)
    answer = function.send("Create", NodeIds=[NODE])
    assert answer["Status"] == "FAILED"
    assert "failed unexpectedly (KeyError:" in answer["Reason"]


def test_a_defect_does_not_fail_a_delete(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError("broken")

    monkeypatch.setattr(index.handler, "_delete_func", broken)
    assert function.send("Delete")["Status"] == "SUCCESS"


@pytest.mark.parametrize(("service_timeout", "seconds"), [("3600", 892), ("300", 292)])
def test_a_call_that_hangs_does_not_keep_the_reply_back(
    function: Function,
    cluster: Cluster,
    world: World,
    service_timeout: str,
    seconds: int,
) -> None:
    nodes = cluster.node_ids("workers")[:2]
    start = world.clock.now()
    replied_at: list[float] = []
    function.endpoint.on_request = lambda: replied_at.append(world.clock.now() - start)

    def hang(_: Parameters) -> None:
        if world.deletes and not function.endpoint.requests:
            world.clock.sleep(seconds)

    world.before("ListClusterNodes", hang)
    answer = function.send("Create", NodeIds=list(nodes), ServiceTimeout=service_timeout)
    assert answer["Status"] == "FAILED"
    assert f"StillPresent: {nodes[0]}, {nodes[1]}" in answer["Reason"]
    assert replied_at == [pytest.approx(seconds, abs=1)]


def test_the_handler_does_not_return_while_the_reply_is_on_its_way(
    function: Function,
    cluster: Cluster,
    world: World,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lambda freezes the process when the handler returns, and with it the thread that replies."""
    nodes = cluster.node_ids("workers")[:2]
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
    assert function.send("Create", NodeIds=list(nodes))["Status"] == "FAILED"
    assert is_waited_for.is_set()


def test_a_stack_that_turns_back_before_anything_was_asked_succeeds(
    function: Function, world: World, cluster: Cluster
) -> None:
    """The update may be the rollback's own, which must not fail."""
    world.cloudformation.statuses = ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"]
    answer = function.send("Update", NodeIds=list(cluster.node_ids("workers")[:2]))
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["Outcome"] == "ROLLED_BACK"
    assert world.deletes == 0


def test_an_unknown_request_type_fails(function: Function) -> None:
    answer = function.send("Update")
    function.endpoint.requests.clear()
    index.handler(function.event("Rename", {}), Context())
    ((_, _, body),) = function.endpoint.requests
    answer = json.loads(body)
    assert answer["Status"] == "FAILED"
    assert "RequestType 'Rename' is unknown" in answer["Reason"]


@pytest.mark.parametrize("missing", ["ResponseURL", "StackId", "RequestId", "LogicalResourceId"])
def test_an_event_that_cannot_be_answered_does_not_answer_an_earlier_one(
    function: Function, missing: str
) -> None:
    function.send("Delete")
    event = function.event("Delete", {})
    del event[missing]
    index.handler(event, Context())
    assert len(function.endpoint.requests) == 1


# The log -------------------------------------------------------------------------------------


def test_the_log_has_no_presigned_url_and_ends_with_the_summary(
    function: Function, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad, message="in use\x1b[2J\nby job 7")
    function.send("Create", NodeIds=[bad, good], RetryFor="0")
    assert "s3cret" not in caplog.text
    messages = [record.getMessage() for record in caplog.records]
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
def test_no_input_makes_the_function_raise(function: Function, given: Any, properties: Any) -> None:
    bodies: list[bytes] = []

    def take(put: Put) -> bytes:
        bodies.append(put.body)
        return status_line(200)

    with taken_by(take):
        index.handler({**function.event("Create", properties), **given}, Context())
    assert len(bodies) <= 1
    for body in bodies:
        assert len(body) <= 4096
        assert json.loads(body)["Status"] in {"SUCCESS", "FAILED"}
    assert function.world.deletes == 0
