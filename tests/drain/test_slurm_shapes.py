"""Responses of slurmrestd that the tested version does not send, and Slurm's host lists."""

import json
import math
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from hyperpod_node_removal_hook import SchedulerError
from hyperpod_node_removal_slurm_drain import index
from hyperpod_node_removal_slurm_drain.slurm import Job, Slurm, SlurmNode, version_of
from tests.drain.hook import CONTEXT, PROCEED, RELEASE, event, node, reasons


def document(*versions: int, methods: tuple[str, ...] = ("get", "post")) -> dict[str, Any]:
    node: dict[str, Any] = {method: {} for method in methods}
    return {"paths": {f"/slurm/v0.0.{v}/node/{{node_name}}": node for v in versions}}


@pytest.mark.parametrize(
    ("served", "used"),
    [((39,), 39), ((38, 39, 40), 40), ((40, 41, 42), 42), ((41, 42, 43), 42), ((43, 44), 43)],
)
def test_the_newest_supported_version_is_used(served: tuple[int, ...], used: int) -> None:
    assert version_of(document(*served)) == f"v0.0.{used}"


def test_a_daemon_without_a_supported_version_is_an_error() -> None:
    old = document(37, 38, methods=("get",))
    with pytest.raises(
        SchedulerError, match=r"serves v0\.0\.37, v0\.0\.38 of its API, which cannot"
    ):
        version_of(old)
    with pytest.raises(SchedulerError, match="serves no version of its API"):
        version_of({})


@contextmanager
def serve(responses: dict[str, Any], trust: trustme.CA | None = None) -> Iterator[str]:
    """Serve documents by path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, response, *headers = responses[self.path]
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(
                response if isinstance(response, bytes) else json.dumps(response).encode()
            )

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if trust:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trust.issue_cert("127.0.0.1").configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{'https' if trust else 'http'}://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


NODE_39 = {
    "name": "ip-10-1-0-1",
    "hostname": "ip-10-1-0-1",
    "state": ["MIXED", "DRAIN"],
    "reason": "bad DIMM",
    "reason_changed_at": 1700000000,
}
JOB_39 = {
    "job_id": 7,
    "user_name": "ada",
    "job_state": "RUNNING",
    "nodes": "ip-10-1-0-[1-2]",
    "requeue": True,
}


def test_responses_of_v0_0_39_are_supported() -> None:
    responses = {
        "/openapi/v3": (200, document(39)),
        "/slurm/v0.0.39/nodes/": (200, {"errors": [], "nodes": [NODE_39]}),
        "/slurm/v0.0.39/jobs/": (
            200,
            {"jobs": [JOB_39, {**JOB_39, "job_id": 8, "job_state": "COMPLETED"}]},
        ),
    }
    with serve(responses) as url:
        slurm = Slurm(url, user="root", token="x")
        (node,), (job,) = slurm.nodes(), slurm.jobs()
    assert node.is_drained
    assert node.is_busy
    assert node.reason_since == 1700000000
    assert str(job) == "job 7 of ada"
    assert node.name in job.hosts()


@pytest.mark.parametrize("since", [None, 0, {"set": False, "number": 0}])
def test_a_reason_without_a_time_never_ends_a_grace_period(since: Any) -> None:
    assert SlurmNode.parse(NODE_39 | {"reason_changed_at": since}).reason_since == math.inf


@pytest.mark.parametrize(
    ("response", "message", "is_transient"),
    [
        ((500, b"oops"), "with HTTP 500", True),
        ((502, {"message": "Bad Gateway"}), "with HTTP 502", True),
        ((429, b"slow down"), "with HTTP 429", True),
        ((404, b"Not found"), "with HTTP 404", False),
        ((403, b""), "refuses the token", False),
        ((200, b"[]"), "with no JSON object", False),
        ((200, b"<html>"), "with no JSON object", False),
        ((200, {"nodes": [], "errors": [{"error": "down", "error_number": 0}]}), "down", True),
        ((500, {"errors": [{}]}), "does not list its nodes", True),
    ],
)
def test_a_response_without_a_list_is_an_error(
    response: Any, message: str, is_transient: bool
) -> None:
    responses = {"/openapi/v3": (200, document(42)), "/slurm/v0.0.42/nodes/": response}
    with serve(responses) as url:
        slurm = Slurm(url, user="root", token="x")
        with pytest.raises(SchedulerError, match=message) as error:
            slurm.nodes()
    assert error.value.is_transient is is_transient


def test_redirects_are_not_followed_because_the_token_is_for_one_server() -> None:
    with serve({"/openapi/v3": (200, document(42))}) as other:
        moved: Any = (302, {}, ("Location", f"{other}/openapi/v3"))
        with serve({"/openapi/v3": moved}) as url, pytest.raises(SchedulerError, match="302"):
            Slurm(url, user="root", token="x")


def test_a_private_certificate_authority_can_be_set_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = trustme.CA()
    with serve({"/openapi/v3": (200, document(42))}, private) as url:
        with pytest.raises(SchedulerError, match="SSLCertVerificationError") as error:
            Slurm(url, user="root", token="x")
        assert error.value.is_transient
        private.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert Slurm(url, user="root", token="x").version == "v0.0.42"


class SlowSlurm:
    """A Slurm that takes a second of virtual time to change a node."""

    def __init__(self, count: int) -> None:
        self.time = 1_000_000.0
        self.states = {f"ip-10-1-0-{number}": {"IDLE"} for number in range(count)}
        self.reason = ""
        self.broken = ""
        """A node that cannot be resumed."""

    def nodes(self) -> list[SlurmNode]:
        return [
            SlurmNode(name, name, frozenset(states), self.reason, math.inf)
            for name, states in self.states.items()
        ]

    def jobs(self) -> list[Job]:
        return []

    def update(self, name: str, state: str, reason: str = "") -> str:
        self.time += 1
        if state == "RESUME" and name == self.broken:
            raise SchedulerError("does not respond", is_transient=True)
        self.states[name].add(state)
        self.reason = reason
        return ""


def test_nodes_that_are_not_reached_in_time_are_drained_by_the_next_invocation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hook that misses its deadline is not invoked again, and nothing is removed."""
    slurm = SlowSlurm(150)
    monkeypatch.setattr(index, "_connect", lambda: slurm)
    monkeypatch.setattr(time, "time", lambda: slurm.time)
    nodes = [node(f"i-{name}", f"{name}.ec2.internal") for name in slurm.states]
    response = index.handler(event(*nodes, seconds=720), CONTEXT)
    assert slurm.time <= 1_000_000 + 120
    assert response["Decision"] == "WAIT"
    waiting = reasons(response, "WaitingNodes")
    assert waiting["i-ip-10-1-0-149"] == "ip-10-1-0-149: not reached in time"
    assert "i-ip-10-1-0-0" not in waiting
    assert index.handler(event(*nodes, seconds=720), CONTEXT) == PROCEED


def test_the_jobs_of_a_large_cluster_are_found_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing every job with every node took an hour, longer than an invocation."""
    slurm = SlowSlurm(3000)
    busy, *idle = slurm.states
    jobs = [Job(number, "ada", f"ip-10-1-0-[{number % 3000}]", True) for number in range(24_000)]
    wide = Job(24_000, "ada", "ip-10-1-0-[0-2999]", may_requeue=True)
    for states in slurm.states.values():
        states |= {"DRAIN", "ALLOCATED"}
    monkeypatch.setattr(slurm, "jobs", lambda: [wide, *jobs])
    monkeypatch.setattr(index, "_connect", lambda: slurm)
    response = index.handler(event(*(node(f"i-{name}", name) for name in (busy, *idle))), CONTEXT)
    waiting = reasons(response, "WaitingNodes")
    assert len(waiting) == 3000
    assert waiting[f"i-{busy}"] == (
        f"job 24000 of ada, job 0 of ada, job 3000 of ada and 6 more are on {busy}"
    )


def test_a_failed_release_raises_and_releases_the_other_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slurm = SlowSlurm(3)
    slurm.broken = "ip-10-1-0-0"
    monkeypatch.setattr(index, "_connect", lambda: slurm)
    nodes = [node(f"i-{name}", name) for name in slurm.states]
    index.handler(event(*nodes), CONTEXT)
    with pytest.raises(SchedulerError, match="does not respond"):
        index.handler(event(*nodes, **RELEASE), CONTEXT)
    resumed = [name for name, states in slurm.states.items() if "RESUME" in states]
    assert resumed == ["ip-10-1-0-1", "ip-10-1-0-2"]


@pytest.mark.parametrize(
    ("hostlist", "inside", "outside"),
    [
        ("ip-10-1-0-1", ["ip-10-1-0-1"], ["ip-10-1-0-11", "ip-10-1-0-"]),
        ("ip-10-1-0-[1-3,7]", ["ip-10-1-0-2", "ip-10-1-0-7"], ["ip-10-1-0-4", "ip-10-1-0-02"]),
        ("a[1,3],b-[2-4],c", ["a3", "b-4", "c"], ["a2", "b-1", "c1", "a1,3"]),
        ("ip-10-[1-2]-0-[8-11]", ["ip-10-1-0-10", "ip-10-2-0-8"], ["ip-10-3-0-8"]),
        ("n[008-011]", ["n008", "n010"], ["n8", "n10", "n012"]),
        ("n[0-2]", ["n0", "n2"], ["n3", "n00"]),
        ("n[0-11]", ["n0", "n10"], ["n12", "n05"]),
        ("n[01-100]", ["n01", "n100"], ["n1", "n001"]),
        ("", [], [""]),
    ],
)
def test_host_lists_are_expanded(hostlist: str, inside: list[str], outside: list[str]) -> None:
    hosts = set(Job(7, "ada", hostlist, may_requeue=True).hosts())
    assert hosts.issuperset(inside)
    assert hosts.isdisjoint(outside)
