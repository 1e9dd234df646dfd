"""EKS clusters of a sandbox: what DescribeCluster tells of a Kubernetes API that is served here."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.aws import ACCOUNT, REGION, Sandbox
from sandbox.engine import EKS_ACCESS_ENTRIES, EKS_FOLDER
from sandbox.kubernetes import KubernetesApi


@contextmanager
def eks_cluster(sandbox: Sandbox, api: KubernetesApi) -> Iterator[str]:
    """Serve a Kubernetes API as that of an EKS cluster. Yields the cluster's ARN."""
    arn = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{api.name}"
    folder = sandbox.directory / EKS_FOLDER
    folder.mkdir(exist_ok=True)
    with api.serve() as endpoint:
        cluster = {
            "name": api.name,
            "arn": arn,
            "endpoint": endpoint,
            "certificateAuthority": {"data": base64.b64encode(api.authority.encode()).decode()},
        }
        file = folder / f"{api.name}.json"
        file.write_text(json.dumps({"cluster": cluster}), encoding="ascii")
        try:
            yield arn
        finally:
            file.unlink()


def access_entries(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Properties of the access entries that CloudFormation has made, in order."""
    file = sandbox.directory / EKS_FOLDER / EKS_ACCESS_ENTRIES
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text.splitlines()]
