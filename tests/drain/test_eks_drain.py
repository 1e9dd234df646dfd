"""The drain on EKS, step by step against a model of the Kubernetes API."""

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
    """A session of botocore, which reads AWS's endpoints once."""
    return get_session()


class Drained:
    """A cluster of two nodes, and the function that is invoked for them."""

    def __init__(self) -> None:
        self.state = ClusterState(nodes={NODE: Node(), OTHER: Node()})
        self.api = KubernetesApi("training", self.state, rules())

    def ask(self, *nodes: str, **more: Any) -> dict[str, Any]:
        given = {"EksClusterArn": f"{EKS}/training", **more}
        asked = event(*map(node, nodes or (FIRST, SECOND)), **given)
        with self.api.serve() as endpoint, patch.object(index, "connect") as connect:
            connect.side_effect = lambda name: Kubernetes(
                endpoint, authority=self.api.authority, token=signed_token(session(), name)
            )
            return index.handler(asked, CONTEXT)

    def release(self, *nodes: str, **more: Any) -> None:
        assert self.ask(*nodes, **RELEASE, **more) == {}


@pytest.fixture
def drained(monkeypatch: pytest.MonkeyPatch) -> Drained:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("CLUSTER", "training")
    monkeypatch.setenv("DISRUPTS", "false")
    return Drained()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that passes only while the function sleeps: seconds since the epoch."""
    now, this, wait = [time.time()], threading.get_ident(), time.sleep

    def sleep(seconds: float) -> None:
        if threading.get_ident() == this:
            now[0] += seconds
        else:  # a thread of a library, which wakes up now and then
            wait(seconds)

    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    return now


# Draining ------------------------------------------------------------------------------------


def test_pods_are_evicted_and_waited_for(drained: Drained) -> None:
    drained.state.pods = [
        Pod("ml", f"trainer-{number}", NODE, lists_until_gone=2) for number in range(5)
    ]
    answer = drained.ask()
    assert answer["Decision"] == "WAIT"
    assert reasons(answer, "WaitingNodes") == {FIRST: "pod ml/trainer-0 is still terminating"}
    assert drained.state.evicted == [f"trainer-{number}" for number in range(5)], "page after page"
    for one in drained.state.nodes.values():
        assert one.is_cordoned
        assert one.annotations == {KEY: MARK}
    assert drained.ask()["Decision"] == "WAIT", "their grace period is waited for"
    assert drained.ask()["Decision"] == "WAIT"
    assert drained.ask() == PROCEED
    assert len(drained.state.evicted) == 5, "evicted once"


def test_what_belongs_to_the_node_or_has_finished_is_left_alone(drained: Drained) -> None:
    drained.state.pods = [
        Pod("kube-system", "aws-node", NODE, controller="DaemonSet"),
        Pod("kube-system", "static", NODE, "Node", annotations={"kubernetes.io/config.mirror": ""}),
        Pod("ml", "done", NODE, controller="", phase="Succeeded"),
        Pod("ml", "failed", NODE, controller="Job", phase="Failed"),
    ]
    assert drained.ask() == PROCEED
    assert drained.state.evicted == []
    assert len(drained.state.pods) == 4


def test_a_budget_is_honored_and_named_until_it_gives_way(drained: Drained) -> None:
    drained.state.pods = [
        Pod("ml", "trainer-0", NODE, app="trainer"),
        Pod("ml", "trainer-1", "hyperpod-i-elsewhere", app="trainer"),
        Pod("ml", "web-0", OTHER),
    ]
    drained.state.budgets = [Budget("trainer", "trainer", min_available=2)]
    blocked = {
        FIRST: "pod ml/trainer-0 cannot be evicted: The disruption budget trainer needs 2 healthy"
        " pods and has 2 currently"
    }
    drained.ask()
    assert reasons(drained.ask(), "WaitingNodes").items() >= blocked.items()
    assert reasons(drained.ask(), "WaitingNodes") == blocked, "the other node is drained meanwhile"
    drained.state.pods.append(Pod("ml", "trainer-2", "hyperpod-i-new", app="trainer"))
    assert drained.ask()["Decision"] == "WAIT"
    drained.ask()
    assert drained.ask() == PROCEED


def test_a_pod_without_a_controller_is_a_veto_before_anything_is_evicted(drained: Drained) -> None:
    drained.state.pods = [Pod("ml", "web-0", NODE), Pod("ml", "by-hand", NODE, controller="")]
    answer = drained.ask()
    assert answer["Decision"] == "PROCEED"
    assert reasons(answer, "VetoedNodes") == {
        FIRST: "pod ml/by-hand has no controller, so nothing would create it again"
    }
    assert drained.state.evicted == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("karpenter.sh/do-not-disrupt", "true"),
        ("karpenter.sh/do-not-evict", "true"),
        ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
    ],
)
def test_an_annotation_that_says_do_not_disrupt_is_a_veto_unless_it_is_overruled(
    drained: Drained, key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drained.state.pods = [
        Pod("ml", "web-0", NODE, annotations={key: "neither"}),
        Pod("ml", "trainer-0", NODE, annotations={key: value}),
    ]
    drained.state.nodes[OTHER].annotations = {key: value}
    assert reasons(drained.ask(), "VetoedNodes") == {
        FIRST: f"pod ml/trainer-0 has the annotation {key}={value}",
        SECOND: f"node {OTHER} has the annotation {key}={value}",
    }
    assert drained.state.evicted == []
    monkeypatch.setenv("DISRUPTS", "true")
    drained.ask()
    assert drained.state.evicted == ["web-0", "trainer-0"]


def test_a_namespace_that_is_being_deleted_is_waited_for(drained: Drained) -> None:
    """It deletes its pods itself, and refuses an eviction as it refuses all that is new."""
    drained.state.pods = [Pod("old", "web-0", NODE), Pod("ml", "web-1", NODE)]
    drained.state.terminating = {"old"}
    answer = drained.ask(FIRST)
    assert reasons(answer, "WaitingNodes") == {
        FIRST: "pod old/web-0 cannot be evicted: namespace old is being terminated"
    }
    assert drained.state.evicted == ["web-1"]
    drained.state.pods[0].is_leaving = True
    for _ in range(2):
        drained.ask(FIRST)
    assert drained.ask(FIRST) == PROCEED


@pytest.mark.parametrize("status", [400, 403, 422])
def test_an_eviction_that_a_webhook_denies_keeps_its_own_node_only(
    drained: Drained, clock: list[float], status: int
) -> None:
    drained.state.pods = [Pod("ml", "kept", NODE), Pod("ml", "web-0", OTHER)]
    drained.state.denied = {"kept": status}
    for _ in range(3):
        answer = drained.ask()
    assert answer["Decision"] == "WAIT"
    assert reasons(answer, "WaitingNodes") == {
        FIRST: 'pod ml/kept cannot be evicted: admission webhook "pods" denied the request: kept'
    }


def test_a_pod_that_somebody_has_deleted_is_waited_for_whatever_it_is(drained: Drained) -> None:
    drained.state.pods = [
        Pod("ml", "by-hand", NODE, controller="", is_leaving=True),
        Pod("ml", "kept", NODE, annotations={"karpenter.sh/do-not-disrupt": "true"}),
    ]
    drained.state.pods[1].is_leaving = True
    answer = drained.ask(FIRST)
    assert reasons(answer, "WaitingNodes") == {FIRST: "pod ml/by-hand is still terminating"}
    assert drained.ask(FIRST) == PROCEED
    assert drained.state.evicted == []


def test_a_pod_that_a_finalizer_holds_keeps_its_node(drained: Drained) -> None:
    drained.state.pods = [Pod("ml", "stuck", NODE, finalizers=["example.com/checkpoint"])]
    for _ in range(3):
        answer = drained.ask(FIRST)
    assert reasons(answer, "WaitingNodes")[FIRST] == (
        "pod ml/stuck is still terminating, held by the finalizer example.com/checkpoint"
    )
    assert drained.state.evicted == ["stuck"]


def test_pods_of_a_node_that_has_stopped_to_report_are_not_waited_for_without_end(
    drained: Drained, clock: list[float]
) -> None:
    """Nothing confirms that they have ended: such a node was vetoed at each deployment."""
    drained.state.nodes[NODE].is_unreachable = True
    drained.state.pods = [
        Pod("ml", "trainer-0", NODE, finalizers=["batch.kubernetes.io/job-tracking"])
    ]
    drained.state.pods[0].ends_at = f"{datetime.fromtimestamp(clock[0] + 30, UTC):%FT%TZ}"
    drained.ask(FIRST)
    assert drained.state.evicted == ["trainer-0"], "so that it runs elsewhere"
    clock[0] += 320
    assert reasons(drained.ask(FIRST), "WaitingNodes") == {
        FIRST: "pod ml/trainer-0 is still terminating, held by the finalizer"
        " batch.kubernetes.io/job-tracking"
    }
    clock[0] += 20
    assert drained.ask(FIRST) == PROCEED
    drained.state.nodes[NODE].is_unreachable = False
    assert drained.ask(FIRST)["Decision"] == "WAIT", "it reports again"


def test_a_pod_that_comes_back_keeps_its_node(drained: Drained) -> None:
    """As one does that tolerates the cordon, or is bound to the node by name."""
    for number in range(3):
        drained.state.pods = [Pod("ml", "stubborn", NODE, uid=str(number))]
        assert drained.ask(FIRST)["Decision"] == "WAIT"
    assert drained.state.evicted == ["stubborn"] * 3


def test_a_pod_of_the_same_name_elsewhere_is_not_evicted(drained: Drained) -> None:
    drained.state.pods = [Pod("ml", "trainer-0", NODE)]
    real = drained.state.pods_on

    def pods_on(node: str) -> list[dict[str, object]]:
        shown = real(node)
        if shown:
            drained.state.pods = [Pod("ml", "trainer-0", "hyperpod-i-new", uid="another")]
        return shown

    drained.state.pods_on = pods_on  # type: ignore[method-assign]
    drained.ask()
    assert drained.ask() == PROCEED
    assert drained.state.evicted == []


# What others did -----------------------------------------------------------------------------


def test_a_release_uncordons_only_what_this_removal_cordoned(drained: Drained) -> None:
    drained.state.nodes[OTHER].is_cordoned = True
    assert drained.ask() == PROCEED
    assert drained.state.nodes[OTHER].annotations == {}
    drained.release(LogicalResourceId="OtherNodes")
    assert drained.state.nodes[NODE].is_cordoned
    for _ in range(2):
        drained.release("i-gone", FIRST, SECOND)
    assert not drained.state.nodes[NODE].is_cordoned
    assert drained.state.nodes[NODE].annotations == {}
    assert drained.state.nodes[OTHER].is_cordoned


def test_a_release_of_an_earlier_request_changes_nothing_that_a_later_one_drained(
    drained: Drained,
) -> None:
    """The request that was canceled may notice only when the next deployment has asked."""
    drained.ask(FIRST, SECOND, RequestId="canceled")
    assert drained.ask(FIRST) == PROCEED
    drained.release(FIRST, SECOND, RequestId="canceled")
    assert drained.state.nodes[NODE].is_cordoned
    assert not drained.state.nodes[OTHER].is_cordoned
    drained.release(FIRST)
    assert not drained.state.nodes[NODE].is_cordoned


def test_a_question_after_a_release_drains_again(drained: Drained) -> None:
    drained.release()
    drained.ask()
    drained.release()
    assert drained.ask() == PROCEED
    assert drained.state.nodes[NODE].is_cordoned


# What goes wrong -----------------------------------------------------------------------------


def test_a_node_that_kubernetes_does_not_know_does_not_count_as_empty(drained: Drained) -> None:
    assert reasons(drained.ask("i-never-joined"), "VetoedNodes") == {
        "i-never-joined": "Kubernetes knows no node hyperpod-i-never-joined"
    }


@pytest.mark.parametrize("status", [409, 410, 429, 500, 503])
def test_an_outage_is_waited_out(drained: Drained, status: int) -> None:
    drained.state.pods = [Pod("ml", "web-0", NODE)]
    for calls_before, call in enumerate(("get", "patch", "list", "create")):
        drained.api.failures = [0] * min(calls_before, 2) + [status]
        assert drained.ask(FIRST)["Decision"] == "WAIT"
        assert drained.api.calls[-1][0] == call
        assert drained.state.evicted == []
    while drained.ask(FIRST) != PROCEED:
        assert drained.state.evicted == ["web-0"]
    assert drained.state.evicted == ["web-0"]


@pytest.mark.parametrize(("status", "decision"), [(503, "WAIT"), (403, "VETO"), (302, "VETO")])
def test_a_call_that_fails_is_the_reason(
    drained: Drained, clock: list[float], status: int, decision: str
) -> None:
    drained.api.failures = [status] * 99
    answer = drained.ask(FIRST)
    assert answer["Decision"] == decision
    assert answer.get("Reason", reasons(answer, "WaitingNodes").get(FIRST)) == (
        f"get node {NODE}: {status} the server was unable to return a response"
    )


@pytest.mark.parametrize("status", [401, 403])
def test_a_permission_that_has_no_effect_yet_is_waited_for(
    drained: Drained, clock: list[float], status: int
) -> None:
    """An access entry has none for some seconds, and a first removal follows it at once."""
    drained.api.failures = [status] * 4
    assert drained.ask(FIRST, seconds=300) == PROCEED
    assert drained.state.nodes[NODE].is_cordoned


@pytest.mark.parametrize(("seconds", "waited"), [(300, 60), (60, 40)])
def test_a_permission_that_is_missing_is_a_veto_after_a_minute_if_there_is_time(
    drained: Drained, clock: list[float], seconds: int, waited: int
) -> None:
    drained.api.failures = [401] * 99
    began = clock[0]
    answer = drained.ask(seconds=seconds)
    assert answer["Decision"] == "VETO"
    assert ": 401 the server" in answer["Reason"]
    assert clock[0] - began == pytest.approx(waited, abs=5)


def test_no_right_is_given_that_is_not_used(drained: Drained, clock: list[float]) -> None:
    drained.state.pods = [Pod("ml", "web-0", NODE)]
    drained.ask()
    given = {(v, r) for rule in rules() for v in rule["verbs"] for r in rule["resources"]}
    assert set(drained.api.calls) == given
    drained.api = KubernetesApi("training", drained.state, rules()[1:])
    assert "403 nodes is forbidden" in drained.ask()["Reason"]
    drained.state.pods = [Pod("ml", "web-1", NODE)]
    drained.api = KubernetesApi("training", drained.state, rules()[:2])
    assert "403 pods/eviction is forbidden" in drained.ask()["Reason"]


def test_nodes_are_drained_several_at_a_time_over_a_few_connections(drained: Drained) -> None:
    """One after the other, each call on a connection of its own, 1,000 nodes took minutes."""
    nodes = [f"i-{number:017x}" for number in range(40)]
    drained.state.nodes = {f"hyperpod-{one}": Node() for one in nodes}
    together, listed = threading.Barrier(10, timeout=60), drained.state.pods_on

    def pods_on(node: str) -> list[dict[str, object]]:
        together.wait()
        return listed(node)

    drained.state.pods_on = pods_on  # type: ignore[method-assign]
    assert drained.ask(*nodes) == PROCEED
    assert len(drained.api.calls) == 3 * len(nodes)
    assert len(drained.api.connections) == 10
    drained.release(*nodes)
    assert not any(one.is_cordoned for one in drained.state.nodes.values())


def test_a_node_for_which_there_is_no_time_is_waited_for(drained: Drained) -> None:
    answer = drained.ask(seconds=10)
    assert set(reasons(answer, "WaitingNodes").values()) == {"not reached in time"}
    assert drained.api.calls == []


def test_pods_for_which_there_is_no_time_are_evicted_the_next_time(
    drained: Drained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow API server must not make the hook miss its deadline: nothing would be removed."""
    drained.state.pods = [Pod("ml", f"web-{number}", NODE) for number in range(4)]
    began, slow = time.time(), drained.state.evict
    now = began

    def evict(*pod: str) -> tuple[int, str]:
        nonlocal now
        now += 20
        return slow(*pod)

    monkeypatch.setattr(drained.state, "evict", evict)
    monkeypatch.setattr(time, "time", lambda: now)
    answer = drained.ask(FIRST)
    assert answer["Decision"] == "WAIT"
    assert reasons(answer, "WaitingNodes") == {FIRST: "pod ml/web-3: not reached in time"}
    assert drained.state.evicted == ["web-0", "web-1", "web-2"]
    assert now < began + 75


@pytest.mark.parametrize(
    ("arn", "sentence"), [("", "use SlurmDrain"), (f"{EKS}/other", "not in training")]
)
def test_another_orchestrator_is_a_veto(drained: Drained, arn: str, sentence: str) -> None:
    assert sentence in drained.ask(EksClusterArn=arn)["Reason"]


@pytest.mark.parametrize("status", [403, 503])
def test_a_release_that_fails_raises_and_releases_the_other_nodes(
    drained: Drained, status: int
) -> None:
    drained.ask()
    drained.api.failures = [status]
    with pytest.raises(SchedulerError):
        drained.release()
    assert sorted(one.is_cordoned for one in drained.state.nodes.values()) == [False, True]


def test_no_log_level_shows_the_parts_of_a_token(
    drained: Drained, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    drained.ask()
    assert NODE in caplog.text
    assert "Signature" not in caplog.text


def test_an_authority_without_a_key_identifier_is_accepted(
    drained: Drained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of EKS have none (awslabs/mcp #3791), and Python 3.13 and later are strict."""
    made = ssl.create_default_context

    def strict(**given: Any) -> ssl.SSLContext:
        context = made(**given)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    client = Kubernetes("https://x", authority=drained.api.authority, token="")
    assert not client._trust.verify_flags & ssl.VERIFY_X509_STRICT


def test_a_server_with_another_certificate_is_not_trusted(
    drained: Drained, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    other = KubernetesApi("training", drained.state, rules())
    with drained.api.serve() as endpoint:
        client = Kubernetes(endpoint, authority=other.authority, token="k8s-aws-v1.secret")
        with pytest.raises(SchedulerError, match="SSLCertVerificationError"):
            client.node(NODE)
    assert drained.api.calls == []
    assert "secret" not in caplog.text
