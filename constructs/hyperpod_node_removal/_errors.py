"""Errors at synth.

Every text is a sentence for the person who runs `cdk synth`: where, what was given, and what is
allowed.
"""


class NodeRemovalError(Exception):
    """Base of all errors this package raises."""


class InvalidPropertyError(NodeRemovalError, ValueError):
    """A property has a value that is not allowed."""

    def __init__(self, path: str, name: str, problem: str) -> None:
        """Args: the construct's path, the property's name, and the rest of the sentence."""
        super().__init__(f"{path}: {name}: {problem}")
        self.path = path
        self.name = name
