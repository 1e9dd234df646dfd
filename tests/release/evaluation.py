"""A template as CloudFormation sees it once the parameters have values."""

from collections.abc import Mapping
from typing import Any

NOTHING = {"Ref": "AWS::NoValue"}


def evaluated(template: Mapping[str, Any], **given: str | list[str]) -> dict[str, Any]:
    """The template without its conditions, with these values, or the defaults, in place of its
    parameters in them. What a resource takes from a parameter stays a reference."""
    defaults = {
        name: [] if one["Type"] == "CommaDelimitedList" else one.get("Default")
        for name, one in template["Parameters"].items()
    }
    values = {**defaults, **given}
    conditions = {name: _value(one, values) for name, one in template["Conditions"].items()}
    resources = {
        name: _chosen({key: item for key, item in one.items() if key != "Condition"}, conditions)
        for name, one in template["Resources"].items()
        if "Condition" not in one or conditions[one["Condition"]]
    }
    return {**template, "Resources": resources}


def _value(expression: Any, values: Mapping[str, Any]) -> Any:
    match expression:
        case {"Ref": name}:
            return values[name]
        case {"Fn::Join": [delimiter, parts]}:
            return delimiter.join(_value(parts, values))
        case {"Fn::Equals": [one, other]}:
            return _value(one, values) == _value(other, values)
        case {"Fn::Not": [one]}:
            return not _value(one, values)
        case {"Fn::And": parts}:
            return all(_value(part, values) for part in parts)
    return expression


def _chosen(value: Any, conditions: Mapping[str, bool]) -> Any:
    match value:
        case {"Fn::If": [name, then, otherwise]}:
            return _chosen(then if conditions[name] else otherwise, conditions)
        case dict():
            items = {key: _chosen(item, conditions) for key, item in value.items()}
            return {key: item for key, item in items.items() if item != NOTHING}
        case list():
            return [item for item in (_chosen(one, conditions) for one in value) if item != NOTHING]
    return value
