"""Draining: cordon, then evict pod by pod; and the way back. All state is in Kubernetes.

As `kubectl drain --ignore-daemonsets --delete-emptydir-data` does, and without its `--force`. A
node that somebody else has cordoned counts as cordoned, and a release leaves it as it is.
"""

import logging
from collections.abc import Callable, Sequence

from hyperpod_node_removal_eks_drain.kubernetes import ApiError, Kubernetes, Pod
from hyperpod_node_removal_hook import Answer, Node, Question

_log = logging.getLogger(__name__)


class _UndrainableError(Exception):
    """A node that no waiting makes empty."""


def drain(
    api: Kubernetes, question: Question, *, disrupts: bool, is_time: Callable[[], bool]
) -> Answer:
    """Take the next step of a drain. Returns how far each node is.

    Args:
        api: the cluster.
        question: the nodes.
        disrupts: whether to evict pods whose annotations say not to.
        is_time: tells whether there is time for another node.

    Raises:
        ApiError: the API refuses a call, and would do so again.
    """
    answer = Answer()
    for node in question.nodes:
        if not node.node_id:
            continue  # It has no instance yet, so there are no pods on it.
        try:
            obstacle = (
                _step(api, node, question.mark, disrupts=disrupts)
                if is_time()
                else "not reached in time"
            )
        except _UndrainableError as error:
            answer.vetoed[node] = str(error)
        except ApiError as error:
            if not error.is_transient:
                raise
            answer.waiting[node] = str(error)
        else:
            if obstacle:
                answer.waiting[node] = obstacle
        state = answer.vetoed.get(node) or answer.waiting.get(node) or "drained and empty"
        _log.info("%s: %s", node.kubernetes_name, state)
    return answer


def release(api: Kubernetes, question: Question) -> None:
    """Have the nodes take pods again that this removal has cordoned, and no others.

    Raises:
        ApiError: the API did not carry out a call. The other nodes are released all the same.
    """
    failed: ApiError | None = None
    for node in question.nodes:
        name = node.kubernetes_name
        try:
            shown = api.node(name) if node.node_id else None
            if shown and shown.mark == question.mark:
                api.uncordon(shown)
                _log.info("%s: uncordoned", name)
            elif shown:
                _log.info("%s: left as it is", name)
        except ApiError as error:
            _log.error("%s", error)
            failed = error
    if failed:
        raise failed


def _step(api: Kubernetes, node: Node, mark: str, *, disrupts: bool) -> str:
    """Evict what can be evicted now. Returns what is in the way; nothing if the node is empty."""
    name = node.kubernetes_name
    shown = api.node(name)
    if shown is None:
        # Has it never joined, or another name? No pod of it was seen, so nothing is known.
        raise _UndrainableError(f"Kubernetes knows no node {name}")
    if not shown.is_cordoned:
        api.cordon(shown, mark)
        _log.info("%s: cordoned (%s)", name, mark)
    if shown.must_stay and not disrupts:
        raise _UndrainableError(f"node {name} has the annotation {shown.must_stay}")
    pods = [pod for pod in api.pods(name) if pod.must_go]
    # Before the first pod goes: the node will stay.
    for pod in pods:
        if not pod.controller:
            raise _UndrainableError(f"{pod} has no controller, so nothing would make it again")
        if pod.must_stay and not disrupts:
            raise _UndrainableError(f"{pod} has the annotation {pod.must_stay}")
    return _evicted(api, pods)


def _evicted(api: Kubernetes, pods: Sequence[Pod]) -> str:
    waiting = ""
    blocked = ""
    for pod in pods:
        if pod.is_leaving:
            held = f", held by the finalizer {pod.finalizer}" if pod.finalizer else ""
            waiting = waiting or f"{pod} is still terminating{held}"
        elif why := api.evict(pod):
            _log.info("%s cannot be evicted: %s", pod, why)
            blocked = blocked or f"{pod} cannot be evicted: {why}"
        else:
            _log.info("%s is evicted", pod)
            waiting = waiting or f"{pod} is still terminating"
    return blocked or waiting
