"""Remove nodes from an Amazon SageMaker HyperPod cluster as infrastructure code.

::

    from aws_cdk import App, CfnOutput, Stack
    from hyperpod_node_removal import NodeRemoval

    app = App()
    stack = Stack(app, "MaintenanceOfMlCluster")
    removal = NodeRemoval(
        stack,
        "FaultyNodes",
        cluster_arn="arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6",
        node_ids=["i-0123456789abcdef0", "i-0123456789abcdef1"],
    )
    CfnOutput(stack, "RemovedNodes", value=removal.removed_nodes)
    app.synth()
"""

import hyperpod_node_removal._aws_cdk_lib  # noqa: F401  # first, since it says what is too old
from hyperpod_node_removal._drains import BackupMarker, EksDrain, SlurmDrain, SlurmJobs
from hyperpod_node_removal._errors import InvalidPropertyError, NodeRemovalError
from hyperpod_node_removal._metrics import ClusterMetrics, NodeRemovalDashboard
from hyperpod_node_removal._provider import NodeRemovalProvider
from hyperpod_node_removal._provider_interface import INodeRemovalProvider
from hyperpod_node_removal._removal import NodeRemoval
from hyperpod_node_removal._warnings import RemovalWarning
from hyperpod_node_removal_contract import (
    MissingNodes,
    Outcome,
    PartialFailure,
    WaitFor,
)

# If a folder named constructs is on the path, the PyPI package of that name includes its contents
# as submodules. A second copy of these classes would not be equal to the first.
if __name__ != "hyperpod_node_removal":
    raise ImportError(f"import hyperpod_node_removal, not {__name__}")

__all__ = [
    "BackupMarker",
    "ClusterMetrics",
    "EksDrain",
    "INodeRemovalProvider",
    "InvalidPropertyError",
    "MissingNodes",
    "NodeRemoval",
    "NodeRemovalDashboard",
    "NodeRemovalError",
    "NodeRemovalProvider",
    "Outcome",
    "PartialFailure",
    "RemovalWarning",
    "SlurmDrain",
    "SlurmJobs",
    "WaitFor",
]
