"""The handling of events that all hooks of this project share."""

from typing import Any
from unittest.mock import Mock

import pytest

from hyperpod_node_removal_hook import Event, Node, Response, SchedulerError, respond
from tests.drain.hook import CONTEXT, MARK, PROCEED, RELEASE, event, node, reasons

NODES = (node("i-1", "ip-10-1-0-1.ec2.internal"), node("i-2"), node(""))


def invoke(check: Any, **more: Any) -> tuple[dict[str, Any], Mock]:
    """Return the response to an event, and the mock that is called for a release."""
    release = Mock()
    return respond(event(*NODES, **more), CONTEXT, check, release), release


def test_a_node_without_an_instance_is_not_checked() -> None:
    response, release = invoke(check := Mock(return_value=Response()))
    assert response == PROCEED
    ((parsed,),) = (call.args for call in check.mock_calls)
    assert parsed.nodes == (Node("i-1", "ip-10-1-0-1.ec2.internal"), Node("i-2", ""))
    assert parsed.mark == MARK
    release.assert_not_called()


def test_reasons_are_truncated_to_300_characters() -> None:
    found = Response(vetoed={"i-1": "v" * 500}, waiting={"i-2": "w" * 500})
    response, _ = invoke(lambda _: found)
    assert response["Decision"] == "WAIT"
    assert response["RetryAfter"] == 20
    assert reasons(response, "VetoedNodes") == {"i-1": "v" * 300}
    assert reasons(response, "WaitingNodes") == {"i-2": "w" * 300}
    response, _ = invoke(Mock(side_effect=SchedulerError("e" * 500)))
    assert response == {"Version": "2", "Decision": "VETO", "Reason": "e" * 300}


def test_a_transient_error_makes_all_nodes_wait() -> None:
    response, _ = invoke(Mock(side_effect=SchedulerError("busy", is_transient=True)))
    assert response["Decision"] == "WAIT"
    assert reasons(response, "WaitingNodes") == {"i-1": "busy", "i-2": "busy"}


@pytest.mark.parametrize(("seconds", "calls"), [(60, 1), (-1, 0)])
def test_a_release_is_ignored_after_its_deadline(seconds: float, calls: int) -> None:
    response, release = invoke(Mock(side_effect=AssertionError), seconds=seconds, **RELEASE)
    assert response == {}
    assert release.call_count == calls


def test_a_failed_release_raises_so_that_lambda_retries_it() -> None:
    failing = Mock(side_effect=SchedulerError("busy", is_transient=True))
    with pytest.raises(SchedulerError, match="busy"):
        respond(event(*NODES, **RELEASE), CONTEXT, Mock(), failing)


@pytest.mark.parametrize("given", [{"Version": "2"}, {"Version": "3"}, {"Action": "RELEASE"}])
def test_an_event_with_an_unknown_version_is_an_error(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="allowed: 1, or 2 with RELEASE"):
        Event.parse(event(**given), ends=0)
