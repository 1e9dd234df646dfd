"""Nodes, pods and PodDisruptionBudgets, and what an eviction does to them."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Pod:
    """A pod. It leaves the list `lists_until_gone` lists after its eviction."""

    namespace: str
    name: str
    node: str
    controller: str = "StatefulSet"
    """Kind of its controller; empty for a pod that nobody would make again."""
    phase: str = "Running"
    annotations: dict[str, str] = field(default_factory=dict)
    app: str = ""
    """What a budget selects it by."""
    uid: str = ""
    lists_until_gone: int = 1
    is_leaving: bool = False
    finalizers: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid or f"uid-of-{self.name}",
        }
        if self.controller:
            metadata["ownerReferences"] = [{"kind": self.controller, "controller": True}]
        if self.annotations:
            metadata["annotations"] = self.annotations
        if self.finalizers:
            metadata["finalizers"] = self.finalizers
        if self.is_leaving:
            metadata["deletionTimestamp"] = "2026-11-23T22:41:07Z"
        return {"metadata": metadata, "status": {"phase": self.phase}}


@dataclass
class Budget:
    """A PodDisruptionBudget: so many pods of an app must be healthy."""

    name: str
    app: str
    min_available: int


@dataclass
class Node:
    """A node."""

    is_cordoned: bool = False
    annotations: dict[str, str] = field(default_factory=dict)
    version: int = 1

    def shown(self, name: str) -> dict[str, Any]:
        return {
            "metadata": {
                "name": name,
                "resourceVersion": str(self.version),
                "annotations": self.annotations,
            },
            "spec": {"unschedulable": True} if self.is_cordoned else {},
        }

    def patch(self, patch: Mapping[str, Any]) -> bool:
        """Merge a patch, unless it rests on another version."""
        metadata = patch.get("metadata", {})
        if metadata.get("resourceVersion", str(self.version)) != str(self.version):
            return False
        for key, value in metadata.get("annotations", {}).items():
            if value is None:
                self.annotations.pop(key, None)
            else:
                self.annotations[key] = value
        self.is_cordoned = bool(patch.get("spec", {}).get("unschedulable", self.is_cordoned))
        self.version += 1
        return True


@dataclass
class ClusterState:
    """A cluster. Thread-safe as far as its methods go."""

    nodes: dict[str, Node] = field(default_factory=dict)
    """By name."""
    pods: list[Pod] = field(default_factory=list)
    budgets: list[Budget] = field(default_factory=list)
    terminating: set[str] = field(default_factory=set)
    """Namespaces that are being deleted. Their pods are not leaving yet."""
    evicted: list[str] = field(default_factory=list)
    """Names of the pods whose eviction was granted, in order."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def pods_on(self, node: str) -> list[dict[str, Any]]:
        """The pods of a node. Those that are leaving are one step nearer to it."""
        with self.lock:
            shown = [pod.shown() for pod in self.pods if pod.node == node]
            leaving = [pod for pod in self.pods if pod.node == node and pod.is_leaving]
            for pod in [pod for pod in leaving if not pod.finalizers]:
                pod.lists_until_gone -= 1
                if pod.lists_until_gone <= 0:
                    self.pods.remove(pod)
            return shown

    def evict(self, namespace: str, name: str, uid: str) -> tuple[int, str]:
        """The HTTP status of an eviction, and what a budget or the namespace says against it."""
        with self.lock:
            found = [pod for pod in self.pods if (pod.namespace, pod.name) == (namespace, name)]
            if not found:
                return 404, ""
            (pod,) = found
            if namespace in self.terminating:
                return 403, f"namespace {namespace} is being terminated"
            if pod.shown()["metadata"]["uid"] != uid:
                return 409, ""
            for budget in self.budgets:
                healthy = [one for one in self.pods if one.app == budget.app and not one.is_leaving]
                if pod.app == budget.app and len(healthy) - 1 < budget.min_available:
                    return 429, (
                        f"The disruption budget {budget.name} needs {budget.min_available} healthy"
                        f" pods and has {len(healthy)} currently"
                    )
            pod.is_leaving = True
            self.evicted.append(name)
            return 201, ""
