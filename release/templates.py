"""Templates that need neither Python nor a CDK bootstrap: synthesized from the constructs that an
app uses, and written as YAML for people."""

import tempfile
from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any, Final

from aws_cdk import App, BootstraplessSynthesizer, CfnElement, CfnParameter, Stack
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.tag import Tag

LOG_RETENTION_DAYS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557),
    *(2922, 3288, 3653),
)
"""What CloudWatch Logs accepts (API reference, PutRetentionPolicy)."""
_LOG_RETENTION_DEFAULT: Final = 365
"""Days, as in the construct."""
_INDENT: Final = 2


def synthesize(
    fill: Callable[[Stack], None], *, name: str, scope: str, description: str | None = None
) -> dict[str, Any]:
    """Return the template of a stack that `fill` adds constructs and `LogRetentionDays` to.

    Args:
        fill: adds constructs to the stack.
        name: of the stack, which is not in the template.
        scope: the id of the construct that contains all resources, left out of their logical ids.
        description: of the template.
    """
    with tempfile.TemporaryDirectory() as directory:
        app = App(outdir=directory, analytics_reporting=False)
        synthesizer = BootstraplessSynthesizer()
        stack = Stack(app, name, description=description, synthesizer=synthesizer)
        fill(stack)
        # Logical ids are the ids of the constructs, without the hash that an app needs.
        for element in stack.node.find_all():
            _, *names = element.node.path.split("/")
            if isinstance(element, CfnElement) and len(names) > 1:
                readable = "".join(one for one in names if one not in {scope, "Resource"})
                element.override_logical_id(readable)
        template: dict[str, Any] = app.synth().get_stack_by_name(stack.stack_name).template
    # The CDK accepts allowed values as text only.
    template["Parameters"]["LogRetentionDays"]["AllowedValues"] = list(LOG_RETENTION_DAYS)
    return template


class Parameters:
    """Adds parameters to a stack. Each method returns the value of the new parameter."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def text(self, name: str, description: str, form: str = "", default: str | None = None) -> str:
        """Add a text. `form` is a regular expression of the whole value."""
        pattern = f"^(?:{form})$" if form else None
        return self._add(
            name, description=description, allowed_pattern=pattern, default=default
        ).value_as_string

    def choice(self, name: str, description: str, *values: str) -> str:
        """Add a text with a few allowed values, of which the first is the default."""
        return self._add(
            name, description=description, default=values[0], allowed_values=list(values)
        ).value_as_string

    def flag(self, name: str, description: str) -> str:
        """Add a choice of `true` and `false`, which is `false` by default."""
        return self._add(
            name, description=description, default="false", allowed_values=["true", "false"]
        ).value_as_string

    def texts(self, name: str, description: str) -> list[str]:
        """Add a list that is empty by default."""
        return self._add(
            name, type="CommaDelimitedList", description=description, default=""
        ).value_as_list

    def log_retention(self, description: str) -> float:
        """Add the days to retain log events."""
        return self._add(
            "LogRetentionDays",
            type="Number",
            description=description,
            default=_LOG_RETENTION_DEFAULT,
            allowed_values=[str(days) for days in LOG_RETENTION_DAYS],
        ).value_as_number

    def _add(self, name: str, **properties: Any) -> CfnParameter:
        return CfnParameter(self._stack, name, **properties)


def template_text(template: Mapping[str, Any], head: str, comments: Mapping[str, str]) -> str:
    """Return the template as YAML, with short intrinsic functions.

    Args:
        template: as the CDK synthesizes it, with long intrinsic functions.
        head: the comment at the top.
        comments: the comment above each resource, by logical id.

    Raises:
        KeyError: a resource has no comment.
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
            short = _sequence(arguments, in_one_line=not has_structure)
            short.yaml_set_ctag(Tag(suffix=name.replace("Fn::", "!")))
        case dict():
            short = CommentedMap((key, _short(item)) for key, item in value.items())
        case list():
            short = _sequence(value, in_one_line=all(isinstance(item, int) for item in value))
    return short


def _is_function(value: dict[str, Any]) -> bool:
    return any(key == "Ref" or key.startswith("Fn::") for key in value)


def _sequence(items: list[Any], *, in_one_line: bool) -> CommentedSeq:
    sequence = CommentedSeq(map(_short, items))
    if in_one_line:
        sequence.fa.set_flow_style()
    return sequence


def _substituted(part: Any) -> str:
    """Return a part of a `Fn::Join` as it is written in a `Fn::Sub`."""
    if isinstance(part, str):
        return part.replace("${", "${!")
    ((name, argument),) = part.items()
    if name == "Ref":
        return f"${{{argument}}}"
    if name == "Fn::GetAtt":
        return f"${{{'.'.join(argument)}}}"
    raise ValueError(f"{name} cannot be in a Fn::Sub")
