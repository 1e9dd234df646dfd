"""The backup marker, by the real AWS CLI from the release."""

from uuid import uuid4

import pytest

from sandbox.aws import Sandbox
from tests.drain.conftest import from_templates
from tests.release.cli import Cli

pytestmark = pytest.mark.xdist_group("drain-command-lines")


@pytest.mark.parametrize("waits", ["false", "true"])
def test_only_nodes_with_a_marker_go(alone: Sandbox, cli: Cli, waits: str) -> None:
    name = f"marked-{uuid4().hex[:8]}"
    cluster = alone.hyperpod.create_cluster(name, {"workers": 4}, shutdown_seconds=0.5)
    saved, unsaved, *others = cluster.node_ids("workers")
    bucket, s3 = f"backups-{uuid4().hex}", alone.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=f"hyperpod-backups/{saved}")
    s3.put_object(Bucket=bucket, Key=f"hyperpod-backups/{unsaved}.partial")
    outcome = from_templates(
        cli,
        "hyperpod-node-removal-backup-marker.yaml",
        cluster,
        f"{saved},{unsaved}",
        seconds=105,
        MarkerBucket=bucket,
        Waits=waits,
    )
    assert f"Vetoed: {unsaved}" in outcome
    assert f"no marker s3://{bucket}/hyperpod-backups/{unsaved}" in outcome
    assert ("not ready in time" in outcome) is (waits == "true")
    assert cluster.present == {unsaved, *others}
