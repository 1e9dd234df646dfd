"""What the keys of a removal mean, in a file or on the command line."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal import MissingNodes, PartialFailure
from hyperpod_node_removal_contract.properties import BY_KEY
from hyperpod_node_removal_file import Settings, SettingsError, given_values, settings_from

CLUSTER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"
ONE, TWO = "i-0123456789abcdef0", "i-0123456789abcdef1"


def settings(**values: Any) -> Settings:
    """The settings of these values, as a file `set.json` would hold them."""
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
def test_nothing_counts_as_left_out(values: dict[str, Any]) -> None:
    assert settings(**values) == settings()


def test_an_arn_names_the_stack_by_the_clusters_id() -> None:
    assert settings(cluster=CLUSTER_ARN).stack_name == "hyperpod-node-removal-a1b2c3d4e5f6"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"cluster": "ml_cluster"}, "set.json: cluster: 'ml_cluster' is not a cluster name;"),
        ({"cluster": ["a"]}, "set.json: cluster: a list is given; allowed: text"),
        ({"cluster": {"name": "a"}}, "set.json: cluster: a mapping is given; allowed: text"),
        ({"node_ids": [ONE, "i-1"]}, "set.json: node_ids[1]: 'i-1' is not an instance id;"),
        ({"node_ids": f"{ONE},i-1"}, "set.json: node_ids: 'i-1' is not an instance id;"),
        ({"node_ids": [[ONE]]}, "set.json: node_ids[0]: a list is given; allowed: text"),
        (
            {"node_ids": [f"{ONE},{TWO}", ONE]},
            f"set.json: node_ids[1]: '{ONE}' is listed twice; allowed: once each",
        ),
        (
            {"node_ids": f"hyperpod-{ONE}"},
            f"set.json: node_ids: 'hyperpod-{ONE}' is the Kubernetes name of a node; use its",
        ),
        (
            {"node_logical_ids": [ONE]},
            f"set.json: node_logical_ids[0]: '{ONE}' names an instance; put {ONE} into node_ids",
        ),
        (
            {"node_logical_ids": [12]},
            "set.json: node_logical_ids[0]: '12' is read as a number, not as text; put it in",
        ),
        (
            {"on_partial_failure": "report"},
            "set.json: on_partial_failure: 'report' is unknown; allowed: FAIL or REPORT",
        ),
        (
            {"dry_run": "yes"},
            "set.json: dry_run: 'yes' is unknown; allowed: true or false",
        ),
        ({"dry_run": 1}, "set.json: dry_run: '1' is unknown; allowed: true or false"),
        (
            {"min_remaining": {"workers": 6759}},
            "set.json: min_remaining['workers']: '6759' is out of range; allowed: 0 to 6758 nodes",
        ),
        (
            {"min_remaining": {"workers": "half"}},
            (
                "set.json: min_remaining['workers']: 'half' is not a whole number; allowed: 0 to"
                " 6758 nodes"
            ),
        ),
        (
            {"min_remaining": {"workers": None}},
            "set.json: min_remaining['workers']: nothing is not a whole number; allowed: 0 to",
        ),
        (
            {"min_remaining": {"workers": {"count": 4}}},
            "set.json: min_remaining['workers']: a mapping is not a whole number; allowed: 0 to",
        ),
        (
            {"min_remaining": {"work*": 4}},
            "set.json: min_remaining['work*']: 'work*' is not the name of an instance group;",
        ),
        (
            {"min_remaining": "workers=4, trainers"},
            "set.json: min_remaining: 'trainers' has no number; allowed: GROUP=NODES,...",
        ),
        (
            {"min_remaining": "workers=4,workers=5"},
            "set.json: min_remaining: 'workers' is listed twice; allowed: once each",
        ),
        (
            {"min_remaining": ["workers"]},
            "set.json: min_remaining: a list is given; allowed: a mapping, or GROUP=NODES,...",
        ),
        (
            {"min_remaining": {}},
            (
                "set.json: min_remaining: is empty; allowed: numbers of nodes by group, or leave"
                " the key out"
            ),
        ),
        ({"min_remaining": " , "}, "set.json: min_remaining: is empty; allowed: numbers of nodes"),
        (
            {"max_removals": ""},
            "set.json: max_removals: '' is not a whole number; allowed: 0 to 6758 nodes",
        ),
        (
            {"protected_groups": ["a b"]},
            "set.json: protected_groups[0]: 'a b' is not the name of an instance group;",
        ),
        (
            {"missing_nodes": "IGNORE"},
            "set.json: missing_nodes: 'IGNORE' is unknown; allowed: ACCEPT or FAIL",
        ),
        (
            {"retry_for": "10m"},
            "set.json: retry_for: '10m' is not a whole number; allowed: 0 to 3600 seconds",
        ),
        ({"retry_for": 1.5}, "set.json: retry_for: '1.5' is not a whole number"),
        ({"retry_for": -1}, "set.json: retry_for: '-1' is not a whole number"),
        ({"retry_for": [1]}, "set.json: retry_for: a list is not a whole number"),
        ({"retry_for": 3601}, "set.json: retry_for: '3601' is out of range; allowed: 0 to 3600"),
        (
            {"retry_token": True},
            "set.json: retry_token: 'true' is read as true or false, not as text; put it in quotes",
        ),
        ({"retry_token": "x" * 1025}, "set.json: retry_token: has 1025 characters; allowed: 1024"),
        ({"eks_cluster_arn": "a"}, "set.json: eks_cluster_arn: 'a' is not the ARN of an EKS"),
        ({"before_removal": "drain"}, "set.json: before_removal: 'drain' is not the ARN of a"),
        ({"stack_name": "1st"}, "set.json: stack_name: '1st' is not a stack name; allowed: up to"),
        (
            {"node_idss": [ONE]},
            (
                "set.json: node_idss: unknown key; allowed: cluster, node_ids, node_logical_ids,"
                " on_partial_failure, wait_for, dry_run, min_remaining, max_removals,"
                " protected_groups, expected_groups, missing_nodes, before_removal, timeout,"
                " retry_for, retry_token, verdict_event, eks_cluster_arn, stack_name"
            ),
        ),
    ],
)
def test_what_is_refused(values: dict[str, Any], sentence: str) -> None:
    assert refusal(**values).startswith(sentence)


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
