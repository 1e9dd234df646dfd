"""A removal with SlurmDrain in the sandbox: real functions, a real Slurm, real jobs."""

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
from sandbox import slurm as sandbox_slurm
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.schedulers import slurm_names
from sandbox.slurm import Slurm
from sandbox.stacks import Deployment, read_assembly
from tests.construct.test_drain import slurm_drain


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cdk.out")
    app = App(outdir=str(directory))
    stack = Stack(app, "Drained")
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
class Drained:
    """A stack, a cluster, and its Slurm."""

    sandbox: Sandbox
    assembly: Path
    cluster: Cluster
    slurm: Slurm
    names: dict[str, str]
    """Of the nodes in Slurm, by instance id."""
    token: str

    def deploy(self, *node_ids: str, seconds: int = 300) -> Deployment:
        stack = read_assembly(self.assembly, "Drained")
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
    def once_draining(self, node_id: str, action: Callable[[], None]) -> Iterator[None]:
        """Do something as soon as a node is drained."""

        def wait() -> None:
            self.slurm.wait(lambda: self.is_drained(node_id), "no drain")
            action()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        yield
        thread.join()


@pytest.fixture
def drained(sandbox: Sandbox, assembly: Path) -> Iterator[Drained]:
    if not sandbox_slurm.is_prepared():
        pytest.skip(sandbox_slurm.MISSING)
    name = f"drained-{uuid4().hex[:8]}"
    cluster = sandbox.hyperpod.create_cluster(name, {"workers": 4}, shutdown_seconds=0.5)
    names = slurm_names(sandbox, cluster)
    with sandbox_slurm.slurm(list(names.values())) as slurm:
        secret = sandbox.client("secretsmanager").create_secret(
            Name=name, SecretString=slurm.token()
        )
        yield Drained(sandbox, assembly, cluster, slurm, names, secret["ARN"])


def test_a_deployment_waits_for_the_job_of_its_node_and_ends_complete(drained: Drained) -> None:
    busy, free, *_ = drained.names
    job = drained.slurm.submit(drained.names[busy])
    ended: list[list[str]] = []

    def end() -> None:
        assert {busy, free} <= drained.cluster.present
        ended.append(drained.slurm.job_states(job))
        drained.slurm.cancel(job)

    with drained.once_draining(busy, end):
        done = drained.deploy(busy, free)
    assert done.status == "CREATE_COMPLETE", done.events
    assert ended == [["RUNNING"]]
    assert drained.cluster.present.isdisjoint({busy, free})


def test_a_node_that_was_drained_by_hand_stays_drained_when_it_is_not_removed(
    drained: Drained,
) -> None:
    by_hand, ours, busy, _ = drained.names
    drained.slurm.update(drained.names[by_hand], state="drain", reason="bad DIMM")
    drained.slurm.submit(drained.names[busy])
    for node in (by_hand, ours):
        drained.cluster.refuse(node)
    done = drained.deploy(by_hand, ours, busy, seconds=120)
    assert done.status == "ROLLBACK_COMPLETE"
    drained.await_release(ours)
    drained.sandbox.await_idle()
    assert drained.slurm.node(drained.names[by_hand])["reason"] == "bad DIMM"
    assert drained.is_drained(by_hand)


def test_a_deployment_that_is_canceled_meanwhile_releases(drained: Drained) -> None:
    gone, busy, *_ = drained.names
    assert drained.deploy(gone).status == "CREATE_COMPLETE"
    job = drained.slurm.submit(drained.names[busy])
    cloudformation = drained.sandbox.client("cloudformation")

    def cancel() -> None:
        cloudformation.cancel_update_stack(StackName=drained.cluster.name)

    with drained.once_draining(busy, cancel):
        done = drained.deploy(busy)
    assert done.status == "UPDATE_ROLLBACK_COMPLETE"
    drained.await_release(busy)
    assert drained.slurm.job_states(job) == ["RUNNING"]
    assert busy in drained.cluster.present
