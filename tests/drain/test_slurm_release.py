"""A removal with the drain on Slurm in the sandbox, from a release."""

from pathlib import Path
from uuid import uuid4

import pytest

from sandbox import slurm as sandbox_slurm
from sandbox.aws import Sandbox
from sandbox.schedulers import slurm_names
from tests.drain.conftest import from_release


def test_slurm_from_the_release(sandbox: Sandbox, dist: Path) -> None:
    if not sandbox_slurm.is_prepared():
        pytest.skip(sandbox_slurm.MISSING)
    name = f"slurm-{uuid4().hex[:8]}"
    cluster = sandbox.hyperpod.create_cluster(name, {"workers": 4}, shutdown_seconds=0.5)
    names = slurm_names(sandbox, cluster)
    free, busy, *_ = names
    with sandbox_slurm.slurm(list(names.values())) as slurm:
        secret = sandbox.client("secretsmanager").create_secret(
            Name=name, SecretString=slurm.token()
        )
        job = slurm.submit(names[busy])
        outcome = from_release(
            sandbox,
            dist,
            "slurm-drain",
            cluster,
            f"{free},{busy}",
            seconds=120,
            RestApi=slurm.rest_api,
            TokenArn=secret["ARN"],
            SubnetIds="subnet-0123456789abcdef0",
            SecurityGroupIds="sg-0123456789abcdef0",
        )
        assert f"Vetoed: {busy}" in outcome
        assert f"not ready in time: job {job} of root is on {names[busy]}" in outcome
        assert slurm.job_states(job) == ["RUNNING"]
        assert free not in cluster.present
        assert "DRAIN" in slurm.states(names[free])
        slurm.wait(lambda: "DRAIN" not in slurm.states(names[busy]), "it is not released")
