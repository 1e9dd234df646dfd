"""The CDK CLI at work, watched through the events of its stack."""

import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sandbox.aws import Sandbox
from sandbox.stacks import StackEvent

_POLL: Final = 0.2


@dataclass
class StackWatch:
    """The events of a stack, also of one that is deleted and made again under the same name."""

    sandbox: Sandbox
    stack_name: str
    _stack_ids: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def news(self) -> list[StackEvent]:
        """Events since the last call, oldest first."""
        stack_id = self.sandbox.stack_id(self.stack_name)
        if stack_id is not None and stack_id not in self._stack_ids:
            self._stack_ids.append(stack_id)
        events = [e for known in self._stack_ids for e in self.sandbox.events(known)]
        news = [event for event in events if event.event_id not in self._seen]
        self._seen.update(event.event_id for event in news)
        return news


def watched_cdk(
    watch: StackWatch, on_event: Callable[[StackEvent], None], *args: str
) -> subprocess.CompletedProcess[str]:
    """Run the CDK CLI and report the stack's events as they come."""
    done: list[subprocess.CompletedProcess[str]] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            done.append(watch.sandbox.cdk(*args))
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="cdk", daemon=True)
    thread.start()
    while True:
        running = thread.is_alive()
        for event in watch.news():
            on_event(event)
        if not running:
            break
        time.sleep(_POLL)
    if errors:
        raise errors[0]
    return done[0]
