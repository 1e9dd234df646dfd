"""The entry: from the question of `BeforeRemoval` to its answer."""

import logging
import os
import time
from collections.abc import Mapping
from typing import Any, Final

from hyperpod_node_removal_eks_drain.drain import drain, release
from hyperpod_node_removal_eks_drain.eks import connect
from hyperpod_node_removal_eks_drain.kubernetes import ApiError
from hyperpod_node_removal_hook import Question, not_asked, veto

_MARGIN: Final = 15.0
"""Seconds before the deadline, or the end of the invocation, after which no node is begun."""

_log = logging.getLogger(__name__)
logging.getLogger("hyperpod_node_removal_eks_drain").setLevel(logging.INFO)
# At DEBUG, which an ApplicationLogLevel may ask for, it logs what a token is made of.
logging.getLogger("botocore").setLevel(logging.INFO)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Take the next step of a drain, or undo it.

    Raises:
        ApiError: a release was not carried out; Lambda tries it again.
    """
    question, cluster = Question.of(event), os.environ["CLUSTER"]
    if question.is_release:
        if time.time() <= question.deadline:
            release(connect(cluster), question)
        return {}
    if not question.eks_cluster_arn:
        return veto("the cluster is not orchestrated by EKS: use SlurmDrain")
    if question.eks_cluster_arn.partition(":cluster/")[2] != cluster:
        return veto(f"the cluster's nodes are in {question.eks_cluster_arn}, not in {cluster}")
    stopped_at = time.time() + context.get_remaining_time_in_millis() / 1000
    until = min(question.deadline, stopped_at) - _MARGIN
    try:
        answer = drain(
            connect(cluster),
            question,
            disrupts=os.environ["DISRUPTS"] == "true",
            is_time=lambda: time.time() < until,
        )
    except ApiError as error:
        _log.error("%s", error)
        return not_asked(question, str(error), is_transient=error.is_transient)
    return answer.to_json()
