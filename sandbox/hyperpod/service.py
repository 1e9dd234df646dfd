"""The service: operations on clusters, the errors it gives, and what it has seen."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from threading import RLock
from typing import Any

from sandbox.hyperpod import answers, wire
from sandbox.hyperpod.cluster import Cluster
from sandbox.hyperpod.deletion import DeleteRequest, delete_nodes
from sandbox.hyperpod.faults import Fault, Faults, Request, ServiceError, Throttle, service_error
from sandbox.hyperpod.identifiers import CLUSTER, check_form
from sandbox.hyperpod.management import plan_of, update_cluster
from sandbox.hyperpod.rules import Rules
from sandbox.hyperpod.state import ClusterPlan, ClusterState


class HyperPod:
    """SageMaker HyperPod in memory, for `mock` (in this process) and `serve` (over HTTP).

    Nothing happens by itself: statuses follow `clock`, in seconds, when they are looked at.
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
        """Seconds per call, or what tells them for an operation; handed to `sleep`."""
        self.shutdown_seconds = 60.0
        """Seconds that a node takes to leave, for clusters that are made by CreateCluster."""
        self.rules = Rules()
        """What AWS's documentation leaves open."""
        self.calls: Counter[str] = Counter()
        """Calls that reached the service by operation, those that got an error included."""
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
        restricted: Collection[str] = (),
        min_counts: Mapping[str, int] | None = None,
        continuous: bool = False,
        orchestrator: str = "Slurm",
        shutdown_seconds: float | tuple[float, float] = 60.0,
        busy_while_leaving: bool = False,
        busy_after_leaving: float = 0.0,
        instance_type: str = "ml.p5.48xlarge",
        node_recovery: str = "Automatic",
        autoscaler: str | None = None,
        seed: int = 0,
    ) -> Cluster:
        """A cluster whose nodes all run; ids are the same for the same name and seed.

        Args:
            groups: instance groups and their counts.
            controller_group: the group that runs the Slurm controller. With None no group has a
                SlurmConfig, as in clusters made with a provisioning file.
            restricted: which groups are in RestrictedInstanceGroups and not in InstanceGroups.
            min_counts: `MinCount` per group, where it has one.
            continuous: NodeProvisioningMode Continuous, and so logical ids.
            orchestrator: "Slurm" or "Eks".
            shutdown_seconds: how long a node takes to leave; a pair is a range to draw from.
            busy_while_leaving: whether ClusterStatus is Updating while nodes leave. The guide
                says that it never is with continuous provisioning, and is silent otherwise.
            busy_after_leaving: for how many seconds it is Updating after the last node left.
            node_recovery: "Automatic" or "None". It is only told: see `Cluster.replace_instance`.
            autoscaler: "Karpenter" where autoscaling is enabled. It adds no nodes by itself.
        """
        plan = ClusterPlan(
            name=name,
            arn=self._arn(name, seed),
            groups=groups,
            controller_group=controller_group,
            restricted=restricted,
            min_counts=min_counts or {},
            continuous=continuous,
            orchestrator=orchestrator,
            shutdown_seconds=shutdown_seconds,
            busy_while_leaving=busy_while_leaving,
            busy_after_leaving=busy_after_leaving,
            instance_type=instance_type,
            node_recovery=node_recovery,
            autoscaler=autoscaler,
            seed=seed,
        )
        with self._lock:
            return Cluster(self._add(plan), self._lock)

    def cluster(self, name: str) -> Cluster:
        """The cluster of this name or ARN, however it was made; KeyError when there is none."""
        with self._lock:
            try:
                return Cluster(self._find(name), self._lock)
            except ServiceError:
                raise KeyError(name) from None

    @property
    def requested_nodes(self) -> set[str]:
        """Instance ids that a delete request ever named, by either id, accepted or not."""
        with self._lock:
            ids = [i for r in self.delete_requests for i in (*r.node_ids, *r.logical_ids)]
            known = {i: node for state in self._clusters for i, node in state.ever.items()}
            named = [known[i].instance_id if i in known else i for i in ids]
            direct = [i for r in self.delete_requests for i in r.node_ids]
            return {i for i in (*named, *direct) if i}

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
        """Answer the operation's next calls with an error, whose code by default fits the status.

        With `after_work` the service first does what it was asked for.
        """
        error = service_error(code, message, status)
        with self._lock:
            self._faults.add(Fault(operation, error, after_work, lambda _: True, times))

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
        """Answer every call of the operation whose request the predicate accepts with an error."""
        error = service_error(code, message, status)
        with self._lock:
            self._faults.add(Fault(operation, error, after_work, predicate, None))

    def throttle(self, operations: Iterable[str], *, rate: float, burst: float) -> None:
        """Let `burst` calls of these operations through at once and `rate` more in each second.

        The calls to all clusters count together; what is beyond gets ThrottlingException.
        """
        with self._lock:
            self._faults.throttles.append(Throttle(frozenset(operations), rate, burst))

    def call(self, operation: str, request: Request) -> dict[str, Any]:
        """One call of the service: an answer in its words, or ServiceError."""
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
            answer = self._create(request) if is_new else self._answer(operation, request)
        if fault is not None:
            raise fault.error
        return answer

    @contextmanager
    def mock(self) -> Iterator["HyperPod"]:
        """Let boto3 clients made in this process reach the model, with credentials of no account.

        Everything else of AWS is moto's for as long as it lasts.
        """
        with wire.mocked(self.call, self.region):
            yield self

    def serve(
        self, denial: Callable[[str, str, str], str] = lambda *_: ""
    ) -> AbstractContextManager[str]:
        """Serve the model on a free port of 127.0.0.1. Yields the endpoint URL for SageMaker.

        Args:
            denial: tells for an access key, an IAM action and the ARN of a cluster why access is
                denied; an empty text where it is not.
        """

        def authorize(access_key: str, operation: str, request: Request) -> None:
            name = request.get("ClusterName", "")
            with self._lock:
                arns = [c.plan.arn for c in self._clusters if name in {c.plan.name, c.plan.arn}]
            # a name that no cluster has is found out by those who may look at any
            arn = arns[-1] if arns else self._arn(name, 0).rpartition("/")[0] + "/unknown"
            if message := denial(access_key, f"sagemaker:{operation}", arn):
                raise ServiceError("AccessDeniedException", message)

        return wire.served(self.call, authorize)

    def _answer(self, operation: str, request: Request) -> dict[str, Any]:
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
                return answers.describe_cluster(cluster, self.rules)
            case "DescribeClusterNode":
                return answers.describe_node(cluster, request, self.rules)
            case "ListClusterNodes":
                return answers.list_nodes(cluster, request, self.rules)
        raise ServiceError("UnknownOperationException", f"{operation} is not modelled.", 404)

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
        name = request.get("ClusterName", "")
        names = [c.plan.name for c in self._clusters if name in (c.plan.name, c.plan.arn)]
        self.delete_requests.append(
            DeleteRequest(
                cluster=names[0] if names else name,
                node_ids=tuple(request.get("NodeIds") or ()),
                logical_ids=tuple(request.get("NodeLogicalIds") or ()),
                time=self.clock(),
            )
        )
