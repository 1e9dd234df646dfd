"""The two functions behind the CDK's Provider framework, by its README."""

from collections.abc import Mapping
from typing import Any

import boto3

BATCH = 99

sagemaker = boto3.client("sagemaker")


def on_event(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Request the removal of all nodes."""
    if event["RequestType"] == "Delete":
        return {}
    cluster = event["ResourceProperties"]["ClusterName"]
    node_ids = event["ResourceProperties"]["NodeIds"]
    failed: dict[str, str] = {}
    for start in range(0, len(node_ids), BATCH):
        response = sagemaker.batch_delete_cluster_nodes(
            ClusterName=cluster, NodeIds=node_ids[start : start + BATCH]
        )
        failed.update({entry["NodeId"]: entry["Code"] for entry in response.get("Failed", [])})
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(node_ids)} nodes not removed: {failed}")
    return {"PhysicalResourceId": f"{cluster}-removal"}


def is_complete(event: Mapping[str, Any], context: Any) -> dict[str, bool]:
    """Whether all nodes have left."""
    if event["RequestType"] == "Delete":
        return {"IsComplete": True}
    cluster = event["ResourceProperties"]["ClusterName"]
    leaving = listed(cluster) & set(event["ResourceProperties"]["NodeIds"])
    return {"IsComplete": not leaving}


def listed(cluster: str) -> set[str]:
    """Instance ids of all nodes of the cluster."""
    found: set[str] = set()
    token: dict[str, str] = {}
    while True:
        page = sagemaker.list_cluster_nodes(ClusterName=cluster, MaxResults=100, **token)
        found |= {node["InstanceId"] for node in page["ClusterNodeSummaries"]}
        if "NextToken" not in page:
            return found
        token = {"NextToken": page["NextToken"]}
