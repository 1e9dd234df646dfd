"""The reply meets trouble: refused, slow, lost, sent elsewhere; once, for a while, for ever."""

import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from sandbox.hyperpod import ServiceError
from tests.aws_transport import Answer, RawAnswerError
from tests.faults import scenarios
from tests.faults.conftest import Tally
from tests.faults.invariants import check
from tests.faults.outside import PUT, Call, Trouble
from tests.faults.scenarios import Scenario
from tests.faults.stage import Stage
from tests.handler.endpoint import Endpoint

GROUP = "3 response URL"
TROUBLES: Mapping[str, Exception] = {
    "HTTP status 403": ServiceError("AccessDenied", status=403),
    "HTTP status 503": ServiceError("SlowDown", status=503),
    "HTTP status 307": ServiceError("TemporaryRedirect", status=307),
    "TimeoutError": TimeoutError(),
    "ConnectionRefusedError": ConnectionRefusedError(),
    "ConnectionResetError": ConnectionResetError(),
    "RemoteDisconnected": RawAnswerError(b""),
    "BadStatusLine": RawAnswerError(b"<html>Hello</html>"),
}
OPERATIONS = (
    scenarios.a_creation,
    scenarios.an_update_that_fails,
    scenarios.a_deletion,
    scenarios.a_chain,
)


def ids(scenario: Scenario) -> str:
    return scenario.__name__


def trouble(stage: Stage, what: str, times: float, *, is_after_work: bool) -> None:
    def fail(call: Call, answer: Answer | None) -> None:
        if what == "TimeoutError":
            stage.timeline.sleep(call.timeout)
        raise TROUBLES[what]

    stage.outside.add(Trouble(fail, PUT, is_after_work=is_after_work, times=times))


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("what", TROUBLES)
def test_trouble_that_passes_is_waited_out(what: str, times: int, tally: Tally) -> None:
    """Whether the reply got there, and only the answer was lost, or not."""
    for scenario in OPERATIONS:
        for is_after_work in (False, True):
            with tally.fault(f"{what}, {times} times, {scenario.__name__}"), Stage() as stage:
                stack = scenario(stage)
                trouble(stage, what, times, is_after_work=is_after_work)
                stage.run()
                assert not stack.is_stuck
                check(stage)


@pytest.mark.parametrize("what", TROUBLES)
def test_a_reply_that_never_arrives_is_in_the_log(what: str, tally: Tally) -> None:
    for scenario in OPERATIONS:
        with tally.fault(f"{what}, for ever, {scenario.__name__}"), Stage() as stage:
            scenario(stage)
            answered = len(stage.cloudformation.requests) - 1
            trouble(stage, what, 1e9, is_after_work=False)
            stage.run()
            check(stage, is_answered=False)
            for request in stage.cloudformation.requests[answered:]:
                assert request.replies, "the reply is tried until nobody waits for it"


@pytest.mark.parametrize("what", TROUBLES)
def test_a_reply_in_the_last_seconds_is_given_what_is_left_of_them(what: str, tally: Tally) -> None:
    """A call hangs until the reply is due, and then the URL gives trouble once."""
    with tally.fault(what), Stage() as stage:
        nodes = stage.cluster(shutdown_seconds=2000).node_ids("workers")[:1]
        stack = stage.stack()
        stack.create(scenarios.properties(NodeIds=list(nodes)))
        stage.outside.add(
            Trouble(lambda *_: stage.timeline.sleep(1e6), "ListClusterNodes", skip=1, times=1)
        )
        is_slow = what == "TimeoutError"
        trouble(stage, what, 1, is_after_work=is_slow)
        stage.run()
        assert stack.requests[0].answer
        check(stage)


# Against a server on this machine ------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 503, 307, "reset"])
def test_a_real_server_in_trouble_gets_the_reply_in_the_end(
    stage: Stage, endpoint: Endpoint, status: int | str, tally: Tally
) -> None:
    with tally.fault(str(status)):
        endpoint.statuses = [status, status, 200]
        through(stage, lambda: endpoint.url)
        stack = scenarios.a_creation(stage)
        stage.run()
        assert stack.status == "CREATE_COMPLETE"
        assert len(endpoint.requests) == 3
        assert len({body for _, _, body in endpoint.requests}) == 1
        check(stage, is_repeatable=False)


def test_a_server_that_refuses_the_connection_is_called_again(
    stage: Stage, endpoint: Endpoint, tally: Tally
) -> None:
    with tally.fault("refused"), closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        server.close()
        urls = [f"https://127.0.0.1:{port}/?X-Amz-Signature=s3cret", endpoint.url]
        through(stage, lambda: urls.pop(0) if len(urls) > 1 else urls[0])
        stack = scenarios.a_deletion(stage)
        endpoint.requests.clear()
        stage.run()
        assert stack.status == "DELETE_COMPLETE"
        assert len(endpoint.requests) == 1
        check(stage, is_repeatable=False)


def through(stage: Stage, url: Callable[[], str]) -> None:
    """Send the bytes of each reply to a server as well, and hand back what it answers."""

    def send(call: Call, answer: Answer | None) -> None:
        given = urlsplit(url())
        with (
            socket.create_connection((given.hostname, given.port), 1.0) as plain,
            _context().wrap_socket(plain, server_hostname=given.hostname) as connection,
        ):
            connection.sendall(call.request["raw"])
            received = connection.makefile("rb").read()
        if not received.startswith(b"HTTP/1.0 200 "):
            raise RawAnswerError(received)

    stage.outside.add(Trouble(send, PUT))


_context = ssl.create_default_context
"""That of the machine: on a stage it is another one."""
