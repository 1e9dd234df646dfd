"""The oldest supported aws-cdk-lib, checked at import, since pip can ignore requirements."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Final

OLDEST: Final = (2, 269)
"""Older versions have no `Validations.acknowledge` (up to 2.251), or it rejects the ids of
cdk-nag's findings on `Resource::arn:...`: "The '::' delimiter is reserved"."""


def _check() -> None:
    with suppress(PackageNotFoundError, ValueError):  # not installed, or a custom build
        installed = version("aws-cdk-lib")
        major, minor, *_ = map(int, installed.split("."))
        if (0, 0) < (major, minor) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise ImportError(
                f"hyperpod-node-removal needs aws-cdk-lib {oldest} or newer; {installed} is"
                " installed. The permissions of its function have cdk-nag findings that it"
                " acknowledges by Validations.acknowledge, and older versions lack it or reject"
                f" the ids of such findings. Run: pip install --upgrade 'aws-cdk-lib>={oldest},<3'"
            )


_check()
