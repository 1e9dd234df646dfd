"""A model of SageMaker HyperPod, with time, faults and observations under a test's control."""

from sandbox.hyperpod.cluster import Cluster
from sandbox.hyperpod.deletion import DeleteRequest
from sandbox.hyperpod.faults import ServiceError
from sandbox.hyperpod.nodes import ClusterStatus, NodeStatus, NodeView
from sandbox.hyperpod.service import HyperPod

__all__ = [
    "Cluster",
    "ClusterStatus",
    "DeleteRequest",
    "HyperPod",
    "NodeStatus",
    "NodeView",
    "ServiceError",
]
