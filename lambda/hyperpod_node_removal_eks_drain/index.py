"""The function: cordons nodes in Kubernetes and evicts their pods, and uncordons on a release.

It does what `kubectl drain --ignore-daemonsets --delete-emptydir-data` does, never what `--force`
adds. All state is in Kubernetes. A node that somebody else has cordoned counts as cordoned, and a
release does not change it.
"""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from hyperpod_node_removal_eks_drain.kubernetes import Kubernetes, KubernetesNode, Pod, connect
from hyperpod_node_removal_hook import (
    NOT_REACHED,
    Event,
    LambdaContext,
    Node,
    Response,
    SchedulerError,
    for_each,
    log,
    release_each,
    respond,
)

_MARGIN: Final = 15.0
"""Seconds before the response is due after which no node and no eviction is begun."""
_UNREACHABLE: Final = 300.0
"""Seconds after their grace period for which pods of an unreachable node are waited for."""


def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Respond to an event: drain or release its nodes."""
    return respond(event, context, drain, release)


def drain(event: Event) -> Response:
    """Cordon nodes, evict their pods, and return which of them still have pods.

    Raises:
        SchedulerError: Kubernetes refused a call, and would do so again.
    """
    cluster = os.environ["CLUSTER"]
    if not event.eks_cluster_arn:
        raise SchedulerError("the cluster is not orchestrated by EKS: use SlurmDrain")
    if event.eks_cluster_arn.partition(":cluster/")[2] != cluster:
        raise SchedulerError(
            f"the cluster's nodes are in {event.eks_cluster_arn}, not in {cluster}"
        )
    response = Response()

    def drain_node(node: Node) -> None:
        if not event.has_time(_MARGIN):
            response.waiting[node.node_id] = NOT_REACHED
            return
        try:
            _drain_node(api, node, event, response)
        except SchedulerError as error:
            if not error.is_transient:
                raise
            response.waiting[node.node_id] = str(error)

    with closing(connect(cluster)) as api:
        for_each(event.nodes, drain_node)
    return response


def release(event: Event) -> None:
    """Uncordon the nodes that were cordoned for this request, and no others.

    Raises:
        SchedulerError: a call failed. The other nodes are released nevertheless.
    """

    def uncordon(node: Node) -> None:
        kube_node = api.node(node.kubernetes_name)
        if kube_node and kube_node.mark == event.mark:
            api.uncordon(kube_node)
            log.info("%s: uncordoned", kube_node)
        elif kube_node:
            log.info("%s: not changed", kube_node)

    with closing(connect(os.environ["CLUSTER"])) as api:
        release_each(event, uncordon)


def _drain_node(api: Kubernetes, node: Node, event: Event, response: Response) -> None:
    kube_node = api.node(node.kubernetes_name)
    if kube_node is None:
        # It never joined, or has another name: whether it has pods is not known.
        response.vetoed[node.node_id] = f"Kubernetes knows no node {node.kubernetes_name}"
        return
    if not kube_node.is_cordoned or event.takes_over(kube_node.mark):
        api.cordon(kube_node, event.mark)
        log.info("%s: cordoned (%s)", kube_node, event.mark)
    pods = [pod for pod in api.pods(kube_node) if pod.must_leave and not _is_lost(kube_node, pod)]
    # Before any pod is evicted: the node will not be removed.
    if reason := _undrainable(kube_node, pods):
        response.vetoed[node.node_id] = reason
    elif reason := _evict(api, pods, event):
        response.waiting[node.node_id] = reason


def _is_lost(node: KubernetesNode, pod: Pod) -> bool:
    """Return whether a pod stays listed although it has ended, or can no longer end by itself.

    Only its kubelet could confirm its end. The controllers of Cluster API use the same rule.
    """
    is_overdue = pod.ends_at is not None and time.time() > pod.ends_at + _UNREACHABLE
    return node.is_unreachable and is_overdue


def _undrainable(node: KubernetesNode, pods: Sequence[Pod]) -> str:
    """Return why a node cannot be drained, however long it takes; nothing if it can be."""
    evicted = [pod for pod in pods if not pod.is_terminating]
    for pod in evicted:
        if not pod.controller:
            return f"{pod} has no controller, so nothing would create it again"
    protected: list[KubernetesNode | Pod] = [node, *evicted]
    for one in protected:
        if one.protected_by and os.environ["DISRUPTS"] != "true":
            return f"{one} has the annotation {one.protected_by}"
    return ""


def _evict(api: Kubernetes, pods: Sequence[Pod], event: Event) -> str:
    """Evict what can be evicted now. Returns what the node waits for; nothing if it is empty."""
    blocked, terminating = [], []
    for pod in pods:
        held = ""
        if not pod.is_terminating:
            if not event.has_time(_MARGIN):
                blocked.append(f"{pod}: {NOT_REACHED}")
                continue
            error = api.evict(pod)
            log.info("%s: %s", pod, error or "evicted")
            if error:
                blocked.append(f"{pod} cannot be evicted: {error}")
                continue
        elif pod.finalizer:
            held = f", held by the finalizer {pod.finalizer}"
        terminating.append(f"{pod} is still terminating{held}")
    return next(iter(blocked + terminating), "")
