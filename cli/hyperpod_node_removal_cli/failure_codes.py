"""What the codes of failed nodes mean and what to do. The README's table is this one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hyperpod_node_removal_handler.contract import FailureCode


@dataclass(frozen=True)
class Advice:
    """On one code."""

    what_happened: str
    what_to_do: str


ADVICE: Final[Mapping[str, Advice]] = {
    FailureCode.CONTROLLER_NODE: Advice(
        "the node runs the Slurm controller, which cannot be removed", "take it out of the set"
    ),
    FailureCode.REMOVAL_FAILED: Advice(
        "the removal was accepted, then the node turned to `Failure`",
        "look at the node's message in the log",
    ),
    FailureCode.STILL_PRESENT: Advice(
        "accepted, but still there when the time was up",
        "it goes on leaving; deploy the same set again to check",
    ),
    FailureCode.CLUSTER_BUSY: Advice(
        "the cluster was being changed for all of `RetryFor`",
        "deploy again later, or raise `RetryFor`",
    ),
    FailureCode.NO_ANSWER: Advice(
        "the service took the request and said nothing about the node, which stayed",
        "deploy again",
    ),
    FailureCode.GUARDED: Advice(
        "a guard refused the whole set; nothing was removed", "change the set, or the guard"
    ),
    FailureCode.VETOED: Advice(
        "the function of `BeforeRemoval` did not agree to the removal of the node",
        "see its reason; deploy again once it agrees",
    ),
    FailureCode.HOOK_FAILED: Advice(
        "that function failed, or gave no answer that is understood; nothing was removed",
        "mend it, then deploy again",
    ),
    FailureCode.MOVED: Advice(
        "the node left the list while it was moved to another cluster, where it still runs",
        "look for it in that cluster",
    ),
    FailureCode.NOT_REQUESTED: Advice(
        "the update changed settings only, so the node, still in the cluster, was left alone",
        "change `RetryToken` to remove it",
    ),
    FailureCode.NOT_ATTEMPTED: Advice(
        "the time was up, or the stack turned back, before the node was asked for", "deploy again"
    ),
}
"""Our own codes."""

_OF_THE_SERVICE: Final[Mapping[str, str]] = {
    "NodeIdInUse": "wait until the other operation on the node is over, then deploy again",
    "InvalidNodeStatus": "wait until the node's status has changed, then deploy again",
    "InternalError": "deploy again",
}
_NEXT_STEP: Final = "look at the service's message, then deploy again"


def next_step(code: str) -> str:
    """What to do about a node that failed under `code`, without Markdown."""
    if advice := ADVICE.get(code):
        return advice.what_to_do.replace("`", "")
    return _OF_THE_SERVICE.get(code, _NEXT_STEP)


def what_happened(code: str) -> str:
    """What one of our codes means, without Markdown. Empty for a code of the service."""
    advice = ADVICE.get(code)
    return advice.what_happened.replace("`", "") if advice else ""
