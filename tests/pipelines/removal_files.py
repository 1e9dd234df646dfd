"""Removal files of the tests' clusters."""

from collections.abc import Iterable

from sandbox.hyperpod import Cluster


def text(cluster: Cluster, nodes: Iterable[str], more: str = "") -> str:
    """A removal file. The first node is in line 3."""
    lines = "".join(f"  - {node}\n" for node in nodes)
    return f"cluster: {cluster.name}\nnode_ids:\n{lines}{more}"


def path(cluster: Cluster) -> str:
    """Where it belongs."""
    return f"removals/{cluster.name}.yaml"
