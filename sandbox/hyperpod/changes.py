"""The operations that change a cluster: BatchDeleteClusterNodes, CreateCluster, UpdateCluster.

Sources: the API reference and "Scaling down a SageMaker HyperPod cluster" of the developer guide,
which says that a lowered count removes nodes at random. Not documented, and therefore in `Rules`:
the code of a rejection by a busy cluster, and what the 400 says if every node fails. Not modeled:
that the cluster is Updating while its counts change (with continuous provisioning it is not), and
that new nodes take time to run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.hyperpod.faults import Request, Rules, ServiceError, check_form
from sandbox.hyperpod.nodes import (
    DELETABLE_STATUSES,
    LOGICAL_ID,
    NODE_ID,
    SETTLED_STATUSES,
    Group,
    NodeStatus,
)
from sandbox.hyperpod.state import ClusterPlan, ClusterState

_MAX_IDS = 99
_MAX_IDS_WITH_LOGICAL = 50

VALIDATION_CODES = frozenset(
    {"NodeIdNotFound", "NodeLogicalIdNotFound", "InvalidNodeStatus", "NodeIdInUse"}
)
"""Codes that count as failed validation: a request in which every node has one gets a 400."""


@dataclass(frozen=True)
class DeleteRequest:
    """A BatchDeleteClusterNodes request that reached the service, whatever its result."""

    node_ids: tuple[str, ...]
    logical_ids: tuple[str, ...]
    time: float
    """Seconds of the model's clock."""


def delete_nodes(cluster: ClusterState, request: Request, rules: Rules) -> dict[str, Any]:
    """Start the shutdown of the accepted nodes. Returns the response.

    Raises:
        ServiceError: the request as a whole is rejected; nothing has changed.
    """
    node_ids = list(request.get("NodeIds") or ())
    logical_ids = list(request.get("NodeLogicalIds") or ())
    _check_count(node_ids, logical_ids)
    check_form(NODE_ID, node_ids)
    check_form(LOGICAL_ID, logical_ids)
    _check_settled(cluster, rules)
    groups = cluster.groups()
    identifiers = dict.fromkeys((*node_ids, *logical_ids))
    refused = {i: why for i in identifiers if (why := _refusal(cluster, groups, i))}
    if len(refused) == len(identifiers) and all(
        code in VALIDATION_CODES for code, _ in refused.values()
    ):
        raise ServiceError(rules.all_failed_code, _all_failed_message(refused, rules))
    for identifier in identifiers:
        if identifier not in refused:
            cluster.start_leaving(cluster.find_settled(identifier))

    def failed(member: str, ids: list[str]) -> list[dict[str, str]]:
        return [
            {member: i, "Code": refused[i][0], "Message": refused[i][1]}
            for i in ids
            if i in refused
        ]

    response = {
        "Successful": [i for i in node_ids if i not in refused],
        "Failed": failed("NodeId", node_ids),
        "SuccessfulNodeLogicalIds": [i for i in logical_ids if i not in refused],
        "FailedNodeLogicalIds": failed("NodeLogicalId", logical_ids),
    }
    return {key: value for key, value in response.items() if value}


def _check_count(node_ids: list[str], logical_ids: list[str]) -> None:
    count = len(node_ids) + len(logical_ids)
    if not count:
        raise ServiceError(
            "ValidationException", "At least one of NodeIds and NodeLogicalIds must be given."
        )
    allowed = _MAX_IDS_WITH_LOGICAL if logical_ids else _MAX_IDS
    if count > allowed:
        raise ServiceError(
            "ValidationException", f"{count} nodes in one request; at most {allowed} are allowed."
        )


def _check_settled(cluster: ClusterState, rules: Rules) -> None:
    statuses = {f"Cluster {cluster.plan.name}": cluster.cluster_status()} | {
        f"Instance group {group.name}": group.status for group in cluster.groups().values()
    }
    for name, status in statuses.items():
        if status not in SETTLED_STATUSES:
            raise ServiceError(rules.busy_code, f"{name} is {status}; try again later.")


def _refusal(
    cluster: ClusterState, groups: Mapping[str, Group], identifier: str
) -> tuple[str, str] | None:
    """Return code and message for an identifier that is refused, or None."""
    try:
        node = cluster.find_settled(identifier)
    except KeyError:
        node = None
    names = (identifier,) if node is None else (node.instance_id, node.logical_id)
    for name in names:
        refusal = cluster.refusals.get(name or "")
        if refusal is not None and refusal.applies(cluster.clock()):
            refusal.take()
            return refusal.code, refusal.message
    if node is None:
        kind = "NodeIdNotFound" if NODE_ID.fullmatch(identifier) else "NodeLogicalIdNotFound"
        return kind, f"Node {identifier} is not in cluster {cluster.plan.name}."
    if groups[node.group].slurm_node_type == "Controller":
        return "InvalidNodeStatus", f"Node {identifier} is a Slurm controller."
    if node.status not in DELETABLE_STATUSES:
        return "InvalidNodeStatus", f"Node {identifier} is {node.status}."
    return None


def _all_failed_message(refused: Mapping[str, tuple[str, str]], rules: Rules) -> str:
    if rules.all_failed_message is not None:
        return rules.all_failed_message
    nodes = ", ".join(f"{identifier}: {code}" for identifier, (code, _) in refused.items())
    return f"No node passed validation. {nodes}"


def plan_of(request: Request, arn: str, *, shutdown_seconds: float) -> ClusterPlan:
    """Return the plan that a CreateCluster request describes."""
    groups = _groups(request)
    if not groups:
        raise ServiceError("ValidationException", "A cluster must have an instance group.")
    controllers = (
        name
        for name, group in groups.items()
        if (group.get("SlurmConfig") or {}).get("NodeType") == "Controller"
    )
    autoscaling = request.get("AutoScaling") or {}
    autoscaler = autoscaling.get("AutoScalerType") or "Karpenter"
    return ClusterPlan(
        name=request["ClusterName"],
        arn=arn,
        groups={name: int(group["InstanceCount"]) for name, group in groups.items()},
        controller_group=next(controllers, None),
        restricted=[
            group["InstanceGroupName"] for group in request.get("RestrictedInstanceGroups") or ()
        ],
        continuous=request.get("NodeProvisioningMode") == "Continuous",
        orchestrator="Eks" if "Eks" in (request.get("Orchestrator") or {}) else "Slurm",
        shutdown_seconds=shutdown_seconds,
        node_recovery=request.get("NodeRecovery") or "Automatic",
        autoscaler=autoscaler if autoscaling.get("Mode") == "Enable" else None,
    )


def update_cluster(cluster: ClusterState, request: Request) -> dict[str, Any]:
    """Scale the groups of the request to their counts; other groups stay as they are."""
    for name, requested in _groups(request).items():
        group = cluster.groups().get(name)
        if group is None:
            raise ServiceError("ValidationException", f"Adding group {name} is not modeled.")
        count = int(requested["InstanceCount"])
        for _ in range(count - group.target_count):
            group.target_count += 1
            cluster.add_node(group.name, NodeStatus.RUNNING, with_instance=True)
        if count < group.target_count:
            cluster.remove_any(group, group.target_count - count)
    return {"ClusterArn": cluster.plan.arn}


def _groups(request: Request) -> dict[str, Mapping[str, Any]]:
    return {
        group["InstanceGroupName"]: group
        for kind in ("InstanceGroups", "RestrictedInstanceGroups")
        for group in request.get(kind) or ()
    }
