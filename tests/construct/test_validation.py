"""What is refused at synth, in which words, and that tokens pass."""

from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Fn, Stack, Token
from aws_cdk.aws_lambda import Function
from hypothesis import given
from hypothesis import strategies as st

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal import InvalidPropertyError, NodeRemoval, NodeRemovalError
from hyperpod_node_removal._validation import checked_properties, is_token
from hyperpod_node_removal_contract.properties import BY_KEY, Kind
from tests.construct.stacks import CLUSTER_ARN, HOOK_ARN, NODE, Synthesized
from tests.contract.test_values import ENDS_IN_NAME, GROUP, REFUSED


@pytest.fixture(scope="module")
def stack() -> Stack:
    """Nothing is added to it by a removal that is refused."""
    return Stack(App(), "Stack")


@pytest.fixture(scope="module")
def parameters(stack: Stack) -> dict[str, CfnParameter]:
    return {
        "text": CfnParameter(stack, "Text"),
        "list": CfnParameter(stack, "List", type="CommaDelimitedList"),
        "number": CfnParameter(stack, "Number", type="Number"),
    }


def refusal(stack: Stack, **properties: Any) -> str:
    """The text of the error for a removal with these properties."""
    if not properties.keys() & {"cluster_arn", "cluster_name"}:
        properties["cluster_name"] = "ml-cluster"
    with pytest.raises(InvalidPropertyError) as caught:
        NodeRemoval(stack, "Removal", **properties)
    assert stack.node.try_find_child("Removal") is None, "nothing is created"
    return str(caught.value)


@pytest.mark.parametrize("key", sorted(REFUSED.keys() - {"before_removal", "stack_name"}))
def test_each_argument_is_validated_by_its_row(stack: Stack, key: str) -> None:
    value, sentence = REFUSED[key]
    name = "cluster_name" if key == "cluster" else key
    match BY_KEY[key].kind:
        case Kind.NAMES:
            value = [value]
        case Kind.SECONDS:
            value = Duration.seconds(value)
    assert refusal(stack, **{name: value}) == f"Stack/Removal: {name}: {sentence}"


LIST = "allowed: a list of strings"
TWICE = "is listed twice; allowed: once each"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("node_ids", [NODE, NODE], f": '{NODE}' {TWICE}"),
        ("node_ids", NODE, f": '{NODE}' (str) is not a list; {LIST}"),
        ("node_ids", {NODE}, f": '{{'{NODE}'}}' (set) is not a list; {LIST}"),
        ("node_ids", [7], ": '7' (int) is not a string"),
        ("node_ids", [None], ": 'None' (NoneType) is not a string"),
        ("node_logical_ids", ["gpu-1", "gpu-1"], f": 'gpu-1' {TWICE}"),
        ("cluster_arn", ENDS_IN_NAME, f": '{ENDS_IN_NAME}' is not a cluster ARN; allowed: arn:aws"),
        ("retry_token", 2, ": '2' (int) is not a string"),
        ("min_remaining", {"workers": 6759}, "['workers']: '6759' is out of range; allowed: 0 to"),
        ("min_remaining", {"workers": "4"}, "['workers']: '4' (str) is not a whole number"),
        ("min_remaining", {"a b": 4}, f": {GROUP}"),
        ("min_remaining", 4, ": '4' (int) is not a mapping; allowed: numbers of nodes by name"),
        ("min_remaining", {}, ": is empty; allowed: at least one number of nodes by name, or None"),
        ("max_removals", "", ": '' (str) is not a whole number"),
        ("max_removals", True, ": 'True' (bool) is not a whole number"),
        ("max_removals", 1.5, ": '1.5' (float) is not a whole number"),
        ("protected_groups", "controllers", f": 'controllers' (str) is not a list; {LIST}"),
        ("expected_groups", ["workers", "workers"], f": 'workers' {TWICE}"),
        ("dry_run", "false", ": 'false' (str) is not True or False"),
        ("retry_for", 60, ": '60' (int) is not an aws_cdk.Duration"),
        ("retry_for", 0, ": '0' (int) is not an aws_cdk.Duration"),
        ("retry_for", Duration.millis(1500), ": '1.5' is not a whole number of seconds"),
    ],
)
def test_invalid_values_are_rejected(stack: Stack, name: str, value: Any, problem: str) -> None:
    assert refusal(stack, **{name: value}).startswith(f"Stack/Removal: {name}{problem}")


def test_a_token_in_another_unit_than_seconds_is_rejected(
    stack: Stack, parameters: dict[str, CfnParameter]
) -> None:
    minutes = Duration.minutes(parameters["number"].value_as_number)
    assert "allowed: Duration.seconds(token)" in refusal(stack, retry_for=minutes)


def test_too_many_nodes(stack: Stack) -> None:
    ids = [f"i-{n:08x}" for n in range(2999)]
    text = refusal(stack, node_ids=ids, node_logical_ids=["gpu-1", "gpu-2"])
    assert text == (
        "Stack/Removal: node_ids, node_logical_ids: 3001 nodes are listed;"
        " allowed: 3000 in one removal"
    )


def test_the_largest_set_is_allowed(stack: Stack) -> None:
    NodeRemoval(
        stack,
        "Largest",
        cluster_name="ml-cluster",
        node_ids=[f"i-{n:017x}" for n in range(2999)],
        node_logical_ids=["gpu-1"],
    )


def test_a_list_token_among_ids_is_rejected(
    stack: Stack, parameters: dict[str, CfnParameter]
) -> None:
    ids = [*parameters["list"].value_as_list, NODE]
    assert "a list that is known only at deployment is mixed with other values" in refusal(
        stack, node_ids=ids
    )


def test_tokens_pass_every_check(stack: Stack, parameters: dict[str, CfnParameter]) -> None:
    text, ids = parameters["text"].value_as_string, parameters["list"].value_as_list
    NodeRemoval(
        stack,
        "Tokens",
        cluster_arn=text,
        node_ids=ids,
        node_logical_ids=[text, "gpu-1", text],
        on_partial_failure=text,  # type: ignore[arg-type]
        retry_for=Duration.seconds(parameters["number"].value_as_number),
        retry_token=text,
        eks_cluster_arn=text,
        min_remaining={"workers": parameters["number"].value_as_number},  # type: ignore[dict-item]
        max_removals=parameters["number"].value_as_number,  # type: ignore[arg-type]
        protected_groups=ids,
        expected_groups=[text],
        missing_nodes=text,  # type: ignore[arg-type]
        dry_run=text,  # type: ignore[arg-type]
    )
    properties: dict[str, Any] = {"cluster_name": f"ml-{text}", "node_ids": Fn.split(",", text)}
    NodeRemoval(stack, "MoreTokens", **properties)
    NodeRemoval(stack, "TupleToken", cluster_name=Fn.ref("Text"), node_ids=tuple(ids))
    NodeRemoval(
        stack,
        "Intrinsic",
        cluster_name=text,
        node_ids=Fn.get_att("Other", "Ids"),  # type: ignore[arg-type]
        timeout=Duration.seconds(Token.as_number({"Ref": "Number"})),
        min_remaining=Fn.get_att("Other", "Counts"),  # type: ignore[arg-type]
        dry_run=Fn.get_att("Other", "DryRun"),  # type: ignore[arg-type]
    )


def test_errors_are_value_errors_of_the_package() -> None:
    error = InvalidPropertyError("Stack/Removal", "node_ids", "'x' is not allowed")
    assert isinstance(error, ValueError)
    assert isinstance(error, NodeRemovalError)
    assert (error.path, error.name) == ("Stack/Removal", "node_ids")


nearly_ids = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"(hyperpod-)?i-[a-f0-9]{7,9}([a-f0-9]{9})?", fullmatch=True),
    st.from_regex(r"[a-zA-Z0-9-]{1,130}", fullmatch=True),
).filter(lambda text: "Token[" not in text)


@given(nearly_ids)
def test_ids_are_validated_as_in_the_function(value: str) -> None:
    for key, row in BY_KEY.items():
        if row.kind is Kind.NAMES and row.name:
            sentence = row.validate(value)
            if sentence is None:
                properties = checked_properties("Stack/Removal", **{key: [value]})
                assert properties == {row.name: [value]}
            else:
                with pytest.raises(InvalidPropertyError) as caught:
                    checked_properties("Stack/Removal", **{key: [value]})
                assert str(caught.value) == f"Stack/Removal: {key}: {sentence}"
                assert sentence.isascii()
                assert sentence.isprintable()


@given(nearly_ids)
def test_a_literal_is_not_a_token(value: str) -> None:
    assert not is_token(value)
    assert not is_token([value])


@pytest.mark.parametrize("arn", [HOOK_ARN, f"{HOOK_ARN}:7", f"{HOOK_ARN}:live"])
def test_a_hook_may_be_a_function_a_version_or_an_alias(arn: str) -> None:
    stack = Stack(App(), "Hooked")
    hook = Function.from_function_arn(stack, "Hook", arn)
    NodeRemoval(stack, "Removal", cluster_arn=CLUSTER_ARN, before_removal=hook)
    assert Synthesized(stack).properties(contract.RESOURCE_TYPE)["BeforeRemoval"] == arn


def test_what_is_not_a_function_is_rejected(stack: Stack) -> None:
    layer = Function.from_function_arn(stack, "Layer", HOOK_ARN.replace(":function:", ":layer:"))
    assert refusal(stack, before_removal=layer).startswith(
        "Stack/Removal: before_removal: 'arn:aws:lambda:us-west-2:111122223333:layer:drain' is not"
        " the ARN of a function; allowed: arn:aws:lambda:<region>:<account>:function:<name>,"
    )
    assert refusal(stack, before_removal=HOOK_ARN).endswith(
        "(str) is not an aws_cdk.aws_lambda.IFunction"
    )
