"""Asking for the removal of nodes: when, and what to make of the answer."""

import math
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from hyperpod_node_removal_handler.aws import (
    AwsError,
    ConflictError,
    RejectedError,
    TransientError,
)
from hyperpod_node_removal_handler.cluster import Cluster, DeleteReply, Refusal
from hyperpod_node_removal_handler.contract import FailureCode
from hyperpod_node_removal_handler.patience import Backoff, Clock, Patience, Span
from hyperpod_node_removal_handler.removal import DeleteRequest, Removal
from hyperpod_node_removal_handler.requested_node import Phase
from hyperpod_node_removal_handler.stack import Stack, StackAtRestError, StackDirection

_FIRST_RETRY: Final = 5.0
_LAST_RETRY: Final = 60.0
_LAST_LOOK: Final = 2.0
"""Seconds between the last try and the look at the cluster that decides what came of it."""
_FRESH: Final = 10.0
"""Seconds for which a look at the stack counts."""

_REST: Final = 10.0
"""Seconds after which a stack that seems at rest is at rest."""
_WATCH: Final = 30.0
"""Seconds after which the stack is looked at even if nothing is to be asked for."""


class StackIsGoingBackError(Exception):
    """The stack has begun to roll back, to cancel or to be deleted, or it has even come to rest:
    nothing more may be asked."""


@dataclass(slots=True)
class Progress:
    """How far a removal has got. One for all who work on it, and for the report in an emergency."""

    removal: Removal


class Asking:
    """Asks for the waiting nodes, again and again, until the time for retries is over."""

    def __init__(
        self,
        progress: Progress,
        *,
        cluster: Cluster,
        stack: Stack,
        clock: Clock,
        span: Span,
        patience: Patience,
        retry_for: float,
    ) -> None:
        self._progress = progress
        self._cluster = cluster
        self._stack = stack
        self._clock = clock
        self._span = span
        self._patience = patience
        self._retry_for = retry_for
        self._retry_until = span.deadline
        self._retries = Backoff(_FIRST_RETRY, 2.0, _LAST_RETRY)
        self._looked_at = -math.inf
        self._at_rest_since = math.inf
        self._was_last_try = False
        self.next_at = -math.inf
        """When the waiting nodes are asked for next."""
        self.may_be_busy = False
        """Whether the cluster has to be looked at before it is asked."""

    @property
    def _removal(self) -> Removal:
        return self._progress.removal

    @_removal.setter
    def _removal(self, removal: Removal) -> None:
        self._progress.removal = removal

    def retry_from(self, began: float) -> None:
        """The time for retries runs from when the first node could be asked for."""
        self._retry_until = min(self._span.deadline, began + self._retry_for)

    def if_due(self) -> None:
        """Ask for every waiting node, if it is time to.

        Raises:
            StackIsGoingBackError: the stack no longer wants it.
            aws.AwsError: an error of the cluster as a whole.
        """
        if self._clock.now() < self.next_at:
            return
        if self._was_last_try:
            # Only now, after another look at the cluster: what was asked for may be leaving
            # although the answer was lost.
            self._removal = self._removal.given_up()
        if not self._removal.count(Phase.WAITING):
            return
        self._ask()
        now = self._clock.now()
        self._was_last_try = now >= self._retry_until
        if self._was_last_try:
            self.next_at = now + _LAST_LOOK
        else:
            # The last try is at the very end of the time for retries.
            self.next_at = min(now + self._retries.pause(), self._retry_until)

    def watch_stack(self) -> None:
        """Notice that the stack turns back, also while nodes are only waited for.

        Else a node that comes back as a new instance might be asked for in the next deployment,
        which has the stack go forward again.

        Raises:
            StackIsGoingBackError: it has turned back.
        """
        is_at_rest = self._at_rest_since < math.inf
        if not is_at_rest and self._clock.now() - self._looked_at < _WATCH:
            return
        with suppress(AwsError):
            if self._direction() is StackDirection.BACKWARD:
                raise StackIsGoingBackError

    @contextmanager
    def watching_stack(self) -> Iterator[None]:
        """Have the stack looked at while something else is waited for that takes minutes.

        Raises:
            StackIsGoingBackError: at the end, if it has turned back meanwhile, whatever it does by
                then.
        """
        done, turned = threading.Event(), threading.Event()

        def watch() -> None:
            while not turned.is_set() and not done.wait(_WATCH):
                with suppress(AwsError):
                    if self._direction() is StackDirection.BACKWARD:
                        turned.set()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            if turned.is_set():
                raise StackIsGoingBackError

    def _ask(self) -> None:
        """Ask once for every waiting node, unless the stack or the cluster forbids it."""
        self.look_at_stack()
        if self.may_be_busy and self._is_held_up():
            return
        requests = deque(self._removal.requests())
        is_known_free = False
        while requests and self._clock.now() < self._span.end:
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
                if self._removal.is_explained(request):
                    refusal = Refusal(error.code, error.message)
                    self._removal = self._removal.rejected(request, refusal)
                else:
                    requests.extendleft(reversed(request.parts()))
            else:
                self._removal = self._removal.answered(request, reply)

    def _delete(self, request: DeleteRequest) -> DeleteReply:
        def delete() -> DeleteReply:
            # Earlier requests, and waiting for a permission or a cluster, may have taken long.
            if self._clock.now() - self._looked_at > _FRESH:
                self.look_at_stack()
            self._removal = self._removal.asking(request)
            try:
                return self._cluster.delete(request.node_ids, request.node_logical_ids)
            except AwsError as error:
                self._removal = self._removal.put_off(request, Refusal(error.code, error.message))
                raise

        return self._patience.once(delete)

    def look_at_stack(self) -> None:
        """Find out whether the stack still wants the nodes to be removed.

        Raises:
            StackIsGoingBackError: it does not.
        """
        if self._patience(self._direction) is StackDirection.BACKWARD:
            raise StackIsGoingBackError

    def _direction(self) -> StackDirection:
        self._looked_at = self._clock.now()
        try:
            direction = self._stack.direction()
        except StackAtRestError:
            # It was under way when the removal began. Were that waited for, the next deployment
            # would be taken for this one. Just a single odd answer does not count.
            self._at_rest_since = min(self._at_rest_since, self._looked_at)
            if self._looked_at - self._at_rest_since < _REST:
                raise
            return StackDirection.BACKWARD
        self._at_rest_since = math.inf
        return direction

    def _put_off(self, request: DeleteRequest, error: TransientError) -> None:
        if isinstance(error, ConflictError):
            self.may_be_busy = True
            self._removal = self._removal.held_up(Refusal(FailureCode.CLUSTER_BUSY, error.message))
        else:
            self._removal = self._removal.postponed(request, Refusal(error.code, error.message))

    def _is_held_up(self) -> bool:
        description = self._patience(self._cluster.describe)
        self.may_be_busy = description.is_in_transition
        if self.may_be_busy:
            message = f"the cluster is in status {description.status}"
            self._removal = self._removal.held_up(Refusal(FailureCode.CLUSTER_BUSY, message))
        return self.may_be_busy
