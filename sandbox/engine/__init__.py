"""The embedded AWS: ministack in a process of its own, changed where it differs from AWS.

ministack is CloudFormation, Lambda, S3, IAM, SSM, STS and Logs. The modules of this package change
its internals, for exactly one version. `sandbox.process` starts the process. This module has what
both processes use.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

PINNED: Final = "1.5.33"
"""The version of ministack that this package is written for. Read its changes before raising it."""
STOP: Final = "stop"
"""What the parent writes to the engine's standard input before closing it."""
OWN_AGENT: Final = "md/sandbox"
"""In the user agent of the sandbox's own requests, and of no others."""
OWN_PATHS: Final = "/sandbox/"
"""Paths of the sandbox itself. A PUT of a JSON value to

- `idle` gets its response once no function is running: logs are complete then.
- `rest`, of a stack's id and of seconds, gets its response once the stack is not in progress, or
  after so many seconds.
- `denial`, of an access key, an IAM action and a resource's ARN, returns the message of an
  AccessDeniedException, or nothing.
- `requests` returns the requests that were sent to custom resources, as a JSON list.
- `replies` returns the fields of each `exchange.ReceivedReply`, as a JSON list. Each byte of a body
  is the character with its number.
- `lag`, of two numbers of seconds, sets how far DescribeStacks lags: see `lag.Lag`.
- `failed-attempt`, of a Boolean, sets `exchange.Exchange.sends_failed_attempt`."""
EKS_FOLDER: Final = "eks"
"""Folder of the sandbox's directory with a file for each EKS cluster."""


def check_version() -> None:
    """Raise RuntimeError if another version of ministack is installed."""
    installed = version("ministack")
    if installed != PINNED:
        raise RuntimeError(
            f"ministack is {installed}; allowed: {PINNED}, whose internals the sandbox changes"
        )


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace an internal of ministack with what `make` returns for it."""
    setattr(owner, name, make(getattr(owner, name)))
