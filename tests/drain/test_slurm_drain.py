"""The drain on Slurm, against a real one: what happens to its nodes and jobs."""

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

Drain = Callable[..., dict[str, Any]]


def slurm_node(name: str) -> dict[str, str]:
    """Its instance id is its name in Slurm."""
    return node(name, f"{name}.us-west-2.compute.internal")


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The secret with the token, and a role that may read it."""
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
def ask(slurm: Slurm, secret: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Drain:
    monkeypatch.setenv("REST_API", slurm.rest_api)
    secret["SecretString"] = slurm.token() + "\n"

    def ask(*names: str, jobs: str = "WAIT", grace: float = 0, **more: Any) -> dict[str, Any]:
        monkeypatch.setenv("JOBS", jobs)
        monkeypatch.setenv("GRACE", str(grace))
        return index.handler(event(*map(slurm_node, names), **more), CONTEXT)

    return ask


@pytest.fixture
def release(ask: Drain) -> Drain:
    return lambda *names, **more: ask(*names, **RELEASE, **more)


# Draining ------------------------------------------------------------------------------------


def test_idle_nodes_are_drained_with_the_mark_and_free_at_once(slurm: Slurm, ask: Drain) -> None:
    assert ask(FIRST, SECOND) == PROCEED
    for name in (FIRST, SECOND):
        assert slurm.states(name) == {"IDLE", "DRAIN"}
        assert slurm.node(name)["reason"] == MARK
    assert slurm.states(THIRD) == {"IDLE"}


def test_a_job_is_waited_for_and_named(slurm: Slurm, ask: Drain) -> None:
    job = slurm.submit(FIRST)
    for _ in range(2):
        answer = ask(FIRST, SECOND)
        assert answer["Decision"] == "WAIT"
        assert reasons(answer, "WaitingNodes") == {FIRST: f"job {job} of root is on {FIRST}"}
    assert "RUNNING" in slurm.job_states(job)
    slurm.cancel(job)
    slurm.wait(lambda: ask(FIRST, SECOND) == PROCEED, "it does not become free")


def test_a_suspended_job_is_waited_for_though_its_node_is_idle(slurm: Slurm, ask: Drain) -> None:
    job = slurm.submit(FIRST)
    slurm.run("scontrol", "suspend", str(job))
    slurm.wait(lambda: slurm.states(FIRST) == {"IDLE"}, "it is not suspended")
    assert reasons(ask(FIRST), "WaitingNodes") == {FIRST: f"job {job} of root is on {FIRST}"}


def test_a_job_of_several_nodes_and_several_jobs_of_one_are_named(slurm: Slurm, ask: Drain) -> None:
    wide = slurm.submit(FIRST, SECOND)
    assert reasons(ask(SECOND), "WaitingNodes") == {SECOND: f"job {wide} of root is on {SECOND}"}
    slurm.cancel(wide)
    jobs = [slurm.submit(THIRD) for _ in range(2)]
    assert reasons(ask(THIRD), "WaitingNodes") == {
        THIRD: f"job {jobs[0]} of root, job {jobs[1]} of root are on {THIRD}"
    }


def test_no_new_job_starts_on_a_drained_node(slurm: Slurm, ask: Drain) -> None:
    ask(FIRST)
    job = int(slurm.run("sbatch", "--parsable", "-w", FIRST, "--chdir=/tmp", "--wrap=true"))
    ask(FIRST)
    assert slurm.job_states(job) == ["PENDING"]


def test_a_job_is_requeued_if_it_may_be_and_its_node_takes_jobs_again(
    slurm: Slurm, ask: Drain, release: Drain
) -> None:
    job = slurm.submit(FIRST)
    kept = slurm.submit(SECOND, requeue=False)
    ask(FIRST, SECOND, jobs="REQUEUE")
    slurm.wait(lambda: slurm.job_states(job) == ["PENDING"], "it is not requeued")
    answer = ask(FIRST, SECOND, jobs="REQUEUE")
    assert list(reasons(answer, "WaitingNodes")) == [SECOND]
    assert slurm.job_states(kept) == ["RUNNING"], "it would not come back"
    assert "DRAIN" in slurm.states(FIRST)
    slurm.wait(lambda: ask(FIRST) == PROCEED, "it does not become free")
    release(FIRST)
    slurm.wait(lambda: not slurm.states(FIRST) & {"DRAIN", "DOWN"}, "it is not resumed")


def test_a_job_is_canceled_after_its_grace_period_only(slurm: Slurm, ask: Drain) -> None:
    job = slurm.submit(FIRST)
    ask(FIRST, jobs="CANCEL", grace=3600)
    ask(FIRST, jobs="CANCEL", grace=3600)
    assert slurm.job_states(job) == ["RUNNING"]
    ask(FIRST, jobs="CANCEL", grace=0)
    slurm.wait(lambda: "CANCELLED" in slurm.job_states(job), "it is not canceled")
    slurm.wait(lambda: ask(FIRST) == PROCEED, "it does not become free")


# What others did -----------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", ["WAIT", "REQUEUE", "CANCEL"])
def test_a_node_that_was_drained_before_stays_as_it_was(
    slurm: Slurm, ask: Drain, release: Drain, jobs: str
) -> None:
    job = slurm.submit(FIRST)
    slurm.update(FIRST, state="drain", reason="bad DIMM")
    assert list(reasons(ask(FIRST, jobs=jobs), "WaitingNodes")) == [FIRST], "its job is waited for"
    assert slurm.job_states(job) == ["RUNNING"], "and left alone"
    slurm.cancel(job)
    slurm.wait(lambda: ask(FIRST) == PROCEED, "it does not become free")
    release(FIRST)
    assert slurm.states(FIRST) == {"IDLE", "DRAIN"}
    assert slurm.node(FIRST)["reason"] == "bad DIMM"


@pytest.mark.parametrize("state", ["DOWN", "FAIL"])
def test_a_node_that_was_taken_out_of_service_before_stays_so(
    slurm: Slurm, ask: Drain, release: Drain, state: str
) -> None:
    slurm.update(FIRST, state=state.lower(), reason="bad DIMM")
    assert ask(FIRST) == PROCEED
    release(FIRST)
    assert state in slurm.states(FIRST)
    assert slurm.node(FIRST)["reason"] == "bad DIMM"


def test_a_release_resumes_only_what_this_removal_drained(
    slurm: Slurm, ask: Drain, release: Drain
) -> None:
    ask(FIRST, THIRD)
    ask(SECOND, LogicalResourceId="OtherNodes")
    slurm.update(THIRD, state="drain", reason="bad DIMM")  # by an administrator, afterwards
    for _ in range(2):
        assert release(FIRST, SECOND, THIRD) == {}
    assert "DRAIN" not in slurm.states(FIRST)
    assert "DRAIN" in slurm.states(SECOND) & slurm.states(THIRD)


@pytest.mark.parametrize("state", ["DRAIN", "DOWN"])
def test_a_release_of_an_earlier_request_changes_nothing_that_a_later_one_drained(
    slurm: Slurm, ask: Drain, release: Drain, state: str
) -> None:
    """The request that was canceled may notice only when the next deployment has asked."""
    ask(FIRST, SECOND, RequestId="canceled")
    if state == "DOWN":  # as if its jobs had been requeued
        slurm.update(FIRST, state="down", reason=slurm.node(FIRST)["reason"])
    assert ask(FIRST) == PROCEED
    release(FIRST, SECOND, RequestId="canceled")
    assert state in slurm.states(FIRST)
    assert not {"DRAIN", "DOWN"} & slurm.states(SECOND)
    release(FIRST)
    assert not {"DRAIN", "DOWN"} & slurm.states(FIRST)


def test_a_question_after_a_release_drains_again(slurm: Slurm, ask: Drain, release: Drain) -> None:
    release(FIRST)
    ask(FIRST)
    release(FIRST)
    assert ask(FIRST) == PROCEED
    assert "DRAIN" in slurm.states(FIRST)


# What goes wrong -----------------------------------------------------------------------------


def test_a_name_that_slurm_does_not_know_is_vetoed(slurm: Slurm, ask: Drain) -> None:
    answer = ask(Nodes=[*map(slurm_node, (FIRST, "ip-10-9-9-9")), node("x"), node("")])
    assert answer["Decision"] == "PROCEED"
    assert reasons(answer, "VetoedNodes") == {
        "ip-10-9-9-9": "Slurm knows no node ip-10-9-9-9",
        "x": "SageMaker reports no host name for it",
    }


def test_a_user_who_may_not_change_nodes_gets_a_veto_with_slurms_words(
    slurm: Slurm, ask: Drain, secret: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret["SecretString"] = slurm.token("nobody")
    monkeypatch.setenv("USER_NAME", "nobody")
    answer = ask(FIRST)
    assert "does not drain" in reasons(answer, "VetoedNodes")[FIRST]
    assert "Invalid user id" in reasons(answer, "VetoedNodes")[FIRST]


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
def test_a_secret_without_a_valid_token_is_a_veto_that_does_not_show_it(
    slurm: Slurm, ask: Drain, secret: dict[str, str], text: str, reason: str
) -> None:
    secret["SecretString"] = text.format(slurm.token())
    answer = ask(FIRST)
    assert answer["Decision"] == "VETO"
    assert answer["Reason"].startswith(reason)
    assert slurm.token() not in answer["Reason"]


def test_no_log_level_shows_the_token(
    ask: Drain, secret: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ask(FIRST)
    assert FIRST in caplog.text
    assert secret["SecretString"].strip() not in caplog.text


def test_a_daemon_that_does_not_respond_is_waited_for_and_a_release_raises(
    ask: Drain, release: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REST_API", "http://127.0.0.1:1")
    answer = ask(FIRST)
    assert answer["Decision"] == "WAIT"
    assert reasons(answer, "WaitingNodes")[FIRST].startswith("127.0.0.1:1 does not respond: ")
    with pytest.raises(SchedulerError):
        release(FIRST)


def test_a_cluster_on_eks_is_a_veto(ask: Drain) -> None:
    arn = "arn:aws:eks:us-west-2:111122223333:cluster/training"
    assert "use EksDrain" in ask(FIRST, EksClusterArn=arn)["Reason"]


@pytest.mark.parametrize("version", ["v0.0.40", "v0.0.41", "v0.0.42"])
def test_each_version_that_the_daemon_serves_is_understood(slurm: Slurm, version: str) -> None:
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
