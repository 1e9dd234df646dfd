"""The backup marker: the example's app, deployed by the real CDK CLI."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from sandbox.aws import Sandbox
from sandbox.project import ROOT

EXAMPLE = ROOT / "examples" / "hooks" / "backup_marker"
STACK = "BackedUpRemoval"

pytestmark = pytest.mark.xdist_group("hook-examples")


@pytest.fixture(scope="module")
def alone() -> Iterator[Sandbox]:
    """The stack has a fixed name."""
    with Sandbox() as sandbox:
        sandbox.bootstrap()
        yield sandbox


def test_only_nodes_with_a_marker_go(alone: Sandbox) -> None:
    cluster = alone.hyperpod.create_cluster("ml-cluster", {"workers": 4}, shutdown_seconds=0.5)
    saved, unsaved, *others = cluster.node_ids("workers")
    bucket, s3 = f"backups-{uuid4().hex}", alone.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=f"hyperpod-backups/{saved}")
    s3.put_object(Bucket=bucket, Key=f"hyperpod-backups/{unsaved}.partial")

    def deploy() -> tuple[int, str]:
        done = alone.cdk(
            "deploy",
            *("-c", f"cluster_arn={cluster.arn}"),
            *("-c", f"bucket={bucket}"),
            *("-c", f"node_ids={saved},{unsaved}"),
            *("--require-approval", "never"),
            *("--output", str(alone.directory / "cdk.out")),
            cwd=EXAMPLE,
        )
        return done.returncode, done.stdout

    code, told = deploy()
    assert code == 1
    assert f"Vetoed: {unsaved}" in told
    assert f"no marker s3://{bucket}/hyperpod-backups/{unsaved}" in told
    assert cluster.present == {unsaved, *others}

    s3.put_object(Bucket=bucket, Key=f"hyperpod-backups/{unsaved}")
    code, told = deploy()
    assert code == 0, told
    assert cluster.present == set(others)
