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


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (
            {"cluster": "a", "node_ids": f"{ONE},{TWO}", "retry_for": "60"},
            {"cluster": "a", "node_ids": (ONE, TWO), "retry_for": 60},
        ),
        (
            {"cluster": "a", "min_remaining": "workers=4, trainers=2", "dry_run": "true"},
            {"min_remaining": {"workers": 4, "trainers": 2}, "dry_run": True},
        ),
        ({"removals": "set.yaml"}, {"cluster": "ml-cluster", "node_ids": (ONE,)}),
    ],
    ids=["keys", "guards", "file"],
)
def test_keys_or_a_file(tmp_path: Path, context: dict[str, Any], expected: dict[str, Any]) -> None:
    (tmp_path / "set.yaml").write_text(f"cluster: ml-cluster\nnode_ids: [{ONE}]\n")
    settings = settings_from_context(context, tmp_path)
    assert {key: getattr(settings, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({}, "nothing to deploy; give -c cluster=NAME -c node_ids=ID,ID or -c removals=FILE"),
        (
            {"removals": "set.yaml", "cluster": "a", "retry_token": "2"},
            (
                "-c removals names a file, which must contain every key; also given: -c cluster,"
                " -c retry_token; allowed: the file or the keys, not both"
            ),
        ),
        ({"node_ids": ONE}, "the command line: cluster is missing"),
        (
            {"cluster": "a", "node_ids": "i-1"},
            "-c node_ids: 'i-1' is not an instance id; allowed:",
        ),
        ({"removals": ""}, "-c removals: '' is not the path of a file"),
        ({"removals": True}, "-c removals: 'True' is not the path of a file"),
        ({"removals": ["a"]}, "-c removals: '['a']' is not the path of a file"),
    ],
)
def test_invalid_values_are_rejected(
    tmp_path: Path, context: dict[str, Any], sentence: str
) -> None:
    assert refusal(context, tmp_path).startswith(sentence)


@pytest.mark.parametrize(
    ("keys", "meant"),
    [
        ("node_id nodeIds node-ids", "node_ids"),
        ("NodeLogicalIds", "node_logical_ids"),
        ("cluster_name", "cluster"),
        ("removal", "removals"),
        ("stackName", "stack_name"),
        ("dry-run", "dry_run"),
        ("max_removal", "max_removals"),
    ],
)
def test_a_misspelled_key_is_not_ignored(tmp_path: Path, keys: str, meant: str) -> None:
    for key in keys.split():
        text = refusal({"cluster": "a", key: ONE}, tmp_path)
        wanted = f"-c {key}: unknown key, perhaps {meant}; allowed: removals, cluster,"
        assert text.startswith(wanted)


def test_unrelated_context_keys_are_ignored(tmp_path: Path) -> None:
    context = {
        "cluster": "a",
        "aws:cdk:enable-path-metadata": True,
        "@aws-cdk/core:checkSecretUsage": True,
        "availability-zones:account=1:region=us-west-2": ["us-west-2a"],
        "cli-telemetry": False,
        "team": "platform",
    }
    assert settings_from_context(context, tmp_path).cluster == "a"
