"""A script: delete the nodes, then poll until they have left. No CloudFormation, no Lambda.

python remove_nodes.py CLUSTER NODE_ID...
"""

import sys
import time
from collections.abc import Sequence
from typing import Any

import boto3

BATCH = 99
POLL_SECONDS = 5


def remove(cluster: str, node_ids: Sequence[str]) -> dict[str, str]:
    """Remove the nodes. Returns the code of each that the service refused."""
    sagemaker = boto3.client("sagemaker")
    failed = {}
    for start in range(0, len(node_ids), BATCH):
        answer = sagemaker.batch_delete_cluster_nodes(
            ClusterName=cluster, NodeIds=list(node_ids[start : start + BATCH])
        )
        failed.update({entry["NodeId"]: entry["Code"] for entry in answer.get("Failed", [])})
    leaving = set(node_ids) - set(failed)
    while leaving:
        time.sleep(POLL_SECONDS)
        leaving &= listed(sagemaker, cluster)
    return failed


def listed(sagemaker: Any, cluster: str) -> set[str]:
    """Instance ids of all nodes of the cluster."""
    found: set[str] = set()
    token: dict[str, str] = {}
    while True:
        page = sagemaker.list_cluster_nodes(ClusterName=cluster, MaxResults=100, **token)
        found |= {node["InstanceId"] for node in page["ClusterNodeSummaries"]}
        if "NextToken" not in page:
            return found
        token = {"NextToken": page["NextToken"]}


if __name__ == "__main__":
    refused = remove(sys.argv[1], sys.argv[2:])
    for node_id, code in refused.items():
        print(f"{node_id}: {code}")
    sys.exit(1 if refused else 0)
