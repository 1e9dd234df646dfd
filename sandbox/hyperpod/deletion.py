"""BatchDeleteClusterNodes: what is refused as a whole, and what node by node.

Facts: the API reference and "Scaling down a SageMaker HyperPod cluster" of the developer guide.
Not documented, and therefore settings of `Rules`: the code of a refusal by a busy cluster, and what
the 400 says when every node fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.hyperpod.faults import Request, ServiceError
from sandbox.hyperpod.identifiers import LOGICAL_ID, NODE_ID, check_form
from sandbox.hyperpod.nodes import DELETABLE_STATUSES, SETTLED_STATUSES, Group
from sandbox.hyperpod.rules import Rules
from sandbox.hyperpod.state import ClusterState

_MOST_IDS = 99
_MOST_IDS_WITH_LOGICAL = 50

VALIDATION_CODES = frozenset(
    {"NodeIdNotFound", "NodeLogicalIdNotFound", "InvalidNodeStatus", "NodeIdInUse"}
)
"""Codes that count as failed validation: a request in which every node has one gets a 400."""


@dataclass(frozen=True)
class DeleteRequest:
    """A BatchDeleteClusterNodes request that reached the service, whatever came of it."""

    cluster: str
    """The cluster's name, or what was sent where no such cluster exists."""
    node_ids: tuple[str, ...]
    logical_ids: tuple[str, ...]
    time: float
    """Seconds of the model's clock."""


def delete_nodes(cluster: ClusterState, request: Request, rules: Rules) -> dict[str, Any]:
    """Answer a request. Nodes that are accepted begin to shut down.

    Raises:
        ServiceError: the request as a whole is refused; nothing has changed.
    """
    node_ids = list(request.get("NodeIds") or ())
    logical_ids = list(request.get("NodeLogicalIds") or ())
    _check_count(node_ids, logical_ids)
    check_form(NODE_ID, node_ids)
    check_form(LOGICAL_ID, logical_ids)
    _check_settled(cluster, rules)
    groups = cluster.groups()
    refused = {i: why for i in (*node_ids, *logical_ids) if (why := _refusal(cluster, groups, i))}
    if len(refused) == len({*node_ids, *logical_ids}) and all(
        code in VALIDATION_CODES for code, _ in refused.values()
    ):
        raise ServiceError(rules.all_failed_code, _all_failed_message(refused, rules))
    for identifier in dict.fromkeys((*node_ids, *logical_ids)):
        if identifier not in refused:
            cluster.start_leaving(cluster.find_settled(identifier))
    answer = {
        "Successful": [i for i in node_ids if i not in refused],
        "Failed": [
            {"NodeId": i, "Code": refused[i][0], "Message": refused[i][1]}
            for i in node_ids
            if i in refused
        ],
        "SuccessfulNodeLogicalIds": [i for i in logical_ids if i not in refused],
        "FailedNodeLogicalIds": [
            {"NodeLogicalId": i, "Code": refused[i][0], "Message": refused[i][1]}
            for i in logical_ids
            if i in refused
        ],
    }
    return {key: value for key, value in answer.items() if value}


def _check_count(node_ids: list[str], logical_ids: list[str]) -> None:
    if not node_ids and not logical_ids:
        raise ServiceError(
            "ValidationException", "At least one of NodeIds and NodeLogicalIds must be given."
        )
    count = len(node_ids) + len(logical_ids)
    most = _MOST_IDS_WITH_LOGICAL if logical_ids else _MOST_IDS
    if count > most:
        raise ServiceError(
            "ValidationException", f"{count} nodes in one request; at most {most} are allowed."
        )


def _check_settled(cluster: ClusterState, rules: Rules) -> None:
    status = cluster.cluster_status()
    if status not in SETTLED_STATUSES:
        raise ServiceError(
            rules.busy_code, f"Cluster {cluster.plan.name} is {status}; try again later."
        )
    for group in cluster.groups().values():
        if group.status not in SETTLED_STATUSES:
            raise ServiceError(
                rules.busy_code, f"Instance group {group.name} is {group.status}; try again later."
            )


def _refusal(
    cluster: ClusterState, groups: Mapping[str, Group], identifier: str
) -> tuple[str, str] | None:
    """Code and message for an identifier that is refused, or None. The cluster is settled."""
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


def _all_failed_message(refused: dict[str, tuple[str, str]], rules: Rules) -> str:
    if rules.all_failed_message is not None:
        return rules.all_failed_message
    nodes = ", ".join(f"{identifier}: {code}" for identifier, (code, _) in refused.items())
    return f"No node passed validation. {nodes}"
