"""Removals with the EKS drain in the sandbox, from the construct and from a release."""

from pathlib import Path
from uuid import uuid4

from aws_cdk import App, Duration, Stack

from hyperpod_node_removal import NodeRemoval
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.kubernetes import Budget, ClusterState, KubernetesApi, Node, Pod
from sandbox.schedulers import eks_cluster, rules
from sandbox.stacks import Deployment
from tests.construct.test_drain import eks_drain
from tests.drain.conftest import deploy_from_release


def deploy(sandbox: Sandbox, folder: Path, cluster: Cluster, eks: str, *nodes: str) -> Deployment:
    """Deploy a removal with `EksDrain`."""
    app = App(outdir=str(folder), analytics_reporting=False)
    stack = Stack(app, cluster.name)
    NodeRemoval(
        stack,
        "Nodes",
        cluster_arn=cluster.arn,
        eks_cluster_arn=eks,
        node_ids=nodes,
        before_removal=eks_drain(stack, cluster=cluster.name),
        timeout=Duration.seconds(150),
        retry_for=Duration.seconds(0),
    )
    app.synth()
    return sandbox.deploy_assembly(folder, cluster.name)


def test_the_eks_drains_of_the_construct_and_of_a_release_evict_pods(
    sandbox: Sandbox, dist: Path, tmp_path: Path
) -> None:
    name = f"eks-{uuid4().hex[:8]}"
    cluster = sandbox.hyperpod.create_cluster(
        name, {"workers": 4}, shutdown_seconds=0.5, orchestrator="Eks"
    )
    free, blocked, cordoned, other = cluster.node_ids("workers")
    names = {node: f"hyperpod-{node}" for node in (free, blocked, cordoned, other)}
    state = ClusterState(
        nodes={name: Node() for name in names.values()},
        pods=[
            Pod("ml", "web-0", names[free]),
            Pod("ml", "trainer-0", names[blocked], app="trainer"),
        ],
        budgets=[Budget("trainer", "trainer", min_available=1)],
    )
    state.nodes[names[cordoned]].is_cordoned = True
    cluster.refuse(cordoned)
    # The model of SageMaker gives every cluster on EKS an EKS cluster of the same name.
    with eks_cluster(sandbox, KubernetesApi(name, state, rules())) as arn:
        failed = deploy(sandbox, tmp_path / "cdk.out", cluster, arn, free, blocked, cordoned)
        assert failed.status == "ROLLBACK_COMPLETE"
        reasons = " ".join(event.reason for event in failed.failures())
        assert f"Vetoed: {blocked}" in reasons, reasons
        refused = "pod ml/trainer-0 cannot be evicted: The disruption budget trainer needs 1"
        assert refused in reasons
        assert cluster.present == {blocked, cordoned, other}
        assert state.evicted == ["web-0"]
        assert not state.nodes[names[blocked]].is_cordoned, "it is uncordoned"
        assert state.nodes[names[cordoned]].is_cordoned, "it stays cordoned"
        kind = "AWS::EKS::AccessEntry"
        entry = next(e.properties for e in failed.events if e.resource_type == kind)
        assert entry is not None
        assert entry["KubernetesGroups"] == ["hyperpod-node-drain"]
        assert entry["ClusterName"] == name

        state.budgets.clear()
        failures = deploy_from_release(
            sandbox, dist, "eks-drain", cluster, blocked, seconds=300, EksCluster=name
        )
        assert failures == ""
    assert cluster.present == {cordoned, other}
    assert state.evicted == ["web-0", "trainer-0"]
