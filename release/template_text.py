"""Write a template as YAML for people: short intrinsic functions, a comment above each resource."""

from collections.abc import Mapping
from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.tag import Tag

_INDENT: Final = 2


def template_text(template: Mapping[str, Any], head: str, comments: Mapping[str, str]) -> str:
    """Return the template as YAML.

    Args:
        template: As the CDK synthesizes it, with long intrinsic functions.
        head: Said at the top.
        comments: What is said above each resource, by logical id.

    Raises:
        KeyError: A resource has no comment.
    """
    document = CommentedMap({"AWSTemplateFormatVersion": "2010-09-09"})
    document.yaml_set_start_comment(head)
    for section, content in template.items():
        document[section] = _short(content)
        document.yaml_set_comment_before_after_key(section, before="\n")
    for logical_id in document["Resources"]:
        document["Resources"].yaml_set_comment_before_after_key(
            logical_id, before=f"\n{comments[logical_id]}", indent=_INDENT
        )
    yaml = YAML()
    yaml.width = 100
    yaml.indent(mapping=_INDENT, sequence=_INDENT + 2, offset=_INDENT)
    text = StringIO()
    yaml.dump(document, text)
    # The emitter leaves a blank where it breaks a line.
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _short(value: Any) -> Any:
    """Return a part of the template with the short forms of intrinsic functions."""
    short: Any = value
    match value:
        case {"Ref": name}:
            short = TaggedScalar(name, tag="!Ref")
        case {"Fn::GetAtt": names}:
            short = TaggedScalar(".".join(names), tag="!GetAtt")
        case {"Fn::Join": ["", [*parts]]}:
            short = TaggedScalar("".join(map(_substituted, parts)), tag="!Sub")
        case (
            {"Fn::And": arguments}
            | {"Fn::Equals": arguments}
            | {"Fn::If": arguments}
            | {"Fn::Join": arguments}
            | {"Fn::Not": arguments}
        ):
            (name,) = value
            has_structure = any(
                isinstance(one, dict) and not _is_function(one) for one in arguments
            )
            short = _sequence(arguments, in_a_row=not has_structure)
            short.yaml_set_ctag(Tag(suffix=name.replace("Fn::", "!")))
        case dict():
            short = CommentedMap((key, _short(item)) for key, item in value.items())
        case list():
            short = _sequence(value, in_a_row=all(isinstance(item, int) for item in value))
    return short


def _is_function(value: dict[str, Any]) -> bool:
    return any(key == "Ref" or key.startswith("Fn::") for key in value)


def _sequence(items: list[Any], *, in_a_row: bool) -> CommentedSeq:
    sequence = CommentedSeq(map(_short, items))
    if in_a_row:
        sequence.fa.set_flow_style()
    return sequence


def _substituted(part: Any) -> str:
    """Return a part of a `Fn::Join` as it stands in a `Fn::Sub`."""
    if isinstance(part, str):
        return part.replace("${", "${!")
    ((name, argument),) = part.items()
    if name == "Ref":
        return f"${{{argument}}}"
    if name == "Fn::GetAtt":
        return f"${{{'.'.join(argument)}}}"
    raise ValueError(f"{name} cannot stand in a Fn::Sub")
