"""Time counts from when CloudFormation sent the request, as its ResponseURL tells."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.hyperpod import ServiceError
from tests.handler.world import World


def by_date(time: float) -> str:
    return f"X-Amz-Date={datetime.fromtimestamp(time, UTC):%Y%m%dT%H%M%SZ}"


def by_expiry(time: float) -> str:
    return f"Expires={int(time) + 7200}"


def kept(world: World, seconds: float, how: Any = by_expiry, **properties: Any) -> Any:
    """The reply to a Create that Lambda has kept for so long before it ran it."""
    url = f"{world.endpoint.url}&{how(world.clock.now() - seconds)}"
    event = world.event("Create", {"ClusterName": "ml-cluster", **properties}, ResponseURL=url)
    return world.reply_to(event)


@pytest.mark.parametrize("how", [by_date, by_expiry])
@pytest.mark.parametrize("seconds", [20, 44, 50, 59])
def test_an_event_that_lambda_kept_is_answered_in_time_with_the_real_reason(
    world: World, how: Any, seconds: int
) -> None:
    sent = world.clock.now() - seconds
    world.hp.latency = 0.3
    nodes = world.nodes[:2]
    answer = kept(world, seconds, how, NodeIds=nodes, ServiceTimeout="60")
    assert world.clock.now() < sent + 61
    assert answer["Status"] == "FAILED"
    assert "unexpected" not in answer["Reason"]
    code = "StillPresent" if seconds < 45 else "NotAttempted"
    assert f"{code}: {nodes[0]}" in answer["Reason"]
    assert world.deletes == (seconds < 45)


@pytest.mark.parametrize("status", ["", "UPDATE_COMPLETE"])
def test_a_stack_that_lags_until_the_time_is_up_is_the_reason(world: World, status: str) -> None:
    world.shows((0, status))
    answer = kept(world, 20, NodeIds=[world.nodes[0]], ServiceTimeout="60")
    assert answer["Status"] == "FAILED"
    assert (status or "not visible") in answer["Reason"]
    assert world.deletes == 0


def test_an_event_that_lambda_kept_during_an_outage_names_the_call_that_failed(
    world: World,
) -> None:
    world.hp.fail_while("ListClusterNodes", lambda _: True, status=503)
    answer = kept(world, 20, NodeIds=[world.nodes[0]], ServiceTimeout="60")
    assert answer["Status"] == "FAILED"
    assert "ListClusterNodes failed: ServiceUnavailable" in answer["Reason"]


def test_the_time_of_a_denied_call_counts_from_the_request_too(world: World) -> None:
    world.cloudformation.show = lambda: ServiceError("AccessDenied", "no", 403)
    began = world.clock.now()
    kept(world, 50, NodeIds=[world.nodes[0]])
    assert world.clock.now() <= began + 10


@pytest.mark.parametrize("seconds", [-1, -3600, 91, 3700, 7200])
def test_a_send_time_that_cannot_be_is_not_believed_and_logged(world: World, seconds: int) -> None:
    node = world.nodes[0]
    answer = kept(world, seconds, NodeIds=[node], ServiceTimeout="120")
    assert answer["Status"] == "SUCCESS"
    assert node not in world.cluster.present
    assert len([r for r in world.log.records if "is implausible" in r.getMessage()]) == 1


@pytest.mark.parametrize("seconds", [0, 1, 60, 89])
def test_a_send_time_within_the_age_that_lambda_allows_is_believed(
    world: World, seconds: int
) -> None:
    world.cluster.refuse(world.nodes[0])
    sent = world.clock.now() - seconds
    kept(world, seconds, NodeIds=world.nodes[:1], ServiceTimeout="300")
    assert sent + 280 < world.clock.now() < sent + 301
    assert "is implausible" not in world.log.text


@pytest.mark.parametrize(
    "query", ["", "&X-Amz-Date=yesterday", "&Expires=", "&Expires=9" + "9" * 400]
)
def test_a_url_that_tells_no_time_counts_from_the_start(world: World, query: str) -> None:
    node = world.nodes[0]
    properties = {"ClusterName": "ml-cluster", "NodeIds": [node]}
    url = world.endpoint.url + query
    answer = world.reply_to(world.event("Create", properties, ResponseURL=url))
    assert answer["Status"] == "SUCCESS"


def test_an_update_that_lambda_kept_needs_no_further_wait_for_the_stack(world: World) -> None:
    began = world.clock.now()
    event = world.event(
        "Update",
        {"ClusterName": "ml-cluster", "NodeIds": [world.nodes[0]]},
        ResponseURL=f"{world.endpoint.url}&{by_expiry(began - 6)}",
    )
    world.reply_to(event)
    assert world.request_times == [began]


def test_a_long_removal_keeps_the_time_of_the_request_through_its_invocations(world: World) -> None:
    world.make_cluster(8, shutdown_seconds=9999)
    sent = world.clock.now() - 40
    event = world.event(
        "Create",
        {
            "ClusterName": "ml-cluster",
            "NodeIds": [world.nodes[0]],
            "ServiceTimeout": "600",
        },
        ResponseURL=f"{world.endpoint.url}&{by_expiry(sent)}",
    )
    assert world.reply_to(event, seconds=200.0)["Status"] == "FAILED"
    assert world.invocations > 2
    assert world.clock.now() < sent + 600


@pytest.mark.parametrize("seconds", [51, 53, 55, 58])
def test_a_rollback_that_lambda_kept_almost_until_its_end_does_not_fail(
    world: World, seconds: int
) -> None:
    world.shows((0, "UPDATE_ROLLBACK_IN_PROGRESS"))
    world.before("DescribeStacks", lambda _: world.clock.sleep(0.2))
    url = f"{world.endpoint.url}&{by_date(world.clock.now() - seconds)}"
    properties = {"ClusterName": "ml-cluster", "NodeIds": ["i-0123456789abcdef0"]}
    event = world.event("Update", properties | {"ServiceTimeout": "60"}, ResponseURL=url)
    assert world.reply_to(event)["Data"]["Outcome"] == "ROLLED_BACK"
