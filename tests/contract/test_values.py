"""The rules about values agree with the service model they are taken from."""

import re
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperpod_node_removal_contract as contract


@pytest.fixture(scope="module")
def model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


SHAPES = ["ClusterNodeId", "ClusterNodeLogicalId", "ClusterNameOrArn"]


def pattern(model: Any, shape: str) -> str:
    return str(model._shape_resolver._shape_map[shape]["pattern"])


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        ("ClusterNodeId", contract.validate_node_id),
        ("ClusterNameOrArn", contract.validate_cluster_name),
    ],
)
def test_what_is_allowed_is_what_the_service_allows(model: Any, shape: str, problem: Any) -> None:
    expression = pattern(model, shape)

    @given(st.one_of(st.from_regex(expression, fullmatch=True), st.text(max_size=70)))
    def agree(value: str) -> None:
        if problem(value) is None:
            assert re.fullmatch(expression, value)
        elif re.fullmatch(expression, value):
            # Stricter than the pattern in two ways: a name's length, and an ARN needs a region.
            assert len(value) > 63 or ":sagemaker::" in value

    agree()


def test_the_arn_of_a_function_is_one_to_lambda() -> None:
    service = botocore.session.get_session().get_service_model("lambda")
    expression = pattern(service, "FunctionArn")
    ours = r"arn:aws:lambda:us-east-1:[0-9]{12}:function:[a-zA-Z0-9_-]{1,9}(:[a-zA-Z0-9_$-]{1,9})?"

    @given(st.one_of(st.from_regex(ours, fullmatch=True), st.text(max_size=70)))
    def agree(value: str) -> None:
        is_allowed = contract.validate_function_arn(value) is None
        assert is_allowed == (re.fullmatch(expression, value) is not None)

    agree()


@given(st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9]", fullmatch=True))
def test_logical_ids_are_those_of_the_service_but_for_instance_names(value: str) -> None:
    allowed = contract.validate_node_logical_id(value) is None
    is_another = re.fullmatch(r"(hyperpod-)?i-[a-f0-9]+|ip(-[0-9]{1,3}){4}", value)
    assert allowed == (len(value) <= 128 and not is_another)


@pytest.mark.parametrize(
    "value", ["ip-10-0-1-7", "IP-10-0-1-7", "ip-10-0-1-7.us-west-2.compute.internal"]
)
@pytest.mark.parametrize("problem", [contract.validate_node_id, contract.validate_node_logical_id])
def test_a_host_name_is_never_taken_for_a_node(problem: Any, value: str) -> None:
    """As a logical id it would name no node: complete, with nothing removed."""
    sentence = problem(value)
    assert sentence.startswith(f"'{value}' is a host name; use the node's instance id")


def test_the_size_of_a_set_is_the_longest_list_of_the_service(model: Any) -> None:
    assert model._shape_resolver._shape_map["ClusterNodeIds"]["max"] == contract.MAX_NODES


@pytest.mark.parametrize("value", ["i-0123456789abcdef0", "i-01234567"])
def test_instance_ids(value: str) -> None:
    assert contract.validate_node_id(value) is None


def test_a_kubernetes_name_is_answered_with_the_instance_id() -> None:
    problem = contract.validate_node_id("hyperpod-i-0123456789abcdef0")
    assert problem
    assert "Kubernetes name" in problem
    assert problem.endswith("use its instance id, i-0123456789abcdef0")


@pytest.mark.parametrize("value", ["i-0123456789abcdef0", "hyperpod-i-0123456789abcdef0"])
def test_an_instance_id_among_logical_ids_is_sent_to_node_ids(value: str) -> None:
    problem = contract.validate_node_logical_id(value)
    assert problem
    assert "put i-0123456789abcdef0 into NodeIds instead" in problem


def test_an_arn_that_ends_in_the_name_says_that_an_id_is_needed() -> None:
    problem = contract.validate_cluster_name("arn:aws:sagemaker:us-east-1:123456789012:cluster/ml")
    assert problem
    assert "not the cluster's name" in problem


@given(st.text(), st.one_of(st.none(), st.integers(min_value=0, max_value=50)))
def test_printable_text_has_no_control_characters_and_keeps_its_limit(
    text: str, limit: int | None
) -> None:
    shown = contract.escape(text, limit)
    assert all(" " <= character <= "~" for character in shown)
    if limit is not None:
        assert len(shown) <= max(limit, 3)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_printable_text_leaves_ascii_alone(text: str) -> None:
    assert contract.escape(text) == text
