"""A client of the Kubernetes API of an EKS cluster, with what a drain needs."""

import base64
import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session, get_session

from hyperpod_node_removal_hook import DeniedError, SchedulerError, Server

_TIMEOUT: Final = 5
"""Seconds for connecting, and for each read."""
_TOKEN_SECONDS: Final = 60
"""Seconds for which a token says that it is valid. EKS accepts it for 15 minutes."""
_PAGE: Final = 50
"""Pods in one response. Those of ten nodes are in memory at a time."""
_MIRROR: Final = "kubernetes.io/config.mirror"
"""Annotation of a static pod, which cannot be evicted."""
_MARK: Final = "hyperpod-node-removal/drained-by"
"""Annotation of a node that a drain has cordoned."""
_NOT_ALLOWED: Final = "cannot create resource"
"""In the message of a call that RBAC does not allow, as opposed to one that a webhook denies."""
_PROTECTED: Final[Mapping[str, str]] = {
    "karpenter.sh/do-not-disrupt": "true",
    "karpenter.sh/do-not-evict": "true",  # the name of the first one before Karpenter 0.32
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
}
"""Annotations that protect a pod or a node from disruption."""


@dataclass(frozen=True)
class KubernetesNode:
    """A node."""

    name: str
    version: str
    """A change based on this version is refused if there was another one since."""
    is_cordoned: bool
    mark: str
    """Of the removal that has cordoned it. Empty if none has."""
    protected_by: str
    """The annotation that protects it from disruption, if any."""
    is_unreachable: bool
    """Whether its kubelet has stopped to report, so that nothing on it can be confirmed."""

    @classmethod
    def parse(cls, node: Mapping[str, Any]) -> Self:
        """Parse a node of the API."""
        metadata = node["metadata"]
        annotations = metadata.get("annotations") or {}
        conditions = node.get("status", {}).get("conditions") or ()
        return cls(
            name=metadata["name"],
            version=metadata["resourceVersion"],
            is_cordoned=bool(node.get("spec", {}).get("unschedulable")),
            mark=annotations.get(_MARK, ""),
            protected_by=_protected_by(annotations),
            is_unreachable=any(
                one.get("type") == "Ready" and one.get("status") == "Unknown" for one in conditions
            ),
        )

    def __str__(self) -> str:
        return f"node {self.name}"


@dataclass(frozen=True)
class Pod:
    """A pod on a node."""

    namespace: str
    name: str
    uid: str
    controller: str
    """Kind of the controller that would create it again; empty if there is none."""
    must_leave: bool
    """Whether a drain evicts it: not if it belongs to the node, or has finished."""
    ends_at: float | None
    """When its grace period ends, in seconds since the epoch. None: it is not terminating."""
    protected_by: str
    """The annotation that protects it from disruption, if any."""
    finalizer: str
    """What keeps it while it is terminating, if anything."""

    @classmethod
    def parse(cls, pod: Mapping[str, Any]) -> Self:
        """Parse a pod of the API."""
        metadata = pod["metadata"]
        owners = metadata.get("ownerReferences") or ()
        controller = next((owner["kind"] for owner in owners if owner.get("controller")), "")
        annotations = metadata.get("annotations") or {}
        deleted = metadata.get("deletionTimestamp")
        has_finished = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            controller=controller,
            must_leave=not (_MIRROR in annotations or controller == "DaemonSet" or has_finished),
            ends_at=datetime.fromisoformat(deleted).timestamp() if deleted else None,
            protected_by=_protected_by(annotations),
            finalizer=next(iter(metadata.get("finalizers") or ()), ""),
        )

    @property
    def is_terminating(self) -> bool:
        """Whether it was evicted or deleted, and is still listed."""
        return self.ends_at is not None

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.name}"


class Kubernetes:
    """A client of one cluster, for several threads. Every method raises `SchedulerError`."""

    def __init__(self, endpoint: str, *, authority: str, token: str) -> None:
        """Trust `authority`, the certificate in PEM that the endpoint's own is checked against."""
        self._trust = ssl.create_default_context(cadata=authority)
        # Authorities of EKS have no key identifier, without which Python 3.13 and later accept
        # no certificate of theirs (awslabs/mcp #3791).
        self._trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._server = Server(endpoint, timeout=_TIMEOUT, context=self._trust)
        self._token = token

    def close(self) -> None:
        """Close the connections that are open."""
        self._server.close()

    def node(self, name: str) -> KubernetesNode | None:
        """Return a node. None if Kubernetes does not know it."""
        path = f"/api/v1/nodes/{quote(name)}"
        status, node = self._call(f"get node {name}", "GET", path, handled=(404,))
        return None if status == HTTPStatus.NOT_FOUND else KubernetesNode.parse(node)

    def cordon(self, node: KubernetesNode, mark: str) -> None:
        """Make a node unschedulable, and mark it."""
        self._patch("cordon", node, mark)

    def uncordon(self, node: KubernetesNode) -> None:
        """Make a node schedulable, and remove its mark."""
        self._patch("uncordon", node, None)

    def _patch(self, verb: str, node: KubernetesNode, mark: str | None) -> None:
        patch = {
            "metadata": {"resourceVersion": node.version, "annotations": {_MARK: mark}},
            "spec": {"unschedulable": mark is not None},
        }
        self._call(f"{verb} {node.name}", "PATCH", f"/api/v1/nodes/{quote(node.name)}", patch)

    def pods(self, node: KubernetesNode) -> Iterator[Pod]:
        """List all pods on a node."""
        query = {"fieldSelector": f"spec.nodeName={node.name}", "limit": str(_PAGE)}
        while True:
            path = f"/api/v1/pods?{urlencode(query)}"
            _, page = self._call(f"list the pods of {node.name}", "GET", path)
            yield from (Pod.parse(pod) for pod in page["items"])
            query["continue"] = page["metadata"].get("continue") or ""
            if not query["continue"]:
                return

    def evict(self, pod: Pod) -> str:
        """Evict a pod, with its own grace period. Returns what forbids it, if anything does.

        A StatefulSet creates a pod of the same name elsewhere, so the request has the uid.
        """
        path = f"/api/v1/namespaces/{quote(pod.namespace)}/pods/{quote(pod.name)}/eviction"
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"namespace": pod.namespace, "name": pod.name},
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        }
        what, handled = f"evict {pod}", (400, 403, 404, 409, 422, 429)
        status, answer = self._call(what, "POST", path, eviction, handled=handled)
        message = str(answer.get("message") or "")
        if status == HTTPStatus.FORBIDDEN and _NOT_ALLOWED in message:
            raise _error(what, status, message)
        if status < HTTPStatus.BAD_REQUEST or status in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
            return ""  # It is evicted or gone, or the name is that of another pod.
        # A budget, an admission webhook, or a namespace that is being deleted: it deletes the pod.
        causes = (answer.get("details") or {}).get("causes") or ()
        messages = "; ".join(cause.get("message", "") for cause in causes)
        return messages or message or f"HTTP status {status}"

    def _call(
        self, what: str, method: str, path: str, body: object = None, handled: Sequence[int] = ()
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the object of a response; `handled` are statuses of errors."""
        kind = "merge-patch+json" if method == "PATCH" else "json"
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Accept": "application/json",
            "Content-Type": f"application/{kind}",
        }
        text = None if body is None else json.dumps(body)
        status, content = self._server.send(method, path, headers, text)
        try:
            answer = json.loads(content or b"{}")
        except ValueError:
            raise SchedulerError(f"{what}: {status}, not JSON", is_transient=True) from None
        answer = answer if isinstance(answer, dict) else {}
        if status >= HTTPStatus.MULTIPLE_CHOICES and status not in handled:
            raise _error(what, status, answer.get("message", ""))
        return status, answer


def connect(cluster: str) -> Kubernetes:
    """Return a client of a cluster's API.

    Raises:
        SchedulerError: the cluster cannot be described.
    """
    what, session = f"describe EKS cluster {cluster}", get_session()
    try:
        description = session.create_client("eks").describe_cluster(name=cluster)["cluster"]
    except ClientError as error:
        raise _error(what, error.response["ResponseMetadata"]["HTTPStatusCode"], error) from error
    except BotoCoreError as error:
        raise SchedulerError(f"{what}: {error}", is_transient=True) from error
    return Kubernetes(
        description["endpoint"],
        authority=base64.b64decode(description["certificateAuthority"]["data"]).decode("ascii"),
        token=signed_token(session, cluster),
    )


def signed_token(session: Session, cluster: str) -> str:
    """Return a bearer token that is signed without a call.

    It is a presigned GetCallerIdentity, with which EKS identifies the caller. The signed header
    binds it to one cluster.
    """
    sts = session.create_client("sts")

    def add_cluster(request: AWSRequest, **_: object) -> None:
        request.headers.add_header("x-k8s-aws-id", cluster)

    sts.meta.events.register("before-sign.sts.GetCallerIdentity", add_cluster)
    url = sts.generate_presigned_url(
        "get_caller_identity", ExpiresIn=_TOKEN_SECONDS, HttpMethod="GET"
    )
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def _error(what: str, status: int, message: object) -> SchedulerError:
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        # An access entry has no effect for some seconds ("Create access entries", EKS User Guide).
        return DeniedError(f"{what}: {status} {message}")
    # 409: there was another change; 410: a listing took too long between two pages.
    is_transient = status in {409, 410, 429} or status >= 500  # noqa: PLR2004
    return SchedulerError(f"{what}: {status} {message}", is_transient=is_transient)


def _protected_by(annotations: Mapping[str, str]) -> str:
    found = (f"{key}={value}" for key, value in _PROTECTED.items() if annotations.get(key) == value)
    return next(found, "")
