"""The function: drains nodes in Slurm, and resumes those that are released.

All state is in Slurm. A node that somebody else has drained, or set down, counts as drained, and
neither a drain nor a release changes it: its jobs are waited for, and neither requeued nor
canceled.
"""

import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from hyperpod_node_removal_hook import (
    NOT_REACHED,
    Event,
    LambdaContext,
    Node,
    Response,
    SchedulerError,
    log,
    release_each,
    respond,
)
from hyperpod_node_removal_slurm_drain.slurm import Job, Slurm, SlurmNode

_MARGIN: Final = 10.0
"""Seconds before the response is due after which no node is drained and no job canceled. Nodes and
jobs are still listed then."""
_JOBS_SHOWN: Final = 3
"""Jobs of a node that are listed in a reason."""


def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Respond to an event: drain or release its nodes."""
    return respond(event, context, drain, release)


def drain(event: Event) -> Response:
    """Drain nodes, and return which of them still have jobs.

    Raises:
        SchedulerError: Slurm did not respond, or refused.
    """
    if event.eks_cluster_arn:
        raise SchedulerError("the cluster is orchestrated by EKS, not by Slurm: use EksDrain")
    slurm, response = _connect(), Response()
    known, errors = _drained(slurm, event)
    jobs_on: dict[str, list[Job]] = defaultdict(list)
    for job in slurm.jobs():
        for host in job.hosts():
            jobs_on[host].append(job)
    for node in event.nodes:
        slurm_node = known.get(node.slurm_name)
        if slurm_node is None:
            response.vetoed[node.node_id] = (
                f"Slurm knows no node {node.slurm_name}"
                if node.slurm_name
                else "SageMaker reports no host name for it"
            )
            continue
        jobs = jobs_on[slurm_node.name]
        is_drained = _is_drained(slurm_node, event)
        if not is_drained and slurm_node.name not in errors:
            response.waiting[node.node_id] = f"{slurm_node.name}: {NOT_REACHED}"
        elif not is_drained:
            error = errors[slurm_node.name] or "no reason was given"
            response.vetoed[node.node_id] = f"Slurm does not drain {slurm_node.name}: {error}"
        elif jobs or slurm_node.is_busy:  # A suspended job leaves its node idle.
            response.waiting[node.node_id] = _describe(slurm_node, jobs)
            if slurm_node.reason == event.mark and event.has_time(_MARGIN):
                _requeue_or_cancel(slurm, slurm_node, jobs, event)
    return response


def release(event: Event) -> None:
    """Resume the nodes that were drained for this request, and no others.

    Raises:
        SchedulerError: a call failed. The other nodes are released nevertheless.
    """
    slurm = _connect()
    known = _by_name(slurm.nodes())

    def resume(node: Node) -> None:
        slurm_node = known.get(node.slurm_name)
        if slurm_node and slurm_node.is_drained and slurm_node.reason == event.mark:
            error = slurm.update(slurm_node.name, "RESUME")
            log.info("%s: resumed%s", slurm_node.name, f", but: {error}" if error else "")
        elif slurm_node:
            log.info("%s: not changed (%s)", slurm_node.name, slurm_node.reason or "not drained")

    release_each(event, resume)


def _connect() -> Slurm:
    secrets = get_session().create_client("secretsmanager")
    try:
        # Read for each event: a token is short-lived, and the secret may have a new one.
        token = secrets.get_secret_value(SecretId=os.environ["TOKEN"])["SecretString"]
    except (BotoCoreError, ClientError) as error:
        raise SchedulerError(f"the secret with the token cannot be read: {error}") from error
    return Slurm(os.environ["REST_API"], user=os.environ["USER_NAME"], token=token.strip())


def _drained(slurm: Slurm, event: Event) -> tuple[dict[str, SlurmNode], dict[str, str]]:
    """Drain nodes as long as there is time.

    Returns all nodes as they are now, and what Slurm said of each that was to be drained.
    """
    known, errors = _by_name(slurm.nodes()), {}
    for node in event.nodes:
        slurm_node = known.get(node.slurm_name)
        if slurm_node and not _is_drained(slurm_node, event) and event.has_time(_MARGIN):
            errors[slurm_node.name] = slurm.update(slurm_node.name, "DRAIN", event.mark)
            log.info("%s: draining (%s)", slurm_node.name, event.mark)
    return (_by_name(slurm.nodes()) if errors else known), errors


def _is_drained(node: SlurmNode, event: Event) -> bool:
    """Return whether a node is drained, and not for an earlier request of this removal."""
    return node.is_drained and not event.takes_over(node.reason)


def _by_name(nodes: Sequence[SlurmNode]) -> dict[str, SlurmNode]:
    """Return nodes by their name and, where no node has that name, by their host name."""
    by_hostname = {node.hostname: node for node in reversed(nodes) if node.hostname}
    return by_hostname | {node.name: node for node in nodes}


def _describe(node: SlurmNode, jobs: Sequence[Job]) -> str:
    if not jobs:
        return f"{node.name} is {'+'.join(sorted(node.states))}, by jobs that cannot be seen"
    more = f" and {len(jobs) - _JOBS_SHOWN} more" if len(jobs) > _JOBS_SHOWN else ""
    names = ", ".join(map(str, jobs[:_JOBS_SHOWN]))
    return f"{names}{more} {'is' if len(jobs) == 1 else 'are'} on {node.name}"


def _requeue_or_cancel(slurm: Slurm, node: SlurmNode, jobs: Sequence[Job], event: Event) -> None:
    policy = os.environ["JOBS"]
    if policy == "REQUEUE" and jobs and all(job.may_requeue for job in jobs):
        # The API cannot requeue a job, but Slurm requeues the jobs of a node that is set down.
        error = slurm.update(node.name, "DOWN", node.reason)
        log.info("%s: requeued %s %s", node.name, ", ".join(map(str, jobs)), error)
    if policy == "CANCEL" and time.time() >= node.reason_since + float(os.environ["GRACE"]):
        for job in jobs:
            if not event.has_time(_MARGIN):
                break
            log.info("%s: canceled %s %s", node.name, job, slurm.cancel(job))
