"""What a good engineer writes in an afternoon, by the README of crhelper: request, wait, raise."""

import time
from collections.abc import Mapping
from typing import Any

import boto3
from crhelper import CfnResource

BATCH = 99
POLL_SECONDS = 10
MARGIN_MILLISECONDS = 30_000

helper = CfnResource(log_level="INFO")
try:
    sagemaker = boto3.client("sagemaker")
except Exception as error:  # noqa: BLE001 (as crhelper's README shows it)
    helper.init_failure(error)


@helper.create
@helper.update
def remove(event: Mapping[str, Any], context: Any) -> str:
    """Remove the nodes and wait until they have left."""
    cluster = event["ResourceProperties"]["ClusterName"]
    node_ids = event["ResourceProperties"]["NodeIds"]
    failed: dict[str, str] = {}
    for start in range(0, len(node_ids), BATCH):
        response = sagemaker.batch_delete_cluster_nodes(
            ClusterName=cluster, NodeIds=node_ids[start : start + BATCH]
        )
        failed.update({entry["NodeId"]: entry["Code"] for entry in response.get("Failed", [])})
    leaving = set(node_ids) - set(failed)
    while leaving := leaving & listed(cluster):
        if context.get_remaining_time_in_millis() < MARGIN_MILLISECONDS:
            raise RuntimeError(f"{len(leaving)} of {len(node_ids)} nodes are still leaving")
        time.sleep(POLL_SECONDS)
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(node_ids)} nodes not removed: {failed}")
    return f"{cluster}-removal"


@helper.delete
def keep(event: Mapping[str, Any], context: Any) -> None:
    """Nothing to do: removed nodes do not come back."""


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


def handler(event: dict[str, Any], context: Any) -> None:
    """The entry of the function."""
    helper(event, context)
