"""CloudWatch's embedded metric format: its published specification as a JSON schema.

What it says of names, numbers and units is in the schema; what it says of the members that the
metadata refers to is in `metrics_of`, which reads a log event as CloudWatch does.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jsonschema import Draft202012Validator

_SIZES: Final = tuple(
    f"{scale}{what}" for what in ("bytes", "bits") for scale in ("", "Kilo", "Mega", "Giga", "Tera")
)
_AMOUNTS: Final = ("Count", *(size.capitalize() for size in _SIZES))
_UNITS: Final = (
    *("Seconds", "Microseconds", "Milliseconds", "Percent", "None"),
    *_AMOUNTS,
    *(f"{amount}/Second" for amount in _AMOUNTS),
)
_METRIC: Final = {
    "type": "object",
    "required": ["Name"],
    "additionalProperties": False,
    "properties": {
        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
        "Unit": {"enum": _UNITS},
        "StorageResolution": {"enum": [1, 60]},
    },
}
_DIMENSION_SET: Final = {
    "type": "array",
    "maxItems": 30,
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1, "maxLength": 250},
}
_DIRECTIVE: Final = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "additionalProperties": False,
    "properties": {
        "Namespace": {
            "type": "string",
            "minLength": 1,
            "maxLength": 255,
            "pattern": "^(?!AWS/)[0-9A-Za-z._/#-][0-9A-Za-z._/#:-]*$",
        },
        "Dimensions": {"type": "array", "minItems": 1, "items": _DIMENSION_SET},
        "Metrics": {"type": "array", "minItems": 1, "maxItems": 100, "items": _METRIC},
    },
}
SCHEMA: Final = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {"type": "array", "items": _DIRECTIVE},
            },
        }
    },
}
_VALIDATOR: Final = Draft202012Validator(SCHEMA)
_EVENT_MAX: Final = 256 * 1024


@dataclass(frozen=True)
class Datum:
    """One value of one metric."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    value: float
    unit: str
    timestamp: int


def is_document(line: str) -> bool:
    """Whether CloudWatch would look for metrics in a log event."""
    try:
        event = json.loads(line)
    except ValueError:
        return False
    return isinstance(event, dict) and "_aws" in event


def metrics_of(line: str) -> list[Datum]:
    """The metrics that CloudWatch makes of a log event, which must be without a fault."""
    event = json.loads(line)
    assert len(line.encode()) <= _EVENT_MAX
    _VALIDATOR.validate(event)
    return [
        Datum(
            namespace=directive["Namespace"],
            name=metric["Name"],
            dimensions=frozenset((name, _dimension(event, name)) for name in names),
            value=_value(event, metric["Name"]),
            unit=metric["Unit"],
            timestamp=event["_aws"]["Timestamp"],
        )
        for directive in event["_aws"]["CloudWatchMetrics"]
        for names in directive["Dimensions"]
        for metric in directive["Metrics"]
    ]


def logged_metrics(records: Iterable[logging.LogRecord]) -> dict[tuple[str, str], float]:
    """Return what was logged as metrics, by name and code."""
    events = [json.dumps(vars(record), default=str) for record in records]
    data = [datum for event in events if is_document(event) for datum in metrics_of(event)]
    return {(datum.name, dict(datum.dimensions).get("Code", "")): datum.value for datum in data}


def _dimension(event: Mapping[str, Any], name: str) -> str:
    value = event[name]
    assert isinstance(value, str), f"the value of dimension {name} is no string"
    assert 1 <= len(value) <= 1024
    assert value.isascii()
    assert value.strip()
    return value


def _value(event: Mapping[str, Any], name: str) -> float:
    value = event[name]
    assert isinstance(value, int | float), f"the value of metric {name} is no number"
    assert not isinstance(value, bool)
    return float(value)
