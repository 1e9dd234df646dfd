"""The rules for values agree with the service model that they come from."""

import re
from typing import Any, Final

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal_contract.properties import BY_KEY, Kind

NODE, OTHER = "i-0123456789abcdef0", "i-0fedcba9876543210"
ENDS_IN_NAME: Final = "arn:aws:sagemaker:us-west-2:111122223333:cluster/ml"
GROUP: Final = (
    "'a b' is not the name of an instance group; allowed: 1 to 63 letters, digits and hyphens that"
    " begin and end with a letter or digit"
)
REFUSED: Final[dict[str, tuple[Any, str]]] = {
    "cluster": (
        "ml_cluster",
        (
            "'ml_cluster' is not a cluster name; allowed: 1 to 63 letters, digits and hyphens that"
            " begin and end with a letter or digit, or a cluster ARN"
        ),
    ),
    "node_ids": (
        "i-1",
        "'i-1' is not an instance id; allowed: i- and 8 or 17 of the digits 0-9 a-f",
    ),
    "node_logical_ids": (
        "a_b",
        (
            "'a_b' is not a logical id; allowed: 2 to 128 letters, digits and hyphens, with no"
            " hyphen at either end"
        ),
    ),
    "on_partial_failure": ("report", "'report' is unknown; allowed: FAIL or REPORT"),
    "wait_for": ("GONE", "'GONE' is unknown; allowed: REMOVED or ACCEPTED"),
    "max_removals": (6759, "'6759' is out of range; allowed: 0 to 6758 nodes"),
    "protected_groups": ("a b", GROUP),
    "expected_groups": ("a b", GROUP),
    "missing_nodes": ("IGNORE", "'IGNORE' is unknown; allowed: ACCEPT or FAIL"),
    "before_removal": (
        "drain",
        (
            "'drain' is not the ARN of a function; allowed: arn:aws:lambda:<region>:<account>:"
            "function:<name>, with or without :<version or alias>"
        ),
    ),
    "timeout": (59, "'59' is out of range; allowed: 60 to 3600 seconds"),
    "retry_for": (3601, "'3601' is out of range; allowed: 0 to 3600 seconds"),
    "retry_token": ("x" * 1025, "has 1025 characters; allowed: 1024 characters"),
    "eks_cluster_arn": (
        "a",
        (
            "'a' is not the ARN of an EKS cluster; allowed: arn:aws:eks:<region>:<account>:cluster/"
            "<name>"
        ),
    ),
    "stack_name": (
        "1st",
        (
            "'1st' is not a stack name; allowed: up to 128 letters, digits and hyphens, the first a"
            " letter"
        ),
    ),
}
"""A value that is not allowed and its error message, by key. Every parser has the same message."""
NUMBERS: Final = {"max_removals", "retry_for", "timeout"}


@pytest.fixture(scope="module")
def model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


def pattern(model: Any, shape: str) -> str:
    return str(model._shape_resolver._shape_map[shape]["pattern"])


@pytest.mark.parametrize(
    ("shape", "validate"),
    [
        ("ClusterNodeId", contract.validate_node_id),
        ("ClusterNameOrArn", contract.validate_cluster_name),
    ],
)
def test_ids_and_names_follow_the_pattern_of_the_service(
    model: Any, shape: str, validate: Any
) -> None:
    expression = pattern(model, shape)

    @given(st.one_of(st.from_regex(expression, fullmatch=True), st.text(max_size=70)))
    def agree(value: str) -> None:
        if validate(value) is None:
            assert re.fullmatch(expression, value)
        elif re.fullmatch(expression, value):
            # Stricter than the pattern in two ways: a name's length, and an ARN needs a region.
            assert len(value) > 63 or ":sagemaker::" in value

    agree()


def test_function_arns_follow_the_pattern_of_lambda() -> None:
    service = botocore.session.get_session().get_service_model("lambda")
    expression = pattern(service, "FunctionArn")
    some = r"arn:aws:lambda:us-east-1:[0-9]{12}:function:[a-zA-Z0-9_-]{1,9}(:[a-zA-Z0-9_$-]{1,9})?"

    @given(st.one_of(st.from_regex(some, fullmatch=True), st.text(max_size=70)))
    def agree(value: str) -> None:
        is_allowed = contract.validate_function_arn(value) is None
        assert is_allowed == (re.fullmatch(expression, value) is not None)

    agree()


@given(st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9]", fullmatch=True))
def test_logical_ids_follow_the_pattern_of_the_service_without_host_names(value: str) -> None:
    allowed = contract.validate_node_logical_id(value) is None
    is_another = re.fullmatch(r"(hyperpod-)?i-[a-f0-9]+|ip(-[0-9]{1,3}){4}", value)
    assert allowed == (len(value) <= 128 and not is_another)


@pytest.mark.parametrize(
    "value", ["ip-10-0-1-7", "IP-10-0-1-7", "ip-10-0-1-7.us-west-2.compute.internal"]
)
@pytest.mark.parametrize("validate", [contract.validate_node_id, contract.validate_node_logical_id])
def test_a_host_name_is_never_accepted_as_a_node(validate: Any, value: str) -> None:
    """As a logical id, it would match no node, and the outcome would be COMPLETE."""
    message = validate(value)
    assert message.startswith(f"'{value}' is a host name; use the node's instance id")


def test_a_set_is_as_large_as_the_longest_list_of_the_service(model: Any) -> None:
    assert model._shape_resolver._shape_map["ClusterNodeIds"]["max"] == contract.MAX_NODES


@pytest.mark.parametrize("value", ["i-0123456789abcdef0", "i-01234567"])
def test_instance_ids_have_8_or_17_digits(value: str) -> None:
    assert contract.validate_node_id(value) is None


@pytest.mark.parametrize("key", REFUSED)
def test_a_value_that_is_not_allowed_has_one_error_message(key: str) -> None:
    value, message = REFUSED[key]
    row = BY_KEY[key]
    assert message == (row.validate_number(value) if key in NUMBERS else row.validate(value))


def test_every_key_with_a_rule_has_a_value_that_is_not_allowed() -> None:
    flags = {row.key for row in BY_KEY.values() if row.kind in {Kind.FLAG, Kind.COUNTS}}
    assert REFUSED.keys() == BY_KEY.keys() - flags


@pytest.mark.parametrize(
    "value",
    [
        NODE,
        *(f"hyperpod-{NODE}", f"node/hyperpod-{NODE}", f"aws:///us-west-2a/{NODE}"),
        *(f"{NODE}:running", f"sagemaker-cluster:lw12e0dn1hhd_worker3-{NODE}"),
    ],
)
def test_an_instance_id_among_logical_ids_belongs_in_node_ids(value: str) -> None:
    message = f"'{value}' names an instance; put {NODE} into NodeIds instead"
    assert contract.validate_node_logical_id(value) == message


@pytest.mark.parametrize(
    ("validate", "value", "message"),
    [
        (
            contract.validate_node_id,
            f"{NODE}\n{OTHER}",
            f"'{NODE}\\n{OTHER}' is not an instance id alone; use {NODE}, {OTHER}",
        ),
        (
            contract.validate_node_id,
            f"hyperpod-{NODE}",
            f"'hyperpod-{NODE}' is the Kubernetes name of a node; use its instance id, {NODE}",
        ),
        (
            contract.validate_cluster_name,
            ENDS_IN_NAME,
            (
                f"'{ENDS_IN_NAME}' is not a cluster ARN; allowed: arn:aws:sagemaker:<region>:"
                "<account>:cluster/<id>, where <id> is 12 lower-case letters and digits (not the"
                " cluster's name)"
            ),
        ),
    ],
)
def test_an_error_message_shows_the_form_to_use(validate: Any, value: str, message: str) -> None:
    assert validate(value) == message


@given(st.text(), st.one_of(st.none(), st.integers(min_value=0, max_value=50)))
def test_escaped_text_is_printable_and_within_its_limit(text: str, limit: int | None) -> None:
    shown = contract.escape(text, limit)
    assert all(" " <= character <= "~" for character in shown)
    if limit is not None:
        assert len(shown) <= max(limit, 3)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_escaping_does_not_change_printable_ascii(text: str) -> None:
    assert contract.escape(text) == text
