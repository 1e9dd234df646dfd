"""The clock, the deadlines of a removal, the retry policy, and all intervals and tolerances.

The SDK sends each call once (`aws`). Every further attempt is made by `call_with_retry` or by the
reconciler's loop, so nothing is sent again without the checks that precede it.
"""

import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from hyperpod_node_removal_contract import EVENT_AGE_MAX, EVENT_AGE_VARIABLE
from hyperpod_node_removal_handler.aws import AccessDeniedError, TransientError

T = TypeVar("T")

# All in seconds.

PROPAGATION: Final = 60.0
"""A new permission may take this long to spread. Until then a call that is denied is retried."""
OUTAGE: Final = 60.0
"""A look at the cluster or the stack that fails is retried for `RetryFor`, and at least this long:
a short outage does not end a removal."""

# The stack
STACK_LAG: Final = 60.0
"""DescribeStacks may show the state before the operation for this long (aws-cdk-cli #1802)."""
FORWARD_LAG: Final = 5.0
"""It may still show an update going forward for less than this after the update's rollback sent a
request. The lag is not documented: 1 to 4 s are covered."""
LATE_COPY: Final = 2.0
"""A stack that was updated this much later than a request was sent is in a later operation. The
time in the presigned URL has whole seconds, and LastUpdatedTime precedes the first request."""
AT_REST: Final = 10.0
"""Two looks this far apart that show a stack at rest mean that its operation has ended."""
STACK_POLL: Final = 30.0
"""During every wait, the stack is looked at again after at most this long."""
FAILED_LOOK: Final = 5.0
"""A look that failed during a wait is repeated after this long."""
STACK_PAUSES: Final = (1.0, 1.5, 5.0)
"""First pause, growth, and longest pause between looks at a stack whose state is not clear yet."""

# The nodes
POLL_FIRST: Final = 0.65
POLL_SHARE: Final = 0.05
POLL_MAX: Final = 40.0
"""While nodes leave, they are looked at again after two thirds of a second and a twentieth of the
time passed, at most 40 s: what `make bench` allows, less the looks that confirm an absence."""
LISTING_EVERY: Final = 120.0
LISTING_PAGES: Final = 10
"""The nodes are listed this often even if single ones are described; a listing of more pages than
these is made proportionally less often."""
LAST_LISTINGS: Final = 15.0
"""From this long before the deadline, every look is a listing: nodes that have left must not be
reported as still present."""
DESCRIPTION: Final = 20.0
"""A description that fails is retried for this long before the nodes are listed instead."""
HOSTNAMES: Final = (60.0, 0.25)
"""Host names for the hook are looked up for at most this long, and at most this share of the time
until it must have answered."""
CONFIRM: Final = 0.1
"""Pause before the second look that confirms an absence or a failure."""
LISTING_MAX_AGE: Final = 5.0
"""Guards are checked against a listing no older than this before the first request."""

# Requests
RETRY_PAUSES: Final = (5.0, 2.0, 60.0)
"""First pause, growth, and longest pause between requests for nodes that were refused."""
LAST_LOOK: Final = 2.0
"""Pause between the last request and the listing that shows its effect."""
CALL_PAUSES: Final = (1.0, 2.0, 20.0)
"""First pause, growth, and longest pause between attempts of a read call."""
SPACING: Final = (0.5, 20.0)
SPACING_DECAY: Final = 0.9
"""Seconds between two calls of SageMaker after one was throttled, at least and at most. A throttled
call doubles them, another takes a tenth off: the rate that an account is allowed is not documented,
and is shared."""
CLUSTER_POLL: Final = 10.0
"""Pause between looks at a cluster that is still in transition after the last node has left."""

# The invocation
SEND_TIME_SLACK: Final = 30.0
"""A send time that is older than the function's `MaximumEventAge` and this much is ignored."""
REPLY_MARGIN: Final = 15.0
"""Reserved for the report at the end of an invocation."""
EXPIRY_MARGIN: Final = 8.0
"""A reply is sent this long before the invocation ends, even if a call has not returned."""
HAND_OVER_SHARE: Final = 0.9
"""Share of an invocation after which the function re-invokes itself: 105 s before the end of 15
minutes, with the margin for the reply."""
HAND_OVER_RETRY: Final = 30.0
"""A hand-over that fails is retried for this long."""
HOOK_START: Final = 180.0
"""A hook that did not run is invoked again for this long: Lambda needs a minute or two to connect a
function to its VPC again that was idle for weeks."""
HOOK_RESERVE: Final = 30.0
"""The hook must answer this long before the deadline, so that there is time to act on it."""
LAST_QUESTION: Final = 60.0
"""A hook that is not ready is invoked for the last time this long before it must have answered, and
not in the last seconds of an invocation."""
RELEASE: Final = (20.0, 5.0)
"""A release is waited for at most this long, and until this much past the deadline, since the reply
to CloudFormation waits for it."""
RELEASE_RETRY: Final = 2.0
"""A release that is not confirmed, and cannot be queued either, is retried for this long."""
CANCELED: Final = 60.0
"""An event that drops a hook is answered no earlier than this after it was sent. Until then, a
request with that hook may notice that it was canceled and release its nodes: `STACK_POLL`, the lag
of DescribeStacks, and `RELEASE`. After the reply, the hook may be deleted."""

# The reply
REPLY_PAUSES: Final = (1.0, 2.0, 30.0)
"""First pause, growth, and longest pause between attempts to deliver the reply."""
REPLY_TIMEOUT: Final = 10.0
"""One attempt to deliver the reply, from connecting to the last byte of the answer."""
SIGNAL_PAUSES: Final = (1.0, 1.5, 5.0)
"""First pause, growth, and longest pause between attempts to signal a wait condition."""
SIGNAL_FOR: Final = 360.0
"""A wait condition is signaled for this long: it begins to wait soon after the reply, for 300 s."""
SIGNAL_RESERVE: Final = 60.0
"""An invocation with less time left than this re-invokes the function to signal."""
EVENT_RETRY: Final = 30.0
"""An event for EventBridge that is refused is retried for this long: its permission may be new."""

_JITTER: Final = 0.1


def max_event_age() -> float:
    """Return the function's `MaximumEventAge`: Lambda drops a request that has waited this long."""
    return float(os.environ.get(EVENT_AGE_VARIABLE) or EVENT_AGE_MAX)


def jittered(pause: float) -> float:
    """Return `pause`, less up to 10 %, so that removals that began together spread out."""
    return pause * random.uniform(1 - _JITTER, 1)  # noqa: S311


class Timer(Protocol):
    """An action that will run unless it is canceled."""

    def cancel(self) -> None:
        """Cancel it. Does nothing if it has begun."""
        ...


class Clock(Protocol):
    """A source of time, and of waiting."""

    def now(self) -> float:
        """Return seconds since the epoch: a removal outlives a process and its own clock."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait. Zero and negative numbers return at once."""
        ...

    def timer(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Run `action` in a thread of its own, `seconds` from now."""
        ...


class SystemClock:
    """The clock of the machine. A timer is a daemon thread."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait. Zero and negative numbers return at once."""
        time.sleep(max(0.0, seconds))

    def timer(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Run `action` in a daemon thread, `seconds` from now."""
        timer = threading.Timer(max(0.0, seconds), action)
        timer.daemon = True
        timer.start()
        return timer


def pauses(first: float, factor: float, most: float) -> Iterator[float]:
    """Yield pauses in seconds without end: `first`, then growing by `factor` up to `most`."""
    pause = first
    while True:
        yield jittered(pause)
        pause = min(most, pause * factor)


def call_with_retry(
    call: Callable[[], T],
    *,
    clock: Clock,
    until: float,
    denied_until: float,
    sleep: Callable[[float], None] | None = None,
) -> T:
    """Return the result of `call`, which is repeated while it may still succeed.

    The last attempt after a `TransientError` is made at `until`, in seconds of the clock, and after
    an `AccessDeniedError` at `denied_until`. `sleep` waits in place of the clock.

    Raises:
        AwsError: that of the last attempt.
    """
    backoff = pauses(*CALL_PAUSES)
    while True:
        try:
            return call()
        except (TransientError, AccessDeniedError) as error:
            limit = until if isinstance(error, TransientError) else denied_until
            if clock.now() >= limit:
                raise
        (sleep or clock.sleep)(min(next(backoff), limit - clock.now()))


@dataclass(frozen=True)
class Deadlines:
    """The time a removal has, in seconds of the clock."""

    started: float
    """When CloudFormation sent the request."""
    deadline: float
    """When the removal ends, done or not."""
    hand_over_at: float = math.inf
    """When this invocation must re-invoke the function."""
    outage: float = OUTAGE
    """For how long a look at the cluster or the stack that fails is retried."""

    @property
    def end(self) -> float:
        """When this invocation must stop waiting."""
        return min(self.deadline, self.hand_over_at)

    @property
    def denied_until(self) -> float:
        """Until when a denied call is retried, since a new permission may still be spreading."""
        return min(self.end, self.started + PROPAGATION)


class HandOverDue(Exception):  # noqa: N818 (a signal, not an error)
    """This invocation's share of the time is over: the next one continues."""
