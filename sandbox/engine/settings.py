"""What is not known of AWS, or not steady there: settings that may change while the engine runs."""

from dataclasses import dataclass
from typing import Any, Final

PATH: Final = "/sandbox/settings"
"""A PUT of a JSON object changes the settings that it names."""
RETRIED_FROM: Final = ("LAST_SUCCESS", "FAILED_ATTEMPT")


@dataclass
class Settings:
    """The settings of one engine."""

    lag_forward: float = 0.0
    """Seconds until DescribeStacks shows that an operation has begun."""
    lag_back: float = 0.0
    """Seconds until it shows that an operation has ended, or that the stack turned back."""
    retried_from: str = "LAST_SUCCESS"
    """What OldResourceProperties are in the first Update after one that failed with rollback
    disabled: those of the last success, or those of the failed attempt. Which is not known."""

    def change(self, values: dict[str, Any]) -> None:
        """Set what is named.

        Raises:
            ValueError: there is no such setting, or no such value.
        """
        for name, value in values.items():
            if not hasattr(self, name):
                raise ValueError(f"there is no setting {name}; allowed: {', '.join(vars(self))}")
            if name == "retried_from" and value not in RETRIED_FROM:
                allowed = ", ".join(RETRIED_FROM)
                raise ValueError(f"retried_from is {value!r}; allowed: {allowed}")
            setattr(self, name, value)
