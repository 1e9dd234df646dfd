"""Successes in the stack's events, in the sandbox, with the real template and asset."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack

from hyperpod_node_removal import NodeRemoval, PartialFailure
from hyperpod_node_removal_contract import Attribute
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.project import ROOT
from sandbox.stacks import Deployment, read_assembly
from tests.contract.lifecycle import Removal


class VerdictRemoval(Removal):
    """A removal with `verdict_event`. Its nodes are literals, so each deployment is synthesized."""

    def deploy_nodes(self, *node_ids: str, other_fails: bool = False, **more: Any) -> Deployment:
        directory = self.assembly / f"cdk.out.{len(list(self.assembly.iterdir()))}"
        stack = Stack(App(outdir=str(directory), analytics_reporting=False), "Removal")
        given: dict[str, Any] = {
            "on_partial_failure": PartialFailure.REPORT,
            "retry_for": Duration.seconds(0),
            "verdict_event": True,
        }
        removal = NodeRemoval(
            stack, "Faulty", cluster_name=self.name, node_ids=node_ids, **(given | more)
        )
        if other_fails:
            other = NodeRemoval(stack, "Other", cluster_name="gone", node_ids=node_ids[:1])
            other.resource.node.add_dependency(removal.resource)
        stack.node.root.synth()  # type: ignore[attr-defined]
        built = read_assembly(directory, "Removal")
        return self.sandbox.deploy(self.name, built.template, assets=built.assets)


@pytest.fixture
def removal(sandbox: Sandbox, tmp_path: Path) -> VerdictRemoval:
    return VerdictRemoval(sandbox, tmp_path)


@pytest.fixture
def cluster(removal: VerdictRemoval) -> Cluster:
    return removal.cluster()


def signals(deployment: Deployment) -> list[str]:
    return [
        event.reason.removeprefix("Received SUCCESS signal with UniqueId ")
        for event in deployment.events
        if event.reason.startswith("Received SUCCESS signal")
    ]


def test_the_signal_has_the_counts_and_the_failed_nodes(
    removal: VerdictRemoval, cluster: Cluster
) -> None:
    first, second, stuck, *_ = cluster.node_ids("workers")
    created = removal.deploy_nodes(first)
    assert (created.status, signals(created)) == ("CREATE_COMPLETE", ["1 of 1 removed"])
    (reply,) = removal.replies()
    assert reply["Data"][Attribute.REQUESTED_NODES] == first

    cluster.refuse(stuck)
    updated = removal.deploy_nodes(second, stuck)
    assert updated.status == "UPDATE_COMPLETE"
    assert signals(updated) == [f"1 of 2 not removed: NodeIdInUse {stuck}"]

    cluster.allow(stuck)
    again = removal.deploy_nodes(second, stuck, retry_token="2")
    assert again.status == "UPDATE_COMPLETE"
    assert signals(again) == ["1 of 2 removed, 1 already absent"]


def test_the_cdk_cli_deploys_a_file_with_verdict_event(
    sandbox: Sandbox, removal: VerdictRemoval, cluster: Cluster, tmp_path: Path
) -> None:
    sandbox.bootstrap()
    for name in ("app.py", "cdk.json"):
        shutil.copy(ROOT / name, tmp_path / name)
    stuck, good, *_ = cluster.node_ids("workers")
    cluster.refuse(stuck)
    settings = {
        "cluster": removal.name,
        "node_ids": [stuck, good],
        "on_partial_failure": "REPORT",
        "retry_for": 0,
        "verdict_event": True,
    }
    (tmp_path / "removals.json").write_text(json.dumps(settings), encoding="utf-8")
    deploy = ("deploy", "-c", "removals=removals.json", "--require-approval", "never")
    done = sandbox.cdk(*deploy, "--progress", "events", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    reasons = {one.reason for one in sandbox.events(f"hyperpod-node-removal-{removal.name}")}
    signal = f"1 of 2 not removed: NodeIdInUse {stuck}"
    assert f"Received SUCCESS signal with UniqueId {signal}" in reasons


def test_verdict_events_can_be_turned_on_and_off_for_an_unchanged_set(
    removal: VerdictRemoval, cluster: Cluster
) -> None:
    first, *_ = cluster.node_ids("workers")
    assert signals(removal.deploy_nodes(first, verdict_event=False)) == []
    on = removal.deploy_nodes(first)
    assert (on.status, signals(on)) == ("UPDATE_COMPLETE", ["0 of 1 removed, 1 already absent"])
    off = removal.deploy_nodes(first, verdict_event=False)
    assert (off.status, signals(off)) == ("UPDATE_COMPLETE", [])


def test_the_deployment_after_a_rollback_signals_once(
    removal: VerdictRemoval, cluster: Cluster
) -> None:
    first, second, *_ = cluster.node_ids("workers")
    assert removal.deploy_nodes(first).succeeded
    failed = removal.deploy_nodes(second, other_fails=True)
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    again = removal.deploy_nodes(second)
    assert (again.status, signals(again)) == (
        "UPDATE_COMPLETE",
        ["0 of 1 removed, 1 already absent"],
    )
    assert removal.sandbox.hyperpod.calls["BatchDeleteClusterNodes"] >= 2


def test_a_failure_has_a_reason_and_no_signal(removal: VerdictRemoval, cluster: Cluster) -> None:
    first, *_ = cluster.node_ids("workers")
    cluster.refuse(first)
    failed = removal.deploy_nodes(first)
    assert (failed.status, signals(failed)) == ("ROLLBACK_COMPLETE", [])
    assert any(first in event.reason for event in failed.failures())
