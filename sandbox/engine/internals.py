"""Reaching into ministack: one version, and an error at the start for what is not there."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

PINNED: Final = "1.5.33"
"""The version whose internals the shim knows. Read its changes before moving the pin."""


def check_version() -> None:
    """Refuse any other version.

    Raises:
        RuntimeError: another version is installed.
    """
    installed = version("ministack")
    if installed != PINNED:
        raise RuntimeError(
            f"ministack is {installed}; allowed: {PINNED}, whose internals the sandbox changes"
        )


def internal(owner: Any, name: str) -> Any:
    """An internal of ministack; AttributeError when it has none of that name."""
    return getattr(owner, name)


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace an internal by what `make` makes of it."""
    setattr(owner, name, make(getattr(owner, name)))
