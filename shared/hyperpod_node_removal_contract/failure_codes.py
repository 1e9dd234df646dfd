"""The failure codes: for each, what happened and what to do next.

The Reason, the log, the command and the docs use this table. It imports the standard library only.
`[guide]` is the HyperPod developer guide.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class FailureCode(StrEnum):
    """Why a node was not removed, where the service gives no code of its own."""

    what_happened: str
    """A sentence."""
    next_step: str
    """What to do about it, a sentence that fits one node and many."""

    def __new__(cls, code: str, what_happened: str, next_step: str) -> "FailureCode":
        """Create a member from its code and its two sentences."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.what_happened = what_happened
        member.next_step = next_step
        return member

    # Such a node is never requested [guide].
    CONTROLLER_NODE = (
        "ControllerNode",
        "The node runs the Slurm controller, which cannot be removed.",
        "Take Slurm controllers out of the set.",
    )
    REMOVAL_FAILED = (
        "RemovalFailed",
        "The service accepted the removal, then the node's status changed to Failure.",
        "See the node's message in the log, then redeploy the same set.",
    )
    STILL_PRESENT = (
        "StillPresent",
        "The service accepted the removal, but the node was still there when time ran out.",
        "Redeploy the same set to check; accepted removals continue on their own.",
    )
    CLUSTER_BUSY = (
        "ClusterBusy",
        "The cluster was being changed for all of RetryFor.",
        "Redeploy when the cluster is InService, or raise RetryFor.",
    )
    NO_ANSWER = (
        "NoAnswer",
        "The service accepted the request but did not mention the node, which stayed.",
        "Redeploy the same set to retry.",
    )
    GUARDED = (
        "Guarded",
        "A guard refused the whole set; nothing was removed.",
        "Change the set, or the guard, in the template.",
    )
    VETOED = (
        "Vetoed",
        "The BeforeRemoval hook did not approve the removal of the node.",
        "Redeploy once the hook approves the nodes.",
    )
    HOOK_FAILED = (
        "HookFailed",
        "The BeforeRemoval hook failed, or gave no valid answer in time; nothing was removed.",
        "Fix the hook (see its log) and redeploy.",
    )
    MOVED = (
        "MovedToAnotherCluster",
        "The node was moved to another cluster, where it is still running.",
        "Take moved nodes out of the set, and remove them from the other cluster if need be.",
    )
    NOT_REQUESTED = (
        "NotRequestedAgain",
        "The update changes only settings, so the node was left in the cluster.",
        "Change RetryToken to remove what is still in the cluster.",
    )
    NOT_ATTEMPTED = (
        "NotAttempted",
        "Time ran out, or the stack began to roll back, before the node was requested.",
        "Redeploy the same set to retry.",
    )


_OWN: Final[Mapping[str, FailureCode]] = {str(code): code for code in FailureCode}
_NODE_IS_BUSY: Final = "Redeploy the same set once the nodes are free."
_SERVICE_NEXT_STEPS: Final = {"NodeIdInUse": _NODE_IS_BUSY, "InvalidNodeStatus": _NODE_IS_BUSY}
_RETRY: Final = "Redeploy the same set to retry."
"""What to do about every other code of the service."""


def what_happened(code: str) -> str:
    """Return what a code of this project means; nothing for a code of the service."""
    return _OWN[code].what_happened if code in _OWN else ""


def next_step(code: str) -> str:
    """Return what to do about nodes that failed with a code."""
    return _OWN[code].next_step if code in _OWN else _SERVICE_NEXT_STEPS.get(code, _RETRY)
