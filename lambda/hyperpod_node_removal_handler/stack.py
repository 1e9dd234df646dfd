"""Whether the stack still wants this request to be carried out.

A request does not say whether it comes from a rollback, and a removal cannot be undone, so the
stack is looked at. Only `StackWatch` does that. DescribeStacks is eventually consistent, both ways
(aws-cdk-cli #1802, #1803, #1848), and a status does not identify the operation that it belongs to:
`LastOperations` and `LastUpdatedTime` do. See docs/adr/0013.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from typing import Final

from botocore.client import BaseClient

from hyperpod_node_removal_contract import escape
from hyperpod_node_removal_handler import aws, timing
from hyperpod_node_removal_handler.request import Envelope

_CREATE: Final = "CREATE_STACK"
_UPDATE: Final = "UPDATE_STACK"
_FORWARD: Final[Mapping[str, str]] = {
    "CREATE_IN_PROGRESS": _CREATE,
    "UPDATE_IN_PROGRESS": _UPDATE,
}
"""Statuses in which nodes may be removed, and the type of operation that each belongs to. A Create
inside an update belongs to the update."""
_ROLLING_BACK: Final = frozenset(
    {"ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"}
)
"""Statuses that mean a rollback even if they last. No request fails in them: that would leave the
stack stuck."""


@dataclass(frozen=True)
class StackView:
    """A stack as DescribeStacks shows it."""

    status: str
    """Empty for a stack that is not visible yet."""
    operations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """`LastOperations`: the ids of the operations of each type."""
    updated_at: float | None = None
    """`LastUpdatedTime`, in seconds since the epoch. None: not shown."""

    @property
    def has_ended(self) -> bool:
        """Whether at most the clean-up of an operation is in progress."""
        is_under_way = self.status.endswith("_IN_PROGRESS") and "CLEANUP" not in self.status
        return bool(self.status) and not is_under_way


@dataclass(frozen=True)
class Operation:
    """The identity of the stack operation that a request belongs to."""

    type: str
    ids: tuple[str, ...] = ()
    updated_at: float | None = None


class StackNotUpdatingError(Exception):
    """The stack no longer wants this request to be carried out, or never did.

    `is_rolling_back`: whether it is rolling back or being deleted, in which case the request must
    succeed. The text is a sentence.
    """

    def __init__(self, sentence: str, *, is_rolling_back: bool) -> None:
        super().__init__(sentence)
        self.is_rolling_back = is_rolling_back


def describe_stack(client: BaseClient, stack_id: str) -> StackView:
    """Call DescribeStacks, once.

    Raises:
        aws.AwsError: the call failed.
    """
    try:
        with aws.map_errors("DescribeStacks"):
            answer = client.describe_stacks(StackName=stack_id)
    except aws.RejectedError as error:
        if "does not exist" not in error.message:
            raise
        return StackView("")
    stack = (aws.require_key("DescribeStacks", answer, "Stacks") or [{}])[0]
    operations: dict[str, tuple[str, ...]] = {}
    for entry in stack.get("LastOperations") or ():
        kind, identifier = entry.get("OperationType"), entry.get("OperationId")
        if kind and identifier:
            operations[kind] = tuple(sorted((*operations.get(kind, ()), escape(identifier))))
    updated = stack.get("LastUpdatedTime")
    return StackView(
        status=escape(str(stack.get("StackStatus", "")), 64),
        operations=operations,
        updated_at=updated.timestamp() if isinstance(updated, datetime) else None,
    )


class _Standing(Enum):
    """What one look at the stack means for the request."""

    FORWARD = auto()
    """The operation of the request is going forward."""
    EARLY = auto()
    """It seems to be, but the look was too early to rule out a rollback."""
    UNCLEAR = auto()
    """The answer seems to lag behind."""


class StackWatch:
    """Looks at the stack of one request, and remembers which operation the request belongs to.

    Its methods raise `StackNotUpdatingError` once the operation has ended. `begin` and
    `require_forward` raise `aws.AwsError` if the stack could not be looked at.
    """

    def __init__(
        self,
        envelope: Envelope,
        clock: timing.Clock,
        deadlines: timing.Deadlines,
        operation: Operation | None = None,
    ) -> None:
        """Watch the stack of a request. `operation` is what an earlier invocation identified."""
        self.stack_id = envelope.stack_id
        self.operation = operation
        """The operation of the request. None: no look has counted as forward yet."""
        self._clock = clock
        self._deadlines = deadlines
        self._is_update = envelope.request_type == "Update"
        # A rollback sends Updates, and never a Create.
        self._sure_at = deadlines.started + (timing.FORWARD_LAG if self._is_update else 0.0)
        self._seen_at = -math.inf
        self._unclear_since = math.inf
        self._at_rest_since = math.inf
        self._early: Operation | None = None
        self._rollback: StackView | None = None
        self._over: StackNotUpdatingError | None = None

    # Looking ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Wait until the stack seems to go forward, which allows only read calls."""
        self._look_until(_Standing.FORWARD, _Standing.EARLY)

    def require_forward(self) -> None:
        """Look, and wait until it is clear that the operation of this request is going forward."""
        self._look_until(_Standing.FORWARD)

    def poll(self) -> None:
        """Look if it is time to. A look that fails is repeated by a poll that is due soon."""
        pause = timing.AT_REST if self._at_rest_since < math.inf else timing.STACK_POLL
        if self._clock.now() - self._seen_at >= pause:
            try:
                self._look()
            except aws.AwsError:
                self._seen_at += timing.FAILED_LOOK - pause

    def sleep(self, seconds: float) -> None:
        """Wait, and poll the stack in between."""
        until = self._clock.now() + seconds
        while self._clock.now() < until:
            self.poll()
            self._clock.sleep(min(until, self._seen_at + timing.STACK_POLL) - self._clock.now())
        self.poll()

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """Poll while the block waits for minutes. An end of the operation is raised at its end."""
        is_waiting = True

        def poll() -> None:
            if is_waiting:
                with suppress(StackNotUpdatingError):
                    self.poll()
                timers[0] = self._clock.timer(timing.STACK_POLL, poll)

        timers = [self._clock.timer(timing.STACK_POLL, poll)]
        try:
            yield
        finally:
            is_waiting = False
            timers[0].cancel()
        if self._over:
            raise self._over

    def _look_until(self, *standings: _Standing) -> None:
        backoff = timing.pauses(*timing.STACK_PAUSES)
        is_known = self.operation is not None
        while True:
            # An outage at the first look is waited out as long as there is time: a failed rollback
            # leaves the stack stuck.
            until = min(self._deadlines.end, self._clock.now() + self._deadlines.outage)
            standing = timing.call_with_retry(
                self._look,
                clock=self._clock,
                until=until if is_known else self._deadlines.end,
                denied_until=self._deadlines.denied_until,
            )
            if standing in standings:
                return
            # No look counts before that, so one is enough.
            early = self._sure_at - self._clock.now()
            pause = early if early > 0 else next(backoff)
            self._clock.sleep(min(pause, self._deadlines.deadline - self._clock.now()))

    # Judging ---------------------------------------------------------------------------------

    def _look(self) -> _Standing:
        if self._over:
            raise self._over
        self._seen_at = self._clock.now()
        view = describe_stack(aws.client("cloudformation"), self.stack_id)
        try:
            operation = self.operation
            standing = self._judge(view, operation) if operation else self._judge_first(view)
        except StackNotUpdatingError as error:
            # A later look does not undo it: another operation would be mistaken for this one.
            self._over = error
            raise
        if standing is not _Standing.UNCLEAR:
            self._unclear_since = math.inf
        return standing

    def _judge_first(self, view: StackView) -> _Standing:
        """Judge a look before any has counted as forward."""
        if view.status == "DELETE_IN_PROGRESS":
            raise _rolled_back(view)
        is_early = self._seen_at < self._sure_at
        if view.status == "UPDATE_ROLLBACK_IN_PROGRESS":
            self._rollback = view
            if self._is_update and not is_early:
                raise _rolled_back(view)
        kind = _FORWARD.get(view.status)
        if kind is None or not self._is_newer_than_rollback(view):
            return self._unclear(view)
        if kind == _UPDATE and self._is_late(view):
            raise _other(view)
        operation = Operation(kind, view.operations.get(kind, ()), view.updated_at)
        early = self._early
        if early and early.type == kind and view.updated_at is None and operation != early:
            # Without a time, only an early look identifies a later operation.
            raise _other(view)
        if is_early:
            self._early = operation
            return _Standing.EARLY
        self.operation = operation
        self._rollback = None
        return _Standing.FORWARD

    def _judge(self, view: StackView, operation: Operation) -> _Standing:
        """Judge a look after one has counted as forward."""
        is_same = self._is_same_operation(view, operation)
        if is_same is not False and ("ROLLBACK" in view.status or "DELETE" in view.status):
            raise _rolled_back(view)
        if view.status in _FORWARD:
            return _Standing.FORWARD if is_same is not False else self._unclear(view)
        if view.has_ended:
            self._at_rest_since = min(self._at_rest_since, self._seen_at)
            if is_same or self._seen_at - self._at_rest_since >= timing.AT_REST:
                raise StackNotUpdatingError(
                    f"The stack operation has ended: the stack is in {view.status}.",
                    is_rolling_back=False,
                )
        return self._unclear(view)

    def _is_same_operation(self, view: StackView, operation: Operation) -> bool | None:
        """Return whether a look shows the operation of the request.

        False if it shows an earlier one or lacks its entry, and None if it cannot be identified.
        A later one is raised.
        """
        kind, ids, updated_at = operation.type, operation.ids, operation.updated_at
        shown = _FORWARD.get(view.status, kind)
        if shown != kind:
            if shown == _UPDATE:
                raise _other(view)
            return False
        seen = view.operations.get(kind, ())
        if ids:
            if seen and seen != ids:
                raise _other(view)
            return bool(seen)
        if kind == _CREATE:
            # A stack has one creation; if a change set makes it, LastUpdatedTime may come later.
            return None
        if view.updated_at is None:
            return None if updated_at is None else False
        if updated_at is None and not self._is_late(view):
            self.operation = replace(operation, updated_at=view.updated_at)
        elif updated_at is None or view.updated_at > updated_at:
            raise _other(view)
        elif view.updated_at < updated_at:
            return False
        return True

    def _is_late(self, view: StackView) -> bool:
        """Return whether the stack was updated after the request was sent, which is a copy then."""
        return (
            view.updated_at is not None
            and view.updated_at > self._deadlines.started + timing.LATE_COPY
        )

    def _is_newer_than_rollback(self, view: StackView) -> bool:
        rollback = self._rollback
        if rollback is None:
            return True
        ids, before = view.operations.get(_UPDATE, ()), rollback.operations.get(_UPDATE, ())
        if ids and before:
            return ids != before
        if view.updated_at is None or rollback.updated_at is None:
            return False
        return view.updated_at > rollback.updated_at

    def _unclear(self, view: StackView) -> _Standing:
        """Treat a look as lagging, for a minute at most, and as long as the request has time."""
        self._unclear_since = min(self._unclear_since, self._seen_at)
        if self._seen_at < min(self._unclear_since + timing.STACK_LAG, self._deadlines.deadline):
            return _Standing.UNCLEAR
        if view.status in _ROLLING_BACK or self._rollback:
            raise _rolled_back(view)
        status = f"in {view.status}" if view.status else "not visible"
        which = " of another operation" if view.status in _FORWARD else ""
        raise StackNotUpdatingError(
            f"The stack is {status}{which}; CloudFormation sends no such request in that state.",
            is_rolling_back=False,
        )


def _rolled_back(view: StackView) -> StackNotUpdatingError:
    return StackNotUpdatingError(
        f"The stack is rolling back or being deleted: it is in {view.status}.", is_rolling_back=True
    )


def _other(view: StackView) -> StackNotUpdatingError:
    return StackNotUpdatingError(
        f"The operation that sent this request has ended: the stack is in {view.status} of a later"
        " operation.",
        is_rolling_back=False,
    )
