"""A template as YAML for people: short intrinsic functions, and a comment on each resource."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

_WIDTH: Final = 100
_SHORT: Final = {
    "Ref": "!Ref",
    "Fn::Equals": "!Equals",
    "Fn::If": "!If",
    "Fn::Not": "!Not",
}


@dataclass(frozen=True)
class _Tagged:
    """An intrinsic function in its short form."""

    tag: str
    value: Any


class _Dumper(yaml.SafeDumper):
    """Writes short intrinsic functions and indents lists."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)

    def choose_scalar_style(self) -> str:
        """No quotes around the argument of a function, unless it needs them."""
        style: str = super().choose_scalar_style()
        scalar, seen = self.event, self.analysis
        if not isinstance(scalar, yaml.ScalarEvent) or seen is None or seen.multiline:
            return style
        plain = seen.allow_flow_plain if self.flow_level else seen.allow_block_plain
        return "" if plain and (scalar.tag or "").startswith("!") else style

    def numbers_in_a_row(self, data: list[Any]) -> yaml.Node:
        short = bool(data) and all(isinstance(item, int) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=short)

    def tagged(self, data: _Tagged) -> yaml.Node:
        node = self.represent_data(data.value)
        node.tag = data.tag
        if isinstance(node, yaml.ScalarNode):
            node.style = None
        if isinstance(node, yaml.SequenceNode):
            node.flow_style = all(isinstance(item, yaml.ScalarNode) for item in node.value)
        return node


_Dumper.add_representer(_Tagged, _Dumper.tagged)
_Dumper.add_representer(list, _Dumper.numbers_in_a_row)


def template_text(template: Mapping[str, Any], head: str, comments: Mapping[str, str]) -> str:
    """The template as YAML.

    Args:
        head: said at the top.
        comments: what is said above each resource, by logical id.

    Raises:
        KeyError: a resource has no comment.
    """
    parts = [_comment(head, ""), _dumped({"AWSTemplateFormatVersion": "2010-09-09"})]
    for section, content in template.items():
        if section == "Resources":
            parts.append("\nResources:\n" + "\n".join(_resources(content, comments)))
        else:
            parts.append("\n" + _dumped({section: content}))
    return "".join(parts)


def _resources(resources: Mapping[str, Any], comments: Mapping[str, str]) -> list[str]:
    return [
        _comment(comments[logical_id], "  ") + _indented(_dumped({logical_id: resource}))
        for logical_id, resource in resources.items()
    ]


def _dumped(value: Any) -> str:
    return yaml.dump(
        _shortened(value), Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=False
    )


def _indented(text: str) -> str:
    return re.sub(r"^(?=.)", "  ", text, flags=re.MULTILINE)


def _comment(text: str, indent: str) -> str:
    return "".join(f"{indent}# {line}".rstrip() + "\n" for line in text.splitlines())


def _shortened(value: Any) -> Any:
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, argument),) = value.items()
        if name == "Fn::GetAtt":
            return _Tagged("!GetAtt", ".".join(argument))
        if name == "Fn::Join" and argument[0] == "":
            return _Tagged("!Sub", "".join(_substituted(part) for part in argument[1]))
        if name in _SHORT:
            return _Tagged(_SHORT[name], _shortened(argument))
    return {key: _shortened(item) for key, item in value.items()}


def _substituted(part: Any) -> str:
    """A part of a `Fn::Join` as it stands in a `Fn::Sub`."""
    if isinstance(part, str):
        return part.replace("${", "${!")
    ((name, argument),) = part.items()
    if name == "Ref":
        return f"${{{argument}}}"
    if name == "Fn::GetAtt":
        return f"${{{'.'.join(argument)}}}"
    raise ValueError(f"{name} cannot stand in a Fn::Sub")
