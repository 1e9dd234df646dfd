"""The calls of the Kubernetes API that a drain takes."""

import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Self
from urllib.parse import quote, urlencode, urlsplit

_SECONDS: Final = 5
"""How long the API may take to connect, and for each read."""
_PAGE: Final = 500
_MIRROR: Final = "kubernetes.io/config.mirror"
"""Annotation of a pod that the node itself runs from a file: nobody can evict it."""
_MARK: Final = "hyperpod-node-removal/drained-by"
"""Annotation of a node that a drain has cordoned."""
_MUST_STAY: Final[Mapping[str, str]] = {
    "karpenter.sh/do-not-disrupt": "true",
    "karpenter.sh/do-not-evict": "true",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
}
"""Annotations with which people ask that a pod or a node be left alone. The second is Karpenter's
name of the first before its v0.32."""


class ApiError(Exception):
    """A call that the API did not carry out."""

    def __init__(self, what: str, status: int, message: str) -> None:
        super().__init__(f"{what}: {status} {message}")
        self.is_transient = status in {0, 409, 410, 429} or status >= 500  # noqa: PLR2004
        """Whether it may pass by itself. 0 is no answer at all, 409 that something has changed, 410
        that a listing took too long between two pages."""


@dataclass(frozen=True)
class KubernetesNode:
    """A node as the API shows it."""

    name: str
    version: str
    """Of what is shown: a change that rests on it is refused if there was another since."""
    is_cordoned: bool
    mark: str
    """Which removal has cordoned it. Empty: none has."""
    must_stay: str
    """The annotation that asks for it to be left alone, if any."""

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> Self:
        """Read it."""
        metadata = shown["metadata"]
        annotations = metadata.get("annotations") or {}
        return cls(
            name=metadata["name"],
            version=metadata["resourceVersion"],
            is_cordoned=bool(shown.get("spec", {}).get("unschedulable")),
            mark=annotations.get(_MARK, ""),
            must_stay=_must_stay(annotations),
        )


@dataclass(frozen=True)
class Pod:
    """A pod on a node."""

    namespace: str
    name: str
    uid: str
    controller: str
    """Kind of the controller that would make it again; empty if there is none."""
    phase: str
    is_mirror: bool
    is_leaving: bool
    must_stay: str
    """The annotation that asks for it to be left alone, if any."""
    finalizer: str
    """What it waits for before it is gone, if anything."""

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> Self:
        """The pod as the API shows it."""
        metadata = shown["metadata"]
        owners = metadata.get("ownerReferences") or ()
        annotations = metadata.get("annotations") or {}
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            controller=next((owner["kind"] for owner in owners if owner.get("controller")), ""),
            phase=shown.get("status", {}).get("phase", ""),
            is_mirror=_MIRROR in annotations,
            is_leaving="deletionTimestamp" in metadata,
            must_stay=_must_stay(annotations),
            finalizer=next(iter(metadata.get("finalizers") or ()), ""),
        )

    @property
    def must_go(self) -> bool:
        """Whether a drain has to wait for it. The rest belongs to the node, or is over."""
        return not (
            self.is_mirror
            or self.controller == "DaemonSet"
            or self.phase in {"Succeeded", "Failed"}
        )

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.name}"


class Kubernetes:
    """A client of one cluster. Every method raises `ApiError`."""

    def __init__(self, endpoint: str, *, authority: str, token: Callable[[], str]) -> None:
        """`authority` is the certificate, in PEM, that the endpoint's own is checked against."""
        parts = urlsplit(endpoint)
        self._host, self._base = parts.netloc, parts.path.rstrip("/")
        self._trust = ssl.create_default_context(cadata=authority)
        # Authorities of EKS have no key identifier, without which Python 3.13 and later believe
        # no certificate of theirs (awslabs/mcp #3791).
        self._trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._token = token

    def node(self, name: str) -> KubernetesNode | None:
        """Return a node. None: Kubernetes does not know it."""
        status, answer = self._call("GET", f"/api/v1/nodes/{quote(name)}")
        if status == HTTPStatus.NOT_FOUND:
            return None
        _check(f"get node {name}", status, answer)
        return KubernetesNode.of(answer)

    def cordon(self, node: KubernetesNode, mark: str) -> None:
        """Keep new pods from a node, and mark it."""
        self._patch(node, is_cordoned=True, mark=mark)

    def uncordon(self, node: KubernetesNode) -> None:
        """Have a node take pods again, without its mark."""
        self._patch(node, is_cordoned=False, mark=None)

    def _patch(self, node: KubernetesNode, *, is_cordoned: bool, mark: str | None) -> None:
        status, answer = self._call(
            "PATCH",
            f"/api/v1/nodes/{quote(node.name)}",
            {
                "metadata": {"resourceVersion": node.version, "annotations": {_MARK: mark}},
                "spec": {"unschedulable": is_cordoned},
            },
            "application/merge-patch+json",
        )
        _check(f"{'' if is_cordoned else 'un'}cordon {node.name}", status, answer)

    def pods(self, node: str) -> Iterator[Pod]:
        """All pods on a node."""
        query = {"fieldSelector": f"spec.nodeName={node}", "limit": str(_PAGE)}
        following: str | None = ""
        while following is not None:
            more = {"continue": following} if following else {}
            status, answer = self._call("GET", f"/api/v1/pods?{urlencode(query | more)}")
            _check(f"list the pods of {node}", status, answer)
            yield from (Pod.of(shown) for shown in answer["items"])
            following = answer["metadata"].get("continue") or None

    def evict(self, pod: Pod) -> str:
        """Ask a pod to go, within its own grace period. Returns what forbids it, if anything does.

        A StatefulSet makes a pod of the same name elsewhere, so the uid goes with the request.
        """
        path = f"/api/v1/namespaces/{quote(pod.namespace)}/pods/{quote(pod.name)}/eviction"
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"namespace": pod.namespace, "name": pod.name},
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        }
        status, answer = self._call("POST", path, eviction)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            causes = (answer.get("details") or {}).get("causes") or ()
            told = "; ".join(cause.get("message", "") for cause in causes)
            return told or str(answer.get("message") or "too many requests")
        # Not there any more, or another pod by that name.
        if status not in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
            _check(f"evict {pod}", status, answer)
        return ""

    def _call(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self._token()}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        connection = http.client.HTTPSConnection(self._host, timeout=_SECONDS, context=self._trust)
        try:
            with closing(connection):
                text = None if body is None else json.dumps(body)
                connection.request(method, self._base + path, text, headers)
                response = connection.getresponse()
                answer = json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            what = f"{method} {path.partition('?')[0]}"
            raise ApiError(what, 0, type(error).__name__) from error
        return response.status, answer if isinstance(answer, dict) else {}


def _must_stay(annotations: Mapping[str, str]) -> str:
    found = (f"{key}={value}" for key, value in _MUST_STAY.items() if annotations.get(key) == value)
    return next(found, "")


def _check(what: str, status: int, answer: Mapping[str, Any]) -> None:
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        raise ApiError(what, status, str(answer.get("message", "")))
