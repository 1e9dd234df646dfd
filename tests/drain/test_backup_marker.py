"""The backup marker, deployed from a release with the AWS CLI."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from hyperpod_node_removal_backup_marker import index
from sandbox.aws import Sandbox
from tests.drain.conftest import deploy_from_release
from tests.drain.hook import CONTEXT, event, node, reasons


@pytest.mark.parametrize("waits", ["false", "true"])
def test_only_nodes_with_a_marker_are_removed(sandbox: Sandbox, dist: Path, waits: str) -> None:
    name = f"marked-{uuid4().hex[:8]}"
    cluster = sandbox.hyperpod.create_cluster(name, {"workers": 4}, shutdown_seconds=0.5)
    saved, unsaved, *others = cluster.node_ids("workers")
    bucket, s3 = f"backups-{uuid4().hex}", sandbox.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=f"hyperpod-backups/{saved}")
    s3.put_object(Bucket=bucket, Key=f"hyperpod-backups/{unsaved}.partial")
    failures = deploy_from_release(
        sandbox,
        dist,
        "backup-marker",
        cluster,
        f"{saved},{unsaved}",
        seconds=105,
        MarkerBucket=bucket,
        Waits=waits,
    )
    assert f"Vetoed: {unsaved}" in failures
    assert f"no marker s3://{bucket}/hyperpod-backups/{unsaved}" in failures
    assert ("not ready in time" in failures) is (waits == "true")
    assert cluster.present == {unsaved, *others}


def test_markers_are_looked_up_concurrently(monkeypatch: pytest.MonkeyPatch) -> None:
    """The markers of 3,000 nodes must be looked up within one invocation."""
    barrier = threading.Barrier(10, timeout=30)

    def list_objects_v2(*, Bucket: str, Prefix: str, MaxKeys: int) -> dict[str, Any]:  # noqa: N803
        assert (Bucket, MaxKeys) == ("b", 1)
        barrier.wait()
        return {"Contents": [{"Key": Prefix}]} if Prefix.endswith("0") else {}

    s3 = SimpleNamespace(list_objects_v2=list_objects_v2)
    session = SimpleNamespace(create_client=lambda _: s3)
    monkeypatch.setattr(index, "get_session", lambda: session)
    for name, value in {"BUCKET": "b", "PREFIX": "p/", "WAITS": "false"}.items():
        monkeypatch.setenv(name, value)
    response = index.handler(event(*(node(f"i-{number}") for number in range(20))), CONTEXT)
    vetoed = reasons(response, "VetoedNodes")
    assert list(vetoed) == [f"i-{number}" for number in range(20) if number % 10]
    assert vetoed["i-1"] == "no marker s3://b/p/i-1; save its data and write one"
