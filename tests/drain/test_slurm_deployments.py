"""Removals with the Slurm drain in the sandbox, with a real Slurm and real jobs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack
from aws_cdk.aws_secretsmanager import Secret

from hyperpod_node_removal import NodeRemoval
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.schedulers import slurm_names
from sandbox.slurm import Slurm
from sandbox.stacks import Deployment, read_assembly
from tests.construct.test_drain import slurm_drain
from tests.drain.conftest import deploy_from_release, start_slurm


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cdk.out")
    app = App(outdir=str(directory))
    stack = Stack(app, "Removal")
    token = CfnParameter(stack, "TokenArn").value_as_string
    NodeRemoval(
        stack,
        "Nodes",
        cluster_name=CfnParameter(stack, "Cluster").value_as_string,
        node_ids=CfnParameter(stack, "NodeIds", type="CommaDelimitedList").value_as_list,
        before_removal=slurm_drain(
            stack,
            rest_api=CfnParameter(stack, "RestApi").value_as_string,
            token=Secret.from_secret_complete_arn(stack, "Secret", token),
        ),
        timeout=Duration.seconds(CfnParameter(stack, "Seconds", type="Number").value_as_number),
        retry_for=Duration.seconds(0),
    )
    app.synth()
    return directory


@dataclass
class SlurmRemoval:
    """A stack, its cluster, and the cluster's Slurm."""

    sandbox: Sandbox
    assembly: Path
    cluster: Cluster
    slurm: Slurm
    names: dict[str, str]
    """The nodes' names in Slurm, by instance id."""
    token: str

    def deploy(self, *node_ids: str, seconds: int = 300) -> Deployment:
        stack = read_assembly(self.assembly, "Removal")
        return self.sandbox.deploy(
            self.cluster.name,
            stack.template,
            assets=stack.assets,
            parameters={
                "Cluster": self.cluster.name,
                "NodeIds": ",".join(node_ids),
                "RestApi": self.slurm.rest_api,
                "TokenArn": self.token,
                "Seconds": str(seconds),
            },
        )

    def is_drained(self, node_id: str) -> bool:
        return "DRAIN" in self.slurm.states(self.names[node_id])

    def await_release(self, node_id: str) -> None:
        self.slurm.wait(lambda: not self.is_drained(node_id), "it is not released")

    @contextmanager
    def when_drained(self, node_id: str, action: Callable[[], None]) -> Iterator[None]:
        """Run an action in a thread as soon as a node is drained."""

        def wait() -> None:
            self.slurm.wait(lambda: self.is_drained(node_id), "no drain")
            action()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        yield
        thread.join()


@pytest.fixture
def removal(sandbox: Sandbox, assembly: Path) -> Iterator[SlurmRemoval]:
    name = f"drained-{uuid4().hex[:8]}"
    cluster = sandbox.hyperpod.create_cluster(name, {"workers": 4}, shutdown_seconds=0.5)
    names = slurm_names(sandbox, cluster)
    with start_slurm(list(names.values())) as slurm:
        secret = sandbox.client("secretsmanager").create_secret(
            Name=name, SecretString=slurm.token()
        )
        yield SlurmRemoval(sandbox, assembly, cluster, slurm, names, secret["ARN"])


def test_a_deployment_waits_for_the_job_on_its_node(removal: SlurmRemoval) -> None:
    busy, free, *_ = removal.names
    job = removal.slurm.submit(removal.names[busy])
    ended: list[list[str]] = []

    def end() -> None:
        assert {busy, free} <= removal.cluster.present
        ended.append(removal.slurm.job_states(job))
        removal.slurm.cancel(job)

    with removal.when_drained(busy, end):
        done = removal.deploy(busy, free)
    assert done.status == "CREATE_COMPLETE", done.events
    assert ended == [["RUNNING"]]
    assert removal.cluster.present.isdisjoint({busy, free})


def test_a_node_that_was_drained_by_hand_stays_drained_when_it_is_not_removed(
    removal: SlurmRemoval,
) -> None:
    by_hand, idle, busy, _ = removal.names
    removal.slurm.update(removal.names[by_hand], state="drain", reason="bad DIMM")
    removal.slurm.submit(removal.names[busy])
    for node in (by_hand, idle):
        removal.cluster.refuse(node)
    done = removal.deploy(by_hand, idle, busy, seconds=120)
    assert done.status == "ROLLBACK_COMPLETE"
    removal.await_release(idle)
    removal.sandbox.await_idle()
    assert removal.slurm.node(removal.names[by_hand])["reason"] == "bad DIMM"
    assert removal.is_drained(by_hand)


def test_a_canceled_deployment_releases_its_nodes(removal: SlurmRemoval) -> None:
    gone, busy, *_ = removal.names
    assert removal.deploy(gone).status == "CREATE_COMPLETE"
    job = removal.slurm.submit(removal.names[busy])
    cloudformation = removal.sandbox.client("cloudformation")

    def cancel() -> None:
        cloudformation.cancel_update_stack(StackName=removal.cluster.name)

    with removal.when_drained(busy, cancel):
        done = removal.deploy(busy)
    assert done.status == "UPDATE_ROLLBACK_COMPLETE"
    removal.await_release(busy)
    assert removal.slurm.job_states(job) == ["RUNNING"]
    assert busy in removal.cluster.present


def test_the_slurm_drain_of_a_release_vetoes_a_busy_node(removal: SlurmRemoval, dist: Path) -> None:
    free, busy, *_ = removal.names
    job = removal.slurm.submit(removal.names[busy])
    failures = deploy_from_release(
        removal.sandbox,
        dist,
        "slurm-drain",
        removal.cluster,
        f"{free},{busy}",
        seconds=120,
        RestApi=removal.slurm.rest_api,
        TokenArn=removal.token,
        SubnetIds="subnet-0123456789abcdef0",
        SecurityGroupIds="sg-0123456789abcdef0",
    )
    assert f"Vetoed: {busy}" in failures
    assert f"not ready in time: job {job} of root is on {removal.names[busy]}" in failures
    assert removal.slurm.job_states(job) == ["RUNNING"]
    assert free not in removal.cluster.present
    assert removal.is_drained(free)
    removal.await_release(busy)
