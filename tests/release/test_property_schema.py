"""The JSON schema of the properties and the function's own reading of them agree."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract import Property
from hyperpod_node_removal_contract.properties import BY_KEY, BY_NAME, Kind
from hyperpod_node_removal_file import SettingsError, given_values, settings_from
from hyperpod_node_removal_handler.request import RemovalRequest, RequestError
from release import property_schema
from sandbox.project import ROOT

TOKEN: Final = "arn:aws:lambda:us-west-2:111122223333:function:removal"
ID: Final = "i-0123456789abcdef0"


def pattern(
    validator: Any, form: str, value: object, schema: object
) -> Iterator[jsonschema.ValidationError]:
    """The keyword as JSON schema means it: `$` is the end, not a line break before the end."""
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", form), value):
        yield jsonschema.ValidationError(f"{value!r} does not have the form {form}")


EcmaValidator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft7Validator, {"pattern": pattern}
)
SCHEMA: Final = EcmaValidator(property_schema.property_schema())


def on_the_wire(value: Any) -> Any:
    """What CloudFormation makes of a value: every scalar becomes text."""
    if isinstance(value, dict):
        return {key: on_the_wire(item) for key, item in value.items()}
    if isinstance(value, list):
        return [on_the_wire(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def schema_accepts(properties: Mapping[str, Any]) -> bool:
    return bool(SCHEMA.is_valid({Property.SERVICE_TOKEN.value: TOKEN, **properties}))


def function_accepts(properties: Mapping[str, Any]) -> bool:
    try:
        RemovalRequest.from_properties(on_the_wire(dict(properties)))
    except RequestError:
        return False
    return True


# Values near the border of what is allowed -------------------------------------------------------

blanks = st.sampled_from(["", " ", "\t", "\n", "\u00a0"])
hexadecimal = st.text("0123456789abcdef", min_size=7, max_size=18)
ids = st.builds("{}{}".format, st.sampled_from(["i-", "hyperpod-i-", "I-", "ii-", ""]), hexadecimal)
words = st.text("aZ09-_/:.*", max_size=6) | st.sampled_from(
    [63 * "a", 64 * "a", 128 * "a", 129 * "a", 31 * "a-" + "a", "a" + 62 * "-", "a\n", "é", ","]
)
arns = st.builds(
    "arn:{}:sagemaker:us-west-2:{}:cluster/{}".format,
    st.sampled_from(["aws", "aws-cn", "AWS"]),
    st.sampled_from(["111122223333", "1111"]),
    st.sampled_from(["a1b2c3d4e5f6", "ml-cluster", "A1B2C3D4E5F6"]),
)
names = st.builds("{1}{0}{2}".format, ids | words | arns, blanks, blanks)
numbers = st.sampled_from([-1, 0, 1, 59, 60, 3600, 3601, 6758, 6759, 10**9]) | st.integers()
scalars = (
    names
    | numbers
    | st.booleans()
    | st.sampled_from(["FAIL", "REPORT", "REMOVED", "ACCEPTED", "ACCEPT", "fail", "FAIL ", "true"])
    | st.sampled_from(["TRUE", " False", "yes", "600", " 7 ", "1.5", "-1", "0000000060", "٣", ""])
)
lists = st.lists(names, max_size=4)
joined = st.lists(names, max_size=4).map(",".join)
maps = st.dictionaries(words | names, scalars, max_size=3)
values = st.recursive(
    scalars | lists | joined | maps, lambda inner: st.lists(inner, max_size=2), max_leaves=3
)
properties = st.dictionaries(
    st.sampled_from([name.value for name in Property if name is not Property.SERVICE_TOKEN])
    | st.sampled_from(["nodeIds", "NodeIDs", ""]),
    values,
    max_size=3,
)


NAMES: Final = {
    name
    for name, row in BY_NAME.items()
    if row.kind is Kind.NAMES or (row.kind is Kind.TEXT and row.form)
}


def is_required_by_the_schema_alone(name: str, value: Any) -> bool:
    """Rules that the function does not have: a name that is no text in the template."""
    items = value if isinstance(value, list) else [value]
    return name in NAMES and any(isinstance(item, int) for item in items)


ENDS: Final = {
    Property.MAX_REMOVALS: (0, contract.GROUP_SIZE_MAX),
    Property.RETRY_FOR: (0, contract.RETRY_FOR_MAX),
    Property.SERVICE_TIMEOUT: (contract.SERVICE_TIMEOUT_MIN, contract.SERVICE_TIMEOUT_MAX),
}
"""The least and the greatest value of each number."""


def is_left_to_the_function(given: Mapping[str, Any]) -> bool:
    """Return whether there are digits in quotes, whose range the schema does not check."""
    least = given.get(Property.MIN_REMAINING)
    texts = [given.get(name) for name in ENDS]
    texts += least.values() if isinstance(least, dict) else []
    return any(isinstance(text, str) and text.strip().isdecimal() for text in texts)


@given(properties, st.sampled_from(["ml-cluster", None]))
@settings(max_examples=500)
@example({"NodeIds": f"{ID}, ,{ID}"}, "ml-cluster")
@example({"NodeLogicalIds": ["worker-1", f"hyperpod-{ID}"]}, "ml-cluster")
@example({"NodeLogicalIds": f"worker-1,{ID}"}, "ml-cluster")
@example({"NodeLogicalIds": ["ip-10-0-1-7", "worker-1"]}, "ml-cluster")
@example({"NodeLogicalIds": "ip-10-0-1-7-gpu"}, "ml-cluster")
@example({"NodeLogicalIds": f"{ID}a"}, "ml-cluster")
@example({"MinRemaining": {"workers": "6"}}, "ml-cluster")
@example({"RetryToken": 2}, "ml-cluster")
@example({"RetryToken": 1025 * "x"}, "ml-cluster")
@example({"ServiceTimeout": "9999"}, "ml-cluster")
@example({"ProtectedGroups": [1]}, "ml-cluster")
@example({"VerdictCondition": 0}, "ml-cluster")
def test_the_schema_and_the_function_agree(given: dict[str, Any], cluster: str | None) -> None:
    if cluster is not None:
        given = {Property.CLUSTER_NAME.value: cluster, **given}
    if any(is_required_by_the_schema_alone(name, value) for name, value in given.items()):
        assert not schema_accepts(given)
    elif is_left_to_the_function(given):
        assert schema_accepts(given) or not function_accepts(given)
    else:
        assert schema_accepts(given) == function_accepts(given)


@given(st.data())
@settings(max_examples=100)
def test_valid_properties_pass_both(data: st.DataObject) -> None:
    """So the agreement is not one over refusals only."""
    choose = {
        Property.CLUSTER_NAME: st.from_regex(contract.CLUSTER_NAME_FORM, fullmatch=True),
        Property.NODE_IDS: st.lists(st.from_regex(contract.NODE_ID_FORM, fullmatch=True)),
        Property.EXPECTED_GROUPS: st.from_regex(contract.INSTANCE_GROUP_FORM, fullmatch=True),
        Property.ON_PARTIAL_FAILURE: st.sampled_from(["FAIL", "REPORT"]),
        Property.DRY_RUN: st.booleans() | st.sampled_from(["true", "False"]),
        Property.MAX_REMOVALS: st.integers(0, contract.GROUP_SIZE_MAX),
        Property.RETRY_FOR: st.integers(0, contract.RETRY_FOR_MAX).map(str),
        Property.SERVICE_TIMEOUT: st.integers(60, 3600),
        Property.RETRY_TOKEN: st.integers() | st.text(max_size=1024),
        Property.MIN_REMAINING: st.dictionaries(
            st.from_regex(contract.INSTANCE_GROUP_FORM, fullmatch=True),
            st.integers(0, contract.GROUP_SIZE_MAX),
            min_size=1,
        ),
    }
    given = {name.value: data.draw(strategy) for name, strategy in choose.items()}
    assert schema_accepts(given)
    assert function_accepts(given)


QUOTED: Final = {
    "60": (True, True),
    " 000000060 ": (True, True),
    "9999": (True, False),
    "0000000060": (True, False),
    "99999": (False, False),
    "-1": (False, False),
    "1.5": (False, False),
}
"""The range of a number in quotes is left to the function."""
MORE_THAN_FIT: Final = [f"i-{number:08x}" for number in range(contract.MAX_NODES + 1)]


@pytest.mark.parametrize(
    ("name", "value", "by_schema", "by_function"),
    [
        *((name, least - 1, False, False) for name, (least, _) in ENDS.items()),
        *((name, end, True, True) for name, ends in ENDS.items() for end in ends),
        *((name, most + 1, False, False) for name, (_, most) in ENDS.items()),
        *((name, text, *accepted) for name in ENDS for text, accepted in QUOTED.items()),
        # a guard that guards nothing
        (Property.MIN_REMAINING, {}, False, False),
        (Property.MIN_REMAINING, [], False, False),
        (Property.MIN_REMAINING, "", False, False),
        (Property.MAX_REMOVALS, "", False, False),
        (Property.MAX_REMOVALS, " ", False, False),
        pytest.param(Property.NODE_IDS, MORE_THAN_FIT, True, False, id="more nodes than fit"),
    ],
)
def test_values_at_the_ends_of_their_ranges(
    name: Property, value: object, by_schema: bool, by_function: bool
) -> None:
    given = {Property.CLUSTER_NAME.value: "ml-cluster", name.value: value}
    assert (schema_accepts(given), function_accepts(given)) == (by_schema, by_function)
    assert not SCHEMA.is_valid(given), "the schema alone requires the ServiceToken"


# Removal files -------------------------------------------------------------------------------

FILE_SCHEMA: Final = EcmaValidator(property_schema.file_schema())
EXAMPLES: Final = sorted(
    path for path in ROOT.glob("examples/**/removals/*.y*ml") if "node_modules" not in path.parts
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_schema_accepts_the_removal_files_of_the_examples(path: Path) -> None:
    FILE_SCHEMA.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "more",
    [
        {"node_ids": ["i-12"]},
        {"nodes": [ID]},
        {"retry_for": 3601},
        {"on_partial_failure": "fail"},
        {"on_partial_failure": "FAIL "},
        {"min_remaining": {}},
        {"stack_name": "1"},
    ],
    ids=str,
)
def test_the_schema_of_files_rejects_what_the_parser_rejects(more: dict[str, Any]) -> None:
    given = {"cluster": "ml-cluster", **more}
    assert not FILE_SCHEMA.is_valid(given)
    with pytest.raises(SettingsError):
        settings_from(given_values(given, ""), "removals.yaml")


@given(st.dictionaries(st.sampled_from([*BY_KEY, "nodes"]), values, max_size=3))
@settings(max_examples=300)
def test_the_schema_of_files_accepts_what_the_parser_accepts(given: dict[str, Any]) -> None:
    given = {"cluster": "ml-cluster", **given}
    try:
        settings_from(given_values(given, ""), "removals.yaml")
    except SettingsError:
        return
    FILE_SCHEMA.validate(given)


@pytest.mark.parametrize("path", property_schema.schema_texts(), ids=lambda path: path.name)
def test_the_schemas_are_valid_and_up_to_date(path: Path) -> None:
    """If not: python -m release.property_schema."""
    text = path.read_text(encoding="utf-8")
    assert text == property_schema.schema_texts()[path]
    jsonschema.Draft7Validator.check_schema(json.loads(text))
