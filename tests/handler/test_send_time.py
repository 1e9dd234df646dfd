"""Time counts from when CloudFormation sent the request, as its ResponseURL tells."""

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.hyperpod import Cluster, ServiceError
from tests.handler.function import Function
from tests.handler.world import World


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"workers": 8})


def by_date(time: float) -> str:
    return f"X-Amz-Date={datetime.fromtimestamp(time, UTC):%Y%m%dT%H%M%SZ}"


def by_expiry(time: float) -> str:
    return f"Expires={int(time) + 7200}"


def kept(function: Function, seconds: float, how: Any = by_expiry, **properties: Any) -> Any:
    """The reply to a Create that Lambda has kept for so long before it ran it."""
    url = f"{function.endpoint.url}&{how(function.world.clock.now() - seconds)}"
    event = function.event("Create", {"ClusterName": "ml-cluster", **properties}, ResponseURL=url)
    return function.reply_to(event)


@pytest.mark.parametrize("how", [by_date, by_expiry])
@pytest.mark.parametrize("seconds", [20, 44, 50, 59])
def test_an_event_that_lambda_kept_is_answered_in_time_with_the_real_reason(
    world: World, function: Function, cluster: Cluster, how: Any, seconds: int
) -> None:
    sent = world.clock.now() - seconds
    world.hp.latency = 0.3
    nodes = [*cluster.node_ids("workers")[:2]]
    answer = kept(function, seconds, how, NodeIds=nodes, ServiceTimeout="60")
    assert world.clock.now() < sent + 61
    assert answer["Status"] == "FAILED"
    assert "unexpected" not in answer["Reason"]
    code = "StillPresent" if seconds < 45 else "NotAttempted"
    assert f"{code}: {nodes[0]}" in answer["Reason"]
    assert world.deletes == (seconds < 45)


@pytest.mark.parametrize("status", ["", "UPDATE_COMPLETE"])
def test_a_stack_that_lags_until_the_time_is_up_is_the_reason(
    world: World, function: Function, cluster: Cluster, status: str
) -> None:
    world.shows((0, status))
    answer = kept(function, 20, NodeIds=[cluster.node_ids("workers")[0]], ServiceTimeout="60")
    assert answer["Status"] == "FAILED"
    assert (status or "not visible") in answer["Reason"]
    assert world.deletes == 0


def test_an_event_that_lambda_kept_during_an_outage_names_the_call_that_failed(
    world: World, function: Function, cluster: Cluster
) -> None:
    world.hp.fail_while("ListClusterNodes", lambda _: True, status=503)
    answer = kept(function, 20, NodeIds=[cluster.node_ids("workers")[0]], ServiceTimeout="60")
    assert answer["Status"] == "FAILED"
    assert "ListClusterNodes failed: ServiceUnavailable" in answer["Reason"]


def test_the_time_of_a_denied_call_counts_from_the_request_too(
    world: World, function: Function, cluster: Cluster
) -> None:
    world.cloudformation.show = lambda: ServiceError("AccessDenied", "no", 403)
    began = world.clock.now()
    kept(function, 50, NodeIds=[cluster.node_ids("workers")[0]])
    assert world.clock.now() <= began + 10


@pytest.mark.parametrize("seconds", [-1, -3600, 91, 3700, 7200])
def test_a_send_time_that_cannot_be_is_not_believed_and_logged(
    world: World,
    function: Function,
    cluster: Cluster,
    seconds: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    node = cluster.node_ids("workers")[0]
    answer = kept(function, seconds, NodeIds=[node], ServiceTimeout="120")
    assert answer["Status"] == "SUCCESS"
    assert node not in cluster.present
    assert len([r for r in caplog.records if "is implausible" in r.getMessage()]) == 1


@pytest.mark.parametrize("seconds", [0, 1, 60, 89])
def test_a_send_time_within_the_age_that_lambda_allows_is_believed(
    world: World,
    function: Function,
    cluster: Cluster,
    seconds: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster.refuse(cluster.node_ids("workers")[0])
    sent = world.clock.now() - seconds
    kept(function, seconds, NodeIds=[*cluster.node_ids("workers")[:1]], ServiceTimeout="300")
    assert sent + 280 < world.clock.now() < sent + 301
    assert "is implausible" not in caplog.text


@pytest.mark.parametrize(
    "query", ["", "&X-Amz-Date=yesterday", "&Expires=", "&Expires=9" + "9" * 400]
)
def test_a_url_that_tells_no_time_counts_from_the_start(
    world: World, function: Function, cluster: Cluster, query: str
) -> None:
    node = cluster.node_ids("workers")[0]
    properties = {"ClusterName": "ml-cluster", "NodeIds": [node]}
    url = function.endpoint.url + query
    answer = function.reply_to(function.event("Create", properties, ResponseURL=url))
    assert answer["Status"] == "SUCCESS"


def test_an_update_that_lambda_kept_needs_no_further_wait_for_the_stack(
    world: World, function: Function, cluster: Cluster
) -> None:
    began = world.clock.now()
    event = function.event(
        "Update",
        {"ClusterName": "ml-cluster", "NodeIds": [cluster.node_ids("workers")[0]]},
        ResponseURL=f"{function.endpoint.url}&{by_expiry(began - 6)}",
    )
    function.reply_to(event)
    assert world.times("BatchDeleteClusterNodes") == [began]


def test_a_long_removal_keeps_the_time_of_the_request_through_its_invocations(
    world: World, function: Function
) -> None:
    cluster = world.hp.create_cluster("ml-cluster", {"workers": 8}, shutdown_seconds=9999)
    sent = world.clock.now() - 40
    event = function.event(
        "Create",
        {
            "ClusterName": "ml-cluster",
            "NodeIds": [cluster.node_ids("workers")[0]],
            "ServiceTimeout": "600",
        },
        ResponseURL=f"{function.endpoint.url}&{by_expiry(sent)}",
    )
    assert function.reply_to(event, seconds=200.0)["Status"] == "FAILED"
    assert function.links > 2
    assert world.clock.now() < sent + 600


@pytest.mark.parametrize("seconds", [51, 53, 55, 58])
def test_a_rollback_that_lambda_kept_almost_until_its_end_does_not_fail(
    world: World, function: Function, cluster: Cluster, seconds: int
) -> None:
    world.shows((0, "UPDATE_ROLLBACK_IN_PROGRESS"))
    world.before("DescribeStacks", lambda _: world.clock.sleep(0.2))
    url = f"{function.endpoint.url}&{by_date(world.clock.now() - seconds)}"
    properties = {"ClusterName": "ml-cluster", "NodeIds": ["i-0123456789abcdef0"]}
    event = function.event("Update", properties | {"ServiceTimeout": "60"}, ResponseURL=url)
    assert function.reply_to(event)["Data"]["Outcome"] == "ROLLED_BACK"
