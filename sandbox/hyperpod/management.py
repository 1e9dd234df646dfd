"""CreateCluster and UpdateCluster: how many nodes there shall be, and who chooses which ones go.

Facts: the API reference and "Scaling down a SageMaker HyperPod cluster" of the developer guide,
which says that a lowered count removes nodes at random. Not modelled: that the cluster is Updating
meanwhile (with continuous provisioning it is not), and that new nodes take time to run.
"""

from collections.abc import Mapping
from typing import Any

from sandbox.hyperpod.faults import Request, ServiceError
from sandbox.hyperpod.nodes import Group, NodeStatus
from sandbox.hyperpod.state import ClusterPlan, ClusterState


def plan_of(request: Request, arn: str, *, shutdown_seconds: float) -> ClusterPlan:
    """What a CreateCluster request describes."""
    groups = _groups(request)
    if not groups:
        raise ServiceError("ValidationException", "A cluster must have an instance group.")
    kinds = {
        name: (group.get("SlurmConfig") or {}).get("NodeType") for name, group in groups.items()
    }
    return ClusterPlan(
        name=request["ClusterName"],
        arn=arn,
        groups={name: int(group["InstanceCount"]) for name, group in groups.items()},
        controller_group=next((name for name in kinds if kinds[name] == "Controller"), None),
        restricted=[
            group["InstanceGroupName"] for group in request.get("RestrictedInstanceGroups") or ()
        ],
        continuous=request.get("NodeProvisioningMode") == "Continuous",
        orchestrator="Eks" if "Eks" in (request.get("Orchestrator") or {}) else "Slurm",
        shutdown_seconds=shutdown_seconds,
        node_recovery=request.get("NodeRecovery") or "Automatic",
        autoscaler=_autoscaler(request.get("AutoScaling") or {}),
    )


def update_cluster(cluster: ClusterState, request: Request) -> dict[str, Any]:
    """Bring the named groups to their counts; groups that the request does not name stay."""
    for name, group in _groups(request).items():
        known = cluster.groups().get(name)
        if known is None:
            raise ServiceError("ValidationException", f"Adding group {name} is not modelled.")
        _scale(cluster, known, int(group["InstanceCount"]))
    return {"ClusterArn": cluster.plan.arn}


def _scale(cluster: ClusterState, group: Group, count: int) -> None:
    for _ in range(count - group.target_count):
        group.target_count += 1
        cluster.add_node(group.name, NodeStatus.RUNNING, with_instance=True)
    if count < group.target_count:
        cluster.remove_any(group, group.target_count - count)


def _groups(request: Request) -> dict[str, Mapping[str, Any]]:
    return {
        group["InstanceGroupName"]: group
        for kind in ("InstanceGroups", "RestrictedInstanceGroups")
        for group in request.get(kind) or ()
    }


def _autoscaler(config: Mapping[str, Any]) -> str | None:
    if config.get("Mode") != "Enable":
        return None
    return str(config.get("AutoScalerType") or "Karpenter")
