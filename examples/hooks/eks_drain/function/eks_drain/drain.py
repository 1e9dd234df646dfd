"""Draining: cordon first, then evict pod by pod, for as long as there is time.

As `kubectl drain --ignore-daemonsets --delete-emptydir-data` does, and without its `--force`.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from .kubernetes import ApiError, Kubernetes, Pod

_log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 1.0
_LAST_PAUSE: Final = 10.0
_LAST_ROUND: Final = 5.0
"""Seconds for a last look at the nodes when the time is up."""


class _UndrainableError(Exception):
    """A node that no waiting makes empty."""


def drain(
    api: Kubernetes,
    nodes: Iterable[str],
    *,
    until: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> dict[str, str]:
    """Drain nodes, all at a time, until a moment of the clock `now`.

    Returns what keeps a node from being empty, by node; nothing for those that are drained.

    Raises:
        ApiError: the API refuses a call, and would do so again.
    """
    left = dict.fromkeys(nodes, "not reached in time")
    vetoed: dict[str, str] = {}
    pause, cordoned = _FIRST_PAUSE, set[str]()
    while left:
        for node in list(left):
            if now() >= until + _LAST_ROUND:
                break
            try:
                obstacle = _step(api, node, cordoned)
            except _UndrainableError as error:
                vetoed[node] = str(error)
                del left[node]
                continue
            except ApiError as error:
                if not error.is_transient:
                    raise
                obstacle = str(error)
            if obstacle:
                left[node] = obstacle
            else:
                _log.warning("%s is drained", node)
                del left[node]
        remaining = until - now()
        if not left or remaining <= 0:
            break
        sleep(min(pause, remaining))
        pause = min(_LAST_PAUSE, pause * 2)
    return vetoed | left


def _step(api: Kubernetes, node: str, cordoned: set[str]) -> str:
    """Evict what can be evicted now. Returns what is in the way; nothing if the node is empty."""
    if node not in cordoned:
        if not api.cordon(node):
            # Has it never joined, or another name? No pod of it was seen, so nothing is known.
            raise _UndrainableError(f"Kubernetes knows no node {node}")
        cordoned.add(node)
    pods = [pod for pod in api.pods(node) if pod.must_go]
    # Before the first pod goes: the node will stay.
    for pod in pods:
        if not pod.controller:
            raise _UndrainableError(f"{pod} has no controller, so nothing would make it again")
    return _evicted(api, pods)


def _evicted(api: Kubernetes, pods: Sequence[Pod]) -> str:
    waiting = ""
    blocked = ""
    for pod in pods:
        if pod.is_leaving:
            waiting = waiting or f"{pod} is still terminating"
        elif why := api.evict(pod):
            _log.warning("%s cannot be evicted: %s", pod, why)
            blocked = blocked or f"{pod} cannot be evicted: {why}"
        else:
            _log.warning("%s is evicted", pod)
            waiting = waiting or f"{pod} is still terminating"
    return blocked or waiting
