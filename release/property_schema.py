"""JSON schemas of the resource and of a removal file, made from the table of properties.

The schema of the resource describes a template, before CloudFormation converts values to text: 600
and "600", `true` and "true", a list and one comma-joined text. cfn-lint, and editors that use it,
check templates by it, with their intrinsic functions (`schemas/cfn_lint`).

Only the function checks how many nodes two lists have together, and whether a number in quotes is
in its range. Only the schema requires the `ServiceToken`, which CloudFormation needs, and quotes
around a name of digits only.

`python -m release.property_schema` writes both files.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract.properties import BY_KEY, BY_NAME, Kind, Row

_FOLDER: Final = Path(__file__).resolve().parent.parent / "schemas"
FILE: Final = _FOLDER / "custom-hyperpod-node-removal.json"
REMOVAL_FILE: Final = _FOLDER / "removal-file.json"
_DRAFT: Final = "http://json-schema.org/draft-07/schema#"

Schema = Mapping[str, Any]


def property_schema() -> dict[str, Any]:
    """Return the schema of the resource's properties."""
    return {
        "$schema": _DRAFT,
        "typeName": contract.RESOURCE_TYPE,
        "description": "Nodes to remove from a SageMaker HyperPod cluster.",
        **_object({str(name): row for name, row in BY_NAME.items()}, in_file=False),
    }


def file_schema() -> dict[str, Any]:
    """Return the schema of a removal file, with which editors complete and check it."""
    return {
        "$schema": _DRAFT,
        "title": "Removal file of hyperpod-node-removal",
        **_object(BY_KEY, in_file=True),
    }


def schema_texts() -> dict[Path, str]:
    """Return the text of each schema by its file."""
    schemas = {FILE: property_schema(), REMOVAL_FILE: file_schema()}
    return {path: json.dumps(schema, indent=2) + "\n" for path, schema in schemas.items()}


def _object(rows: Mapping[str, Row], *, in_file: bool) -> Schema:
    return {
        "type": "object",
        "properties": {
            name: {"description": row.meaning, **_shape(row, in_file=in_file)}
            for name, row in rows.items()
        },
        "required": [name for name, row in rows.items() if row.is_required],
        "additionalProperties": False,
    }


def _shape(row: Row, *, in_file: bool) -> Schema:
    match row.kind:
        case Kind.CHOICE:
            return {"enum": [str(value) for value in row.choices or ()]}
        case Kind.FLAG:
            form = "[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]"
            return {"anyOf": [{"type": "boolean"}, _pattern(form)]}
        case Kind.NAMES:
            return _names(row)
        case Kind.COUNTS:
            return _counts(row, in_file=in_file)
        case Kind.COUNT | Kind.SECONDS:
            return _number(row)
        case Kind.TEXT:
            return _text(row, in_file=in_file)


def _text(row: Row, *, in_file: bool) -> Schema:
    """Describe text. Blanks around text with a form are ignored."""
    if row.form:
        is_optional = not row.is_required and not in_file
        return _pattern(f"(?:{row.form})?" if is_optional else row.form)
    if row.is_required:
        return {"type": "string"}
    kinds = "string" if in_file else ["string", "number", "boolean"]
    return {"type": kinds, "maxLength": row.range[1]}


def _pattern(form: str) -> Schema:
    return {"type": "string", "pattern": rf"^\s*(?:{form})\s*$"}


def _names(row: Row) -> Schema:
    """Describe a list of names, or text with names; blanks and empty entries are ignored."""
    if row.is_pasted:
        between = contract.SEPARATOR_FORM
        names = f"{between}*(?:{row.form}(?:{between}+{row.form})*{between}*)?"
        first, last = contract.LIST_BRACKETS
        text = {"type": "string", "pattern": rf"^(?:{names}|\s*{first}{names}{last}\s*)$"}
        return {"anyOf": [{"type": "array", "items": text}, text]}
    name = rf"\s*(?:{row.form}\s*)?"
    return {
        "anyOf": [
            {"type": "array", "items": {"type": "string", "pattern": f"^{name}$"}},
            {"type": "string", "pattern": f"^{name}(?:,{name})*$"},
        ]
    }


def _number(row: Row) -> Schema:
    """Describe a number, or its digits as text, whose range the function checks."""
    least, most = row.range
    integer = {"type": "integer", "minimum": least, "maximum": most}
    return {"anyOf": [integer, _pattern(f"0*[0-9]{{1,{len(str(most))}}}")]}


def _counts(row: Row, *, in_file: bool) -> Schema:
    """Describe a map of names to numbers; in a file it may also be text such as `workers=4`."""
    numbers = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^{row.form}$"},
        "additionalProperties": _number(row),
    }
    return {"anyOf": [numbers, {"type": "string", "minLength": 3}]} if in_file else numbers


if __name__ == "__main__":
    for path, text in schema_texts().items():
        path.write_text(text, encoding="utf-8")
