"""A HyperPod cluster: the four calls of SageMaker that a removal makes, and their responses."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Final

from botocore.client import BaseClient

from hyperpod_node_removal_contract import escape, truncate_middle
from hyperpod_node_removal_handler import aws

# Statuses of a cluster during which BatchDeleteClusterNodes is refused (guide "Scaling down a
# HyperPod cluster"). With continuous provisioning the status stays InService while scaling.
_IN_TRANSITION: Final = frozenset(
    {"Creating", "Deleting", "RollingBack", "SystemUpdating", "Updating"}
)

_MAX_PAGES: Final = 1000
"""Pages of one listing. The largest cluster has 60 of them (6,758 nodes in a group, quota)."""

Page = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """A node as ListClusterNodes and DescribeClusterNode show it."""

    instance_id: str
    """Empty for a logical node that has no instance yet."""
    logical_id: str
    """Empty where the cluster has no logical ids."""
    group: str
    status: str
    """Running, Failure, Pending, ShuttingDown, SystemUpdating, DeepHealthCheckInProgress, ..."""
    message: str = ""
    instance_type: str = ""
    private_dns_hostname: str = ""

    @property
    def name(self) -> str:
        """Its instance id, or the logical id as long as it has no instance."""
        return self.instance_id or self.logical_id

    @property
    def is_shutting_down(self) -> bool:
        """Whether it is on its way out of the cluster."""
        return self.status == "ShuttingDown"

    @property
    def is_detaching(self) -> bool:
        """Whether it is being moved to another cluster (MoveClusterNodes)."""
        return self.status == "DetachInProgress"

    @property
    def is_serving(self) -> bool:
        """Whether it counts for `MinRemaining`: it has an instance, has not failed, and stays."""
        is_going = self.is_faulty or self.is_shutting_down or self.is_detaching
        return bool(self.instance_id) and not is_going

    @property
    def is_faulty(self) -> bool:
        """Whether automatic recovery would replace its instance."""
        return self.status == "Failure"


@dataclass(frozen=True)
class Listing:
    """The nodes of a cluster."""

    nodes: tuple[Node, ...]
    pages: int = 1
    """Calls that it took."""

    def instances_on(self, host_names: Iterable[str]) -> tuple[str, ...]:
        """Return `host: instance id` for each of the hosts that the listing shows.

        Of `ip-10-1-2-3.us-west-2.compute.internal` the first label counts: people also paste it
        alone. Whether a listing has `PrivateDnsHostname` is not certain (docs/assumptions.md).
        """
        instances = {_label(node.private_dns_hostname): node.instance_id for node in self.nodes}
        labels = map(_label, host_names)
        return tuple(f"{label}: {instances[label]}" for label in labels if label in instances)


@dataclass(frozen=True)
class ClusterDescription:
    """A cluster as DescribeCluster shows it."""

    name: str
    status: str
    groups: frozenset[str] = frozenset()
    """All instance groups."""
    controller_groups: frozenset[str] = frozenset()
    """Instance groups that run the Slurm controller."""
    target_counts: Mapping[str, int] = field(default_factory=dict)
    """Instances that each group is to have, by name, where that is known."""
    recovers_nodes: bool = False
    """Whether faulty instances are replaced: `NodeRecovery` is `Automatic`."""
    autoscaler: str = ""
    """The autoscaler, such as Karpenter. Empty: none."""
    arn: str = ""
    eks_cluster_arn: str = ""
    """The EKS cluster that orchestrates it. Empty for Slurm."""

    @property
    def is_in_transition(self) -> bool:
        """Whether an operation on the whole cluster is under way, so that removals are refused."""
        return self.status in _IN_TRANSITION


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the service did not accept the removal of a node."""

    code: str
    message: str

    @classmethod
    def of(cls, error: aws.AwsError) -> "Refusal":
        """Make one of the error of a whole call."""
        return cls(error.code, truncate_middle(error.message, aws.MESSAGE_MAX))


@dataclass(frozen=True)
class DeleteReply:
    """What BatchDeleteClusterNodes answered, by identifier (instance id or logical id)."""

    accepted: frozenset[str]
    refused: Mapping[str, Refusal] = field(default_factory=dict)


class Cluster:
    """One cluster, by name or ARN. Every method raises `aws.AwsError`."""

    def __init__(self, name: str, client: BaseClient) -> None:
        self.name = name
        self._client = client

    def describe(self) -> ClusterDescription:
        """Call DescribeCluster, once."""
        with aws.map_errors("DescribeCluster"):
            answer = self._client.describe_cluster(ClusterName=self.name)
        status = aws.require_key("DescribeCluster", answer, "ClusterStatus")
        # A cluster may have groups of either kind only.
        kinds = [key for key in ("InstanceGroups", "RestrictedInstanceGroups") if key in answer]
        if not kinds:
            raise aws.incomplete("DescribeCluster", "InstanceGroups")
        groups = {
            escape(str(group.get("InstanceGroupName") or "")): group
            for kind in kinds
            for group in answer[kind] or ()
        }
        eks = (answer.get("Orchestrator") or {}).get("Eks") or {}
        return ClusterDescription(
            name=escape(answer.get("ClusterName") or self.name),
            status=escape(str(status), 64),
            groups=frozenset(groups),
            controller_groups=frozenset(
                name for name, group in groups.items() if _is_controller(group)
            ),
            target_counts={
                name: int(count)
                for name, group in groups.items()
                if (count := group.get("TargetCount")) is not None
            },
            recovers_nodes=answer.get("NodeRecovery") == "Automatic",
            autoscaler=_autoscaler(answer.get("AutoScaling") or {}),
            arn=escape(str(answer.get("ClusterArn") or "")),
            eks_cluster_arn=escape(str(eks.get("ClusterArn") or "")),
        )

    def nodes(self, attempt: Callable[[Callable[[], Page]], Page] = lambda call: call()) -> Listing:
        """List all nodes: one ListClusterNodes call for each 100 nodes of the cluster.

        `attempt` makes the call for one page, as often as it wants to. Pages that were read are
        kept. A listing that does not come to an end is an error.
        """
        # Pages are read one after the other, so a node may appear in two. It must not count twice
        # for `MinRemaining`.
        pages = tuple(self._pages(attempt))
        listed = {(node.instance_id, node.logical_id): node for node in chain(*pages)}
        return Listing(tuple(listed.values()), len(pages))

    def _pages(self, attempt: Callable[[Callable[[], Page]], Page]) -> Iterator[Sequence[Node]]:
        following: dict[str, str] = {}
        seen: set[str] = set()
        while True:
            answer = attempt(partial(self._page, following))
            yield [_node(summary) for summary in answer["ClusterNodeSummaries"] or ()]
            token = answer.get("NextToken")
            if not token:
                return
            if token in seen or len(seen) + 1 >= _MAX_PAGES:
                raise aws.AwsError(
                    "ListClusterNodes",
                    "EndlessListing",
                    f"the listing did not end after {len(seen) + 1} pages; the last NextToken was"
                    f" {'a repeated' if token in seen else 'one more new'} one",
                )
            seen.add(token)
            following = {"NextToken": token}

    def _page(self, following: Mapping[str, str]) -> Page:
        with aws.map_errors("ListClusterNodes"):
            answer: Page = self._client.list_cluster_nodes(
                ClusterName=self.name, MaxResults=100, IncludeNodeLogicalIds=True, **following
            )
        aws.require_key("ListClusterNodes", answer, "ClusterNodeSummaries")
        return answer

    def node(self, instance_id: str, logical_id: str) -> Node | None:
        """Call DescribeClusterNode, once, by the instance id or, if that is empty, the logical id.

        Returns None if there seems to be no such node. The answer for a node that has left is not
        documented: ResourceNotFound (also for a missing cluster), a ValidationException, and the
        status NotFound were seen. So presence is proof, and absence only a hint.
        """
        named = {"NodeId": instance_id} if instance_id else {"NodeLogicalId": logical_id}
        try:
            with aws.map_errors("DescribeClusterNode"):
                answer = self._client.describe_cluster_node(ClusterName=self.name, **named)
        except (aws.ResourceNotFoundError, aws.RejectedError):
            return None
        node = _node(aws.require_key("DescribeClusterNode", answer, "NodeDetails"))
        is_it = node.instance_id == instance_id if instance_id else node.logical_id == logical_id
        return node if is_it and node.status != "NotFound" else None

    def delete(self, node_ids: Sequence[str], node_logical_ids: Sequence[str]) -> DeleteReply:
        """Call BatchDeleteClusterNodes, once. The removal itself is asynchronous."""
        named = {"NodeIds": list(node_ids), "NodeLogicalIds": list(node_logical_ids)}
        with aws.map_errors("BatchDeleteClusterNodes"):
            # The API refuses an empty list.
            answer = self._client.batch_delete_cluster_nodes(
                ClusterName=self.name, **{key: ids for key, ids in named.items() if ids}
            )
        by_id, by_logical_id = answer.get("Failed"), answer.get("FailedNodeLogicalIds")
        refused = {str(entry.get("NodeId")): _refusal(entry) for entry in by_id or ()}
        refused |= {str(one.get("NodeLogicalId")): _refusal(one) for one in by_logical_id or ()}
        accepted = (
            *(answer.get("Successful") or ()),
            *(answer.get("SuccessfulNodeLogicalIds") or ()),
        )
        return DeleteReply(frozenset(accepted), refused)


def _is_controller(group: Mapping[str, Any]) -> bool:
    return (group.get("SlurmConfig") or {}).get("NodeType") == "Controller"


def _autoscaler(config: Mapping[str, Any]) -> str:
    if config.get("Mode") != "Enable":
        return ""
    return escape(str(config.get("AutoScalerType") or "An autoscaler"), 64)


def _refusal(entry: Mapping[str, Any]) -> Refusal:
    return Refusal(escape(str(entry.get("Code", "Unknown")), 64), _message(entry))


def _message(entry: Mapping[str, Any]) -> str:
    return truncate_middle(escape(str(entry.get("Message") or "")), aws.MESSAGE_MAX)


def _label(host_name: str) -> str:
    return host_name.partition(".")[0]


def _node(summary: Mapping[str, Any]) -> Node:
    status = summary.get("InstanceStatus") or {}
    return Node(
        instance_id=escape(str(summary.get("InstanceId") or "")),
        logical_id=escape(str(summary.get("NodeLogicalId") or "")),
        group=escape(str(summary.get("InstanceGroupName") or "")),
        status=escape(str(status.get("Status") or ""), 64),
        message=_message(status),
        instance_type=escape(str(summary.get("InstanceType") or "")),
        private_dns_hostname=escape(str(summary.get("PrivateDnsHostname") or ""), 255),
    )
