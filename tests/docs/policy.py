"""The IAM policies of the documentation, and the part of IAM's evaluation that they need."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Self

from tests.docs.code_blocks import DOCS


def as_list(value: Any) -> list[Any]:
    """Return the value as a list. In a policy, a list of one item may be written as the item."""
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Policy:
    """A policy document whose statements all allow."""

    statements: tuple[Mapping[str, Any], ...]

    @classmethod
    def of_file(cls, name: str) -> Self:
        """Read a policy in `docs/iam`."""
        document = json.loads((DOCS / "iam" / name).read_text(encoding="utf-8"))
        assert document["Version"] == "2012-10-17"
        assert all(statement["Effect"] == "Allow" for statement in document["Statement"])
        return cls(tuple(document["Statement"]))

    @property
    def actions(self) -> frozenset[str]:
        """All actions that are allowed on any resource."""
        return frozenset(action for one in self.statements for action in as_list(one["Action"]))

    @property
    def resources(self) -> Iterator[tuple[str, str]]:
        """The pairs of an action and one of its resources."""
        for one in self.statements:
            for action in as_list(one["Action"]):
                for resource in as_list(one["Resource"]):
                    yield action, resource

    def allows(self, action: str, resource: str, **context: str) -> bool:
        """Return whether a request is allowed. Keys of `context` have `_` in place of `:`."""
        return any(
            action in as_list(one["Action"])
            and any(fnmatchcase(resource, pattern) for pattern in as_list(one["Resource"]))
            and all(
                operator == "StringEquals" and context.get(key.replace(":", "_")) == value
                for operator, keys in one.get("Condition", {}).items()
                for key, value in keys.items()
            )
            for one in self.statements
        )
