"""A model of SageMaker HyperPod, with time and faults under a test's control."""

from sandbox.hyperpod.cluster import Cluster
from sandbox.hyperpod.faults import ServiceError
from sandbox.hyperpod.nodes import Node, NodeStatus
from sandbox.hyperpod.service import HyperPod

__all__ = [
    "Cluster",
    "HyperPod",
    "Node",
    "NodeStatus",
    "ServiceError",
]
