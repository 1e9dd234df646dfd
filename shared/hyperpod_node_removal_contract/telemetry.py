"""Names of the metrics and of the event that the function sends besides its response.

The construct uses them at synth and the function at run time. It imports the standard library only.
They are public: users' alarms, rules and event consumers rely on them (docs/observability.md).
"""

import os
from enum import StrEnum
from typing import Final

from hyperpod_node_removal_contract import FailureCode

METRICS_VARIABLE: Final = "METRICS"
"""Environment variable of the function: it writes metrics if this is `true`."""
EVENT_BUS_VARIABLE: Final = "EVENT_BUS"
"""Environment variable of the function: name or ARN of the event bus. Empty: it sends no event."""


def writes_metrics() -> bool:
    """Return whether the function writes metrics."""
    return os.environ.get(METRICS_VARIABLE, "").lower() == "true"


def event_bus() -> str:
    """Return the event bus to which the function sends the event. Empty: none."""
    return os.environ.get(EVENT_BUS_VARIABLE, "")


METRIC_NAMESPACE: Final = "HyperPodNodeRemoval"


class Metric(StrEnum):
    """Metrics of a removal that has ended, each under the dimension `ClusterName`."""

    REMOVED_NODES = "RemovedNodes"
    """Nodes that left through this removal. Count."""
    FAILED_NODES = "FailedNodes"
    """Nodes that are still in the cluster. Count. Also under `ClusterName` and `Code`."""
    ALREADY_ABSENT_NODES = "AlreadyAbsentNodes"
    """Nodes that were not in the cluster to begin with. Count."""
    DURATION = "Duration"
    """From when CloudFormation sent the request to the report, over all invocations. Seconds."""


class Dimension(StrEnum):
    """Dimensions of the metrics."""

    CLUSTER_NAME = "ClusterName"
    """The property `ClusterName` of the resource as it is written, a name or an ARN. A template
    knows it before the removal runs, so that it can have alarms and graphs."""
    CODE = "Code"
    """One of `METRIC_CODES`, or `OTHER_CODE`."""


METRIC_CODES: Final = frozenset(
    {
        *map(str, FailureCode),
        "InternalError",
        "InvalidNodeStatus",
        "NodeIdInUse",
        "NodeIdNotFound",
        "NodeLogicalIdNotFound",
    }
)
"""Codes with their own metric: this project's, and those that BatchDeleteClusterNodes documents.
The service may return any text, and each value of a dimension is one more metric to pay for."""
OTHER_CODE: Final = "Other"

EVENT_SOURCE: Final = "hyperpod.node-removal"
"""EventBridge reserves sources that begin with `aws.`."""
EVENT_DETAIL_TYPE: Final = "HyperPod Node Removal Finished"
EVENT_VERSION: Final = "1"
"""Raised when consumers of the event must change, not when a member is added."""
EVENT_DETAIL_MAX_BYTES: Final = 200_000
"""Bytes of the `detail`. EventBridge accepts entries of 256 KB but adds an envelope, as does SNS,
whose own limit is 256 KB."""
