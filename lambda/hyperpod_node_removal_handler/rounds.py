"""The rounds of a removal: list, ask, wait, until every node is gone or has failed for good."""

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from hyperpod_node_removal_handler.aws import (
    AwsError,
    ConflictError,
    RejectedError,
    ResourceNotFoundError,
    TransientError,
)
from hyperpod_node_removal_handler.cluster import (
    Cluster,
    ClusterDescription,
    DeleteReply,
    Listing,
    Refusal,
)
from hyperpod_node_removal_handler.contract import FailureCode
from hyperpod_node_removal_handler.patience import (
    LAG,
    OUTAGE,
    PROPAGATION,
    Backoff,
    Clock,
    patiently,
)
from hyperpod_node_removal_handler.plan import Plan
from hyperpod_node_removal_handler.removal import DeleteRequest, Removal
from hyperpod_node_removal_handler.request import RemovalRequest
from hyperpod_node_removal_handler.requested_node import Phase
from hyperpod_node_removal_handler.result import Result, interrupted, not_found
from hyperpod_node_removal_handler.stack import Stack, StackAtRestError, StackDirection

T = TypeVar("T")
_log = logging.getLogger(__name__)

# Pruning a node takes seconds to minutes: look soon at first, then rarely.
_FIRST_POLL: Final = 2.0
_LAST_POLL: Final = 30.0
_FIRST_RETRY: Final = 5.0
_LAST_RETRY: Final = 60.0
_FRESH: Final = 10.0
"""Seconds for which a look at the stack counts."""
_CUT_SHORT: Final = "the removal was cut short"
_NOT_AGAIN: Final = 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """The time a removal has, in seconds of the clock."""

    started: float
    """When the removal began, in whatever invocation."""
    deadline: float
    """When it ends, done or not."""
    pause_at: float = math.inf
    """When this invocation has to hand it over."""


class _Pause(Exception):  # noqa: N818 (no error)
    """The invocation's share of the time is over."""


class _GuardsBrokenError(Exception):
    """The plan must not be carried out."""

    def __init__(self, phrases: tuple[str, ...]) -> None:
        super().__init__("; ".join(phrases))
        self.phrases = phrases


class StackIsGoingBackError(Exception):
    """The stack has begun to roll back, to cancel or to be deleted, or it has even come to rest:
    nothing more may be asked."""


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
        is_resumed: bool = False,
    ) -> None:
        """`removal` is where it begins or, if `is_resumed`, how far an earlier invocation got."""
        self._request = request
        self._cluster = cluster
        self._stack = stack
        self._clock = clock
        self._span = span
        self._retry_until = min(span.deadline, span.started + request.retry_for)
        self._description: ClusterDescription | None = None
        self._may_be_busy = False
        self._looked_at = -math.inf
        self._ask_at = -math.inf
        self._was_last_try = False
        self._retries = Backoff(_FIRST_RETRY, 2.0, _LAST_RETRY)
        self._is_resumed = is_resumed
        self.removal = removal
        """How far it has got."""

    def run(self) -> Result | None:
        """The removal, from the first listing to its end. Does not raise for anything AWS does.

        Returns None if the time to hand over has come before the end.

        Raises:
            StackIsGoingBackError: before anything was asked for.
        """
        try:
            self._until_settled()
        except _Pause:
            return None
        except _GuardsBrokenError as error:
            self.removal = self.removal.guarded(str(error))
            return replace(self._result(), broken_guards=error.phrases)
        except StackIsGoingBackError:
            if not self._is_resumed and not any(node.attempts for node in self.removal.nodes):
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
        return Result(
            cluster_name=self._description.name if self._description else self._cluster.name,
            removal=self.removal.stopped(_CUT_SHORT, self._request.wait_for)
            if interruption
            else self.removal,
            elapsed=self._clock.now() - self._span.started,
            interruption=interruption,
        )

    def _ended_by(self, error: AwsError) -> Result | None:
        if isinstance(error, TransientError) and self._clock.now() >= self._span.pause_at:
            return None
        if not isinstance(error, ResourceNotFoundError):
            return self._result(interrupted(error))
        if self._description is None and not self._is_resumed:
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

    @property
    def _end(self) -> float:
        """When this invocation has to stop waiting."""
        return min(self._span.deadline, self._span.pause_at)

    # The rounds ------------------------------------------------------------------------------

    def _until_settled(self) -> None:
        self._description = self._patiently(self._cluster.describe)
        self._may_be_busy = self._description.is_in_transition
        self.removal = self.removal.with_controllers(
            group.name for group in self._description.groups if group.is_controller
        )
        listing = self._look()
        if not self._is_resumed:
            self._plan(listing, self._description)
            if self._request.is_dry_run:
                return
        polls = Backoff(_FIRST_POLL, 1.5, _LAST_POLL)
        while True:
            self._ask_if_due()
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
                raise _Pause
            self._wait(polls)
            self._look()

    def _wait(self, polls: Backoff) -> None:
        """Until there may be something to see or it is time to ask again, whichever is first."""
        wake_at = self._end
        if self.removal.count(Phase.WAITING):
            wake_at = min(wake_at, self._ask_at)
        if self.removal.count(Phase.LEAVING, Phase.UNCERTAIN):
            wake_at = min(wake_at, self._clock.now() + polls.pause())
        self._clock.sleep(wake_at - self._clock.now())

    def _look(self) -> Listing:
        listing = self._patiently(self._cluster.nodes)
        self.removal = self.removal.observed(listing)
        return listing

    def _plan(self, listing: Listing, description: ClusterDescription) -> None:
        """Show what would happen to each node of the set, before the first is asked for."""
        if self.removal.count(Phase.UNCERTAIN):
            listing = self._look()
        plan = Plan.of(self.removal, listing, description)
        for line in plan.lines():
            _log.info("%s", line)
        if phrases := plan.broken(self._request.guards):
            raise _GuardsBrokenError(phrases)

    def _ask_if_due(self) -> None:
        if self._clock.now() < self._ask_at:
            return
        if self._was_last_try:
            # Only now, after another look at the cluster: what was asked for may be leaving
            # although the answer was lost.
            self.removal = self.removal.given_up()
        if not self.removal.count(Phase.WAITING):
            return
        self._ask()
        now = self._clock.now()
        self._was_last_try = now >= self._retry_until
        if self._was_last_try:
            self._ask_at = now + _FIRST_POLL
        else:
            # The last try is at the very end of the time for retries.
            self._ask_at = min(now + self._retries.pause(), self._retry_until)

    def _ask(self) -> None:
        """Ask once for every waiting node, unless the stack or the cluster forbids it."""
        self._look_at_stack()
        if self._may_be_busy and self._is_held_up():
            return
        requests = deque(self.removal.requests())
        is_known_free = False
        while requests and self._clock.now() < self._end:
            request = requests.popleft()
            try:
                reply = self._delete(request)
            except TransientError as error:
                self._put_off(request, error)
                return
            except RejectedError as error:
                if not is_known_free and self._is_held_up():
                    return
                is_known_free = True
                if self.removal.is_explained(request):
                    refusal = Refusal(error.code, error.message)
                    self.removal = self.removal.rejected(request, refusal)
                else:
                    requests.extendleft(reversed(request.parts()))
            else:
                self.removal = self.removal.answered(request, reply)

    def _delete(self, request: DeleteRequest) -> DeleteReply:
        def delete() -> DeleteReply:
            # Earlier requests, and waiting for a permission or a cluster, may have taken long.
            if self._clock.now() - self._looked_at > _FRESH:
                self._look_at_stack()
            self.removal = self.removal.asking(request)
            try:
                return self._cluster.delete(request.node_ids, request.node_logical_ids)
            except AwsError as error:
                self.removal = self.removal.put_off(request, Refusal(error.code, error.message))
                raise

        return patiently(
            delete,
            clock=self._clock,
            until=_NOT_AGAIN,
            denied_until=min(self._end, self._span.started + PROPAGATION),
        )

    def _look_at_stack(self) -> None:
        """Find out whether the stack still wants the nodes to be removed.

        Raises:
            StackIsGoingBackError: it does not.
        """

        def direction() -> StackDirection:
            self._looked_at = self._clock.now()
            try:
                return self._stack.direction()
            except StackAtRestError:
                # It was under way when the removal began. Were it waited for, the next deployment
                # would be taken for this one.
                if self._looked_at < self._span.started + LAG:
                    raise
                return StackDirection.BACKWARD

        if self._patiently(direction) is StackDirection.BACKWARD:
            raise StackIsGoingBackError

    def _put_off(self, request: DeleteRequest, error: TransientError) -> None:
        if isinstance(error, ConflictError):
            self._may_be_busy = True
            self.removal = self.removal.held_up(Refusal(FailureCode.CLUSTER_BUSY, error.message))
        else:
            self.removal = self.removal.postponed(request, Refusal(error.code, error.message))

    def _is_held_up(self) -> bool:
        description = self._patiently(self._cluster.describe)
        self._may_be_busy = description.is_in_transition
        if self._may_be_busy:
            message = f"the cluster is in status {description.status}"
            self.removal = self.removal.held_up(Refusal(FailureCode.CLUSTER_BUSY, message))
        return self._may_be_busy

    def _patiently(self, call: Callable[[], T]) -> T:
        now = self._clock.now()
        return patiently(
            call,
            clock=self._clock,
            until=min(self._end, now + max(OUTAGE, self._request.retry_for)),
            denied_until=min(self._end, self._span.started + PROPAGATION),
        )

    # What is told ----------------------------------------------------------------------------

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
        result = self.result_so_far(interruption)
        if self._clock.now() >= self._span.deadline:
            return result  # What is left of the time is for the reply.
        try:
            description = self._cluster.describe()
        except AwsError:
            return result
        # What to write back into a template: of the groups that lost nodes first.
        removed = self.removal.removed_by_group
        groups = sorted(
            description.groups, key=lambda group: (group.name not in removed, group.name)
        )
        return replace(result, target_counts={group.name: group.target_count for group in groups})
