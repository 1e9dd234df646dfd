"""The contract of what the function tells beside its reply: metrics and an event.

Both sides import it, as they do `contract`: the construct names at synth what the function sends at
run time. It imports the standard library only. What stands here is public: alarms, rules and those
who read the events rest on it (docs/observability.md).
"""

import os
from enum import StrEnum
from typing import Final

from hyperpod_node_removal_contract import FailureCode

METRICS_VARIABLE: Final = "METRICS"
"""Environment variable of the function: `true` has it write metrics. Anything else: it does not."""
EVENT_BUS_VARIABLE: Final = "EVENT_BUS"
"""Environment variable of the function: name or ARN of the event bus. Empty: it sends nothing."""


def writes_metrics() -> bool:
    """Return whether the function is to write metrics."""
    return os.environ.get(METRICS_VARIABLE, "").lower() == "true"


def event_bus() -> str:
    """Return the bus to which the function sends the event. Empty: none."""
    return os.environ.get(EVENT_BUS_VARIABLE, "")


METRIC_NAMESPACE: Final = "HyperPodNodeRemoval"


class Metric(StrEnum):
    """Metrics of a removal that has ended, each under the dimension `ClusterName`."""

    REMOVED_NODES = "RemovedNodes"
    """Nodes that left through this removal. Count."""
    FAILED_NODES = "FailedNodes"
    """Nodes that are still there. Count. Also under `ClusterName` and `Code`."""
    ALREADY_ABSENT_NODES = "AlreadyAbsentNodes"
    """Nodes that were not there to begin with. Count."""
    DURATION = "Duration"
    """From when CloudFormation sent the request to the report, over all invocations. Seconds."""


class Dimension(StrEnum):
    """Dimensions of the metrics."""

    CLUSTER_NAME = "ClusterName"
    """The property `ClusterName` of the resource as it is written: a name or an ARN. That is what
    a template knows before the removal has run, so alarms and graphs can be made of it."""
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
"""Codes with a metric of their own: ours, and those that BatchDeleteClusterNodes documents. The
service may answer any text, and every other value of a dimension is one more metric to pay for."""
OTHER_CODE: Final = "Other"

EVENT_SOURCE: Final = "hyperpod.node-removal"
"""EventBridge keeps sources that begin with `aws.` to itself."""
EVENT_DETAIL_TYPE: Final = "HyperPod Node Removal Finished"
EVENT_VERSION: Final = "1"
"""Grows when a reader of the event would have to change. What is merely added does not count."""
EVENT_DETAIL_MAX_BYTES: Final = 200_000
"""Bytes of the `detail`. EventBridge takes entries of 256 KB, but puts an envelope around them, and
so does SNS, whose own limit is 256 KB."""
