"""Both drains end to end: by the real CDK CLI, and from the release by the real AWS CLI."""

import sys
from pathlib import Path
from uuid import uuid4

import pytest

from sandbox import slurm as sandbox_slurm
from sandbox.aws import Sandbox
from sandbox.kubernetes import Budget, ClusterState, KubernetesApi, Node, Pod
from sandbox.schedulers import access_entries, eks_cluster, rules, slurm_names
from tests.drain.conftest import from_templates
from tests.release.cli import Cli

APP = Path(__file__).with_name("drained_app.py")


def cdk_deploy(sandbox: Sandbox, **context: str) -> tuple[int, str]:
    pairs = [word for name, value in context.items() for word in ("-c", f"{name}={value}")]
    done = sandbox.cdk(
        "deploy",
        *("--app", f"{sys.executable} {APP}"),
        *pairs,
        *("--require-approval", "never"),
        *("--output", str(sandbox.directory / "cdk.out")),
    )
    return done.returncode, done.stdout


# Slurm ---------------------------------------------------------------------------------------


def test_slurm_by_the_cdk_and_from_the_release(alone: Sandbox, cli: Cli) -> None:
    if not sandbox_slurm.is_prepared():
        pytest.skip(sandbox_slurm.MISSING)
    name = f"slurm-{uuid4().hex[:8]}"
    cluster = alone.hyperpod.create_cluster(name, {"workers": 4}, shutdown_seconds=0.5)
    names = slurm_names(alone, cluster)
    first, second, busy, _ = names
    with sandbox_slurm.slurm(list(names.values())) as slurm:
        secret = alone.client("secretsmanager").create_secret(Name=name, SecretString=slurm.token())
        code, log = cdk_deploy(
            alone,
            cluster_arn=cluster.arn,
            node_ids=first,
            rest_api=slurm.rest_api,
            token=secret["ARN"],
            seconds="300",
        )
        assert code == 0, log
        assert first not in cluster.present
        assert "DRAIN" in slurm.states(names[first])

        job = slurm.submit(names[busy])
        outcome = from_templates(
            cli,
            "hyperpod-node-removal-slurm-drain.yaml",
            cluster,
            f"{second},{busy}",
            seconds=120,
            RestApi=slurm.rest_api,
            TokenArn=secret["ARN"],
            SubnetIds="subnet-0123456789abcdef0",
            SecurityGroupIds="sg-0123456789abcdef0",
        )
        assert f"Vetoed: {busy}" in outcome
        assert f"not ready in time: job {job} of root is on {names[busy]}" in outcome
        assert slurm.job_states(job) == ["RUNNING"]
        assert second not in cluster.present
        slurm.wait(lambda: "DRAIN" not in slurm.states(names[busy]), "it is not released")


# EKS -----------------------------------------------------------------------------------------


def test_eks_by_the_cdk_and_from_the_release(alone: Sandbox, cli: Cli) -> None:
    name = f"eks-{uuid4().hex[:8]}"
    cluster = alone.hyperpod.create_cluster(
        name, {"workers": 4}, shutdown_seconds=0.5, orchestrator="Eks"
    )
    free, blocked, by_hand, other = cluster.node_ids("workers")
    names = {node: f"hyperpod-{node}" for node in (free, blocked, by_hand, other)}
    state = ClusterState(
        nodes={name: Node() for name in names.values()},
        pods=[
            Pod("ml", "web-0", names[free]),
            Pod("ml", "trainer-0", names[blocked], app="trainer"),
        ],
        budgets=[Budget("trainer", "trainer", min_available=1)],
    )
    state.nodes[names[by_hand]].is_cordoned = True
    cluster.refuse(by_hand)
    # The model of SageMaker gives every cluster on EKS an EKS cluster of the same name.
    with eks_cluster(alone, KubernetesApi(name, state, rules())) as arn:
        given = {"cluster_arn": cluster.arn, "eks": arn}
        ids = f"{free},{blocked},{by_hand}"
        code, log = cdk_deploy(alone, **given, node_ids=ids, seconds="150")
        assert code == 1
        assert f"Vetoed: {blocked}" in log, log
        assert "pod ml/trainer-0 cannot be evicted: The disruption budget trainer needs 1" in log
        assert cluster.present == {blocked, by_hand, other}
        assert state.evicted == ["web-0"]
        assert not state.nodes[names[blocked]].is_cordoned, "it takes pods again"
        assert state.nodes[names[by_hand]].is_cordoned, "it stays as it was"
        entry = access_entries(alone)[-1]
        assert entry["KubernetesGroups"] == ["hyperpod-node-drain"]
        assert entry["ClusterName"] == name

        state.budgets.clear()
        outcome = from_templates(
            cli, "hyperpod-node-removal-eks-drain.yaml", cluster, blocked, 300, EksCluster=name
        )
        assert outcome == "COMPLETE"
    assert cluster.present == {by_hand, other}
    assert state.evicted == ["web-0", "trainer-0"]
