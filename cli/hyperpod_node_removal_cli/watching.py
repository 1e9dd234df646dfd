"""`watch`: what happens to a stack while it is deployed, and at its end what `explain` says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from hyperpod_node_removal_cli.connection import Connection, UnknownError
from hyperpod_node_removal_cli.explaining import explained
from hyperpod_node_removal_cli.function_log import ROUND, FunctionLog
from hyperpod_node_removal_cli.report import Report, unknown
from hyperpod_node_removal_cli.stack_events import StackEvent, Stacks, StackState
from hyperpod_node_removal_handler import aws
from hyperpod_node_removal_handler.contract import printable
from hyperpod_node_removal_handler.timing import Clock

_TROUBLES_MAX: Final = 10
"""Looks in a row that may fail for a reason that may pass."""


@dataclass(frozen=True)
class Progress:
    """Something that happened."""

    time: datetime
    text: str
    is_round: bool = False
    """Whether it is how far the removal has got, which the next such line replaces."""
    is_failure: bool = False


@dataclass
class Watch:
    """One stack, watched until its operation ends."""

    stack: str
    connection: Connection
    clock: Clock
    tell: Callable[[Progress], None]
    every: float
    """Seconds between two looks."""
    wait: float = 0.0
    """Seconds to wait for an operation to begin, if none is under way."""
    _seen: set[str] = field(default_factory=set)
    _log_groups: tuple[str, ...] | None = None

    def report(self) -> Report:
        """Watch, and then the report of `explain`."""
        try:
            ended = self._until_end()
        except UnknownError as error:
            return unknown(self.stack, str(error))
        if ended is None:
            return unknown(self.stack, f"No operation on the stack began within {self.wait:g} s.")
        return replace(explained(ended, self.connection), subject=self.stack)

    def _until_end(self) -> str | None:
        """The id of the stack at the end; None if no operation began in time."""
        what = f"stack '{printable(self.stack)}'"
        with self.connection.explaining(what):
            stacks = Stacks(self.connection.client_for("cloudformation", self.stack))
            logs = FunctionLog(self.connection.client_for("logs", self.stack))
        begin_by = self.clock.now() + self.wait
        troubles = 0
        stack_id = ""
        while True:
            try:
                state = self._state(stacks, stack_id)
                if state is not None and (state.is_in_progress or stack_id):
                    stack_id = state.stack_id
                    self._tell_news(stacks, logs, stack_id)
                    if not state.is_in_progress:
                        return stack_id
                elif self.clock.now() >= begin_by:
                    # Nothing was to be waited for: the last operation is what there is to tell.
                    return state.stack_id if state is not None and not self.wait else None
                troubles = 0
            except aws.TransientError as error:
                troubles += 1
                if troubles > _TROUBLES_MAX or not _may_pass(error):
                    raise UnknownError(self.connection.explanation(error, what)) from error
            except aws.AwsError as error:
                raise UnknownError(self.connection.explanation(error, what)) from error
            self.clock.sleep(self.every)

    def _state(self, stacks: Stacks, stack_id: str) -> StackState | None:
        """The stack; None if it is yet to be made, and that is waited for."""
        try:
            return stacks.state(stack_id or self.stack)
        except aws.RejectedError as error:
            if self.wait and not stack_id and "does not exist" in error.message:
                return None
            raise

    def _tell_news(self, stacks: Stacks, logs: FunctionLog, stack_id: str) -> None:
        events = stacks.last_operation(stack_id)
        news = [event for event in events if event.event_id not in self._seen]
        self._seen.update(event.event_id for event in news)
        told = [_of_event(event) for event in news if _is_told(event)]
        if events and any(event.is_removal for event in events):
            told += self._rounds(stacks, logs, stack_id, events[0].time)
        for progress in sorted(told, key=lambda progress: progress.time):
            self.tell(progress)

    def _rounds(
        self, stacks: Stacks, logs: FunctionLog, stack_id: str, since: datetime
    ) -> Iterator[Progress]:
        """New lines on the rounds of the removal. Without the permission there are none."""
        try:
            if not self._log_groups:
                self._log_groups = stacks.log_groups(stack_id)
            for group in self._log_groups:
                for record in logs.search(group, ROUND.strip(), since):
                    if record.message.startswith(ROUND) and record.event_id not in self._seen:
                        self._seen.add(record.event_id)
                        time = datetime.fromtimestamp(record.time, UTC)
                        yield Progress(time, record.message, is_round=True)
        except (aws.AccessDeniedError, aws.ResourceNotFoundError) as error:
            if error.operation not in self._seen:
                self._seen.add(error.operation)
                sentence = self.connection.explanation(error, "the function's log")
                yield Progress(datetime.now(UTC), f"No rounds are shown. {sentence}")


def _may_pass(error: aws.AwsError) -> bool:
    """Whether it is no matter of credentials, which nobody mends while this waits."""
    return "Credential" not in error.code and "Token" not in error.code


def _is_told(event: StackEvent) -> bool:
    """Of what is around the removal, only how it ended."""
    return event.is_removal or event.is_stack or not event.status.endswith("_IN_PROGRESS")


def _of_event(event: StackEvent) -> Progress:
    reason = f": {event.reason}" if event.is_failure and event.reason else ""
    return Progress(
        event.time,
        f"{event.status} {event.logical_id} ({event.resource_type}){reason}",
        is_failure=event.is_failure,
    )
