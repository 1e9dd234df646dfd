"""The API over HTTPS, with its authentication and its RBAC.

A token is one as EKS takes it: a presigned GetCallerIdentity, with the cluster's name among the
signed headers. The signature itself is not checked, since nobody here has the secret of a role.
What a caller may do is what the rules of a ClusterRole allow, and nothing else.
"""

import base64
import json
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import trustme

from sandbox.kubernetes.state import ClusterState

_PREFIX: Final = "k8s-aws-v1."
_PAGE: Final = 2
"""Pods on a page, whatever limit is asked for: a server may answer with fewer."""
_REFUSALS: Final = {
    403: ("NamespaceTerminating", "unable to create new content because it is being terminated"),
    429: (
        "DisruptionBudget",
        "Cannot evict pod as it would violate the pod's disruption budget.",
    ),
}
"""The cause and the message of an eviction that is refused, by HTTP status."""
Rules = Sequence[Mapping[str, Sequence[str]]]
Answer = tuple[int, dict[str, Any]]


class KubernetesApi:
    """A server for one EKS cluster."""

    def __init__(self, name: str, state: ClusterState, rules: Rules) -> None:
        """`rules` are those of the ClusterRole that callers have."""
        self.name = name
        self.state = state
        self.calls: list[tuple[str, str]] = []
        """Verb and resource of each call that was authenticated."""
        self.failures: list[int] = []
        """Statuses with which the next calls fail, one each; 0 for one that does not."""
        self._rules = rules
        self._listed: dict[str, list[dict[str, Any]]] = {}
        self._authority = trustme.CA()

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serve on a free port of 127.0.0.1. Yields the endpoint."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    @property
    def authority(self) -> str:
        """Its certificate authority, in PEM."""
        return self._authority.cert_pem.bytes().decode("ascii")

    def answer(self, method: str, target: str, token: str, body: Mapping[str, Any]) -> Answer:
        """Answer one request."""
        if not self._is_genuine(token):
            return _status(401, "Unauthorized")
        url = urlsplit(target)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        verb, resource = _asked(method, parts)
        self.calls.append((verb, resource))
        if not any(verb in rule["verbs"] and resource in rule["resources"] for rule in self._rules):
            return _status(
                403, f'{resource} is forbidden: User cannot {verb} resource "{resource}"'
            )
        if self.failures and (failure := self.failures.pop(0)):
            return _status(failure, "the server was unable to return a response")
        return self._done(verb, parts, parse_qs(url.query), body)

    def _done(
        self,
        verb: str,
        parts: Sequence[str],
        query: Mapping[str, list[str]],
        body: Mapping[str, Any],
    ) -> Answer:
        match parts:
            case ["api", "v1", "nodes", name]:
                return self._node(name, body)
            case ["api", "v1", "pods"] if verb == "list":
                return self._list(query)
            case ["api", "v1", "namespaces", namespace, "pods", name, "eviction"]:
                uid = body["deleteOptions"]["preconditions"]["uid"]
                status, message = self.state.evict(namespace, name, uid)
                reason, told = _REFUSALS.get(status, ("", ""))
                cause = {"reason": reason, "message": message}
                return _status(status, told, [cause] if reason else [])
        return _status(404, "the server could not find the requested resource")

    def _node(self, name: str, patch: Mapping[str, Any]) -> Answer:
        with self.state.lock:
            node = self.state.nodes.get(name)
            if node is None:
                return _status(404, f'nodes "{name}" not found')
            if patch and not node.patch(patch):
                return _status(409, "the object has been modified")
            return 200, node.shown(name)

    def _list(self, query: Mapping[str, list[str]]) -> Answer:
        (selector,) = query["fieldSelector"]
        field, _, node = selector.partition("=")
        if field != "spec.nodeName":
            return _status(400, "not modelled")
        begin = int(query.get("continue", ["0"])[0])
        # As in etcd, the pages of one list are of one moment.
        if begin == 0:
            self._listed[node] = self.state.pods_on(node)
        listed = self._listed[node]
        page = listed[begin : begin + _PAGE]
        more = str(begin + _PAGE) if len(listed) > begin + _PAGE else ""
        return 200, {"metadata": {"continue": more}, "items": page}

    def _is_genuine(self, token: str) -> bool:
        if not token.startswith(f"Bearer {_PREFIX}"):
            return False
        encoded = token.removeprefix(f"Bearer {_PREFIX}")
        url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
        query = parse_qs(url.query)
        return (
            query.get("Action") == ["GetCallerIdentity"]
            and "x-k8s-aws-id" in query["X-Amz-SignedHeaders"][0].split(";")
            and int(query["X-Amz-Expires"][0]) <= 900  # noqa: PLR2004 (what EKS takes)
            and bool(query["X-Amz-Signature"][0])
        )


def _asked(method: str, parts: Sequence[str]) -> tuple[str, str]:
    if parts[-1] == "eviction":
        return "create", "pods/eviction"
    if "pods" in parts:
        return ("list" if parts[-1] == "pods" else "get"), "pods"
    return {"GET": "get", "PATCH": "patch"}.get(method, method.lower()), parts[2]


def _status(code: int, message: str, causes: Sequence[Mapping[str, str]] = ()) -> Answer:
    return code, {"kind": "Status", "message": message, "details": {"causes": list(causes)}}


def _handler(api: KubernetesApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            token = self.headers.get("Authorization", "")
            status, answer = api.answer(self.command, self.path, token, body)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PATCH = do_POST = _answer  # noqa: N815 (the names are the base class's)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return Handler
