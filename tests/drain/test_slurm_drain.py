"""The Slurm drain against a real Slurm, with nodes and jobs."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hyperpod_node_removal_hook import SchedulerError
from hyperpod_node_removal_slurm_drain import index
from hyperpod_node_removal_slurm_drain.slurm import Slurm as Client
from sandbox.hyperpod import ServiceError
from sandbox.slurm import Slurm
from tests.aws_transport import answered_by
from tests.drain.conftest import NAMES
from tests.drain.hook import CONTEXT, MARK, PROCEED, RELEASE, event, node, reasons

pytestmark = pytest.mark.slow

FIRST, SECOND, THIRD = NAMES

Invoke = Callable[..., dict[str, Any]]


def slurm_node(name: str) -> dict[str, str]:
    """Return a node of an event whose instance id is its name in Slurm."""
    return node(name, f"{name}.us-west-2.compute.internal")


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The secret with the token. If it is empty, access is denied."""
    secret = {"SecretString": ""}

    def service(sent: Any) -> dict[str, Any]:
        assert sent.operation == "GetSecretValue"
        if not secret["SecretString"]:
            raise ServiceError("AccessDeniedException", "no", 400)
        return dict(secret)

    monkeypatch.setenv("TOKEN", "arn:aws:secretsmanager:us-west-2:111122223333:secret:slurm-a1b2c3")
    monkeypatch.setenv("USER_NAME", "root")
    monkeypatch.setenv("JOBS", "WAIT")
    monkeypatch.setenv("GRACE", "0")
    with answered_by(service):
        yield secret


@pytest.fixture
def invoke(slurm: Slurm, secret: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.setenv("REST_API", slurm.rest_api)
    secret["SecretString"] = slurm.token() + "\n"

    def invoke(*names: str, jobs: str = "WAIT", grace: float = 0, **more: Any) -> dict[str, Any]:
        monkeypatch.setenv("JOBS", jobs)
        monkeypatch.setenv("GRACE", str(grace))
        return index.handler(event(*map(slurm_node, names), **more), CONTEXT)

    return invoke


@pytest.fixture
def release(invoke: Invoke) -> Invoke:
    return lambda *names, **more: invoke(*names, **RELEASE, **more)


# Draining ------------------------------------------------------------------------------------


def test_idle_nodes_are_drained_with_the_mark_and_can_be_removed(
    slurm: Slurm, invoke: Invoke
) -> None:
    assert invoke(FIRST, SECOND) == PROCEED
    for name in (FIRST, SECOND):
        assert slurm.states(name) == {"IDLE", "DRAIN"}
        assert slurm.node(name)["reason"] == MARK
    assert slurm.states(THIRD) == {"IDLE"}


def test_the_drain_waits_for_a_job_and_reports_it(slurm: Slurm, invoke: Invoke) -> None:
    job = slurm.submit(FIRST)
    for _ in range(2):
        response = invoke(FIRST, SECOND)
        assert response["Decision"] == "WAIT"
        assert reasons(response, "WaitingNodes") == {FIRST: f"job {job} of root is on {FIRST}"}
    assert "RUNNING" in slurm.job_states(job)
    slurm.cancel(job)
    slurm.wait(lambda: invoke(FIRST, SECOND) == PROCEED, "it does not become free")


def test_the_drain_waits_for_a_suspended_job_on_an_idle_node(slurm: Slurm, invoke: Invoke) -> None:
    job = slurm.submit(FIRST)
    slurm.run("scontrol", "suspend", str(job))
    slurm.wait(lambda: slurm.states(FIRST) == {"IDLE"}, "it is not suspended")
    assert reasons(invoke(FIRST), "WaitingNodes") == {FIRST: f"job {job} of root is on {FIRST}"}


def test_jobs_on_several_nodes_and_several_jobs_on_a_node_are_reported(
    slurm: Slurm, invoke: Invoke
) -> None:
    wide = slurm.submit(FIRST, SECOND)
    assert reasons(invoke(SECOND), "WaitingNodes") == {SECOND: f"job {wide} of root is on {SECOND}"}
    slurm.cancel(wide)
    jobs = [slurm.submit(THIRD) for _ in range(2)]
    assert reasons(invoke(THIRD), "WaitingNodes") == {
        THIRD: f"job {jobs[0]} of root, job {jobs[1]} of root are on {THIRD}"
    }


def test_no_new_job_starts_on_a_drained_node(slurm: Slurm, invoke: Invoke) -> None:
    invoke(FIRST)
    job = int(slurm.run("sbatch", "--parsable", "-w", FIRST, "--chdir=/tmp", "--wrap=true"))
    invoke(FIRST)
    assert slurm.job_states(job) == ["PENDING"]


def test_only_requeueable_jobs_are_requeued_and_a_release_resumes_the_node(
    slurm: Slurm, invoke: Invoke, release: Invoke
) -> None:
    job = slurm.submit(FIRST)
    kept = slurm.submit(SECOND, requeue=False)
    invoke(FIRST, SECOND, jobs="REQUEUE")
    slurm.wait(lambda: slurm.job_states(job) == ["PENDING"], "it is not requeued")
    response = invoke(FIRST, SECOND, jobs="REQUEUE")
    assert list(reasons(response, "WaitingNodes")) == [SECOND]
    assert slurm.job_states(kept) == ["RUNNING"], "it cannot be requeued"
    assert "DRAIN" in slurm.states(FIRST)
    slurm.wait(lambda: invoke(FIRST) == PROCEED, "it does not become free")
    release(FIRST)
    slurm.wait(lambda: not slurm.states(FIRST) & {"DRAIN", "DOWN"}, "it is not resumed")


def test_a_job_is_canceled_only_after_its_grace_period(slurm: Slurm, invoke: Invoke) -> None:
    job = slurm.submit(FIRST)
    invoke(FIRST, jobs="CANCEL", grace=3600)
    invoke(FIRST, jobs="CANCEL", grace=3600)
    assert slurm.job_states(job) == ["RUNNING"]
    invoke(FIRST, jobs="CANCEL", grace=0)
    slurm.wait(lambda: "CANCELLED" in slurm.job_states(job), "it is not canceled")
    slurm.wait(lambda: invoke(FIRST) == PROCEED, "it does not become free")


# Changes by others ---------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", ["WAIT", "REQUEUE", "CANCEL"])
def test_a_node_that_was_already_drained_stays_as_it_was(
    slurm: Slurm, invoke: Invoke, release: Invoke, jobs: str
) -> None:
    job = slurm.submit(FIRST)
    slurm.update(FIRST, state="drain", reason="bad DIMM")
    assert list(reasons(invoke(FIRST, jobs=jobs), "WaitingNodes")) == [FIRST], (
        "it waits for the job"
    )
    assert slurm.job_states(job) == ["RUNNING"], "and does not change it"
    slurm.cancel(job)
    slurm.wait(lambda: invoke(FIRST) == PROCEED, "it does not become free")
    release(FIRST)
    assert slurm.states(FIRST) == {"IDLE", "DRAIN"}
    assert slurm.node(FIRST)["reason"] == "bad DIMM"


@pytest.mark.parametrize("state", ["DOWN", "FAIL"])
def test_a_node_that_was_already_out_of_service_stays_as_it_was(
    slurm: Slurm, invoke: Invoke, release: Invoke, state: str
) -> None:
    slurm.update(FIRST, state=state.lower(), reason="bad DIMM")
    assert invoke(FIRST) == PROCEED
    release(FIRST)
    assert state in slurm.states(FIRST)
    assert slurm.node(FIRST)["reason"] == "bad DIMM"


def test_a_release_resumes_only_nodes_that_this_removal_drained(
    slurm: Slurm, invoke: Invoke, release: Invoke
) -> None:
    invoke(FIRST, THIRD)
    invoke(SECOND, LogicalResourceId="OtherNodes")
    slurm.update(THIRD, state="drain", reason="bad DIMM")  # by an administrator, afterwards
    for _ in range(2):
        assert release(FIRST, SECOND, THIRD) == {}
    assert "DRAIN" not in slurm.states(FIRST)
    assert "DRAIN" in slurm.states(SECOND) & slurm.states(THIRD)


@pytest.mark.parametrize("state", ["DRAIN", "DOWN"])
def test_a_release_of_an_earlier_request_keeps_what_a_later_one_drained(
    slurm: Slurm, invoke: Invoke, release: Invoke, state: str
) -> None:
    """A canceled request may notice that only after the next deployment has invoked the hook."""
    invoke(FIRST, SECOND, RequestId="canceled")
    if state == "DOWN":  # as if its jobs had been requeued
        slurm.update(FIRST, state="down", reason=slurm.node(FIRST)["reason"])
    assert invoke(FIRST) == PROCEED
    release(FIRST, SECOND, RequestId="canceled")
    assert state in slurm.states(FIRST)
    assert not {"DRAIN", "DOWN"} & slurm.states(SECOND)
    release(FIRST)
    assert not {"DRAIN", "DOWN"} & slurm.states(FIRST)


def test_an_invocation_after_a_release_drains_again(
    slurm: Slurm, invoke: Invoke, release: Invoke
) -> None:
    release(FIRST)
    invoke(FIRST)
    release(FIRST)
    assert invoke(FIRST) == PROCEED
    assert "DRAIN" in slurm.states(FIRST)


# Errors --------------------------------------------------------------------------------------


def test_a_node_that_slurm_does_not_know_is_vetoed(slurm: Slurm, invoke: Invoke) -> None:
    response = invoke(Nodes=[*map(slurm_node, (FIRST, "ip-10-9-9-9")), node("x"), node("")])
    assert response["Decision"] == "PROCEED"
    assert reasons(response, "VetoedNodes") == {
        "ip-10-9-9-9": "Slurm knows no node ip-10-9-9-9",
        "x": "SageMaker reports no host name for it",
    }


def test_a_user_without_permission_gets_a_veto_with_the_error_of_slurm(
    slurm: Slurm, invoke: Invoke, secret: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret["SecretString"] = slurm.token("nobody")
    monkeypatch.setenv("USER_NAME", "nobody")
    response = invoke(FIRST)
    assert "does not drain" in reasons(response, "VetoedNodes")[FIRST]
    assert "Invalid user id" in reasons(response, "VetoedNodes")[FIRST]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "slurmrestd refuses the token"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdW4iOiJyb290In0.AAAA", "slurmrestd refuses the token"),
        ("SLURM_JWT={0}\n{0}", "the secret is not a JWT"),
        ('{{\n"token": "{0}"\n}}', "the secret is not a JWT"),
        ("{0}\u2026", "the secret is not a JWT"),
        ("", "the secret with the token cannot be read"),
    ],
)
def test_a_secret_without_a_valid_token_is_a_veto_that_does_not_show_the_token(
    slurm: Slurm, invoke: Invoke, secret: dict[str, str], text: str, reason: str
) -> None:
    secret["SecretString"] = text.format(slurm.token())
    response = invoke(FIRST)
    assert response["Decision"] == "VETO"
    assert response["Reason"].startswith(reason)
    assert slurm.token() not in response["Reason"]


def test_the_token_is_not_logged_at_any_level(
    invoke: Invoke, secret: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    invoke(FIRST)
    assert FIRST in caplog.text
    assert secret["SecretString"].strip() not in caplog.text


def test_the_drain_waits_for_an_unresponsive_daemon_but_a_release_raises(
    invoke: Invoke, release: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REST_API", "http://127.0.0.1:1")
    response = invoke(FIRST)
    assert response["Decision"] == "WAIT"
    assert reasons(response, "WaitingNodes")[FIRST].startswith("127.0.0.1:1 does not respond: ")
    with pytest.raises(SchedulerError):
        release(FIRST)


def test_a_cluster_on_eks_is_vetoed(invoke: Invoke) -> None:
    arn = "arn:aws:eks:us-west-2:111122223333:cluster/training"
    assert "use EksDrain" in invoke(FIRST, EksClusterArn=arn)["Reason"]


@pytest.mark.parametrize("version", ["v0.0.40", "v0.0.41", "v0.0.42"])
def test_every_api_version_of_the_daemon_is_supported(slurm: Slurm, version: str) -> None:
    client = Client(slurm.rest_api, user="root", token=slurm.token())
    assert client.version == "v0.0.42", "the newest"
    client._base = f"/slurm/{version}"
    job = slurm.submit(FIRST)
    assert client.update(FIRST, "DRAIN", MARK) == ""
    (shown,) = (one for one in client.nodes() if one.name == FIRST)
    assert shown.is_drained
    assert shown.is_busy
    assert shown.reason == MARK
    assert abs(shown.reason_since - time.time()) < 60
    assert [one.job_id for one in client.jobs()] == [job]
    assert client.cancel(client.jobs()[0]) == ""
    assert client.update(FIRST, "RESUME") == ""
    assert client.update("no-such-node", "DRAIN", MARK)
