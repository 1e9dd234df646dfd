"""Warnings at synth: where each appears, where it does not, and how it is acknowledged."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Acknowledgment, App, CfnParameter, Stack, Validations
from aws_cdk import Annotations as Notes
from aws_cdk.aws_sagemaker import CfnCluster

from hyperpod_node_removal import MissingNodes, NodeRemoval, RemovalWarning
from hyperpod_node_removal.app import NodeRemovalStack, settings_from_context
from sandbox.project import PATH, ROOT, run_cdk
from tests.construct.stacks import CLUSTER_ARN, NODE, app_of, warnings

DATA_LOSS, STALE = RemovalWarning.DATA_LOSS, RemovalWarning.STALE_INSTANCE_IDS
DRIFT, ANY_CLUSTER = RemovalWarning.INSTANCE_COUNT_DRIFT, RemovalWarning.ANY_CLUSTER_ALLOWED
NOT_ORDERED, EMPTY_EXPORT = RemovalWarning.REMOVALS_NOT_ORDERED, RemovalWarning.EMPTY_EXPORT


def removal(stack: Stack, **more: Any) -> NodeRemoval:
    """By default, of an instance id in a cluster whose ARN is known."""
    given = {"cluster_arn": CLUSTER_ARN, "node_ids": [NODE], **more}
    return NodeRemoval(stack, "Removal", **{key: value for key, value in given.items() if value})


def managed(stack: Stack) -> CfnCluster:
    return CfnCluster(stack, "Cluster", cluster_name="ml-cluster")


def from_parameters(stack: Stack) -> dict[str, Any]:
    """What is known at deployment only may remove nodes."""
    flag = CfnParameter(stack, "DryRun", allowed_values=["true", "false"])
    ids = CfnParameter(stack, "Ids", type="CommaDelimitedList")
    return {"node_ids": ids.value_as_list, "dry_run": flag.value_as_string}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (lambda stack: {}, {DATA_LOSS, STALE}),
        (lambda stack: {"dry_run": True}, set()),
        (lambda stack: {"node_ids": None}, set()),
        (from_parameters, {DATA_LOSS, STALE}),
        (lambda stack: {"node_ids": None, "node_logical_ids": ["gpu-7"]}, {DATA_LOSS}),
        (lambda stack: {"missing_nodes": MissingNodes.FAIL}, {DATA_LOSS}),
        (
            lambda stack: {"cluster_arn": None, "cluster_name": "ml", "node_ids": None},
            {ANY_CLUSTER},
        ),
        (
            lambda stack: {"cluster_arn": None, "cluster": managed(stack)},
            {DATA_LOSS, STALE, DRIFT, ANY_CLUSTER},
        ),
        (
            lambda stack: {"cluster_arn": None, "cluster": managed(stack), "node_ids": None},
            {ANY_CLUSTER},
        ),
    ],
    ids=[
        *("usual", "dry", "empty", "tokens", "logical", "missing-fails"),
        *("by-name", "managed", "managed-empty"),
    ],
)
def test_a_warning_appears_only_where_it_matters(
    stack: Stack, given: Callable[[Stack], dict[str, Any]], expected: set[RemovalWarning]
) -> None:
    removal(stack, **given(stack))
    assert warnings(stack).keys() == expected


def test_a_warning_says_what_to_do(stack: Stack) -> None:
    removal(stack, cluster_arn=None, cluster=managed(stack))
    other = Stack(app_of(stack), "Other")
    removal(other, cluster_arn=None, cluster_name="ml")
    for one, warning, *parts in (
        (stack, DATA_LOSS, "root and secondary volumes"),
        (stack, STALE, "node_logical_ids"),
        (stack, DRIFT, "Stack/Cluster", "instance_group_target_counts"),
        (stack, ANY_CLUSTER, "cluster/*", "before the cluster is created"),
        (other, ANY_CLUSTER, "cluster/*", "Specify cluster_arn instead of the name"),
    ):
        (text,) = warnings(one)[warning]
        assert all(part in text for part in parts)


@pytest.mark.parametrize(
    "acknowledge",
    [
        lambda removal: Notes.of(removal).acknowledge_warning(DATA_LOSS, "backed up"),
        lambda removal: Notes.of(Stack.of(removal)).acknowledge_warning(DATA_LOSS),
        lambda removal: Validations.of(removal).acknowledge(
            Acknowledgment(id=DATA_LOSS, reason="backed up")
        ),
    ],
    ids=["removal", "stack", "rule"],
)
def test_a_warning_is_acknowledged_in_every_way_the_cdk_has(
    stack: Stack, acknowledge: Callable[[NodeRemoval], None]
) -> None:
    acknowledge(removal(stack))
    assert warnings(stack).keys() == {STALE}


def test_a_warning_may_be_acknowledged_before_it_is_added(stack: Stack) -> None:
    for warning in RemovalWarning:
        Notes.of(stack).acknowledge_warning(warning, "this team knows")
    removal(stack, cluster_arn=None, cluster_name="ml-cluster")
    assert warnings(stack) == {}


APP = """
from aws_cdk import Annotations, App, CfnOutput, CfnWaitConditionHandle, Stack
from hyperpod_node_removal import NodeRemoval, RemovalWarning

app = App(context={"@aws-cdk/core:defaultCrossStackReferences": "strong"})
stack = Stack(app, "Maintenance")
earlier = NodeRemoval(stack, "Earlier", cluster_name="ml-cluster")
between = CfnWaitConditionHandle(stack, "Between")
earlier.node.add_dependency(between)
removal = NodeRemoval(stack, "Faulty", cluster_name="ml-cluster", node_ids=["i-0123456789abcdef0"])
between.node.add_dependency(removal)
CfnOutput(Stack(app, "Reader"), "FailedNodes", value=removal.failed_nodes)
if app.node.try_get_context("acknowledged"):
    for warning in RemovalWarning:
        Annotations.of(stack).acknowledge_warning(warning, "known")
app.synth()
"""


def synth(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`cdk synth --strict` with the real CLI."""
    environment = {
        **os.environ,
        "PATH": PATH,
        "HOME": str(folder),
        "PYTHONPATH": os.pathsep.join(
            str(ROOT / root) for root in ("constructs", "lambda", "shared", "cli")
        ),
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(ROOT / ".sandbox" / "jsii"),
        "CDK_DISABLE_CLI_TELEMETRY": "1",
    }
    command = ["--app", f"{sys.executable} app.py", "synth", "--strict", "--quiet", *arguments]
    return run_cdk(*command, environment=environment, cwd=folder)


@pytest.mark.slow
def test_strict_fails_until_all_warnings_are_acknowledged(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    refused = synth(tmp_path)
    assert refused.returncode == 1
    assert "--strict mode" in refused.stdout
    for warning in (DATA_LOSS, STALE, ANY_CLUSTER, NOT_ORDERED, EMPTY_EXPORT):
        assert f"Acknowledge with 'Annotation::{warning}'" in refused.stdout
    accepted = synth(tmp_path, "-c", "acknowledged=yes")
    assert accepted.returncode == 0, accepted.stdout
    assert "WARNING" not in accepted.stdout


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"removals": "by-arn.yaml"}, set()),
        ({"removals": "by-name.yaml"}, {ANY_CLUSTER}),
        ({"cluster": CLUSTER_ARN, "node_ids": NODE}, {DATA_LOSS, STALE}),
    ],
)
def test_a_reviewed_file_gets_fewer_warnings_than_a_command_line(
    tmp_path: Path, context: dict[str, str], expected: set[RemovalWarning]
) -> None:
    (tmp_path / "by-arn.yaml").write_text(f"cluster: {CLUSTER_ARN}\nnode_ids: [{NODE}]\n")
    (tmp_path / "by-name.yaml").write_text(f"cluster: ml-cluster\nnode_ids: [{NODE}]\n")
    settings = settings_from_context(context, tmp_path)
    assert warnings(NodeRemovalStack(App(), settings)).keys() == expected
