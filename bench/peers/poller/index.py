"""crhelper with its own poller, by its README: ask at first, then look every two minutes."""

from collections.abc import Mapping
from typing import Any

import boto3
from crhelper import CfnResource

BATCH = 99

helper = CfnResource(log_level="INFO", polling_interval=2)
try:
    sagemaker = boto3.client("sagemaker")
except Exception as error:  # noqa: BLE001 (as crhelper's README shows it)
    helper.init_failure(error)


@helper.create
@helper.update
def ask(event: Mapping[str, Any], context: Any) -> str:
    """Ask for all nodes. Those that are refused are told when the others have left."""
    cluster = event["ResourceProperties"]["ClusterName"]
    node_ids = event["ResourceProperties"]["NodeIds"]
    failed: dict[str, str] = {}
    for start in range(0, len(node_ids), BATCH):
        answer = sagemaker.batch_delete_cluster_nodes(
            ClusterName=cluster, NodeIds=node_ids[start : start + BATCH]
        )
        failed.update({entry["NodeId"]: entry["Code"] for entry in answer.get("Failed", [])})
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(node_ids)} nodes not removed: {failed}")
    return f"{cluster}-removal"


@helper.poll_create
@helper.poll_update
def check(event: Mapping[str, Any], context: Any) -> str | None:
    """The physical id, once all nodes have left. None: look again later."""
    cluster = event["ResourceProperties"]["ClusterName"]
    if listed(cluster) & set(event["ResourceProperties"]["NodeIds"]):
        return None
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
