"""The response URL fails: refused, slow, lost, redirected; once, for a while, or permanently."""

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
from tests.faults.fault_injection import PUT, Call, Fault
from tests.faults.invariants import check
from tests.faults.sampling import sample
from tests.faults.simulation import Simulation
from tests.handler.endpoint import Endpoint

GROUP = "3 response URL"
FAILURES: Mapping[str, Exception] = {
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


def fail(sim: Simulation, what: str, times: float, *, is_after_work: bool) -> None:
    def act(call: Call, answer: Answer | None) -> None:
        if what == "TimeoutError":
            sim.timeline.sleep(call.timeout)
        raise FAILURES[what]

    sim.injector.add(Fault(act, PUT, is_after_work=is_after_work, times=times))


def test_the_reply_is_retried_after_transient_errors(tally: Tally) -> None:
    """The reply may have been delivered, if only its response was lost."""
    moments = (False, True)
    for scenario, what, times, is_after_work in sample(OPERATIONS, FAILURES, (1, 2, 5), moments):
        with tally.fault(f"{what}, {times} times, {scenario.__name__}"), Simulation() as sim:
            stack = scenario(sim)
            fail(sim, what, times, is_after_work=is_after_work)
            sim.run()
            assert not stack.is_stuck
            check(sim)


def test_a_reply_that_cannot_be_delivered_is_logged(tally: Tally) -> None:
    for scenario, what in sample(OPERATIONS, FAILURES):
        with tally.fault(f"{what}, permanently, {scenario.__name__}"), Simulation() as sim:
            scenario(sim)
            answered = len(sim.cloudformation.requests) - 1
            fail(sim, what, 1e9, is_after_work=False)
            sim.run()
            check(sim, is_answered=False)
            for request in sim.cloudformation.requests[answered:]:
                assert request.replies, "no reply was sent"


@pytest.mark.parametrize("what", FAILURES)
def test_a_reply_in_the_last_seconds_is_retried_in_the_remaining_time(
    what: str, tally: Tally
) -> None:
    """A call hangs until the reply is due, and then the URL fails once."""
    with tally.fault(what), Simulation() as sim:
        nodes = sim.cluster(shutdown_seconds=2000).node_ids("workers")[:1]
        stack = sim.stack()
        stack.create(scenarios.properties(NodeIds=list(nodes)))
        sim.injector.add(
            Fault(lambda *_: sim.timeline.sleep(1e6), "ListClusterNodes", skip=1, times=1)
        )
        is_slow = what == "TimeoutError"
        fail(sim, what, 1, is_after_work=is_slow)
        sim.run()
        assert stack.requests[0].answer
        check(sim)


# Against a server on this machine ------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 503, 307, "reset"])
def test_a_server_that_fails_twice_gets_the_reply(
    sim: Simulation, endpoint: Endpoint, status: int | str, tally: Tally
) -> None:
    with tally.fault(str(status)):
        endpoint.statuses = [status, status, 200]
        send_to_server(sim, lambda: endpoint.url)
        stack = scenarios.a_creation(sim)
        sim.run()
        assert stack.status == "CREATE_COMPLETE"
        assert len(endpoint.requests) == 3
        assert len({body for _, _, body in endpoint.requests}) == 1
        check(sim, is_repeatable=False)


def test_a_refused_connection_is_retried(sim: Simulation, endpoint: Endpoint, tally: Tally) -> None:
    with tally.fault("refused"), closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        server.close()
        urls = [f"https://127.0.0.1:{port}/?X-Amz-Signature=s3cret", endpoint.url]
        send_to_server(sim, lambda: urls.pop(0) if len(urls) > 1 else urls[0])
        stack = scenarios.a_deletion(sim)
        endpoint.requests.clear()
        sim.run()
        assert stack.status == "DELETE_COMPLETE"
        assert len(endpoint.requests) == 1
        check(sim, is_repeatable=False)


def send_to_server(sim: Simulation, url: Callable[[], str]) -> None:
    """Send the bytes of each reply to a server first, and raise its response if it is an error."""

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

    sim.injector.add(Fault(send, PUT))


_context = ssl.create_default_context
"""The original function, which `Simulation` replaces."""
