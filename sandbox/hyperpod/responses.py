"""Responses of the operations that read: DescribeCluster, ListClusterNodes, DescribeClusterNode."""

import re
from typing import Any

from sandbox.hyperpod.faults import Request, Rules, ServiceError, check_form
from sandbox.hyperpod.nodes import LOGICAL_ID, NODE_ID, Group, Node
from sandbox.hyperpod.state import ClusterState

_INSTANCE_TYPE = "ml.p5.48xlarge"
_PAGE = 100
_TOKEN = re.compile(r"listing-(\d+)-after-(\d+)")
_NOT_MODELED = ("CreationTimeAfter", "CreationTimeBefore", "SortBy", "SortOrder")


def describe_cluster(cluster: ClusterState, rules: Rules) -> dict[str, Any]:
    plan = cluster.plan
    groups = cluster.groups().values()
    restricted = [_group(cluster, group) for group in groups if group.restricted]
    others = [_group(cluster, group) for group in groups if not group.restricted]
    response: dict[str, Any] = {
        "ClusterArn": plan.arn,
        "ClusterName": plan.name,
        "ClusterStatus": str(cluster.cluster_status()),
        "CreationTime": cluster.created,
        "NodeRecovery": plan.node_recovery,
        "Orchestrator": {"Slurm": {}},
    }
    if others or rules.empty_instance_groups:
        response["InstanceGroups"] = others
    if restricted:
        response["RestrictedInstanceGroups"] = restricted
    if plan.orchestrator == "Eks":
        region, account = plan.arn.split(":")[3:5]
        eks_arn = f"arn:aws:eks:{region}:{account}:cluster/{plan.name}"
        response["Orchestrator"] = {"Eks": {"ClusterArn": eks_arn}}
    if plan.autoscaler is not None:
        response["AutoScaling"] = {
            "Mode": "Enable",
            "AutoScalerType": plan.autoscaler,
            "Status": "InService",
        }
    if plan.continuous:
        response["NodeProvisioningMode"] = "Continuous"
    return response


def list_nodes(cluster: ClusterState, request: Request, rules: Rules) -> dict[str, Any]:
    """Return a page of at most 100 nodes. Nodes without an instance need logical ids to appear."""
    for name in _NOT_MODELED:
        if request.get(name) is not None:
            raise ServiceError("ValidationException", f"{name} is not modeled.")
    with_logical_ids = bool(request.get("IncludeNodeLogicalIds"))
    contains = request.get("InstanceGroupNameContains") or ""
    token = request.get("NextToken")
    size = int(request.get("MaxResults") or _PAGE)
    if not 1 <= size <= _PAGE:
        raise ServiceError("ValidationException", f"MaxResults is {size}; allowed: 1 to {_PAGE}.")
    listing, after = (cluster.begin_listing(), 0) if token is None else _position(cluster, token)
    listed_as = cluster.listings[listing]
    hidden = {ordinal for ordinal, status in listed_as.items() if status is None}
    nodes = [
        node
        for node in cluster.listed()
        if node.ordinal > after
        and contains in node.group
        and node.ordinal not in hidden
        and (node.instance_id is not None or with_logical_ids)
    ]
    page = nodes[:size]
    response: dict[str, Any] = {
        "ClusterNodeSummaries": [
            _node(node, listed_as.get(node.ordinal), with_logical_ids=with_logical_ids)
            for node in page
        ]
    }
    if len(nodes) > size or rules.repeats_next_token or rules.never_stops_paging:
        position = page[-1].ordinal if page else after + 1
        next_token = f"listing-{listing}-after-{position}"
        response["NextToken"] = token if token and rules.repeats_next_token else next_token
    return response


def describe_node(cluster: ClusterState, request: Request, rules: Rules) -> dict[str, Any]:
    """Return details of a node, identified by one of its ids and not by both."""
    ids = {name: request[name] for name in ("NodeId", "NodeLogicalId") if request.get(name)}
    if len(ids) != 1:
        raise ServiceError(
            "ValidationException", "Exactly one of NodeId and NodeLogicalId must be given."
        )
    [(name, identifier)] = ids.items()
    form, member = (NODE_ID, "InstanceId") if name == "NodeId" else (LOGICAL_ID, name)
    check_form(form, [identifier])
    try:
        details = _node(cluster.find(identifier), with_logical_ids=True)
    except KeyError:
        details = {}
    if details.get(member) == identifier:
        return {"NodeDetails": details}
    if rules.gone_node == "NotFound":
        return {"NodeDetails": {member: identifier, "InstanceStatus": {"Status": "NotFound"}}}
    raise ServiceError(
        rules.gone_node, f"Node {identifier} not found in cluster {cluster.plan.name}."
    )


def _group(cluster: ClusterState, group: Group) -> dict[str, Any]:
    response: dict[str, Any] = {
        "InstanceGroupName": group.name,
        "InstanceType": _INSTANCE_TYPE,
        "CurrentCount": cluster.current_count(group),
        "TargetCount": group.target_count,
        "Status": str(group.status),
    }
    if group.slurm_node_type is not None:
        response["SlurmConfig"] = {"NodeType": group.slurm_node_type}
    return {name: value for name, value in response.items() if name not in group.left_out}


def _node(node: Node, listed_as: str | None = None, *, with_logical_ids: bool) -> dict[str, Any]:
    status = {"Status": listed_as or str(node.status)}
    if node.message:
        status["Message"] = node.message
    response: dict[str, Any] = {
        "InstanceGroupName": node.group,
        "InstanceType": _INSTANCE_TYPE,
        "LaunchTime": node.launched,
        "InstanceStatus": status,
    }
    if node.instance_id is not None:
        response["InstanceId"] = node.instance_id
        response["PrivateDnsHostname"] = _hostname(node)
    if with_logical_ids and node.logical_id is not None:
        response["NodeLogicalId"] = node.logical_id
    return response


def _hostname(node: Node) -> str:
    """Return a name as the service model describes it: `ip-10-0-1-7.` and a domain."""
    number = node.ordinal
    return f"ip-10-{number >> 16}-{number >> 8 & 255}-{number & 255}.ec2.internal"


def _position(cluster: ClusterState, token: str) -> tuple[int, int]:
    """Return the listing that a page belongs to, and the ordinal that it starts after.

    Ordinals do not change, so nodes may leave between two pages.
    """
    match = _TOKEN.fullmatch(token)
    if match is None or int(match[1]) >= len(cluster.listings):
        raise ServiceError("ValidationException", "NextToken is not valid.")
    return int(match[1]), int(match[2])
