"""Draining: no new jobs, then wait for those that run; and the way back. All state is in Slurm.

A node that somebody else has drained, or set down, counts as drained and is left as it is, by a
drain and by a release: its jobs are waited for, and neither requeued nor canceled.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hyperpod_node_removal_hook import Answer, Node, Question
from hyperpod_node_removal_slurm_drain.slurm import Job, Slurm, SlurmNode, on_node

_log = logging.getLogger(__name__)

_NAMELESS: Final = "SageMaker gave no host name for it"
_JOBS_TOLD: Final = 3
"""Jobs of a node that are named in a reason."""


class Jobs(StrEnum):
    """What becomes of the jobs on a node."""

    WAIT = "WAIT"
    REQUEUE = "REQUEUE"
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of the jobs, and when."""

    jobs: Jobs = Jobs.WAIT
    grace: float = 0.0
    """Seconds from the drain for which jobs are waited for before they are canceled."""


def drain(slurm: Slurm, question: Question, policy: Policy, *, now: float) -> Answer:
    """Take the next step of a drain. Returns how far each node is.

    Raises:
        SlurmError: Slurm could not be asked.
    """
    answer = Answer()
    named = _named(slurm.nodes(), question.nodes, answer)
    told: dict[str, str] = {}
    for node in named.values():
        if not node.is_drained:
            told[node.name] = slurm.update(node.name, "DRAIN", question.mark)
            _log.info("%s: draining (%s)", node.name, question.mark)
    seen = {one.name: one for one in slurm.nodes()} if told else {}
    jobs = slurm.jobs()
    for asked, before in named.items():
        node = seen.get(before.name, before)
        running = on_node(jobs, node.name)
        if not node.is_drained:
            why = told.get(node.name) or "no reason was given"
            answer.vetoed[asked] = f"Slurm does not drain {node.name}: {why}"
        elif running or not node.is_free:  # A suspended job leaves its node idle.
            answer.waiting[asked] = _told(node, running)
            if node.reason == question.mark:
                _hurry(slurm, node, running, policy, now=now)
        state = answer.vetoed.get(asked) or answer.waiting.get(asked) or "drained and free"
        _log.info("%s (%s): %s", node.name, asked.node_id, state)
    return answer


def release(slurm: Slurm, question: Question) -> None:
    """Have the nodes take jobs again that this removal has drained, and no others.

    Raises:
        SlurmError: Slurm could not be asked.
    """
    for node in _named(slurm.nodes(), question.nodes, Answer()).values():
        if node.is_drained and node.reason == question.mark:
            told = slurm.update(node.name, "RESUME")
            _log.info("%s: resumed%s", node.name, f", but: {told}" if told else "")
        else:
            _log.info("%s: left as it is (%s)", node.name, node.reason or "not drained")


def _named(
    known: Iterable[SlurmNode], nodes: Iterable[Node], answer: Answer
) -> dict[Node, SlurmNode]:
    """Find nodes in Slurm by the first label of their host name. Vetoes those that are not there.

    A node without an instance runs no job, and is left out.
    """
    by_name: dict[str, SlurmNode] = {}
    for one in known:
        by_name.setdefault(one.hostname, one)
    by_name |= {one.name: one for one in known}
    found = {}
    for node in nodes:
        label = node.hostname.partition(".")[0]
        if not label and not node.node_id:
            continue
        if label in by_name and label:
            found[node] = by_name[label]
        else:
            answer.vetoed[node] = f"Slurm knows no node {label}" if label else _NAMELESS
    return found


def _told(node: SlurmNode, jobs: list[Job]) -> str:
    if not jobs:
        return f"{node.name} is {'+'.join(sorted(node.states))}, by jobs that cannot be seen"
    more = f" and {len(jobs) - _JOBS_TOLD} more" if len(jobs) > _JOBS_TOLD else ""
    names = ", ".join(map(str, jobs[:_JOBS_TOLD]))
    return f"{names}{more} {'is' if len(jobs) == 1 else 'are'} on {node.name}"


def _hurry(slurm: Slurm, node: SlurmNode, jobs: list[Job], policy: Policy, *, now: float) -> None:
    """Requeue or cancel what is on a node, if that is wanted and time."""
    if policy.jobs is Jobs.REQUEUE and jobs and all(job.may_requeue for job in jobs):
        # There is no call to requeue a job; Slurm requeues those of a node that is set down.
        told = slurm.update(node.name, "DOWN", node.reason)
        _log.info("%s: requeued %s %s", node.name, ", ".join(map(str, jobs)), told)
    if policy.jobs is Jobs.CANCEL and now >= node.reason_since + policy.grace:
        for job in jobs:
            _log.info("%s: canceled %s %s", node.name, job, slurm.cancel(job))
