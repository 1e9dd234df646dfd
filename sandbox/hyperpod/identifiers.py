"""The forms of identifiers, as the patterns of the service model have them."""

import re
from collections.abc import Iterable

from sandbox.hyperpod.faults import ServiceError

NODE_ID = re.compile(r"i-[a-f0-9]{8}(?:[a-f0-9]{9})?")
LOGICAL_ID = re.compile(r"(?=.{1,128}\Z)[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]")
CLUSTER = re.compile(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:cluster/[a-z0-9]{12}"
    r"|[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
)


def check_form(pattern: re.Pattern[str], values: Iterable[str]) -> None:
    """Refuse the first value that is not of the form, with ValidationException."""
    for value in values:
        if not pattern.fullmatch(value):
            raise ServiceError(
                "ValidationException", f"Value '{value}' failed to satisfy constraint: pattern."
            )
