"""The service: operations on clusters, the errors it returns, and a record of its calls."""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from threading import RLock
from typing import Any

from werkzeug.wrappers import Request as HttpRequest
from werkzeug.wrappers import Response

from sandbox.http_server import Respond, serving
from sandbox.hyperpod import responses
from sandbox.hyperpod.changes import DeleteRequest, delete_nodes, plan_of, update_cluster
from sandbox.hyperpod.cluster import Cluster
from sandbox.hyperpod.faults import (
    Fault,
    Faults,
    Request,
    Rules,
    ServiceError,
    Throttle,
    check_form,
    service_error,
)
from sandbox.hyperpod.nodes import CLUSTER
from sandbox.hyperpod.state import ClusterPlan, ClusterState

Denial = Callable[[str, str, str], str]

_OPERATIONS = (
    "BatchDeleteClusterNodes",
    "CreateCluster",
    "DeleteCluster",
    "DescribeCluster",
    "DescribeClusterNode",
    "ListClusterNodes",
    "UpdateCluster",
)
_ACCESS_KEY = re.compile(r"Credential=([^/]+)/")


class HyperPod:
    """SageMaker HyperPod in memory: call it in this process, or `serve` it over HTTP.

    Nothing happens in the background: statuses follow `clock`, in seconds, when they are read.
    `sleep` is called with `latency` at every call and by default does nothing.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = lambda _: None,
        region: str = "us-east-1",
        account: str = "123456789012",
    ) -> None:
        self.clock = clock
        self.region = region
        self.account = account
        self.latency: float | Callable[[str], float] = 0.0
        """Seconds per call, or a function that returns them for an operation."""
        self.shutdown_seconds = 60.0
        """Seconds that a node takes to leave a cluster that CreateCluster created."""
        self.rules = Rules()
        self.calls: Counter[str] = Counter()
        """Calls that reached the service by operation, including those that got an error."""
        self.throttled: Counter[str] = Counter()
        """Those of them that got ThrottlingException."""
        self.delete_requests: list[DeleteRequest] = []
        self._sleep = sleep
        self._lock = RLock()
        self._clusters: list[ClusterState] = []
        self._faults = Faults()

    def create_cluster(
        self,
        name: str,
        groups: Mapping[str, int],
        controller_group: str | None = None,
        *,
        seed: int = 0,
        **settings: Any,
    ) -> Cluster:
        """Create a cluster whose nodes are all running. `settings` are those of `ClusterPlan`."""
        arn = self._arn(name, seed)
        plan = ClusterPlan(name, arn, groups, controller_group, seed=seed, **settings)
        with self._lock:
            return Cluster(self._add(plan), self._lock)

    def cluster(self, name: str) -> Cluster:
        """Return the cluster with this name or ARN; KeyError if there is none."""
        with self._lock:
            try:
                return Cluster(self._find(name), self._lock)
            except ServiceError:
                raise KeyError(name) from None

    @property
    def requested_nodes(self) -> set[str]:
        """Instance ids of all nodes in delete requests, by either id, accepted or not."""
        with self._lock:
            known = {i: node for state in self._clusters for i, node in state.ever.items()}
            direct = [i for r in self.delete_requests for i in r.node_ids]
            logical = [i for r in self.delete_requests for i in r.logical_ids]
            instances = [known[i].instance_id if i in known else i for i in (*direct, *logical)]
            return {i for i in (*direct, *instances) if i}

    def fail_next(
        self,
        operation: str,
        code: str | None = None,
        *,
        status: int = 400,
        message: str | None = None,
        times: int = 1,
        after_work: bool = False,
    ) -> None:
        """Make the operation's next calls fail; by default, the code fits the status.

        With `after_work`, the service performs the operation before it returns the error.
        """
        error = service_error(code, message, status)
        with self._lock:
            self._faults.pending.append(Fault(operation, error, after_work, remaining=times))

    def fail_while(
        self,
        operation: str,
        predicate: Callable[[Request], bool],
        code: str | None = None,
        *,
        status: int = 400,
        message: str | None = None,
        after_work: bool = False,
    ) -> None:
        """Make every call of the operation fail whose request the predicate accepts."""
        error = service_error(code, message, status)
        with self._lock:
            self._faults.pending.append(Fault(operation, error, after_work, predicate))

    def throttle(self, operations: Iterable[str], *, rate: float, burst: float) -> None:
        """Accept `burst` calls of these operations at once, and `rate` more per second.

        Calls to all clusters count together; the others get ThrottlingException.
        """
        with self._lock:
            self._faults.throttles.append(Throttle(frozenset(operations), rate, burst))

    def call(self, operation: str, request: Request) -> dict[str, Any]:
        """Perform an operation. Returns its response, or raises ServiceError."""
        with self._lock:
            self.calls[operation] += 1
            fault = self._faults.take(operation, request, self.clock())
            if operation == "BatchDeleteClusterNodes":
                self._record(request)
            if fault is not None and fault.error.code == "ThrottlingException":
                self.throttled[operation] += 1
        if seconds := self.latency(operation) if callable(self.latency) else self.latency:
            self._sleep(seconds)
        if fault is not None and not fault.after_work:
            raise fault.error
        with self._lock:
            is_new = operation == "CreateCluster"
            response = self._create(request) if is_new else self._respond(operation, request)
        if fault is not None:
            raise fault.error
        return response

    def serve(self, denial: Denial = lambda *_: "") -> AbstractContextManager[str]:
        """Serve SageMaker on a free port of 127.0.0.1. Yields the endpoint URL."""
        return serving(self.responder(denial))

    def responder(self, denial: Denial = lambda *_: "") -> Respond:
        """Return what responds to HTTP requests for SageMaker, in its JSON protocol.

        Args:
            denial: returns why an access key is denied an IAM action on the ARN of a cluster; an
                empty string if it is not.
        """

        def respond(http: HttpRequest) -> Response:
            operation = http.headers.get("X-Amz-Target", "").rpartition(".")[2]
            request = json.loads(http.get_data())
            found = _ACCESS_KEY.search(http.headers.get("Authorization", ""))
            try:
                self._authorize(denial, found[1] if found else "", operation, request)
                status, body = 200, self.call(operation, request)
            except ServiceError as error:
                status, body = error.status, {"__type": error.code, "message": error.message}
            text = json.dumps(body, default=datetime.timestamp)
            return Response(text, status, content_type="application/x-amz-json-1.1")

        return respond

    def _authorize(self, denial: Denial, access_key: str, operation: str, request: Request) -> None:
        name = request.get("ClusterName", "")
        with self._lock:
            arns = [c.plan.arn for c in self._clusters if name in {c.plan.name, c.plan.arn}]
        # only callers that may access any cluster learn that there is none of this name
        arn = arns[-1] if arns else self._arn(name, 0).rpartition("/")[0] + "/unknown"
        if message := denial(access_key, f"sagemaker:{operation}", arn):
            raise ServiceError("AccessDeniedException", message)

    def _respond(self, operation: str, request: Request) -> dict[str, Any]:
        if operation not in _OPERATIONS:
            raise ServiceError("UnknownOperationException", f"{operation} is not modeled.", 404)
        name = request.get("ClusterName", "")
        check_form(CLUSTER, [name])
        cluster = self._find(name)
        match operation:
            case "UpdateCluster":
                return update_cluster(cluster, request)
            case "DeleteCluster":
                cluster.deleted = True
                return {"ClusterArn": cluster.plan.arn}
            case "BatchDeleteClusterNodes":
                return delete_nodes(cluster, request, self.rules)
            case "DescribeCluster":
                return responses.describe_cluster(cluster, self.rules)
            case "DescribeClusterNode":
                return responses.describe_node(cluster, request, self.rules)
            case _:
                return responses.list_nodes(cluster, request, self.rules)

    def _create(self, request: Request) -> dict[str, Any]:
        name = request["ClusterName"]
        if any(name == state.plan.name and not state.deleted for state in self._clusters):
            raise ServiceError("ResourceInUse", f"Cluster {name} already exists.")
        arn = self._arn(name, len(self._clusters))
        self._add(plan_of(request, arn, shutdown_seconds=self.shutdown_seconds))
        return {"ClusterArn": arn}

    def _add(self, plan: ClusterPlan) -> ClusterState:
        state = ClusterState(plan, self.clock)
        self._clusters.append(state)
        return state

    def _arn(self, name: str, seed: int) -> str:
        cluster_id = hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()[:12]
        return f"arn:aws:sagemaker:{self.region}:{self.account}:cluster/{cluster_id}"

    def _find(self, name: str) -> ClusterState:
        for cluster in self._clusters:
            if name in (cluster.plan.name, cluster.plan.arn) and not cluster.deleted:
                return cluster
        raise ServiceError("ResourceNotFound", f"Cluster with name {name} not found.")

    def _record(self, request: Request) -> None:
        self.delete_requests.append(
            DeleteRequest(
                node_ids=tuple(request.get("NodeIds") or ()),
                logical_ids=tuple(request.get("NodeLogicalIds") or ()),
                time=self.clock(),
            )
        )
