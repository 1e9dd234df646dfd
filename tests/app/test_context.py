"""The command line: keys, a file, not both, and typing errors."""

from pathlib import Path
from typing import Any

import pytest

from hyperpod_node_removal.app import settings_from_context
from hyperpod_node_removal_file import SettingsError

ONE, TWO = "i-0123456789abcdef0", "i-0123456789abcdef1"


def refusal(context: dict[str, Any], folder: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        settings_from_context(context, folder)
    return str(caught.value)


def test_keys(tmp_path: Path) -> None:
    context = {"cluster": "ml-cluster", "node_ids": f"{ONE},{TWO}", "retry_for": "60"}
    settings = settings_from_context(context, tmp_path)
    assert (settings.cluster, settings.node_ids) == ("ml-cluster", (ONE, TWO))
    assert settings.retry_for == 60


def test_guards(tmp_path: Path) -> None:
    context = {"cluster": "a", "min_remaining": "workers=4, trainers=2", "dry_run": "true"}
    settings = settings_from_context(context, tmp_path)
    assert settings.min_remaining == {"workers": 4, "trainers": 2}
    assert settings.dry_run


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "set.yaml").write_text(f"cluster: ml-cluster\nnode_ids: [{ONE}]\n")
    settings = settings_from_context({"removals": "set.yaml"}, tmp_path)
    assert (settings.cluster, settings.node_ids) == ("ml-cluster", (ONE,))


def test_a_file_and_keys(tmp_path: Path) -> None:
    context = {"removals": "set.yaml", "cluster": "a", "retry_token": "2"}
    assert refusal(context, tmp_path) == (
        "-c removals names a file, which must contain every key; also given: -c cluster,"
        " -c retry_token; allowed: the file or the keys, not both"
    )


def test_nothing(tmp_path: Path) -> None:
    assert refusal({}, tmp_path) == (
        "nothing to deploy; give -c cluster=NAME -c node_ids=ID,ID or -c removals=FILE"
    )


def test_nodes_without_a_cluster(tmp_path: Path) -> None:
    assert refusal({"node_ids": ONE}, tmp_path).startswith("the command line: cluster is missing")


def test_a_bad_value_names_the_key(tmp_path: Path) -> None:
    assert refusal({"cluster": "a", "node_ids": "i-1"}, tmp_path).startswith(
        "-c node_ids: 'i-1' is not an instance id; allowed:"
    )


@pytest.mark.parametrize("path", ["", True, ["a"]])
def test_a_path_that_is_none(tmp_path: Path, path: object) -> None:
    assert refusal({"removals": path}, tmp_path).endswith("is not the path of a file")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("node_id", "node_ids"),
        ("nodeIds", "node_ids"),
        ("node-ids", "node_ids"),
        ("NodeLogicalIds", "node_logical_ids"),
        ("cluster_name", "cluster"),
        ("removal", "removals"),
        ("stackName", "stack_name"),
        ("dry-run", "dry_run"),
        ("max_removal", "max_removals"),
    ],
)
def test_a_misspelled_key_is_not_ignored(tmp_path: Path, key: str, meant: str) -> None:
    text = refusal({"cluster": "a", key: ONE}, tmp_path)
    assert text.startswith(f"-c {key}: unknown key, perhaps {meant}; allowed: removals, cluster,")


def test_what_others_keep_in_the_context_is_left_alone(tmp_path: Path) -> None:
    context = {
        "cluster": "a",
        "aws:cdk:enable-path-metadata": True,
        "@aws-cdk/core:checkSecretUsage": True,
        "availability-zones:account=1:region=us-west-2": ["us-west-2a"],
        "cli-telemetry": False,
        "team": "platform",
    }
    assert settings_from_context(context, tmp_path).cluster == "a"
