"""The four calls of the Kubernetes API that a drain takes."""

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


class ApiError(Exception):
    """A call that the API did not carry out."""

    def __init__(self, what: str, status: int, message: str) -> None:
        super().__init__(f"{what}: {status} {message}")
        self.is_transient = status == 0 or status == 429 or status >= 500  # noqa: PLR1714, PLR2004
        """Whether it may pass by itself. 0 is no answer at all."""


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

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> Self:
        """The pod as the API shows it."""
        metadata = shown["metadata"]
        owners = metadata.get("ownerReferences") or ()
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            controller=next((owner["kind"] for owner in owners if owner.get("controller")), ""),
            phase=shown.get("status", {}).get("phase", ""),
            is_mirror=_MIRROR in (metadata.get("annotations") or {}),
            is_leaving="deletionTimestamp" in metadata,
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
        self._token = token

    def cordon(self, node: str) -> bool:
        """Keep new pods from a node. False: Kubernetes does not know the node."""
        status, answer = self._call(
            "PATCH",
            f"/api/v1/nodes/{quote(node)}",
            {"spec": {"unschedulable": True}},
            "application/merge-patch+json",
        )
        if status == HTTPStatus.NOT_FOUND:
            return False
        _check(f"cordon {node}", status, answer)
        return True

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


def _check(what: str, status: int, answer: Mapping[str, Any]) -> None:
    if status >= HTTPStatus.BAD_REQUEST:
        raise ApiError(what, status, str(answer.get("message", "")))
