"""`watch`: show the progress of a deployment, and then what `explain` shows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from hyperpod_node_removal_cli.connection import (
    Connection,
    UnknownError,
    is_missing_stack,
    needs_login,
)
from hyperpod_node_removal_cli.explain import explain_stack
from hyperpod_node_removal_cli.function_log import ROUND, read_log
from hyperpod_node_removal_cli.report import Report, unknown
from hyperpod_node_removal_cli.stack import LOG_GROUP, StackEvent, Stacks, StackState
from hyperpod_node_removal_contract import escape
from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.timing import Clock

_FAILED_POLLS_MAX: Final = 10
"""Polls in a row that may fail with a transient error."""


@dataclass(frozen=True)
class Progress:
    """A line of progress."""

    time: datetime
    text: str
    is_round: bool = False
    """Whether it is the progress of the removal, which the next such line replaces."""
    is_failure: bool = False


def watch_stack(
    stack: str,
    connection: Connection,
    *,
    clock: Clock,
    show: Callable[[Progress], None],
    every: float,
    wait: float = 0.0,
) -> Report:
    """Show the progress of a stack's operation until it ends, then report as `explain` does.

    Args:
        stack: name or id of the stack.
        connection: makes the AWS clients.
        clock: the clock to wait by.
        show: called with each line of progress, in order.
        every: polling interval in seconds.
        wait: seconds to wait for an operation to begin. Default: explain the last one.
    """
    try:
        what = f"stack '{escape(stack)}'"
        with connection.explaining(what):
            watch = _Watch(connection, stack, show)
            ended = _until_end(watch, clock, every, wait)
    except UnknownError as error:
        return unknown(stack, str(error))
    if ended is None:
        return unknown(stack, f"No operation on the stack started within {wait:g} s.")
    return replace(explain_stack(ended, connection, clock), subject=stack)


def _until_end(watch: "_Watch", clock: Clock, every: float, wait: float) -> str | None:
    """Return the id of the stack when its operation ends; None if none began in time."""
    begin_by = clock.now() + wait
    failed_polls = 0
    while True:
        try:
            state = watch.poll(may_be_missing=wait > 0)
            if watch.stack_id:
                if state and not state.is_in_progress:
                    return watch.stack_id
            elif clock.now() >= begin_by:
                # Without `wait`, the last operation is explained.
                return state.stack_id if state and not wait else None
            failed_polls = 0
        except aws.TransientError as error:
            failed_polls += 1
            if failed_polls > _FAILED_POLLS_MAX or needs_login(error):
                raise
        clock.sleep(every)


class _Watch:
    """Polls one stack, and shows what is new."""

    stack_id = ""
    """The id of the stack, once an operation has begun."""
    _changed_at: str | None = None
    """When the last operation began, as of the first poll. Empty: there was no stack yet."""

    def __init__(
        self, connection: Connection, stack: str, show: Callable[[Progress], None]
    ) -> None:
        self._connection = connection
        self._stack = stack
        self._show = show
        self._stacks = Stacks(connection.client_for("cloudformation", stack))
        self._logs = connection.client_for("logs", stack)
        self._log_groups: tuple[str, ...] = ()
        self._seen: set[str] = set()

    def poll(self, *, may_be_missing: bool) -> StackState | None:
        """Poll once, and return the stack, or None if it does not exist yet.

        Raises:
            aws.AwsError: the stack could not be described.
        """
        try:
            state = self._stacks.state(self.stack_id or self._stack)
        except aws.RejectedError as error:
            if may_be_missing and not self.stack_id and is_missing_stack(error):
                self._changed_at = ""
                return None
            raise
        if self._changed_at is None:
            self._changed_at = state.changed_at
        # A short operation may begin and end between two polls.
        has_ended = state.changed_at != self._changed_at and not state.is_under_review
        if state.is_in_progress or has_ended or self.stack_id:
            self.stack_id = state.stack_id
            self._show_new_events()
        return state

    def _show_new_events(self) -> None:
        events = self._stacks.last_operation(self.stack_id)
        news = [_of_event(event) for event in events if self._is_new(event.event_id)]
        if any(event.is_removal for event in events):
            news += self._rounds(events[0].time)
        for progress in sorted(filter(None, news), key=lambda progress: progress.time):
            self._show(progress)

    def _rounds(self, since: datetime) -> Iterator[Progress]:
        """Yield new progress lines of the removal, or once why they cannot be read."""
        try:
            if not self._log_groups:
                resources = self._stacks.resources(self.stack_id)
                self._log_groups = tuple(name for kind, name in resources if kind == LOG_GROUP)
            for group in self._log_groups:
                for line in read_log(self._logs, group, since, words=ROUND.strip()):
                    if line.message.startswith(ROUND) and self._is_new(line.event_id):
                        time = datetime.fromtimestamp(line.time, UTC)
                        yield Progress(time, line.message, is_round=True)
        except (aws.AccessDeniedError, aws.ResourceNotFoundError) as error:
            if self._is_new(error.operation):
                sentence = self._connection.explanation(error, "the function's log")
                yield Progress(
                    datetime.now(UTC), f"The progress of the function is not shown. {sentence}"
                )

    def _is_new(self, event_id: str) -> bool:
        is_new = event_id not in self._seen
        self._seen.add(event_id)
        return is_new


def _of_event(event: StackEvent) -> Progress | None:
    """Return the event as progress; None if another resource than the removal only begins."""
    if event.verdict:
        return Progress(event.time, event.verdict)
    if not (event.is_removal or event.is_stack) and event.status.endswith("_IN_PROGRESS"):
        return None
    has_reason = event.reason and (event.is_failure or event.is_reason_of_stack)
    reason = f": {event.reason}" if has_reason else ""
    return Progress(
        event.time,
        f"{event.status} {event.logical_id} ({event.resource_type}){reason}",
        is_failure=event.is_failure,
    )
