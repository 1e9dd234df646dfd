"""A model of the Kubernetes API of an EKS cluster, as far as draining a node needs it.

It is served over HTTPS, with EKS's authentication and RBAC. A token is a presigned
GetCallerIdentity with the cluster's name among the signed headers. The signature is not verified:
the sandbox does not know the secrets of roles. Callers may do what the rules of a ClusterRole
allow, and nothing else.
"""

import base64
import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import trustme
from werkzeug.wrappers import Request, Response

from sandbox.http_server import serving

_PREFIX: Final = "k8s-aws-v1."
_PAGE: Final = 2
"""Pods on a page, whatever the limit: a server may return fewer."""
_REFUSALS: Final = {
    403: ("NamespaceTerminating", "unable to create new content because it is being terminated"),
    429: (
        "DisruptionBudget",
        "Cannot evict pod as it would violate the pod's disruption budget.",
    ),
}
"""The cause and the message of an eviction that is refused, by HTTP status."""
Rules = Sequence[Mapping[str, Sequence[str]]]
Result = tuple[int, dict[str, Any]]
"""HTTP status and body of a response."""


@dataclass
class Pod:
    """A pod. It is gone after it was listed `lists_until_gone` times after its eviction."""

    namespace: str
    name: str
    node: str
    controller: str = "StatefulSet"
    """Kind of its controller; empty for a pod that nothing would create again."""
    phase: str = "Running"
    annotations: dict[str, str] = field(default_factory=dict)
    app: str = ""
    """The label that a budget selects it by."""
    uid: str = ""
    lists_until_gone: int = 1
    is_leaving: bool = False
    ends_at: str = "2026-11-23T22:41:07Z"
    """When the grace period of a pod that is leaving ends."""
    finalizers: list[str] = field(default_factory=list)

    def manifest(self) -> dict[str, Any]:
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
            metadata["deletionTimestamp"] = self.ends_at
        return {"metadata": metadata, "status": {"phase": self.phase}}


@dataclass
class Budget:
    """A PodDisruptionBudget: how many pods of an app must be healthy."""

    name: str
    app: str
    min_available: int


@dataclass
class Node:
    """A node."""

    is_cordoned: bool = False
    is_unreachable: bool = False
    """Whether its kubelet has stopped to report. Pods on it that are leaving stay listed."""
    annotations: dict[str, str] = field(default_factory=dict)
    version: int = 1

    def manifest(self, name: str) -> dict[str, Any]:
        return {
            "metadata": {
                "name": name,
                "resourceVersion": str(self.version),
                "annotations": self.annotations,
            },
            "spec": {"unschedulable": True} if self.is_cordoned else {},
            "status": {
                "conditions": [
                    {"type": "DiskPressure", "status": "Unknown"},
                    {"type": "Ready", "status": "Unknown" if self.is_unreachable else "True"},
                ]
            },
        }

    def patch(self, patch: Mapping[str, Any]) -> bool:
        """Merge a patch, unless it is for another version. Returns whether it was merged."""
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
    """A cluster. Its methods are thread-safe."""

    nodes: dict[str, Node] = field(default_factory=dict)
    """By name."""
    pods: list[Pod] = field(default_factory=list)
    budgets: list[Budget] = field(default_factory=list)
    denied: dict[str, int] = field(default_factory=dict)
    """Names of pods whose eviction an admission webhook denies, and with which HTTP status."""
    terminating: set[str] = field(default_factory=set)
    """Namespaces that are being deleted. Their pods are not leaving yet."""
    evicted: list[str] = field(default_factory=list)
    """Names of the pods whose eviction was granted, in order."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def pods_on(self, node: str) -> list[dict[str, Any]]:
        """List the pods of a node. Those that are leaving come one step closer to being gone."""
        with self.lock:
            shown = [pod.manifest() for pod in self.pods if pod.node == node]
            leaving = [pod for pod in self.pods if pod.node == node and pod.is_leaving]
            if node in self.nodes and self.nodes[node].is_unreachable:
                leaving = []
            for pod in [pod for pod in leaving if not pod.finalizers]:
                pod.lists_until_gone -= 1
                if pod.lists_until_gone <= 0:
                    self.pods.remove(pod)
            return shown

    def evict(self, namespace: str, name: str, uid: str) -> tuple[int, str]:
        """Evict a pod. Returns the HTTP status, and why it was refused."""
        with self.lock:
            found = [pod for pod in self.pods if (pod.namespace, pod.name) == (namespace, name)]
            if not found:
                return 404, ""
            (pod,) = found
            if name in self.denied:
                return self.denied[name], f'admission webhook "pods" denied the request: {name}'
            if namespace in self.terminating:
                return 403, f"namespace {namespace} is being terminated"
            if pod.manifest()["metadata"]["uid"] != uid:
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


class KubernetesApi:
    """A server for one EKS cluster."""

    def __init__(self, name: str, state: ClusterState, rules: Rules) -> None:
        """`rules` are those of the callers' ClusterRole."""
        self.name = name
        self.state = state
        self.calls: list[tuple[str, str]] = []
        """Verb and resource of each call that was authenticated."""
        self.connections: set[int] = set()
        """Ports of the clients."""
        self.failures: list[int] = []
        """Statuses with which the next calls fail, one each; 0 for success."""
        self._rules = rules
        self._listed: dict[str, list[dict[str, Any]]] = {}
        self._authority = trustme.CA()

    def serve(self) -> AbstractContextManager[str]:
        """Serve on a free port of 127.0.0.1. Yields the endpoint."""
        return serving(self._respond, self._authority)

    @property
    def authority(self) -> str:
        """Its certificate authority, as PEM."""
        return self._authority.cert_pem.bytes().decode("ascii")

    def _respond(self, request: Request) -> Response:
        self.connections.add(request.environ["REMOTE_PORT"])
        status, body = self._result(request)
        return Response(json.dumps(body), status, content_type="application/json")

    def _result(self, request: Request) -> Result:
        if not _is_genuine(request.headers.get("Authorization", "")):
            return _status(401, "Unauthorized")
        parts = request.path.strip("/").split("/")
        verb, resource = _verb_and_resource(request.method, parts)
        self.calls.append((verb, resource))
        if not any(verb in rule["verbs"] and resource in rule["resources"] for rule in self._rules):
            return _status(
                403, f'{resource} is forbidden: User cannot {verb} resource "{resource}"'
            )
        if self.failures and (failure := self.failures.pop(0)):
            return _status(failure, "the server was unable to return a response")
        return self._perform(verb, parts, request)

    def _perform(self, verb: str, parts: Sequence[str], request: Request) -> Result:
        body = json.loads(request.data or b"{}")
        match parts:
            case ["api", "v1", "nodes", name]:
                return self._node(name, body)
            case ["api", "v1", "pods"] if verb == "list":
                return self._list(request.args)
            case ["api", "v1", "namespaces", namespace, "pods", name, "eviction"]:
                uid = body["deleteOptions"]["preconditions"]["uid"]
                status, message = self.state.evict(namespace, name, uid)
                if name in self.state.denied:
                    return _status(status, message)
                reason, text = _REFUSALS.get(status, ("", ""))
                cause = {"reason": reason, "message": message}
                return _status(status, text, [cause] if reason else [])
        return _status(404, "the server could not find the requested resource")

    def _node(self, name: str, patch: Mapping[str, Any]) -> Result:
        with self.state.lock:
            node = self.state.nodes.get(name)
            if node is None:
                return _status(404, f'nodes "{name}" not found')
            if patch and not node.patch(patch):
                return _status(409, "the object has been modified")
            return 200, node.manifest(name)

    def _list(self, query: Mapping[str, str]) -> Result:
        field, _, node = query["fieldSelector"].partition("=")
        if field != "spec.nodeName":
            return _status(400, "not modeled")
        begin = int(query.get("continue", "0"))
        # As in etcd, the pages of one list are of one moment.
        if begin == 0:
            self._listed[node] = self.state.pods_on(node)
        listed = self._listed[node]
        page = listed[begin : begin + _PAGE]
        more = str(begin + _PAGE) if len(listed) > begin + _PAGE else ""
        return 200, {"metadata": {"continue": more}, "items": page}


def _is_genuine(token: str) -> bool:
    if not token.startswith(f"Bearer {_PREFIX}"):
        return False
    encoded = token.removeprefix(f"Bearer {_PREFIX}")
    url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    query = parse_qs(url.query)
    return (
        query.get("Action") == ["GetCallerIdentity"]
        and "x-k8s-aws-id" in query["X-Amz-SignedHeaders"][0].split(";")
        and int(query["X-Amz-Expires"][0]) <= 900  # noqa: PLR2004 (what EKS accepts)
        and bool(query["X-Amz-Signature"][0])
    )


def _verb_and_resource(method: str, parts: Sequence[str]) -> tuple[str, str]:
    if parts[-1] == "eviction":
        return "create", "pods/eviction"
    if "pods" in parts:
        return ("list" if parts[-1] == "pods" else "get"), "pods"
    return method.lower(), parts[2]


def _status(code: int, message: str, causes: Sequence[Mapping[str, str]] = ()) -> Result:
    return code, {"kind": "Status", "message": message, "details": {"causes": list(causes)}}
