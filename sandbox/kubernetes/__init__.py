"""A model of the Kubernetes API of an EKS cluster, as far as draining a node goes."""

from sandbox.kubernetes.api import KubernetesApi
from sandbox.kubernetes.state import Budget, ClusterState, Node, Pod

__all__ = ["Budget", "ClusterState", "KubernetesApi", "Node", "Pod"]
