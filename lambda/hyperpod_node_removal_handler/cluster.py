"""A HyperPod cluster, as far as a removal needs it: three calls of SageMaker and their nouns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.contract import printable

# Statuses of a cluster during which BatchDeleteClusterNodes is refused (guide "Scaling down a
# HyperPod cluster"). With continuous provisioning the status stays InService while scaling.
_IN_TRANSITION: Final = frozenset(
    {"Creating", "Deleting", "RollingBack", "SystemUpdating", "Updating"}
)


class SageMakerClient(Protocol):
    """The calls that are used of botocore's SageMaker client."""

    def describe_cluster(self, *, ClusterName: str) -> dict[str, Any]: ...  # noqa: N803
    def list_cluster_nodes(self, **kwargs: Any) -> dict[str, Any]: ...
    def batch_delete_cluster_nodes(self, **kwargs: Any) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Node:
    """A node as ListClusterNodes shows it."""

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
    def is_faulty(self) -> bool:
        """Whether automatic recovery would replace its instance."""
        return self.status == "Failure"


@dataclass(frozen=True, slots=True)
class Listing:
    """The nodes of a cluster."""

    nodes: tuple[Node, ...]
    pages: int = 1
    """Pages it took. A listing of several is not of one moment: a node can slip between two."""


@dataclass(frozen=True, slots=True)
class InstanceGroup:
    """An instance group as DescribeCluster shows it."""

    name: str
    target_count: int
    is_controller: bool


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """A cluster as DescribeCluster shows it."""

    name: str
    status: str
    groups: tuple[InstanceGroup, ...]
    recovers_nodes: bool = False
    """Whether faulty instances are replaced: `NodeRecovery` is `Automatic`."""
    autoscaler: str = ""
    """What adds and removes nodes by itself, such as Karpenter. Empty if nothing does."""
    arn: str = ""
    eks_cluster_arn: str = ""
    """The EKS cluster that orchestrates it. Empty where it is Slurm that does."""

    @property
    def target_counts(self) -> dict[str, int]:
        """Instances that each group is to have, by name."""
        return {group.name: group.target_count for group in self.groups}

    @property
    def controller_groups(self) -> frozenset[str]:
        """Instance groups that run the Slurm controller."""
        return frozenset(group.name for group in self.groups if group.is_controller)

    @property
    def is_in_transition(self) -> bool:
        """Whether an operation on the whole cluster is under way, so that removals are refused."""
        return self.status in _IN_TRANSITION


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the service did not accept the removal of a node."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class DeleteReply:
    """What BatchDeleteClusterNodes answered, by identifier (instance id or logical id)."""

    accepted: frozenset[str]
    refused: Mapping[str, Refusal] = field(default_factory=dict)


class Cluster:
    """One cluster, by name or ARN. Every method raises `aws.AwsError`."""

    def __init__(self, name: str, client: SageMakerClient) -> None:
        self.name = name
        self._client = client

    def describe(self) -> ClusterDescription:
        """DescribeCluster: one call."""
        with aws.translated("DescribeCluster"):
            answer = self._client.describe_cluster(ClusterName=self.name)
        aws.required("DescribeCluster", answer, "ClusterStatus", "InstanceGroups")
        eks = (answer.get("Orchestrator") or {}).get("Eks") or {}
        return ClusterDescription(
            name=printable(answer.get("ClusterName") or self.name),
            status=printable(str(answer["ClusterStatus"]), 64),
            groups=tuple(
                InstanceGroup(
                    name=printable(group.get("InstanceGroupName", "")),
                    target_count=int(group.get("TargetCount") or 0),
                    is_controller=(group.get("SlurmConfig") or {}).get("NodeType") == "Controller",
                )
                for group in answer["InstanceGroups"] or ()
            ),
            recovers_nodes=answer.get("NodeRecovery") == "Automatic",
            autoscaler=_autoscaler(answer.get("AutoScaling") or {}),
            arn=printable(str(answer.get("ClusterArn") or "")),
            eks_cluster_arn=printable(str(eks.get("ClusterArn") or "")),
        )

    def nodes(self) -> Listing:
        """ListClusterNodes: one call for each 100 nodes of the cluster."""
        nodes: list[Node] = []
        pages = 0
        token = None
        while pages == 0 or token:
            following: dict[str, str] = {"NextToken": token} if token else {}
            with aws.translated("ListClusterNodes"):
                answer = self._client.list_cluster_nodes(
                    ClusterName=self.name, MaxResults=100, IncludeNodeLogicalIds=True, **following
                )
            aws.required("ListClusterNodes", answer, "ClusterNodeSummaries")
            nodes.extend(_node(summary) for summary in answer["ClusterNodeSummaries"] or ())
            pages += 1
            token = answer.get("NextToken")
        return Listing(tuple(nodes), pages)

    def delete(self, node_ids: Sequence[str], node_logical_ids: Sequence[str]) -> DeleteReply:
        """BatchDeleteClusterNodes: one call. The removal itself is asynchronous."""
        named = {"NodeIds": list(node_ids), "NodeLogicalIds": list(node_logical_ids)}
        with aws.translated("BatchDeleteClusterNodes"):
            # The API refuses an empty list.
            answer = self._client.batch_delete_cluster_nodes(
                ClusterName=self.name, **{key: ids for key, ids in named.items() if ids}
            )
        failed = [(entry.get("NodeId"), entry) for entry in answer.get("Failed") or ()] + [
            (entry.get("NodeLogicalId"), entry)
            for entry in answer.get("FailedNodeLogicalIds") or ()
        ]
        return DeleteReply(
            accepted=frozenset(answer.get("Successful") or ())
            | frozenset(answer.get("SuccessfulNodeLogicalIds") or ()),
            refused={
                str(identifier): Refusal(
                    code=printable(str(entry.get("Code", "Unknown")), 64),
                    message=printable(str(entry.get("Message", "")), aws.MESSAGE_MAX),
                )
                for identifier, entry in failed
            },
        )


def _autoscaler(config: Mapping[str, Any]) -> str:
    if config.get("Mode") != "Enable":
        return ""
    return printable(str(config.get("AutoScalerType") or "An autoscaler"), 64)


def _node(summary: Mapping[str, Any]) -> Node:
    status = summary.get("InstanceStatus") or {}
    return Node(
        instance_id=printable(str(summary.get("InstanceId") or "")),
        logical_id=printable(str(summary.get("NodeLogicalId") or "")),
        group=printable(str(summary.get("InstanceGroupName") or "")),
        status=printable(str(status.get("Status") or ""), 64),
        message=printable(str(status.get("Message") or ""), aws.MESSAGE_MAX),
        instance_type=printable(str(summary.get("InstanceType") or "")),
        private_dns_hostname=printable(str(summary.get("PrivateDnsHostname") or ""), 255),
    )
