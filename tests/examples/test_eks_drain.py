"""The drain on EKS: step by step against a Kubernetes API, and the app by the real CDK CLI."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import boto3
import pytest
import yaml

from examples.hooks.eks_drain.function.eks_drain.drain import drain
from examples.hooks.eks_drain.function.eks_drain.eks import token
from examples.hooks.eks_drain.function.eks_drain.kubernetes import ApiError, Kubernetes
from sandbox.aws import Sandbox
from sandbox.eks import access_entries, eks_cluster
from sandbox.kubernetes import Budget, ClusterState, KubernetesApi, Pod
from sandbox.kubernetes.api import Rules
from sandbox.project import ROOT

EXAMPLE = ROOT / "examples" / "hooks" / "eks_drain"
NODE, OTHER = "hyperpod-i-0123456789abcdef0", "hyperpod-i-0123456789abcdef1"

pytestmark = pytest.mark.xdist_group("hook-examples")


def rules() -> Rules:
    """The rights that the example's ClusterRole gives."""
    role, _ = yaml.safe_load_all((EXAMPLE / "rbac.yaml").read_text(encoding="utf-8"))
    found: Rules = role["rules"]
    return found


@dataclass
class Drained:
    """A cluster of two nodes, a client of it as the hook makes one, and a clock."""

    state: ClusterState = field(
        default_factory=lambda: ClusterState(nodes={NODE: True, OTHER: True})
    )
    rules: Rules = field(default_factory=rules)
    time: float = 0.0

    def __post_init__(self) -> None:
        self.api = KubernetesApi("training", self.state, self.rules)

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def drain(self, *nodes: str, seconds: float = 60.0) -> dict[str, str]:
        sts = boto3.client("sts")
        with self.api.serve() as endpoint:
            client = Kubernetes(
                endpoint, authority=self.api.authority, token=lambda: token(sts, "training")
            )
            return drain(
                client,
                nodes or (NODE, OTHER),
                until=self.time + seconds,
                now=lambda: self.time,
                sleep=self.sleep,
            )


@pytest.fixture
def drained(monkeypatch: pytest.MonkeyPatch) -> Drained:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return Drained()


def test_pods_are_evicted_and_waited_for(drained: Drained) -> None:
    drained.state.pods = [
        Pod("ml", f"trainer-{number}", NODE, lists_until_gone=2) for number in range(5)
    ]
    assert drained.drain() == {}
    assert drained.state.nodes == {NODE: False, OTHER: False}, "cordoned"
    assert drained.state.evicted == [f"trainer-{number}" for number in range(5)], "page after page"
    assert drained.state.pods == []
    assert drained.time > 0, "their grace period is waited for"


def test_what_belongs_to_the_node_or_is_over_is_left_alone(drained: Drained) -> None:
    drained.state.pods = [
        Pod("kube-system", "aws-node", NODE, controller="DaemonSet"),
        Pod("kube-system", "static", NODE, "Node", annotations={"kubernetes.io/config.mirror": ""}),
        Pod("ml", "done", NODE, controller="", phase="Succeeded"),
        Pod("ml", "failed", NODE, controller="Job", phase="Failed"),
    ]
    assert drained.drain() == {}
    assert drained.state.evicted == []
    assert len(drained.state.pods) == 4


def test_a_budget_is_honoured_until_the_deadline_and_named(drained: Drained) -> None:
    drained.state.pods = [
        Pod("ml", "trainer-0", NODE, app="trainer"),
        Pod("ml", "trainer-1", "hyperpod-i-elsewhere", app="trainer"),
        Pod("ml", "web-0", OTHER),
    ]
    drained.state.budgets = [Budget("trainer", "trainer", min_available=2)]
    assert drained.drain(seconds=60) == {
        NODE: "pod ml/trainer-0 cannot be evicted: The disruption budget trainer needs 2 healthy"
        " pods and has 2 currently"
    }
    assert drained.state.evicted == ["web-0"], "the other node is drained nevertheless"
    assert drained.time == 60
    assert drained.api.calls.count(("create", "pods/eviction")) > 3, "asked again and again"


def test_a_budget_that_gives_way_in_time_is_no_obstacle(drained: Drained) -> None:
    drained.state.pods = [
        Pod("ml", "trainer-0", NODE, app="trainer"),
        Pod("ml", "trainer-1", "hyperpod-i-elsewhere", app="trainer"),
    ]
    drained.state.budgets = [Budget("trainer", "trainer", min_available=2)]
    real = drained.sleep

    def sleep(seconds: float) -> None:
        real(seconds)
        if drained.time > 20 and len(drained.state.pods) == 2:
            drained.state.pods.append(Pod("ml", "trainer-2", "hyperpod-i-new", app="trainer"))

    drained.sleep = sleep  # type: ignore[method-assign]
    assert drained.drain() == {}
    assert drained.state.evicted == ["trainer-0"]


def test_a_pod_that_nobody_makes_again_keeps_its_node_as_it_is(drained: Drained) -> None:
    drained.state.pods = [Pod("ml", "web-0", NODE), Pod("ml", "by-hand", NODE, controller="")]
    assert drained.drain() == {
        NODE: "pod ml/by-hand has no controller, so nothing would make it again"
    }
    assert drained.state.evicted == []


def test_a_pod_that_does_not_end_keeps_its_node(drained: Drained) -> None:
    drained.state.pods = [Pod("ml", "stuck", NODE, lists_until_gone=1000)]
    assert drained.drain() == {NODE: "pod ml/stuck is still terminating"}
    assert drained.state.evicted == ["stuck"], "asked to go once"


def test_a_pod_of_the_same_name_elsewhere_is_not_evicted(drained: Drained) -> None:
    drained.state.pods = [Pod("ml", "trainer-0", NODE)]
    real = drained.state.pods_on

    def pods_on(node: str) -> list[dict[str, object]]:
        shown = real(node)
        if shown:
            drained.state.pods = [Pod("ml", "trainer-0", "hyperpod-i-new", uid="another")]
        return shown

    drained.state.pods_on = pods_on  # type: ignore[method-assign]
    assert drained.drain() == {}
    assert drained.state.evicted == []


def test_a_node_that_kubernetes_does_not_know_is_not_taken_for_empty(drained: Drained) -> None:
    assert drained.drain("hyperpod-i-never-joined") == {
        "hyperpod-i-never-joined": "Kubernetes knows no node hyperpod-i-never-joined"
    }
    assert drained.time == 0


def test_an_outage_is_waited_out(drained: Drained) -> None:
    drained.state.pods = [Pod("ml", "web-0", NODE)]
    drained.api.failures = [503, 500, 429, 503]
    assert drained.drain() == {}
    assert drained.state.evicted == ["web-0"]


def test_an_outage_until_the_end_keeps_the_nodes(drained: Drained) -> None:
    drained.api.failures = [503] * 1000
    assert drained.drain() == {
        node: f"cordon {node}: 503 the server was unable to return a response"
        for node in (NODE, OTHER)
    }


def test_a_missing_right_is_an_error(drained: Drained) -> None:
    drained.api = KubernetesApi("training", drained.state, rules()[1:])
    with pytest.raises(ApiError, match="403 nodes is forbidden"):
        drained.drain()


def test_no_right_is_given_that_is_not_used(drained: Drained) -> None:
    drained.state.pods = [Pod("ml", "web-0", NODE)]
    drained.drain()
    given = {(v, r) for rule in rules() for v in rule["verbs"] for r in rule["resources"]}
    assert set(drained.api.calls) == given


def test_a_server_with_another_certificate_is_not_believed(
    drained: Drained, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    other = KubernetesApi("training", drained.state, rules())
    with drained.api.serve() as endpoint:
        client = Kubernetes(endpoint, authority=other.authority, token=lambda: "k8s-aws-v1.secret")
        with pytest.raises(ApiError, match="SSLCertVerificationError"):
            client.cordon(NODE)
    assert drained.api.calls == []
    assert "secret" not in caplog.text


# End to end ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone() -> Iterator[Sandbox]:
    """The stack has a fixed name."""
    with Sandbox() as sandbox:
        sandbox.bootstrap()
        yield sandbox


def test_the_app_drains_and_vetoes(alone: Sandbox) -> None:
    cluster = alone.hyperpod.create_cluster(
        "ml-cluster", {"workers": 4}, shutdown_seconds=0.5, orchestrator="Eks"
    )
    free, blocked, *others = cluster.node_ids("workers")
    names = {node: f"hyperpod-{node}" for node in (free, blocked)}
    state = ClusterState(
        nodes=dict.fromkeys(names.values(), True),
        pods=[
            Pod("ml", "web-0", names[free]),
            Pod("ml", "trainer-0", names[blocked], app="trainer"),
        ],
        budgets=[Budget("trainer", "trainer", min_available=1)],
    )
    api = KubernetesApi("training", state, rules())

    def deploy(eks_arn: str, timeout: int) -> tuple[int, str]:
        done = alone.cdk(
            "deploy",
            *("-c", f"cluster_arn={cluster.arn}"),
            *("-c", f"eks_cluster_arn={eks_arn}"),
            *("-c", f"node_ids={free},{blocked}"),
            *("-c", f"timeout={timeout}"),
            *("--require-approval", "never"),
            *("--output", str(alone.directory / "cdk.out")),
            cwd=EXAMPLE,
        )
        return done.returncode, done.stdout

    # The model of SageMaker gives every cluster on EKS an EKS cluster of the same name.
    api.name = cluster.name
    with eks_cluster(alone, api) as eks_arn:
        code, told = deploy(eks_arn, timeout=75)  # of which the hook waits 20 for the budget
        assert code == 1
        assert f"Vetoed: {blocked}" in told, told
        assert "pod ml/trainer-0 cannot be evicted: The disruption budget trainer needs 1" in told
        assert cluster.present == {blocked, *others}
        assert state.evicted == ["web-0"]
        assert not any(state.nodes.values()), "a vetoed node stays cordoned"
        (entry,) = access_entries(alone)
        assert entry["KubernetesGroups"] == ["hyperpod-node-drain"]
        assert entry["ClusterName"] == api.name

        state.budgets.clear()
        code, told = deploy(eks_arn, timeout=600)
        assert code == 0, told
    assert cluster.present == set(others)
    assert state.evicted == ["web-0", "trainer-0"]
