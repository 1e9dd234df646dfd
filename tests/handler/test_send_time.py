"""Time counts from when CloudFormation sent the request, as its ResponseURL shows."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from hyperpod_node_removal_contract import EVENT_AGE_MAX_IN_VPC, EVENT_AGE_VARIABLE
from sandbox.hyperpod import ServiceError
from tests.handler.world import World


def by_date(time: float) -> str:
    return f"&X-Amz-Date={datetime.fromtimestamp(time, UTC):%Y%m%dT%H%M%SZ}"


def by_expiry(time: float) -> str:
    return f"&Expires={int(time) + 7200}"


def kept(
    world: World,
    age: float,
    how: Callable[[float], str] = by_expiry,
    kind: str = "Create",
    **more: Any,
) -> Any:
    """Return the reply to a request for a node that Lambda kept for so long before it ran it."""
    query = how(world.clock.now() - age)
    return world.send(kind, query=query, **{"NodeIds": world.nodes[:1], **more})


@pytest.mark.parametrize("how", [by_date, by_expiry])
@pytest.mark.parametrize("seconds", [20, 44, 50, 59])
def test_an_event_that_lambda_kept_is_answered_in_time_with_the_real_reason(
    world: World, how: Callable[[float], str], seconds: int
) -> None:
    world.shutdown_seconds = 60
    sent = world.clock.now() - seconds
    world.hp.latency = 0.3
    answer = kept(world, seconds, how, ServiceTimeout="60")
    assert world.clock.now() < sent + 61
    assert answer["Status"] == "FAILED"
    assert "unexpected" not in answer["Reason"]
    code = "StillPresent" if seconds < 45 else "NotAttempted"
    assert f"{code}: {world.nodes[0]}" in answer["Reason"]
    assert world.deletes == (seconds < 45)


@pytest.mark.parametrize("status", ["", "UPDATE_COMPLETE"])
def test_a_stack_that_lags_until_the_time_is_up_is_the_reason(world: World, status: str) -> None:
    world.shows((0, status))
    answer = kept(world, 20, ServiceTimeout="60")
    assert answer["Status"] == "FAILED"
    assert (status or "not visible") in answer["Reason"]
    assert world.deletes == 0


@pytest.mark.parametrize("timeout", ["60", "40"])
@pytest.mark.parametrize("stack", ["UPDATE_COMPLETE", ServiceError("Throttling", "Rate exceeded")])
def test_a_set_that_is_refused_is_answered_in_time_whatever_the_stack_shows(
    world: World, stack: str | Exception, timeout: str
) -> None:
    """40 s is a ServiceTimeout of CloudFormation, though not one that the function accepts."""
    world.cloudformation.statuses = [stack]
    sent = world.clock.now() - 20
    answer = kept(world, 20, kind="Update", NodeIds=["i-nonsense"], ServiceTimeout=timeout)
    assert answer["Status"] == "FAILED"
    assert "allowed: " in answer["Reason"]
    assert world.clock.now() < sent + int(timeout)


def test_a_host_name_is_answered_in_time_however_slow_the_listing_is(world: World) -> None:
    sent, answered = world.clock.now(), []
    world.endpoint.on_request = lambda: answered.append(world.clock.now())
    world.before("ListClusterNodes", lambda _: world.clock.sleep(100))
    answer = kept(world, 0, NodeIds=["ip-10-1-2-3"], ServiceTimeout="60")
    assert "is a host name" in answer["Reason"]
    assert answered[0] < sent + 60


def test_an_outage_until_the_time_is_up_is_reported_with_the_call_that_failed(world: World) -> None:
    world.hp.fail_while("ListClusterNodes", lambda _: True, status=503)
    answer = kept(world, 20, ServiceTimeout="60")
    assert answer["Status"] == "FAILED"
    assert "ListClusterNodes failed: ServiceUnavailable" in answer["Reason"]


def test_the_time_of_a_denied_call_counts_from_the_request_too(world: World) -> None:
    world.cloudformation.show = lambda: ServiceError("AccessDenied", "no", 403)
    began = world.clock.now()
    kept(world, 50)
    assert world.clock.now() <= began + 10


@pytest.mark.parametrize("seconds", [-1, -3600, 91, 3700, 7200])
def test_a_send_time_that_cannot_be_is_not_believed_and_logged(world: World, seconds: int) -> None:
    assert kept(world, seconds, ServiceTimeout="120")["Status"] == "SUCCESS"
    assert len(world.cluster.present) == 7
    assert sum("is implausible" in message for message in world.log.messages) == 1


@pytest.mark.parametrize("seconds", [0, 1, 60, 89])
def test_a_send_time_within_the_age_lambda_allows_is_believed(world: World, seconds: int) -> None:
    world.cluster.refuse(world.nodes[0])
    sent = world.clock.now() - seconds
    kept(world, seconds, ServiceTimeout="300")
    assert sent + 280 < world.clock.now() < sent + 301
    assert "is implausible" not in world.log.text


@pytest.fixture
def in_vpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EVENT_AGE_VARIABLE, str(EVENT_AGE_MAX_IN_VPC))


@pytest.mark.parametrize(("seconds", "is_believed"), [(91, True), (329, True), (331, False)])
@pytest.mark.usefixtures("in_vpc")
def test_an_event_waits_longer_for_a_function_in_a_vpc(
    world: World, seconds: int, is_believed: bool
) -> None:
    assert kept(world, seconds)["Status"] == "SUCCESS"
    assert ("is implausible" in world.log.text) is not is_believed


@pytest.mark.parametrize("seconds", [110, 121, 300])
@pytest.mark.usefixtures("in_vpc")
def test_an_event_that_is_older_than_its_timeout_removes_nothing(
    world: World, seconds: int
) -> None:
    began = world.clock.now()
    assert f"NotAttempted: {world.nodes[0]}" in kept(world, seconds, ServiceTimeout="120")["Reason"]
    assert world.deletes == 0
    assert world.clock.now() < began + 5


@pytest.mark.parametrize(
    "query", ["", "&X-Amz-Date=yesterday", "&Expires=", "&Expires=9" + "9" * 400]
)
def test_a_url_without_a_time_counts_from_the_start(world: World, query: str) -> None:
    assert kept(world, 0, lambda _: query)["Status"] == "SUCCESS"


def test_an_update_that_lambda_kept_needs_no_further_wait_for_the_stack(world: World) -> None:
    began = world.clock.now()
    kept(world, 6, kind="Update")
    assert world.request_times == [began]


def test_a_long_removal_keeps_the_time_of_the_request_through_its_invocations(world: World) -> None:
    world.make_cluster(8, shutdown_seconds=9999)
    sent = world.clock.now() - 40
    assert kept(world, 40, seconds=200.0, ServiceTimeout="600")["Status"] == "FAILED"
    assert world.invocations > 2
    assert world.clock.now() < sent + 600


@pytest.mark.parametrize("seconds", [51, 53, 55, 58])
def test_a_rollback_that_lambda_kept_for_long_does_not_fail(world: World, seconds: int) -> None:
    world.shows((0, "UPDATE_ROLLBACK_IN_PROGRESS"))
    world.before("DescribeStacks", lambda _: world.clock.sleep(0.2))
    answer = kept(world, seconds, by_date, "Update", ServiceTimeout="60")
    assert answer["Data"]["Outcome"] == "ROLLED_BACK"
