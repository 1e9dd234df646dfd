"""Events for hooks, and the reasons in their responses."""

import time
from datetime import UTC, datetime
from typing import Any, Final
from unittest.mock import Mock

STACK: Final = "arn:aws:cloudformation:us-west-2:111122223333:stack/maintenance/6d1f0c2e-9a56-11ef"
REQUEST: Final = "8c5d1f0e-3f9b-4a7c-9a41-5a6f0f5d1e11"
MARK: Final = f"hyperpod-node-removal maintenance/FaultyNodes 6d1f0c2e {REQUEST}"
RELEASE: Final[dict[str, Any]] = {"Version": "2", "Action": "RELEASE"}
CONTEXT: Final = Mock(get_remaining_time_in_millis=lambda: 120_000)
"""The context of an invocation with two minutes left."""
PROCEED: Final = {"Version": "2", "Decision": "PROCEED", "VetoedNodes": []}


def node(node_id: str, hostname: str = "") -> dict[str, str]:
    """Return a node of an event."""
    return {
        "NodeId": node_id,
        "NodeLogicalId": "" if node_id else "workers-7",
        "InstanceGroupName": "workers",
        "InstanceType": "ml.p5.48xlarge",
        "Status": "Running",
        "PrivateDnsHostname": hostname,
    }


def event(*nodes: dict[str, str], seconds: float = 60, **more: Any) -> dict[str, Any]:
    """Return an event whose deadline is `seconds` from now."""
    return {
        "Version": "1",
        "ClusterName": "ml-cluster",
        "ClusterArn": "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6",
        "EksClusterArn": "",
        "StackId": STACK,
        "LogicalResourceId": "FaultyNodes",
        "RequestId": REQUEST,
        "Deadline": f"{datetime.fromtimestamp(time.time() + seconds, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "Nodes": list(nodes),
        **more,
    }


def reasons(response: dict[str, Any], key: str) -> dict[str, str]:
    """Return the reasons in `VetoedNodes` or `WaitingNodes`, by instance id."""
    return {entry["NodeId"]: entry["Reason"] for entry in response.get(key, ())}
