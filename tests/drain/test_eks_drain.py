"""The drain on EKS, step by step against a model of the Kubernetes API."""

import logging
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from botocore.session import get_session

from hyperpod_node_removal_eks_drain import index
from hyperpod_node_removal_eks_drain.eks import token
from hyperpod_node_removal_eks_drain.kubernetes import ApiError, Kubernetes
from sandbox.kubernetes import Budget, ClusterState, KubernetesApi, Node, Pod
from sandbox.schedulers import rules

FIRST, SECOND = "i-0123456789abcdef0", "i-0123456789abcdef1"
NODE, OTHER = f"hyperpod-{FIRST}", f"hyperpod-{SECOND}"
KEY = "hyperpod-node-removal/drained-by"
MARK = "hyperpod-node-removal maintenance/FaultyNodes 6d1f0c2e"


class Context:
    milliseconds = 120_000

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@dataclass
class Drained:
    """A cluster of two nodes, and the function that is asked about them."""

    state: ClusterState = field(
        default_factory=lambda: ClusterState(nodes={NODE: Node(), OTHER: Node()})
    )
    endpoint: str = ""

    def __post_init__(self) -> None:
        self.api = KubernetesApi("training", self.state, rules())

    def connect(self, name: str) -> Kubernetes:
        session = get_session()
        sts = session.create_client("sts")
        return Kubernetes(
            self.endpoint,
            authority=self.api.authority,
            token=lambda: token(session, sts, name),
        )

    def ask(self, *nodes: str, seconds: float = 60, **more: Any) -> dict[str, Any]:
        event = {
            "Version": "1",
            "EksClusterArn": "arn:aws:eks:us-west-2:111122223333:cluster/training",
            "StackId": "arn:aws:cloudformation:us-west-2:111122223333:stack/maintenance/6d1f0c2e-9",
            "LogicalResourceId": "FaultyNodes",
            "Deadline": f"{datetime.fromtimestamp(time.time() + seconds, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "Nodes": [
                {"NodeId": one, "NodeLogicalId": "", "PrivateDnsHostname": ""}
                for one in nodes or (FIRST, SECOND)
            ],
            **more,
        }
        with self.api.serve() as self.endpoint, patch.object(index, "connect", self.connect):
            return index.handler(event, Context())

    def release(self, *nodes: str, **more: Any) -> None:
        assert self.ask(*nodes, **{"Version": "2", "Action": "RELEASE", **more}) == {}


@pytest.fixture
def drained(monkeypatch: pytest.MonkeyPatch) -> Drained:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("CLUSTER", "training")
    monkeypatch.setenv("DISRUPTS", "false")
    return Drained()


def reasons(answer: dict[str, Any], key: str) -> dict[str, str]:
    return {one["NodeId"]: one["Reason"] for one in answer.get(key, ())}


DONE = {"Version": "2", "Decision": "PROCEED", "VetoedNodes": []}


# Draining ------------------------------------------------------------------------------------


def test_pods_are_evicted_and_waited_for(drained: Drained) -> None:
    drained.state.pods = [
        Pod("ml", f"trainer-{number}", NODE, lists_until_gone=2) for number in range(5)
    ]
    answer = drained.ask()
    assert answer["Decision"] == "WAIT"
    assert reasons(answer, "WaitingNodes") == {FIRST: "pod ml/trainer-0 is still terminating"}
    assert drained.state.evicted == [f"trainer-{number}" for number in range(5)], "page after page"
    for node in drained.state.nodes.values():
        assert node.is_cordoned
        assert node.annotations == {KEY: MARK}
    assert drained.ask()["Decision"] == "WAIT", "their grace period is waited for"
    assert drained.ask()["Decision"] == "WAIT"
    assert drained.ask() == DONE
    assert len(drained.state.evicted) == 5, "asked to go once"


def test_what_belongs_to_the_node_or_is_over_is_left_alone(drained: Drained) -> None:
    drained.state.pods = [
        Pod("kube-system", "aws-node", NODE, controller="DaemonSet"),
        Pod("kube-system", "static", NODE, "Node", annotations={"kubernetes.io/config.mirror": ""}),
        Pod("ml", "done", NODE, controller="", phase="Succeeded"),
        Pod("ml", "failed", NODE, controller="Job", phase="Failed"),
    ]
    assert drained.ask() == DONE
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
    assert drained.ask() == DONE


def test_a_pod_that_nobody_makes_again_is_a_veto_before_anything_is_evicted(
    drained: Drained,
) -> None:
    drained.state.pods = [Pod("ml", "web-0", NODE), Pod("ml", "by-hand", NODE, controller="")]
    answer = drained.ask()
    assert answer["Decision"] == "PROCEED"
    assert reasons(answer, "VetoedNodes") == {
        FIRST: "pod ml/by-hand has no controller, so nothing would make it again"
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
def test_an_annotation_that_says_do_not_disrupt_is_a_veto_unless_told_otherwise(
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


def test_a_pod_that_a_finalizer_holds_keeps_its_node(drained: Drained) -> None:
    drained.state.pods = [Pod("ml", "stuck", NODE, finalizers=["example.com/checkpoint"])]
    for _ in range(3):
        answer = drained.ask(FIRST)
    assert reasons(answer, "WaitingNodes")[FIRST] == (
        "pod ml/stuck is still terminating, held by the finalizer example.com/checkpoint"
    )
    assert drained.state.evicted == ["stuck"]


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
    assert drained.ask() == DONE
    assert drained.state.evicted == []


# What others did -----------------------------------------------------------------------------


def test_a_release_uncordons_only_what_this_removal_cordoned(drained: Drained) -> None:
    drained.state.nodes[OTHER].is_cordoned = True
    assert drained.ask() == DONE
    assert drained.state.nodes[OTHER].annotations == {}
    for _ in range(2):
        drained.release()
    assert not drained.state.nodes[NODE].is_cordoned
    assert drained.state.nodes[NODE].annotations == {}
    assert drained.state.nodes[OTHER].is_cordoned


def test_a_release_leaves_the_nodes_of_another_removal(drained: Drained) -> None:
    drained.ask(LogicalResourceId="OtherNodes")
    drained.release()
    assert drained.state.nodes[NODE].is_cordoned


def test_a_question_after_a_release_drains_again(drained: Drained) -> None:
    drained.release()
    drained.ask()
    drained.release()
    assert drained.ask() == DONE
    assert drained.state.nodes[NODE].is_cordoned


def test_a_release_that_comes_too_late_does_nothing(drained: Drained) -> None:
    drained.ask()
    drained.release(seconds=-1)
    assert drained.state.nodes[NODE].is_cordoned


def test_a_node_that_is_gone_is_no_problem_of_a_release(drained: Drained) -> None:
    drained.release("i-gone", FIRST)


# What goes wrong -----------------------------------------------------------------------------


def test_a_node_that_kubernetes_does_not_know_is_not_taken_for_empty(drained: Drained) -> None:
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
    while drained.ask(FIRST) != DONE:
        assert drained.state.evicted == ["web-0"]
    assert drained.state.evicted == ["web-0"]


def test_an_outage_is_told(drained: Drained) -> None:
    drained.api.failures = [503]
    assert reasons(drained.ask(FIRST), "WaitingNodes") == {
        FIRST: f"get node {NODE}: 503 the server was unable to return a response"
    }


def test_a_missing_right_is_a_veto(drained: Drained) -> None:
    drained.api = KubernetesApi("training", drained.state, rules()[1:])
    answer = drained.ask()
    assert answer["Decision"] == "VETO"
    assert "403 nodes is forbidden" in answer["Reason"]


def test_a_redirect_is_no_answer(drained: Drained) -> None:
    drained.api.failures = [302]
    answer = drained.ask()
    assert answer["Decision"] == "VETO"
    assert f"get node {NODE}: 302" in answer["Reason"]


def test_no_right_is_given_that_is_not_used(drained: Drained) -> None:
    drained.state.pods = [Pod("ml", "web-0", NODE)]
    drained.ask()
    given = {(v, r) for rule in rules() for v in rule["verbs"] for r in rule["resources"]}
    assert set(drained.api.calls) == given


def test_what_there_is_no_time_for_is_asked_about_again(drained: Drained) -> None:
    answer = drained.ask(seconds=10)
    assert set(reasons(answer, "WaitingNodes").values()) == {"not reached in time"}
    assert drained.api.calls == []


@pytest.mark.parametrize(
    ("arn", "sentence"),
    [
        ("", "use SlurmDrain"),
        ("arn:aws:eks:us-west-2:111122223333:cluster/other", "not in training"),
    ],
)
def test_another_orchestrator_is_a_veto(drained: Drained, arn: str, sentence: str) -> None:
    assert sentence in drained.ask(EksClusterArn=arn)["Reason"]


def test_a_release_that_is_not_carried_out_raises_so_that_lambda_tries_again(
    drained: Drained,
) -> None:
    drained.ask()
    drained.api.failures = [503]
    with pytest.raises(ApiError):
        drained.release()


def test_a_node_that_is_not_released_keeps_no_other_cordoned(drained: Drained) -> None:
    drained.ask()
    drained.api.failures = [403]
    with pytest.raises(ApiError):
        drained.release()
    assert drained.state.nodes[NODE].is_cordoned
    assert not drained.state.nodes[OTHER].is_cordoned


def test_no_log_level_shows_what_a_token_is_made_of(
    drained: Drained, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    drained.ask()
    assert NODE in caplog.text
    assert "Signature" not in caplog.text


def test_an_authority_without_a_key_identifier_is_believed(
    drained: Drained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of EKS have none (awslabs/mcp #3791), and Python 3.13 and later are strict."""
    made = ssl.create_default_context

    def strict(**given: Any) -> ssl.SSLContext:
        context = made(**given)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    client = Kubernetes("https://x", authority=drained.api.authority, token=lambda: "")
    assert not client._trust.verify_flags & ssl.VERIFY_X509_STRICT


def test_a_server_with_another_certificate_is_not_believed(
    drained: Drained, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    other = KubernetesApi("training", drained.state, rules())
    with drained.api.serve() as endpoint:
        client = Kubernetes(endpoint, authority=other.authority, token=lambda: "k8s-aws-v1.secret")
        with pytest.raises(ApiError, match="SSLCertVerificationError"):
            client.node(NODE)
    assert drained.api.calls == []
    assert "secret" not in caplog.text
