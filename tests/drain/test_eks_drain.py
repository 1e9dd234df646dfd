"""The EKS drain, one invocation after the other, against a model of the Kubernetes API."""

import logging
import ssl
import threading
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest
from botocore.session import get_session

from hyperpod_node_removal_eks_drain import index
from hyperpod_node_removal_eks_drain.kubernetes import Kubernetes, signed_token
from hyperpod_node_removal_hook import SchedulerError
from sandbox.kubernetes import Budget, ClusterState, KubernetesApi, Node, Pod
from sandbox.schedulers import rules
from tests.drain.hook import CONTEXT, MARK, PROCEED, RELEASE, event, node, reasons

FIRST, SECOND = "i-0123456789abcdef0", "i-0123456789abcdef1"
NODE, OTHER = f"hyperpod-{FIRST}", f"hyperpod-{SECOND}"
KEY = "hyperpod-node-removal/drained-by"
EKS = "arn:aws:eks:us-west-2:111122223333:cluster"


@cache
def session() -> Any:
    """Return a botocore session. It loads AWS's endpoints only once for all tests."""
    return get_session()


class Drain:
    """The drain function, and a cluster of two nodes."""

    def __init__(self) -> None:
        self.state = ClusterState(nodes={NODE: Node(), OTHER: Node()})
        self.api = KubernetesApi("training", self.state, rules())

    def invoke(self, *nodes: str, **more: Any) -> dict[str, Any]:
        given = {"EksClusterArn": f"{EKS}/training", **more}
        request = event(*map(node, nodes or (FIRST, SECOND)), **given)
        with self.api.serve() as endpoint, patch.object(index, "connect") as connect:
            connect.side_effect = lambda name: Kubernetes(
                endpoint, authority=self.api.authority, token=signed_token(session(), name)
            )
            return index.handler(request, CONTEXT)

    def release(self, *nodes: str, **more: Any) -> None:
        assert self.invoke(*nodes, **RELEASE, **more) == {}


@pytest.fixture
def drain(monkeypatch: pytest.MonkeyPatch) -> Drain:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("CLUSTER", "training")
    monkeypatch.setenv("DISRUPTS", "false")
    return Drain()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds since the epoch, as the only item. It passes only in `sleep`."""
    now, this, wait = [time.time()], threading.get_ident(), time.sleep

    def sleep(seconds: float) -> None:
        if threading.get_ident() == this:
            now[0] += seconds
        else:  # a library's thread, which polls
            wait(seconds)

    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    return now


# Draining ------------------------------------------------------------------------------------


def test_pods_are_evicted_and_the_drain_waits_until_they_are_gone(drain: Drain) -> None:
    drain.state.pods = [
        Pod("ml", f"trainer-{number}", NODE, lists_until_gone=2) for number in range(5)
    ]
    response = drain.invoke()
    assert response["Decision"] == "WAIT"
    assert reasons(response, "WaitingNodes") == {FIRST: "pod ml/trainer-0 is still terminating"}
    assert drain.state.evicted == [f"trainer-{number}" for number in range(5)], "from all pages"
    for one in drain.state.nodes.values():
        assert one.is_cordoned
        assert one.annotations == {KEY: MARK}
    assert drain.invoke()["Decision"] == "WAIT", "during their grace period"
    assert drain.invoke()["Decision"] == "WAIT"
    assert drain.invoke() == PROCEED
    assert len(drain.state.evicted) == 5, "each of them once"


def test_daemon_static_and_finished_pods_are_not_evicted(drain: Drain) -> None:
    drain.state.pods = [
        Pod("kube-system", "aws-node", NODE, controller="DaemonSet"),
        Pod("kube-system", "static", NODE, "Node", annotations={"kubernetes.io/config.mirror": ""}),
        Pod("ml", "done", NODE, controller="", phase="Succeeded"),
        Pod("ml", "failed", NODE, controller="Job", phase="Failed"),
    ]
    assert drain.invoke() == PROCEED
    assert drain.state.evicted == []
    assert len(drain.state.pods) == 4


def test_the_drain_waits_for_a_disruption_budget_and_reports_it(drain: Drain) -> None:
    drain.state.pods = [
        Pod("ml", "trainer-0", NODE, app="trainer"),
        Pod("ml", "trainer-1", "hyperpod-i-elsewhere", app="trainer"),
        Pod("ml", "web-0", OTHER),
    ]
    drain.state.budgets = [Budget("trainer", "trainer", min_available=2)]
    blocked = {
        FIRST: "pod ml/trainer-0 cannot be evicted: The disruption budget trainer needs 2 healthy"
        " pods and has 2 currently"
    }
    drain.invoke()
    assert reasons(drain.invoke(), "WaitingNodes").items() >= blocked.items()
    assert reasons(drain.invoke(), "WaitingNodes") == blocked, "the other node is done by now"
    drain.state.pods.append(Pod("ml", "trainer-2", "hyperpod-i-new", app="trainer"))
    assert drain.invoke()["Decision"] == "WAIT"
    drain.invoke()
    assert drain.invoke() == PROCEED


def test_a_pod_without_a_controller_vetoes_its_node_before_any_eviction(drain: Drain) -> None:
    drain.state.pods = [Pod("ml", "web-0", NODE), Pod("ml", "by-hand", NODE, controller="")]
    response = drain.invoke()
    assert response["Decision"] == "PROCEED"
    assert reasons(response, "VetoedNodes") == {
        FIRST: "pod ml/by-hand has no controller, so nothing would create it again"
    }
    assert drain.state.evicted == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("karpenter.sh/do-not-disrupt", "true"),
        ("karpenter.sh/do-not-evict", "true"),
        ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
    ],
)
def test_a_do_not_disrupt_annotation_vetoes_its_node_unless_overridden(
    drain: Drain, key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain.state.pods = [
        Pod("ml", "web-0", NODE, annotations={key: "neither"}),
        Pod("ml", "trainer-0", NODE, annotations={key: value}),
    ]
    drain.state.nodes[OTHER].annotations = {key: value}
    assert reasons(drain.invoke(), "VetoedNodes") == {
        FIRST: f"pod ml/trainer-0 has the annotation {key}={value}",
        SECOND: f"node {OTHER} has the annotation {key}={value}",
    }
    assert drain.state.evicted == []
    monkeypatch.setenv("DISRUPTS", "true")
    drain.invoke()
    assert drain.state.evicted == ["web-0", "trainer-0"]


def test_the_drain_waits_for_a_terminating_namespace(drain: Drain) -> None:
    """Kubernetes deletes its pods, and denies evictions, which are new objects."""
    drain.state.pods = [Pod("old", "web-0", NODE), Pod("ml", "web-1", NODE)]
    drain.state.terminating = {"old"}
    response = drain.invoke(FIRST)
    assert reasons(response, "WaitingNodes") == {
        FIRST: "pod old/web-0 cannot be evicted: namespace old is being terminated"
    }
    assert drain.state.evicted == ["web-1"]
    drain.state.pods[0].is_leaving = True
    for _ in range(2):
        drain.invoke(FIRST)
    assert drain.invoke(FIRST) == PROCEED


@pytest.mark.parametrize("status", [400, 403, 422])
def test_an_eviction_that_a_webhook_denies_blocks_only_its_own_node(
    drain: Drain, clock: list[float], status: int
) -> None:
    drain.state.pods = [Pod("ml", "kept", NODE), Pod("ml", "web-0", OTHER)]
    drain.state.denied = {"kept": status}
    for _ in range(3):
        response = drain.invoke()
    assert response["Decision"] == "WAIT"
    assert reasons(response, "WaitingNodes") == {
        FIRST: 'pod ml/kept cannot be evicted: admission webhook "pods" denied the request: kept'
    }


def test_the_drain_waits_for_any_pod_that_is_already_terminating(drain: Drain) -> None:
    drain.state.pods = [
        Pod("ml", "by-hand", NODE, controller="", is_leaving=True),
        Pod("ml", "kept", NODE, annotations={"karpenter.sh/do-not-disrupt": "true"}),
    ]
    drain.state.pods[1].is_leaving = True
    response = drain.invoke(FIRST)
    assert reasons(response, "WaitingNodes") == {FIRST: "pod ml/by-hand is still terminating"}
    assert drain.invoke(FIRST) == PROCEED
    assert drain.state.evicted == []


def test_a_pod_with_a_finalizer_blocks_its_node(drain: Drain) -> None:
    drain.state.pods = [Pod("ml", "stuck", NODE, finalizers=["example.com/checkpoint"])]
    for _ in range(3):
        response = drain.invoke(FIRST)
    assert reasons(response, "WaitingNodes")[FIRST] == (
        "pod ml/stuck is still terminating, held by the finalizer example.com/checkpoint"
    )
    assert drain.state.evicted == ["stuck"]


def test_the_drain_stops_waiting_for_the_pods_of_an_unreachable_node(
    drain: Drain, clock: list[float]
) -> None:
    """Nothing confirms that they have ended, so the node would be vetoed in every deployment."""
    drain.state.nodes[NODE].is_unreachable = True
    drain.state.pods = [
        Pod("ml", "trainer-0", NODE, finalizers=["batch.kubernetes.io/job-tracking"])
    ]
    drain.state.pods[0].ends_at = f"{datetime.fromtimestamp(clock[0] + 30, UTC):%FT%TZ}"
    drain.invoke(FIRST)
    assert drain.state.evicted == ["trainer-0"], "so that it runs elsewhere"
    clock[0] += 320
    assert reasons(drain.invoke(FIRST), "WaitingNodes") == {
        FIRST: "pod ml/trainer-0 is still terminating, held by the finalizer"
        " batch.kubernetes.io/job-tracking"
    }
    clock[0] += 20
    assert drain.invoke(FIRST) == PROCEED
    drain.state.nodes[NODE].is_unreachable = False
    assert drain.invoke(FIRST)["Decision"] == "WAIT", "it is reachable again"


def test_a_pod_that_is_recreated_on_its_node_blocks_it(drain: Drain) -> None:
    """Such a pod tolerates the cordon, or is bound to the node by name."""
    for number in range(3):
        drain.state.pods = [Pod("ml", "stubborn", NODE, uid=str(number))]
        assert drain.invoke(FIRST)["Decision"] == "WAIT"
    assert drain.state.evicted == ["stubborn"] * 3


def test_a_pod_with_the_same_name_on_another_node_is_not_evicted(drain: Drain) -> None:
    drain.state.pods = [Pod("ml", "trainer-0", NODE)]
    real = drain.state.pods_on

    def pods_on(node: str) -> list[dict[str, object]]:
        shown = real(node)
        if shown:
            drain.state.pods = [Pod("ml", "trainer-0", "hyperpod-i-new", uid="another")]
        return shown

    drain.state.pods_on = pods_on  # type: ignore[method-assign]
    drain.invoke()
    assert drain.invoke() == PROCEED
    assert drain.state.evicted == []


# Changes by others ---------------------------------------------------------------------------


def test_a_release_uncordons_only_nodes_that_this_removal_cordoned(drain: Drain) -> None:
    drain.state.nodes[OTHER].is_cordoned = True
    assert drain.invoke() == PROCEED
    assert drain.state.nodes[OTHER].annotations == {}
    drain.release(LogicalResourceId="OtherNodes")
    assert drain.state.nodes[NODE].is_cordoned
    for _ in range(2):
        drain.release("i-gone", FIRST, SECOND)
    assert not drain.state.nodes[NODE].is_cordoned
    assert drain.state.nodes[NODE].annotations == {}
    assert drain.state.nodes[OTHER].is_cordoned


def test_a_release_of_an_earlier_request_keeps_what_a_later_one_drained(drain: Drain) -> None:
    """A canceled request may notice that only after the next deployment has invoked the hook."""
    drain.invoke(FIRST, SECOND, RequestId="canceled")
    assert drain.invoke(FIRST) == PROCEED
    drain.release(FIRST, SECOND, RequestId="canceled")
    assert drain.state.nodes[NODE].is_cordoned
    assert not drain.state.nodes[OTHER].is_cordoned
    drain.release(FIRST)
    assert not drain.state.nodes[NODE].is_cordoned


def test_an_invocation_after_a_release_drains_again(drain: Drain) -> None:
    drain.release()
    drain.invoke()
    drain.release()
    assert drain.invoke() == PROCEED
    assert drain.state.nodes[NODE].is_cordoned


# Errors --------------------------------------------------------------------------------------


def test_a_node_that_kubernetes_does_not_know_is_vetoed(drain: Drain) -> None:
    assert reasons(drain.invoke("i-never-joined"), "VetoedNodes") == {
        "i-never-joined": "Kubernetes knows no node hyperpod-i-never-joined"
    }


@pytest.mark.parametrize("status", [409, 410, 429, 500, 503])
def test_the_drain_continues_after_an_outage_at_any_call(drain: Drain, status: int) -> None:
    drain.state.pods = [Pod("ml", "web-0", NODE)]
    for calls_before, call in enumerate(("get", "patch", "list", "create")):
        drain.api.failures = [0] * min(calls_before, 2) + [status]
        assert drain.invoke(FIRST)["Decision"] == "WAIT"
        assert drain.api.calls[-1][0] == call
        assert drain.state.evicted == []
    while drain.invoke(FIRST) != PROCEED:
        assert drain.state.evicted == ["web-0"]
    assert drain.state.evicted == ["web-0"]


@pytest.mark.parametrize(("status", "decision"), [(503, "WAIT"), (403, "VETO"), (302, "VETO")])
def test_the_reason_is_the_call_that_failed(
    drain: Drain, clock: list[float], status: int, decision: str
) -> None:
    drain.api.failures = [status] * 99
    response = drain.invoke(FIRST)
    assert response["Decision"] == decision
    assert response.get("Reason", reasons(response, "WaitingNodes").get(FIRST)) == (
        f"get node {NODE}: {status} the server was unable to return a response"
    )


@pytest.mark.parametrize("status", [401, 403])
def test_the_drain_waits_until_a_new_permission_takes_effect(
    drain: Drain, clock: list[float], status: int
) -> None:
    """An access entry takes some seconds, and the first removal can begin before that."""
    drain.api.failures = [status] * 4
    assert drain.invoke(FIRST, seconds=300) == PROCEED
    assert drain.state.nodes[NODE].is_cordoned


@pytest.mark.parametrize(("seconds", "waited"), [(300, 60), (60, 40)])
def test_a_missing_permission_is_a_veto_after_a_minute_or_before_the_deadline(
    drain: Drain, clock: list[float], seconds: int, waited: int
) -> None:
    drain.api.failures = [401] * 99
    began = clock[0]
    response = drain.invoke(seconds=seconds)
    assert response["Decision"] == "VETO"
    assert ": 401 the server" in response["Reason"]
    assert clock[0] - began == pytest.approx(waited, abs=5)


def test_every_granted_permission_is_used_and_enforced(drain: Drain, clock: list[float]) -> None:
    drain.state.pods = [Pod("ml", "web-0", NODE)]
    drain.invoke()
    given = {(v, r) for rule in rules() for v in rule["verbs"] for r in rule["resources"]}
    assert set(drain.api.calls) == given
    drain.api = KubernetesApi("training", drain.state, rules()[1:])
    assert "403 nodes is forbidden" in drain.invoke()["Reason"]
    drain.state.pods = [Pod("ml", "web-1", NODE)]
    drain.api = KubernetesApi("training", drain.state, rules()[:2])
    assert "403 pods/eviction is forbidden" in drain.invoke()["Reason"]


def test_nodes_are_drained_concurrently_over_a_few_connections(drain: Drain) -> None:
    """Without concurrency, and with a connection for each call, 1,000 nodes took minutes."""
    nodes = [f"i-{number:017x}" for number in range(40)]
    drain.state.nodes = {f"hyperpod-{one}": Node() for one in nodes}
    barrier, listed = threading.Barrier(10, timeout=60), drain.state.pods_on

    def pods_on(node: str) -> list[dict[str, object]]:
        barrier.wait()
        return listed(node)

    drain.state.pods_on = pods_on  # type: ignore[method-assign]
    assert drain.invoke(*nodes) == PROCEED
    assert len(drain.api.calls) == 3 * len(nodes)
    assert len(drain.api.connections) == 10
    drain.release(*nodes)
    assert not any(one.is_cordoned for one in drain.state.nodes.values())


def test_a_node_that_is_not_reached_in_time_waits(drain: Drain) -> None:
    response = drain.invoke(seconds=10)
    assert set(reasons(response, "WaitingNodes").values()) == {"not reached in time"}
    assert drain.api.calls == []


def test_pods_that_are_not_reached_in_time_are_evicted_by_the_next_invocation(
    drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow API server must not make the hook miss its deadline: nothing would be removed."""
    drain.state.pods = [Pod("ml", f"web-{number}", NODE) for number in range(4)]
    began, original = time.time(), drain.state.evict
    now = began

    def evict(*pod: str) -> tuple[int, str]:
        nonlocal now
        now += 20
        return original(*pod)

    monkeypatch.setattr(drain.state, "evict", evict)
    monkeypatch.setattr(time, "time", lambda: now)
    response = drain.invoke(FIRST)
    assert response["Decision"] == "WAIT"
    assert reasons(response, "WaitingNodes") == {FIRST: "pod ml/web-3: not reached in time"}
    assert drain.state.evicted == ["web-0", "web-1", "web-2"]
    assert now < began + 75


@pytest.mark.parametrize(
    ("arn", "reason"), [("", "use SlurmDrain"), (f"{EKS}/other", "not in training")]
)
def test_a_cluster_with_another_orchestrator_is_vetoed(drain: Drain, arn: str, reason: str) -> None:
    assert reason in drain.invoke(EksClusterArn=arn)["Reason"]


@pytest.mark.parametrize("status", [403, 503])
def test_a_failed_release_raises_and_releases_the_other_nodes(drain: Drain, status: int) -> None:
    drain.invoke()
    drain.api.failures = [status]
    with pytest.raises(SchedulerError):
        drain.release()
    assert sorted(one.is_cordoned for one in drain.state.nodes.values()) == [False, True]


def test_the_token_is_not_logged_at_any_level(
    drain: Drain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    drain.invoke()
    assert NODE in caplog.text
    assert "Signature" not in caplog.text


def test_a_certificate_authority_without_a_key_identifier_is_accepted(
    drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of EKS have none (awslabs/mcp #3791), which Python 3.13 and later reject."""
    create = ssl.create_default_context

    def strict(**given: Any) -> ssl.SSLContext:
        context = create(**given)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    client = Kubernetes("https://x", authority=drain.api.authority, token="")
    assert not client._trust.verify_flags & ssl.VERIFY_X509_STRICT


def test_a_server_with_an_untrusted_certificate_is_not_called(
    drain: Drain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    other = KubernetesApi("training", drain.state, rules())
    with drain.api.serve() as endpoint:
        client = Kubernetes(endpoint, authority=other.authority, token="k8s-aws-v1.secret")
        with pytest.raises(SchedulerError, match="SSLCertVerificationError"):
            client.node(NODE)
    assert drain.api.calls == []
    assert "secret" not in caplog.text
