"""The drain on Slurm, against a real one: what its nodes and jobs come to."""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hyperpod_node_removal_slurm_drain import index
from hyperpod_node_removal_slurm_drain.slurm import Slurm as Client
from hyperpod_node_removal_slurm_drain.slurm import SlurmError
from sandbox.hyperpod import ServiceError
from sandbox.slurm import Slurm
from tests.aws_transport import answered_by
from tests.drain.conftest import NAMES

FIRST, SECOND, THIRD = NAMES
MARK = "hyperpod-node-removal maintenance/FaultyNodes 6d1f0c2e"
STACK = "arn:aws:cloudformation:us-west-2:111122223333:stack/maintenance/6d1f0c2e-9a56-11ef"

Drain = Callable[..., dict[str, Any]]


def node(name: str) -> dict[str, str]:
    return {
        "NodeId": f"i-{name}",
        "NodeLogicalId": "",
        "InstanceGroupName": "workers",
        "InstanceType": "ml.p5.48xlarge",
        "Status": "Running",
        "PrivateDnsHostname": f"{name}.us-west-2.compute.internal",
    }


def event(*names: str, seconds: float = 60, **more: Any) -> dict[str, Any]:
    return {
        "Version": "1",
        "ClusterName": "ml-cluster",
        "ClusterArn": "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6",
        "EksClusterArn": "",
        "StackId": STACK,
        "LogicalResourceId": "FaultyNodes",
        "Deadline": f"{datetime.fromtimestamp(time.time() + seconds, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "Nodes": [node(name) for name in names],
        **more,
    }


def reasons(answer: dict[str, Any], key: str) -> dict[str, str]:
    return {one["NodeId"].removeprefix("i-"): one["Reason"] for one in answer.get(key, ())}


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
        return index.handler(event(*names, **more), None)

    return ask


@pytest.fixture
def release(ask: Drain) -> Drain:
    return lambda *names, **more: ask(*names, **{"Version": "2", "Action": "RELEASE", **more})


# Draining ------------------------------------------------------------------------------------


def test_idle_nodes_are_drained_with_the_mark_and_free_at_once(slurm: Slurm, ask: Drain) -> None:
    answer = ask(FIRST, SECOND)
    assert answer == {"Version": "2", "Decision": "PROCEED", "VetoedNodes": []}
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
    slurm.wait(lambda: ask(FIRST, SECOND)["Decision"] == "PROCEED", "it does not become free")


def test_a_suspended_job_is_waited_for_though_its_node_is_idle(slurm: Slurm, ask: Drain) -> None:
    job = slurm.submit(FIRST)
    slurm.run("scontrol", "suspend", str(job))
    slurm.wait(lambda: slurm.states(FIRST) == {"IDLE"}, "it is not suspended")
    assert reasons(ask(FIRST), "WaitingNodes") == {FIRST: f"job {job} of root is on {FIRST}"}


def test_a_job_of_several_nodes_and_many_jobs_are_told_shortly(slurm: Slurm, ask: Drain) -> None:
    wide = slurm.submit(FIRST, SECOND)
    assert reasons(ask(SECOND), "WaitingNodes") == {
        SECOND: f"job {wide} of root is on {SECOND}",
    }
    slurm.cancel(wide)
    jobs = [slurm.submit(THIRD) for _ in range(2)]
    told = reasons(ask(THIRD), "WaitingNodes")[THIRD]
    assert told == f"job {jobs[0]} of root, job {jobs[1]} of root are on {THIRD}"


def test_no_new_job_starts_on_a_drained_node(slurm: Slurm, ask: Drain) -> None:
    ask(FIRST)
    job = int(slurm.run("sbatch", "--parsable", "-w", FIRST, "--chdir=/tmp", "--wrap=true"))
    ask(FIRST)
    assert slurm.job_states(job) == ["PENDING"]


def test_a_job_is_requeued_if_that_is_wanted_and_it_may_be(slurm: Slurm, ask: Drain) -> None:
    job = slurm.submit(FIRST)
    kept = slurm.submit(SECOND, requeue=False)
    ask(FIRST, SECOND, jobs="REQUEUE")
    slurm.wait(lambda: slurm.job_states(job) == ["PENDING"], "it is not requeued")
    answer = ask(FIRST, SECOND, jobs="REQUEUE")
    assert list(reasons(answer, "WaitingNodes")) == [SECOND]
    assert slurm.job_states(kept) == ["RUNNING"], "it would not come back"
    assert "DRAIN" in slurm.states(FIRST)


def test_a_requeued_node_that_is_released_takes_jobs_again(
    slurm: Slurm, ask: Drain, release: Drain
) -> None:
    slurm.submit(FIRST)
    ask(FIRST, jobs="REQUEUE")
    slurm.wait(lambda: ask(FIRST)["Decision"] == "PROCEED", "it does not become free")
    release(FIRST)
    slurm.wait(lambda: not slurm.states(FIRST) & {"DRAIN", "DOWN"}, "it is not resumed")


def test_a_job_is_canceled_after_its_grace_time_only(slurm: Slurm, ask: Drain) -> None:
    job = slurm.submit(FIRST)
    ask(FIRST, jobs="CANCEL", grace=3600)
    ask(FIRST, jobs="CANCEL", grace=3600)
    assert slurm.job_states(job) == ["RUNNING"]
    ask(FIRST, jobs="CANCEL", grace=0)
    slurm.wait(lambda: "CANCELLED" in slurm.job_states(job), "it is not canceled")
    slurm.wait(lambda: ask(FIRST)["Decision"] == "PROCEED", "it does not become free")


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
    slurm.wait(lambda: ask(FIRST)["Decision"] == "PROCEED", "it does not become free")
    release(FIRST)
    assert slurm.states(FIRST) == {"IDLE", "DRAIN"}
    assert slurm.node(FIRST)["reason"] == "bad DIMM"


@pytest.mark.parametrize("state", ["DOWN", "FAIL"])
def test_a_node_that_was_taken_out_of_service_before_stays_so(
    slurm: Slurm, ask: Drain, release: Drain, state: str
) -> None:
    slurm.update(FIRST, state=state.lower(), reason="bad DIMM")
    assert ask(FIRST)["Decision"] == "PROCEED"
    release(FIRST)
    assert state in slurm.states(FIRST)
    assert slurm.node(FIRST)["reason"] == "bad DIMM"


def test_a_release_resumes_only_what_this_removal_drained(
    slurm: Slurm, ask: Drain, release: Drain
) -> None:
    ask(FIRST)
    ask(SECOND, LogicalResourceId="OtherNodes")
    slurm.update(THIRD, state="drain", reason="bad DIMM")
    for _ in range(2):
        assert release(FIRST, SECOND, THIRD) == {}
    assert "DRAIN" not in slurm.states(FIRST)
    assert "DRAIN" in slurm.states(SECOND) & slurm.states(THIRD)


def test_a_node_that_an_administrator_drained_afterwards_stays(
    slurm: Slurm, ask: Drain, release: Drain
) -> None:
    ask(FIRST)
    slurm.update(FIRST, state="drain", reason="bad DIMM")
    release(FIRST)
    assert "DRAIN" in slurm.states(FIRST)


def test_a_question_after_a_release_drains_again(slurm: Slurm, ask: Drain, release: Drain) -> None:
    release(FIRST)
    ask(FIRST)
    release(FIRST)
    assert ask(FIRST)["Decision"] == "PROCEED"
    assert "DRAIN" in slurm.states(FIRST)


def test_a_release_that_comes_too_late_does_nothing(
    slurm: Slurm, ask: Drain, release: Drain
) -> None:
    ask(FIRST)
    release(FIRST, seconds=-1)
    assert slurm.states(FIRST) == {"IDLE", "DRAIN"}


# What goes wrong -----------------------------------------------------------------------------


def test_a_name_that_slurm_does_not_know_is_vetoed(slurm: Slurm, ask: Drain) -> None:
    nameless = {**node("x"), "PrivateDnsHostname": ""}
    pending = {**nameless, "NodeId": "", "NodeLogicalId": "workers-7"}
    answer = ask(Nodes=[node(FIRST), node("ip-10-9-9-9"), nameless, pending])
    assert answer["Decision"] == "PROCEED"
    assert reasons(answer, "VetoedNodes") == {
        "ip-10-9-9-9": "Slurm knows no node ip-10-9-9-9",
        "x": "SageMaker gave no host name for it",
    }


def test_a_user_who_may_not_change_nodes_gets_a_veto_with_slurms_words(
    slurm: Slurm, ask: Drain, secret: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret["SecretString"] = slurm.token("nobody")
    monkeypatch.setenv("USER_NAME", "nobody")
    answer = ask(FIRST)
    assert "does not drain" in reasons(answer, "VetoedNodes")[FIRST]
    assert "Invalid user id" in reasons(answer, "VetoedNodes")[FIRST]


@pytest.mark.parametrize("token", ["nonsense", "eyJhbGciOiJIUzI1NiJ9.eyJzdW4iOiJyb290In0.AAAA"])
def test_a_token_that_is_refused_is_a_veto(ask: Drain, secret: dict[str, str], token: str) -> None:
    secret["SecretString"] = token
    answer = ask(FIRST)
    assert answer["Decision"] == "VETO"
    assert "slurmrestd refuses the token" in answer["Reason"]


@pytest.mark.parametrize(
    "secret_text", ["SLURM_JWT={0}\n{0}", '{{\n"token": "{0}"\n}}', "{0}\u2026"]
)
def test_a_secret_that_is_not_a_token_alone_is_a_veto_that_does_not_tell_it(
    slurm: Slurm, ask: Drain, secret: dict[str, str], secret_text: str
) -> None:
    secret["SecretString"] = secret_text.format(slurm.token())
    answer = ask(FIRST)
    assert answer["Decision"] == "VETO"
    assert answer["Reason"].startswith("the secret is not a JWT")
    assert slurm.token() not in answer["Reason"]


def test_no_log_level_shows_the_token(
    ask: Drain, secret: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ask(FIRST)
    assert FIRST in caplog.text
    assert secret["SecretString"].strip() not in caplog.text


def test_a_secret_that_cannot_be_read_is_a_veto(ask: Drain, secret: dict[str, str]) -> None:
    secret["SecretString"] = ""
    answer = ask(FIRST)
    assert answer["Decision"] == "VETO"
    assert "the secret with the token cannot be read" in answer["Reason"]


def test_a_daemon_that_does_not_answer_is_waited_for(
    ask: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REST_API", "http://127.0.0.1:1")
    answer = ask(FIRST)
    assert answer["Decision"] == "WAIT"
    assert reasons(answer, "WaitingNodes")[FIRST].startswith("slurmrestd does not answer: ")


def test_a_release_that_is_not_carried_out_raises_so_that_lambda_tries_again(
    release: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REST_API", "http://127.0.0.1:1")
    with pytest.raises(SlurmError):
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
    assert not shown.is_free
    assert shown.reason == MARK
    assert abs(shown.reason_since - time.time()) < 60
    assert [one.job_id for one in client.jobs()] == [job]
    assert client.cancel(client.jobs()[0]) == ""
    assert client.update(FIRST, "RESUME") == ""
    assert client.update("no-such-node", "DRAIN", MARK)
