"""Nodes as a removal left them, its result, and the report of it."""

from typing import Any

from hyperpod_node_removal_handler import report
from hyperpod_node_removal_handler.cluster import Node, Refusal
from hyperpod_node_removal_handler.outcome import Result
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.report import Report
from hyperpod_node_removal_handler.request import RemovalRequest
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode
from tests.handler.world import LOG


def identifier(number: int) -> str:
    return f"i-{number:017x}"


def removed(number: int) -> RequestedNode:
    node = Node(identifier(number), "", "workers", "ShuttingDown")
    return RequestedNode(
        node_id=node.instance_id, phase=Phase.REMOVED, node=node, misses=2, accepted=node
    )


def leaving(number: int) -> RequestedNode:
    node = Node(identifier(number), "", "workers", "ShuttingDown")
    return RequestedNode(node_id=node.instance_id, phase=Phase.LEAVING, node=node, accepted=node)


def absent(number: int) -> RequestedNode:
    return RequestedNode(node_id=identifier(number), phase=Phase.ABSENT, misses=2)


def failed(number: int, code: str = "NodeIdInUse", message: str = "in use") -> RequestedNode:
    node = Node(identifier(number), "", "workers", "Running")
    return RequestedNode(
        node_id=node.instance_id,
        phase=Phase.FAILED,
        node=node,
        refusal=Refusal(code, message),
        attempts=3,
    )


def result(*nodes: RequestedNode, **more: Any) -> Result:
    """Return the result that left these nodes; `more` is of its request or of itself."""
    names = {"cluster", "on_partial_failure"}
    of_request = {name: value for name, value in more.items() if name in names}
    of_result = {name: value for name, value in more.items() if name not in names}
    request = RemovalRequest(**{"cluster": "ml-cluster", **of_request})
    given = {"cluster_name": "ml-cluster", "elapsed": 63.0, "ended": 1e6, **of_result}
    return Result(request, LOG, removal=Removal(nodes), **given)


def report_of(*nodes: RequestedNode, **more: Any) -> Report:
    """Return the report of a removal that left these nodes; `more` is of its request or result."""
    return report.of_result(result(*nodes, **more))
