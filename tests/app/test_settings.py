"""What the keys of a removal mean, in a file or on the command line."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal import MissingNodes, PartialFailure
from hyperpod_node_removal_contract.properties import BY_KEY
from hyperpod_node_removal_file import Settings, SettingsError, given_values, settings_from
from tests.contract.test_values import REFUSED

CLUSTER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"
ONE, TWO = "i-0123456789abcdef0", "i-0123456789abcdef1"


def settings(**values: Any) -> Settings:
    """The settings of these values, as in a file `set.json`."""
    return settings_from(given_values({"cluster": "ml-cluster"} | values, "set.json: "), "set.json")


def refusal(**values: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(**values)
    return str(caught.value)


def test_only_the_cluster_is_required() -> None:
    assert settings() == Settings(
        cluster="ml-cluster", stack_name="hyperpod-node-removal-ml-cluster"
    )
    with pytest.raises(SettingsError, match="the command line: cluster is missing"):
        settings_from({}, "the command line")


def test_every_key() -> None:
    assert settings(
        cluster=CLUSTER_ARN,
        node_ids=[ONE, TWO],
        node_logical_ids="gpu-1, gpu-2,",
        on_partial_failure="REPORT",
        dry_run=True,
        min_remaining={"workers": 4, "trainers": 2},
        max_removals=0,
        protected_groups="controllers, logins",
        expected_groups=["workers"],
        missing_nodes="FAIL",
        before_removal="arn:aws:lambda:us-west-2:111122223333:function:drain:live",
        retry_for=60,
        retry_token="again",
        eks_cluster_arn="arn:aws:eks:us-west-2:111122223333:cluster/training",
        stack_name="Maintenance",
    ) == Settings(
        cluster=CLUSTER_ARN,
        node_ids=(ONE, TWO),
        node_logical_ids=("gpu-1", "gpu-2"),
        on_partial_failure=PartialFailure.REPORT,
        dry_run=True,
        min_remaining={"workers": 4, "trainers": 2},
        max_removals=0,
        protected_groups=("controllers", "logins"),
        expected_groups=("workers",),
        missing_nodes=MissingNodes.FAIL,
        before_removal="arn:aws:lambda:us-west-2:111122223333:function:drain:live",
        retry_for=60,
        retry_token="again",
        eks_cluster_arn="arn:aws:eks:us-west-2:111122223333:cluster/training",
        stack_name="Maintenance",
    )


@pytest.mark.parametrize(
    "values", [{key: None for key in BY_KEY if key != "cluster"}, {"node_ids": [None, ""]}]
)
def test_null_counts_as_left_out(values: dict[str, Any]) -> None:
    assert settings(**values) == settings()


def test_an_arn_names_the_stack_by_the_clusters_id() -> None:
    assert settings(cluster=CLUSTER_ARN).stack_name == "hyperpod-node-removal-a1b2c3d4e5f6"


@pytest.mark.parametrize("key", REFUSED)
def test_each_key_is_validated_by_its_row(key: str) -> None:
    value, sentence = REFUSED[key]
    assert refusal(**{key: value}) == f"set.json: {key}: {sentence}"


NUMBER = "is not a whole number; allowed: 0 to 6758 nodes"
COUNTS = "allowed: numbers of nodes by group, or leave the key out"


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("cluster", ["a"], ": a list is given; allowed: text"),
        ("cluster", {"name": "a"}, ": a mapping is given; allowed: text"),
        ("node_ids", [ONE, "i-1"], "[1]: 'i-1' is not an instance id;"),
        ("node_ids", f"{ONE},i-1", ": 'i-1' is not an instance id;"),
        ("node_ids", [[ONE]], "[0]: a list is given; allowed: text"),
        ("node_ids", [f"{ONE},{TWO}", ONE], f"[1]: '{ONE}' is listed twice; allowed: once each"),
        ("node_logical_ids", [ONE], f"[0]: '{ONE}' names an instance; put {ONE} into node_ids"),
        ("node_logical_ids", [12], "[0]: '12' is read as a number, not as text; put it in"),
        ("dry_run", "yes", ": 'yes' is unknown; allowed: true or false"),
        ("dry_run", 1, ": '1' is unknown; allowed: true or false"),
        ("min_remaining", {"workers": 6759}, "['workers']: '6759' is out of range; allowed: 0 to"),
        ("min_remaining", {"workers": "half"}, f"['workers']: 'half' {NUMBER}"),
        ("min_remaining", {"workers": None}, f"['workers']: nothing {NUMBER}"),
        ("min_remaining", {"workers": {"count": 4}}, f"['workers']: a mapping {NUMBER}"),
        ("min_remaining", {"work*": 4}, "['work*']: 'work*' is not the name of an instance group;"),
        (
            "min_remaining",
            "workers=4, trainers",
            ": 'trainers' has no number; allowed: GROUP=NODES",
        ),
        ("min_remaining", "workers=4,workers=5", ": 'workers' is listed twice; allowed: once each"),
        ("min_remaining", ["workers"], ": a list is given; allowed: a mapping, or GROUP=NODES,..."),
        ("min_remaining", {}, f": is empty; {COUNTS}"),
        ("min_remaining", " , ", f": is empty; {COUNTS}"),
        ("max_removals", "", f": '' {NUMBER}"),
        ("retry_for", "10m", ": '10m' is not a whole number; allowed: 0 to 3600 seconds"),
        ("retry_for", 1.5, ": '1.5' is not a whole number"),
        ("retry_for", -1, ": '-1' is not a whole number"),
        ("retry_for", [1], ": a list is not a whole number"),
        ("retry_token", True, ": 'true' is read as true or false, not as text; put it in quotes"),
        ("node_idss", [ONE], f": unknown key; allowed: {', '.join(BY_KEY)}"),
    ],
)
def test_invalid_values_are_rejected(key: str, value: Any, problem: str) -> None:
    assert refusal(**{key: value}).startswith(f"set.json: {key}{problem}")


def test_too_many_nodes() -> None:
    text = refusal(node_ids=[f"i-{n:08x}" for n in range(3000)], node_logical_ids="gpu-1")
    assert text == "set.json: 3001 nodes are listed; allowed: 3000 in one stack"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*BY_KEY, "other"]), json_values, max_size=4))
def test_any_values_give_settings_or_one_printable_line(values: dict[str, Any]) -> None:
    try:
        found = settings(**values)
    except SettingsError as error:
        text = str(error)
    else:
        text = found.cluster
        assert all(contract.validate_node_id(node_id) is None for node_id in found.node_ids)
    assert text.isascii()
    assert text.isprintable()
