"""The JSON schema of the properties of `Custom::HyperPodNodeRemoval`, made from the contract.

It speaks of what a template says, before CloudFormation makes text of it: 600 and "600", `true` and
"true", a list and one comma-joined text. cfn-lint, and the editors that ask it, check templates by
it with their intrinsic functions (`schemas/cfn_lint`).

What it cannot say, the function does when it gets the properties: how many nodes two lists name
together, and whether a number in quotes is in its range. What it asks beyond the function: the
`ServiceToken`, which is CloudFormation's, and quotes around a name of digits only.

Run as a module it writes the file: `python -m release.property_schema`.
"""

import inspect
import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract import (
    MissingNodes,
    PartialFailure,
    Property,
    RemovalStage,
)
from release.contract_reference import documented

FILE: Final = (
    Path(__file__).resolve().parent.parent / "schemas" / "custom-hyperpod-node-removal.json"
)

Schema = Mapping[str, Any]

_LOGICAL_ID: Final = (
    rf"(?!(?:hyperpod-)?{contract.NODE_ID_FORM}(?![a-zA-Z0-9-])){contract.NODE_LOGICAL_ID_FORM}"
)


def property_schema() -> dict[str, Any]:
    """The schema.

    Raises:
        LookupError: the contract has a property that is not described here.
    """
    if missing := [str(name) for name in Property if name not in _SCHEMAS]:
        raise LookupError(f"{', '.join(missing)} of the contract has no schema; describe it here")
    described = documented(inspect.getsource(Property))
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "typeName": contract.RESOURCE_TYPE,
        "description": "Nodes that shall be gone from a SageMaker HyperPod cluster.",
        "type": "object",
        "properties": {
            str(name): {"description": described[name.name], **_SCHEMAS[name]} for name in Property
        },
        "required": [str(Property.CLUSTER_NAME), str(Property.SERVICE_TOKEN)],
        "additionalProperties": False,
    }


def schema_text() -> str:
    """The schema as the file has it."""
    return json.dumps(property_schema(), indent=2) + "\n"


def _choice(kind: type[StrEnum]) -> Schema:
    return {"enum": [str(value) for value in kind]}


def _text(form: str) -> Schema:
    """Text of a form; blanks around it do not count."""
    return {"type": "string", "pattern": rf"^\s*(?:{form})\s*$"}


def _names(form: str) -> Schema:
    """A list of names or comma-joined names; blanks and empty entries do not count."""
    name = rf"\s*(?:{form}\s*)?"
    return {
        "anyOf": [
            {"type": "array", "items": {"type": "string", "pattern": f"^{name}$"}},
            {"type": "string", "pattern": f"^{name}(?:,{name})*$"},
        ]
    }


def _number(least: int, most: int) -> Schema:
    """Describe a number, or its digits as text, of which the function checks the range."""
    integer = {"type": "integer", "minimum": least, "maximum": most}
    return {"anyOf": [integer, _text(f"0*[0-9]{{1,{len(str(most))}}}")]}


_COUNT: Final = _number(0, contract.GROUP_SIZE_MAX)

_SCHEMAS: Final[Mapping[Property, Schema]] = {
    Property.SERVICE_TOKEN: {"type": "string"},
    Property.CLUSTER_NAME: _text(f"{contract.CLUSTER_NAME_FORM}|{contract.CLUSTER_ARN_FORM}"),
    Property.NODE_IDS: _names(contract.NODE_ID_FORM),
    Property.NODE_LOGICAL_IDS: _names(_LOGICAL_ID),
    Property.ON_PARTIAL_FAILURE: _choice(PartialFailure),
    Property.WAIT_FOR: _choice(RemovalStage),
    Property.DRY_RUN: {
        "anyOf": [{"type": "boolean"}, _text("[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]")]
    },
    Property.MIN_REMAINING: {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^{contract.INSTANCE_GROUP_FORM}$"},
        "additionalProperties": _COUNT,
    },
    Property.MAX_REMOVALS: _COUNT,
    Property.PROTECTED_GROUPS: _names(contract.INSTANCE_GROUP_FORM),
    Property.EXPECTED_GROUPS: _names(contract.INSTANCE_GROUP_FORM),
    Property.MISSING_NODES: _choice(MissingNodes),
    Property.BEFORE_REMOVAL: _text(f"(?:{contract.FUNCTION_ARN_FORM})?"),
    Property.RETRY_FOR: _number(0, contract.RETRY_FOR_MAX),
    Property.RETRY_TOKEN: {
        "type": ["string", "number", "boolean"],
        "maxLength": contract.RETRY_TOKEN_MAX,
    },
    Property.SERVICE_TIMEOUT: _number(contract.SERVICE_TIMEOUT_MIN, contract.SERVICE_TIMEOUT_MAX),
}


if __name__ == "__main__":
    FILE.write_text(schema_text(), encoding="utf-8")
