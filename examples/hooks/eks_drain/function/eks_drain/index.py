"""The entry: from the question of `BeforeRemoval` to its answer."""

import time
from datetime import datetime
from typing import Any, Final

from .drain import drain
from .eks import connect

_MARGIN: Final = 10.0
"""Seconds before the deadline at which the answer is sent."""
_NODE_PREFIX: Final = "hyperpod-"
"""What a node's name in Kubernetes has before its instance id."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Cordon and drain the nodes; veto those that still have pods when the time is up.

    Raises:
        ApiError: Kubernetes refuses a call for good. Then nothing is removed.
    """
    if event["Version"] != "1":
        raise ValueError(f"version {event['Version']} of the event is unknown; allowed: 1")
    if not event["EksClusterArn"]:
        return {"Decision": "VETO", "Reason": "the cluster is not orchestrated by EKS"}
    deadline = datetime.fromisoformat(event["Deadline"]).timestamp()
    stopped_at = time.time() + context.get_remaining_time_in_millis() / 1000
    # A node without an instance has no pods.
    nodes = {
        f"{_NODE_PREFIX}{node['NodeId']}": node["NodeId"]
        for node in event["Nodes"]
        if node["NodeId"]
    }
    obstacles = drain(
        connect(event["EksClusterArn"]),
        list(nodes),
        until=min(deadline, stopped_at) - _MARGIN,
        now=time.time,
        sleep=time.sleep,
    )
    return {
        "Decision": "PROCEED",
        "VetoedNodes": [
            {"NodeId": nodes[name], "Reason": f"{why}; what is cordoned stays so"}
            for name, why in obstacles.items()
        ],
    }
