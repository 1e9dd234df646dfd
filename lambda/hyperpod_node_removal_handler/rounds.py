"""The rounds of a removal: list, ask, wait, until every node is gone or has failed for good."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hyperpod_node_removal_handler import refill
from hyperpod_node_removal_handler.asking import Asking, Progress, StackIsGoingBackError
from hyperpod_node_removal_handler.aws import AwsError, ResourceNotFoundError, TransientError
from hyperpod_node_removal_handler.clearance import Clearance, RefusedError
from hyperpod_node_removal_handler.cluster import Cluster, ClusterDescription, Listing
from hyperpod_node_removal_handler.patience import Backoff, Clock, Patience, PauseError, Span
from hyperpod_node_removal_handler.removal import Removal
from hyperpod_node_removal_handler.request import RemovalRequest
from hyperpod_node_removal_handler.requested_node import Phase
from hyperpod_node_removal_handler.result import Result, interrupted, not_found
from hyperpod_node_removal_handler.stack import Stack

if TYPE_CHECKING:
    from hyperpod_node_removal_handler.before_removal import Hook

_log = logging.getLogger(__name__)

# Pruning a node takes seconds to minutes: look soon at first, then rarely. A pause is a second and
# 5 % of the time that has passed: a look comes too late by a fortieth of the whole on average.
_FIRST_POLL: Final = 1.0
_POLL_GROWTH: Final = 1.05
_LAST_POLL: Final = 30.0
_CONFIRM: Final = 0.2
"""Seconds to the second look, where all nodes that were leaving have been missed once."""
_CUT_SHORT: Final = "the removal was cut short"


class Rounds:
    """Drives one removal against a cluster."""

    def __init__(
        self,
        request: RemovalRequest,
        *,
        cluster: Cluster,
        stack: Stack,
        clock: Clock,
        span: Span,
        removal: Removal,
        hook: "Hook | None" = None,
        cleared_at: float | None = None,
        target_counts_before: Mapping[str, int] | None = None,
    ) -> None:
        """`removal` is where it begins or how far an earlier invocation got.

        In the latter case it may have been `cleared_at` a time already (see `Continuation`), and
        what is known of the groups' counts at the beginning is `target_counts_before`.
        """
        self._request = request
        self._cluster = cluster
        self._clock = clock
        self._span = span
        self._hook = hook
        self.cleared_at = cleared_at
        """Since when nodes may be asked for. None: not yet."""
        self._description: ClusterDescription | None = None
        self._warned: set[str] = set()
        self.target_counts_before: Mapping[str, int] = target_counts_before or {}
        """Instances that each group was to have before anything was removed."""
        # Whoever comes after the hook has been asked has not been seen by it.
        is_past_hook = hook is not None and cleared_at is not None
        self._progress = Progress(replace(removal, needs_clearance=is_past_hook))
        self._patience = Patience(clock, span, request.retry_for)
        self._asking = Asking(
            self._progress,
            cluster=cluster,
            stack=stack,
            clock=clock,
            span=span,
            patience=self._patience,
            retry_for=request.retry_for,
        )
        self._clearance = Clearance(
            request,
            self._progress,
            hook=hook,
            asking=self._asking,
            nodes=self._list_nodes,
            clock=clock,
            span=span,
        )

    @property
    def removal(self) -> Removal:
        """How far it has got."""
        return self._progress.removal

    @removal.setter
    def removal(self, removal: Removal) -> None:
        self._progress.removal = removal

    def run(self) -> Result | None:
        """The removal, from the first listing to its end. Does not raise for anything AWS does.

        Returns None if the time to hand over has come before the end.

        Raises:
            StackIsGoingBackError: before anything was asked for.
        """
        was_cleared = self.cleared_at is not None
        try:
            self._until_settled()
        except PauseError:
            return None
        except RefusedError as error:
            self.removal = self.removal.refused(error.refusal)
            return replace(self._result(), objections=error.phrases)
        except StackIsGoingBackError:
            if not was_cleared and not any(node.attempts for node in self.removal.nodes):
                raise
            return self._result(
                "The stack began to roll back, or its operation ended; no further node was asked"
                " for."
            )
        except AwsError as error:
            return self._ended_by(error)
        return self._result()

    def result_so_far(self, interruption: str) -> Result:
        """What is known at this moment, from any thread and without a call."""
        now = self._clock.now()
        return Result(
            cluster_name=self._description.name if self._description else self._cluster.name,
            removal=self.removal.stopped(_CUT_SHORT, self._request.wait_for)
            if interruption
            else self.removal,
            elapsed=now - self._span.started,
            ended=now,
            interruption=interruption,
            target_counts_before=self.target_counts_before,
            warnings=self._warnings(),
        )

    def _ended_by(self, error: AwsError) -> Result | None:
        if isinstance(error, TransientError) and self._clock.now() >= self._span.pause_at:
            return None
        if not isinstance(error, ResourceNotFoundError):
            return self._result(interrupted(error))
        if self._description is None and self.cleared_at is None:
            return self._result(not_found(self._cluster.name, error))
        if not self._is_cluster_gone():
            return self._result(interrupted(error))
        _log.warning("The cluster was deleted during the removal, and its nodes with it.")
        self.removal = self.removal.cluster_gone()
        return self._result()

    def _is_cluster_gone(self) -> bool:
        """Whether it is the cluster that was not found, and not something it depends on."""
        try:
            self._cluster.describe()
        except ResourceNotFoundError:
            return True
        except AwsError:
            return False
        return False

    # The rounds ------------------------------------------------------------------------------

    def _until_settled(self) -> None:
        self._description = self._patience(self._cluster.describe)
        self._asking.may_be_busy = self._description.is_in_transition
        if self.cleared_at is not None:
            self.removal = self.removal.with_controllers(self._description.controller_groups)
            self._look()
        else:
            self.target_counts_before = self._description.target_counts
            plan = self._clearance.plan(self._description)
            self._warn()
            self._clearance.hold(plan)
            if self._request.is_dry_run:
                return
            self.cleared_at = self._clearance.of_hook(plan, self._description)
            if self._hook and plan.to_remove:
                self._look()
        self._asking.retry_from(self.cleared_at)
        polls = Backoff(_FIRST_POLL, _POLL_GROWTH, _LAST_POLL)
        while True:
            self._asking.if_due()
            self._log_round()
            if self.removal.has_reached(self._request.wait_for):
                return
            if self._clock.now() >= self._span.deadline:
                seconds = round(self._clock.now() - self._span.started)
                self.removal = self.removal.stopped(
                    f"the time was up after {seconds} s", self._request.wait_for
                )
                return
            if self._clock.now() >= self._span.pause_at:
                raise PauseError
            self._wait(polls)
            self._asking.watch_stack()
            self._look()

    def _wait(self, polls: Backoff) -> None:
        """Until there may be something to see or it is time to ask again, whichever is first."""
        wake_at = self._span.end
        if self.removal.count(Phase.WAITING):
            wake_at = min(wake_at, self._asking.next_at)
        if self.removal.count(Phase.LEAVING):
            wake_at = min(wake_at, self._clock.now() + polls.pause())
        elif self.removal.count(Phase.UNCERTAIN):
            wake_at = min(wake_at, self._clock.now() + _CONFIRM)
        self._clock.sleep(wake_at - self._clock.now())

    def _look(self) -> None:
        if self._description and not self.removal.has_begun:
            # A hook, a busy cluster or a hand-over may have taken minutes since the plan.
            self._clearance.hold_again(self._description)
        else:
            self.removal = self.removal.observed(self._list_nodes())

    def _list_nodes(self) -> Listing:
        return self._patience(self._cluster.nodes)

    # What is told ----------------------------------------------------------------------------

    def _warnings(self) -> tuple[str, ...]:
        return refill.warnings(self.removal.nodes, self._description) if self._description else ()

    def _warn(self) -> None:
        for sentence in self._warnings():
            if sentence not in self._warned:
                _log.warning("%s", sentence)
            self._warned.add(sentence)

    def _log_round(self) -> None:
        counts = {
            "removed": self.removal.count(Phase.REMOVED),
            "already_absent": self.removal.count(Phase.ABSENT),
            "leaving": self.removal.count(Phase.LEAVING, Phase.UNCERTAIN),
            "waiting": self.removal.count(Phase.WAITING),
            "failed": self.removal.count(Phase.FAILED),
            "elapsed_seconds": round(self._clock.now() - self._span.started),
        }
        text = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())
        _log.info("Round: %s", text, extra=counts)

    def _result(self, interruption: str = "") -> Result:
        self._warn()
        result = self.result_so_far(interruption)
        if self._clock.now() >= self._span.deadline:
            return result  # What is left of the time is for the reply.
        try:
            description = self._cluster.describe()
        except AwsError:
            return result
        # What to write back into a template: of the groups that lost nodes first.
        lowered = self.removal.lowered_by_group
        counts = description.target_counts
        groups = sorted(counts, key=lambda group: (group not in lowered, group))
        return replace(result, target_counts={group: counts[group] for group in groups})
