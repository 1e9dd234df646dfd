"""The published schema of the event, and an event held against it."""

import json
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

PATH: Final = Path(__file__).parents[2] / "docs" / "schemas" / "removal-finished-event.json"
SCHEMA: Final = json.loads(PATH.read_text(encoding="utf-8"))
_VALIDATOR: Final = Draft202012Validator(SCHEMA)


def checked(text: str) -> dict[str, Any]:
    """The detail of an event, which must be exactly what the schema describes."""
    detail = json.loads(text)
    _VALIDATOR.validate(detail)
    assert detail.keys() == SCHEMA["properties"].keys() == set(SCHEMA["required"])
    assert isinstance(detail, dict)
    counts = ("RemovedCount", "AcceptedCount", "AlreadyAbsentCount", "FailedCount")
    assert sum(detail[count] for count in counts) == detail["RequestedCount"]
    assert sum(failure["Count"] for failure in detail["Failures"]) == detail["FailedCount"]
    lists = ("RemovedNodes", "AcceptedNodes", "AlreadyAbsentNodes")
    named = sum(len(detail[name]) for name in lists)
    named += sum(len(failure["Nodes"]) for failure in detail["Failures"])
    assert named + detail["OmittedCount"] == detail["RequestedCount"]
    return detail
