"""What may put instances back where nodes were removed: sentences for people, none as a rule."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from hyperpod_node_removal_handler.cluster import ClusterDescription
from hyperpod_node_removal_handler.contract import several
from hyperpod_node_removal_handler.requested_node import Phase, RequestedNode

_SHOWN: Final = 5
"""Names in a sentence."""
_GOING: Final = frozenset({Phase.WAITING, Phase.LEAVING, Phase.REMOVED})


def warnings(nodes: Iterable[RequestedNode], description: ClusterDescription) -> tuple[str, ...]:
    """What to expect of a cluster after nodes like these have been, or would be, removed."""
    requested = tuple(nodes)
    return (*_autoscaled(requested, description), *_replaced(requested, description))


def _autoscaled(nodes: Sequence[RequestedNode], description: ClusterDescription) -> Iterator[str]:
    groups = sorted({n.node.group for n in nodes if n.node and n.phase in _GOING})
    if description.autoscaler and groups:
        yield (
            f"{description.autoscaler} scales this cluster and may add nodes to"
            f" {several(groups, _SHOWN)} again, for pods that wait, up to the limits of its node"
            " pools."
        )


def _replaced(nodes: Sequence[RequestedNode], description: ClusterDescription) -> Iterator[str]:
    names = [node.name for node in nodes if _may_have_another_id(node)]
    if description.recovers_nodes and names:
        yield (
            "Automatic node recovery may give a node another instance, and another instance id,"
            f" before it is removed: {several(names, _SHOWN)}; a logical id stays."
        )


def _may_have_another_id(node: RequestedNode) -> bool:
    """Whether only an instance id names a node that is faulty, or vanished without being asked to.

    A node that was not there to begin with is most likely one that an earlier run removed.
    """
    if node.logical_id or node.node is None:
        return False
    is_faulty = node.phase is Phase.WAITING and node.node.is_faulty
    return is_faulty or node.phase is Phase.ABSENT


def left_alone(names: Sequence[str]) -> Iterator[str]:
    """Say which nodes an update that changes settings only did not ask for."""
    if names:
        yield (
            "This update changes neither the cluster nor the ids, so nodes that are in the cluster"
            f" were not requested: {several(names, _SHOWN)}. Change RetryToken to remove them."
        )


def in_transition(status: str, seconds: int) -> str:
    """Say that the cluster is still busy with the removal."""
    return (
        f"The cluster was still {status} {seconds} s after the last node left: a change of it may"
        " be refused until that is over."
    )
