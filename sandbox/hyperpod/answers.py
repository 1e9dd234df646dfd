"""The answers of the operations that read, in the service's words."""

from typing import Any

from sandbox.hyperpod.faults import Request, ServiceError
from sandbox.hyperpod.nodes import Group, Node
from sandbox.hyperpod.state import ClusterState

_PAGE = 100
_UNMODELLED = ("CreationTimeAfter", "CreationTimeBefore", "SortBy", "SortOrder")


def describe_cluster(cluster: ClusterState) -> dict[str, Any]:
    plan = cluster.plan
    answer: dict[str, Any] = {
        "ClusterArn": plan.arn,
        "ClusterName": plan.name,
        "ClusterStatus": str(cluster.cluster_status()),
        "CreationTime": cluster.created,
        "InstanceGroups": [_group(cluster, group) for group in cluster.groups().values()],
        "NodeRecovery": plan.node_recovery,
        "Orchestrator": {"Slurm": {}},
    }
    if plan.orchestrator == "Eks":
        region, account = plan.arn.split(":")[3:5]
        eks_arn = f"arn:aws:eks:{region}:{account}:cluster/{plan.name}"
        answer["Orchestrator"] = {"Eks": {"ClusterArn": eks_arn}}
    if plan.autoscaler is not None:
        answer["AutoScaling"] = {
            "Mode": "Enable",
            "AutoScalerType": plan.autoscaler,
            "Status": "InService",
        }
    if plan.continuous:
        answer["NodeProvisioningMode"] = "Continuous"
    return answer


def list_nodes(cluster: ClusterState, request: Request) -> dict[str, Any]:
    """A page of at most 100 nodes. Nodes without an instance appear only with logical ids."""
    for name in _UNMODELLED:
        if request.get(name) is not None:
            raise ServiceError("ValidationException", f"{name} is not modelled.")
    with_logical_ids = bool(request.get("IncludeNodeLogicalIds"))
    contains = request.get("InstanceGroupNameContains") or ""
    after = _position(request.get("NextToken"))
    size = int(request.get("MaxResults") or _PAGE)
    if not 1 <= size <= _PAGE:
        raise ServiceError("ValidationException", f"MaxResults is {size}; allowed: 1 to {_PAGE}.")
    nodes = [
        node
        for node in cluster.listed()
        if node.ordinal > after
        and contains in node.group
        and (node.instance_id is not None or with_logical_ids)
    ]
    page = nodes[:size]
    answer: dict[str, Any] = {
        "ClusterNodeSummaries": [_node(node, with_logical_ids=with_logical_ids) for node in page]
    }
    if len(nodes) > size:
        answer["NextToken"] = f"after-{page[-1].ordinal}"
    return answer


def describe_node(cluster: ClusterState, request: Request) -> dict[str, Any]:
    identifier = request.get("NodeId") or request.get("NodeLogicalId") or ""
    try:
        node = cluster.find(identifier)
    except KeyError:
        raise ServiceError(
            "ResourceNotFound", f"Node {identifier} not found in cluster {cluster.plan.name}."
        ) from None
    return {"NodeDetails": _node(node, with_logical_ids=True)}


def _group(cluster: ClusterState, group: Group) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "InstanceGroupName": group.name,
        "InstanceType": group.instance_type,
        "CurrentCount": cluster.current_count(group),
        "TargetCount": group.target_count,
        "Status": str(group.status),
    }
    if group.min_count is not None:
        answer["MinCount"] = group.min_count
    if group.slurm_node_type is not None:
        answer["SlurmConfig"] = {"NodeType": group.slurm_node_type}
    return answer


def _node(node: Node, *, with_logical_ids: bool) -> dict[str, Any]:
    status = {"Status": str(node.status)}
    if node.message:
        status["Message"] = node.message
    answer: dict[str, Any] = {
        "InstanceGroupName": node.group,
        "InstanceType": node.instance_type,
        "LaunchTime": node.launched,
        "InstanceStatus": status,
    }
    if node.instance_id is not None:
        answer["InstanceId"] = node.instance_id
        answer["PrivateDnsHostname"] = _hostname(node)
    if with_logical_ids and node.logical_id is not None:
        answer["NodeLogicalId"] = node.logical_id
    return answer


def _hostname(node: Node) -> str:
    """A name as the service's model describes it: `ip-10-0-1-7.` and a domain."""
    return f"ip-10-{node.ordinal >> 16}-{node.ordinal >> 8 & 255}-{node.ordinal & 255}.ec2.internal"


def _position(token: str | None) -> int:
    """The ordinal a page begins behind. Ordinals stay, so nodes may leave between two pages."""
    if token is None:
        return 0
    digits = token.removeprefix("after-")
    if not digits.isdecimal():
        raise ServiceError("ValidationException", "NextToken is not valid.")
    return int(digits)
