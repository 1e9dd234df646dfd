"""Version 2 of the hook's event and answers, as the drains of this project use it.

The contract is told in docs/before-removal.md. Standard library only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

RETRY_AFTER: Final = 20
"""Seconds after which a drain that is not done is asked again."""
_MARK: Final = "hyperpod-node-removal"
_REASON_MAX: Final = 300
"""Characters of a reason that are kept by who asks."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the plan."""

    node_id: str
    """Empty for a node that has no instance yet."""
    logical_id: str
    hostname: str
    """`PrivateDnsHostname`. Empty: not known."""

    @property
    def kubernetes_name(self) -> str:
        """Its name in an EKS cluster (Amazon SageMaker Developer Guide, HyperPod on EKS)."""
        return f"hyperpod-{self.node_id}"


@dataclass(frozen=True, slots=True)
class Question:
    """What a hook is asked, or the news that nodes stay."""

    is_release: bool
    nodes: tuple[Node, ...]
    mark: str
    """Tells what this removal drained from what others did: its stack and its logical id."""
    deadline: float
    """In seconds since the epoch: when the answer must be there; a release is void after it."""
    eks_cluster_arn: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self:
        """Read an event.

        Raises:
            ValueError: it is of another version.
        """
        version, action = event["Version"], event.get("Action", "")
        if (version, action) not in {("1", ""), ("2", "RELEASE")}:
            raise ValueError(
                f"version {version} of the event, action '{action}', is unknown; allowed: 1, or 2"
                " with RELEASE"
            )
        stack, _, identifier = event["StackId"].partition(":stack/")[2].partition("/")
        return cls(
            is_release=action == "RELEASE",
            nodes=tuple(
                Node(one["NodeId"], one["NodeLogicalId"], one["PrivateDnsHostname"])
                for one in event["Nodes"]
            ),
            mark=f"{_MARK} {stack}/{event['LogicalResourceId']} {identifier.partition('-')[0]}",
            deadline=datetime.fromisoformat(event["Deadline"]).timestamp(),
            eks_cluster_arn=event["EksClusterArn"],
        )


@dataclass
class Answer:
    """What is found about each node. A node that is in neither list may be removed."""

    vetoed: dict[Node, str] = field(default_factory=dict)
    waiting: dict[Node, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as `BeforeRemoval` takes it."""
        answer: dict[str, Any] = {
            "Version": "2",
            "Decision": "WAIT" if self.waiting else "PROCEED",
            "VetoedNodes": _entries(self.vetoed),
        }
        if self.waiting:
            answer |= {"WaitingNodes": _entries(self.waiting), "RetryAfter": RETRY_AFTER}
        return answer


def veto(reason: str) -> dict[str, Any]:
    """Return the answer that nothing may be removed."""
    return {"Version": "2", "Decision": "VETO", "Reason": reason[:_REASON_MAX]}


def not_asked(question: Question, why: str, *, is_transient: bool) -> dict[str, Any]:
    """Return the answer where the scheduler could not be asked: not yet, if that may pass by
    itself, or else that nothing may be removed."""
    if is_transient:
        return Answer(waiting=dict.fromkeys(question.nodes, why)).to_json()
    return veto(why)


def _entries(reasons: Mapping[Node, str]) -> list[dict[str, str]]:
    return [
        {"NodeId": node.node_id, "NodeLogicalId": node.logical_id, "Reason": why[:_REASON_MAX]}
        for node, why in reasons.items()
    ]
