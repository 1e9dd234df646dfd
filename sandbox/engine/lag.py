"""DescribeStacks shows a stack as it was a while ago.

In AWS, it is eventually consistent in both directions (aws-cdk-cli #1802, #1803, #1848): a poll
after ExecuteChangeSet may show the status before it, and one after a failure may show the update as
still in progress. For how long is unknown; here it can be set. Events do not lag, and the
CLIs and the sandbox itself see no lag: they would take the end of one deployment for that of
another, which those issues are about.
"""

import copy
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from ministack.core.responses import AccountRegionScopedDict
from ministack.services import cloudformation
from ministack.services.cloudformation import handlers

from sandbox.engine import replace

LAGGING: Final[ContextVar[bool]] = ContextVar("lagging", default=False)
"""Whether the caller sees stacks with a lag; set for each request."""

_FORWARD: Final = (
    "REVIEW_IN_PROGRESS",
    "CREATE_IN_PROGRESS",
    "UPDATE_IN_PROGRESS",
    "DELETE_IN_PROGRESS",
)
_SHOWN: Final = (
    "StackStatus",
    "StackStatusReason",
    "LastUpdatedTime",
    "Outputs",
    "Parameters",
    "Tags",
    "_operations",
)
_describing: Final[ContextVar[bool]] = ContextVar("describing", default=False)


class Lag:
    """The past states of stacks, kept in their records with the time when they become visible."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.forward = 0.0
        """Seconds until DescribeStacks shows that an operation has begun."""
        self.back = 0.0
        """Seconds until it shows that an operation has ended, or that a rollback has begun."""
        self._clock = clock

    def note(self, stack: dict[str, Any]) -> None:
        """Record a stack as it is now, after its status has changed."""
        if "StackStatus" not in stack:
            return
        lag = self.forward if stack["StackStatus"] in _FORWARD else self.back
        state = {name: copy.copy(stack[name]) for name in _SHOWN if name in stack}
        stack.setdefault("_seen", []).append((self._clock() + lag, state))

    def seen(self, stack: dict[str, Any]) -> dict[str, Any]:
        """Return a stack as DescribeStacks shows it now: never older than what it has shown."""
        states = stack.get("_seen", ())
        now = self._clock()
        visible = [number for number, (when, _) in enumerate(states) if when <= now]
        shown = max(visible, default=0)
        if shown >= len(states) - 1:
            return stack
        return {**stack, **states[shown][1]}


def install(lag: Lag) -> None:
    """Change ministack's DescribeStacks in this process."""

    class Stacks(AccountRegionScopedDict):  # type: ignore[misc]
        """ministack's stacks, which DescribeStacks sees with a lag."""

        __slots__ = ()

        def get(self, key: Any, default: Any = None) -> Any:
            stack = super().get(key, default)
            return lag.seen(stack) if _describing.get() and stack else stack

        def values(self) -> Any:
            found = super().values()
            return [lag.seen(stack) for stack in found] if _describing.get() else found

    replace(cloudformation, "_stacks", lambda _: Stacks())
    actions = handlers._ACTION_HANDLERS
    describe = actions["DescribeStacks"]

    def describe_stacks(params: dict[str, Any]) -> Any:
        scope = _describing.set(LAGGING.get())
        try:
            return describe(params)
        finally:
            _describing.reset(scope)

    actions["DescribeStacks"] = describe_stacks
