"""Warnings at synth: where each is given, where it would be noise, and how it is acknowledged."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Acknowledgment, App, CfnParameter, Stack, Validations
from aws_cdk import Annotations as Notes
from aws_cdk.assertions import Annotations, Match
from aws_cdk.aws_sagemaker import CfnCluster

from hyperpod_node_removal import MissingNodes, NodeRemoval, RemovalWarning
from sandbox.cdk import run_cdk
from sandbox.project import PATH, ROOT

pytestmark = pytest.mark.xdist_group("construct-warnings")

CLUSTER_ARN = "arn:aws:sagemaker:us-west-2:111122223333:cluster/a1b2c3d4e5f6"
NODE = "i-0123456789abcdef0"
DATA_LOSS, STALE = RemovalWarning.DATA_LOSS, RemovalWarning.STALE_INSTANCE_IDS
DRIFT, ORDER = RemovalWarning.INSTANCE_COUNT_DRIFT, RemovalWarning.CLUSTER_CHANGES_FIRST
ANY_CLUSTER = RemovalWarning.ANY_CLUSTER_ALLOWED
NOT_ORDERED, EMPTY_EXPORT = RemovalWarning.REMOVALS_NOT_ORDERED, RemovalWarning.EMPTY_EXPORT


class Case:
    """A stack with one removal, by default of an instance id in a cluster whose ARN is known."""

    def __init__(self, app: App, name: str) -> None:
        self.stack = Stack(app, name)

    def removal(self, **more: Any) -> NodeRemoval:
        given = {"cluster_arn": CLUSTER_ARN, "node_ids": [NODE], **more}
        return NodeRemoval(
            self.stack, "Removal", **{key: value for key, value in given.items() if value}
        )

    def texts(self) -> dict[str, str]:
        """Warnings by id."""
        found = Annotations.from_stack(self.stack).find_warning("*", Match.any_value())
        pairs = (str(entry.entry.data).rsplit(" [ack: ", 1) for entry in found)
        return {warning.rstrip("]"): text for text, warning in pairs}

    def ids(self) -> set[str]:
        return set(self.texts())


@pytest.fixture(scope="module")
def app() -> App:
    return App(analytics_reporting=False)


def test_what_is_lost_and_that_an_id_may_be_stale(app: App) -> None:
    case = Case(app, "Usual")
    case.removal()
    assert case.ids() == {DATA_LOSS, STALE}
    assert "root and secondary volumes" in case.texts()[DATA_LOSS]
    assert "node_logical_ids" in case.texts()[STALE]


def test_nothing_is_removed_so_nothing_is_lost(app: App) -> None:
    dry, empty = Case(app, "Dry"), Case(app, "Empty")
    dry.removal(dry_run=True)
    empty.removal(node_ids=None)
    assert dry.ids() == empty.ids() == set()


def test_what_is_known_at_deployment_only_may_remove_nodes(app: App) -> None:
    case = Case(app, "Tokens")
    flag = CfnParameter(case.stack, "DryRun", allowed_values=["true", "false"])
    ids = CfnParameter(case.stack, "Ids", type="CommaDelimitedList")
    case.removal(node_ids=ids.value_as_list, dry_run=flag.value_as_string)
    assert case.ids() == {DATA_LOSS, STALE}


def test_logical_ids_stay_and_a_missing_node_that_fails_is_no_surprise(app: App) -> None:
    logical, strict = Case(app, "Logical"), Case(app, "MissingFails")
    logical.removal(node_ids=None, node_logical_ids=["gpu-7"])
    strict.removal(missing_nodes=MissingNodes.FAIL)
    assert logical.ids() == strict.ids() == {DATA_LOSS}


def test_a_name_widens_the_permissions_even_of_an_empty_set(app: App) -> None:
    case = Case(app, "ByName")
    case.removal(cluster_arn=None, cluster_name="ml-cluster", node_ids=None)
    assert case.ids() == {ANY_CLUSTER}
    assert "cluster/*" in case.texts()[ANY_CLUSTER]
    assert "Specify cluster_arn" in case.texts()[ANY_CLUSTER]


def test_a_cluster_of_the_same_app_drifts(app: App) -> None:
    case, empty = Case(app, "Managed"), Case(app, "ManagedEmpty")
    cluster = CfnCluster(case.stack, "Cluster", cluster_name="ml-cluster")
    case.removal(cluster_arn=None, cluster=cluster)
    assert case.ids() == {DATA_LOSS, STALE, DRIFT, ANY_CLUSTER}
    assert "Managed/Cluster" in case.texts()[DRIFT]
    assert "instance_group_target_counts" in case.texts()[DRIFT]
    assert "before the cluster is created" in case.texts()[ANY_CLUSTER]
    waiting = CfnCluster(empty.stack, "Cluster", cluster_name="ml-cluster")
    empty.removal(cluster_arn=None, cluster=waiting, node_ids=None)
    assert empty.ids() == {ANY_CLUSTER}


def test_a_reference_to_a_cluster_of_the_same_app_drifts_and_has_the_wrong_order(app: App) -> None:
    case = Case(app, "Referred")
    cluster = CfnCluster(case.stack, "Cluster")
    case.removal(cluster_arn=cluster.attr_cluster_arn)
    assert case.ids() == {DATA_LOSS, STALE, DRIFT, ORDER}


def test_a_warning_is_acknowledged_in_every_way_the_cdk_has(app: App) -> None:
    of_the_removal = Case(app, "OfTheRemoval")
    Notes.of(of_the_removal.removal()).acknowledge_warning(DATA_LOSS, "backed up")
    of_the_stack = Case(app, "OfTheStack")
    of_the_stack.removal()
    Notes.of(of_the_stack.stack).acknowledge_warning(DATA_LOSS)
    as_a_rule = Case(app, "AsARule")
    Validations.of(as_a_rule.removal()).acknowledge(
        Acknowledgment(id=DATA_LOSS, reason="backed up")
    )
    assert of_the_removal.ids() == of_the_stack.ids() == as_a_rule.ids() == {STALE}


def test_a_warning_may_be_acknowledged_before_it_is_given(app: App) -> None:
    case = Case(app, "Beforehand")
    for warning in RemovalWarning:
        Notes.of(case.stack).acknowledge_warning(warning, "this team knows")
    case.removal(cluster_arn=None, cluster_name="ml-cluster")
    assert case.ids() == set()


def test_ids_are_a_public_contract() -> None:
    """Templates of users acknowledge them by these texts. Never edit this."""
    assert {str(warning) for warning in RemovalWarning} == {
        "hyperpod-node-removal:AnyClusterAllowed",
        "hyperpod-node-removal:ClusterChangesFirst",
        "hyperpod-node-removal:DataLoss",
        "hyperpod-node-removal:EmptyExport",
        "hyperpod-node-removal:InstanceCountDrift",
        "hyperpod-node-removal:ProviderNotUsed",
        "hyperpod-node-removal:RemovalsNotOrdered",
        "hyperpod-node-removal:ReservedConcurrency",
        "hyperpod-node-removal:StaleInstanceIds",
    }


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


def synth(folder: Path, app: str, *arguments: str) -> subprocess.CompletedProcess[str]:
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
    command = ["--app", app, "synth", "--strict", "--quiet", *arguments]
    return run_cdk(*command, environment=environment, cwd=folder)


@pytest.mark.slow
def test_strict_fails_until_all_is_acknowledged(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    app = f"{sys.executable} app.py"
    refused = synth(tmp_path, app)
    assert refused.returncode == 1
    assert "--strict mode" in refused.stdout
    for warning in (DATA_LOSS, STALE, ANY_CLUSTER, NOT_ORDERED, EMPTY_EXPORT):
        assert f"Acknowledge with 'Annotation::{warning}'" in refused.stdout
    accepted = synth(tmp_path, app, "-c", "acknowledged=yes")
    assert accepted.returncode == 0, accepted.stdout
    assert "WARNING" not in accepted.stdout


@pytest.mark.slow
def test_a_file_that_was_read_needs_no_warning_and_a_command_line_does(tmp_path: Path) -> None:
    app = f"{sys.executable} {ROOT / 'app.py'}"
    (tmp_path / "set.yaml").write_text(f"cluster: {CLUSTER_ARN}\nnode_ids: [{NODE}]\n")
    from_file = synth(tmp_path, app, "-c", "removals=set.yaml")
    assert from_file.returncode == 0, from_file.stdout
    typed = synth(tmp_path, app, "-c", f"cluster={CLUSTER_ARN}", "-c", f"node_ids={NODE}")
    assert typed.returncode == 1
    assert DATA_LOSS in typed.stdout
    (tmp_path / "set.yaml").write_text(f"cluster: ml-cluster\nnode_ids: [{NODE}]\n")
    by_name = synth(tmp_path, app, "-c", "removals=set.yaml")
    assert by_name.returncode == 1
    assert ANY_CLUSTER in by_name.stdout
    assert DATA_LOSS not in by_name.stdout
