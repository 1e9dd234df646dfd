"""The asset that is deployed, in Lambda's runtime, on each interpreter that this machine has.

`make test-runtime` runs these; CONTRIBUTING.md tells how to get the interpreters that are missing.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aws_cdk import App, CfnOutput, CfnParameter, Stack

from hyperpod_node_removal import NodeRemoval, NodeRemovalProvider
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.interpreters import VARIABLE, VERSIONS, found
from sandbox.stacks import Deployment, read_assembly
from tests.handler.embedded_metrics import is_document, metrics_of
from tests.sandbox.scripted_stack import ScriptedStack

pytestmark = pytest.mark.slow

PYTHONS = found()


@pytest.fixture(scope="module", params=list(PYTHONS))
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def on_version(version: str) -> Iterator[Sandbox]:
    with Sandbox(python=PYTHONS[version]) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cdk.out")
    app = App(outdir=str(directory), analytics_reporting=False)
    stack = Stack(app, "Removal")
    provider = NodeRemovalProvider(stack, metrics=True)
    node_ids = CfnParameter(stack, "NodeIds", type="CommaDelimitedList").value_as_list
    cluster = CfnParameter(stack, "Cluster").value_as_string
    removal = NodeRemoval(stack, "Nodes", cluster_name=cluster, node_ids=node_ids)
    CfnOutput(stack, "Outcome", value=removal.outcome)
    CfnOutput(stack, "Log", value=provider.log_group.log_group_name)
    app.synth()
    return directory


@dataclass
class Removal:
    """A stack and its cluster, with two nodes to remove."""

    sandbox: Sandbox
    assembly: Path
    name: str = field(default_factory=lambda: f"removal-{uuid4().hex[:8]}")

    def cluster(self, shutdown_seconds: float = 0.1) -> Cluster:
        return self.sandbox.hyperpod.create_cluster(
            self.name, {"workers": 4}, shutdown_seconds=shutdown_seconds
        )

    def deploy(self, cluster: Cluster, **function: Any) -> Deployment:
        """Remove two nodes; `function` has more properties of the function."""
        stack = read_assembly(self.assembly, "Removal")
        for resource in stack.template["Resources"].values():
            if resource["Type"] == "AWS::Lambda::Function":
                resource["Properties"] |= function
        return self.sandbox.deploy(
            self.name,
            stack.template,
            assets=stack.assets,
            parameters={
                "Cluster": self.name,
                "NodeIds": ",".join(cluster.node_ids("workers")[:2]),
            },
        )

    def log(self, deployment: Deployment) -> list[dict[str, Any]]:
        lines = self.sandbox.log_lines(deployment.outputs["Log"])
        return [json.loads(line) for line in lines]


@pytest.fixture
def removal(on_version: Sandbox, assembly: Path) -> Removal:
    return Removal(on_version, assembly)


@pytest.mark.parametrize("wanted", VERSIONS)
def test_the_interpreter_is_there(wanted: str) -> None:
    if wanted not in PYTHONS:
        pytest.skip(f"no python{wanted} on the PATH, and none is named in {VARIABLE}")


def test_functions_run_on_the_interpreter_that_was_given(on_version: Sandbox, version: str) -> None:
    on_version.hyperpod.create_cluster("ml-cluster", {"workers": 3})
    stack = ScriptedStack(on_version, "version")
    deployment = stack.deploy(Create={"call": True}, outputs=("Python", "Runtime"))
    assert deployment.outputs == {"Python": version, "Runtime": "AWS_Lambda_python3.14"}


def test_a_removal_is_carried_out(removal: Removal) -> None:
    cluster = removal.cluster()
    deployment = removal.deploy(cluster)
    assert deployment.outputs["Outcome"] == "COMPLETE"
    assert len(cluster.present) == 2
    lines = removal.log(deployment)
    assert [one["record"]["status"] for one in lines if one.get("type") == "platform.report"] == [
        "success"
    ]
    assert not [one for one in lines if one.get("level") in {"ERROR", "CRITICAL"}]


def test_a_function_that_cannot_be_imported_answers(removal: Removal, tmp_path: Path) -> None:
    shutil.copytree(removal.assembly, tmp_path / "cdk.out")
    removal.assembly = tmp_path / "cdk.out"
    for package in removal.assembly.glob("asset.*/hyperpod_node_removal_handler"):
        (package / "index.py").write_text("from botocore import no_such_name\n", encoding="utf-8")
    deployment = removal.deploy(removal.cluster())
    assert deployment.status == "ROLLBACK_COMPLETE"
    told = "The function could not be loaded (ImportError: cannot import name 'no_such_name'"
    assert told in deployment.failures()[0].reason


def test_its_log_level_is_kept_but_for_metrics_and_outcomes(removal: Removal) -> None:
    group = f"/own/{removal.name}"
    logging = {"LogFormat": "JSON", "ApplicationLogLevel": "ERROR", "LogGroup": group}
    cluster = removal.cluster()
    nodes = cluster.node_ids("workers")[:2]
    deployment = removal.deploy(cluster, LoggingConfig=logging)
    assert deployment.outputs["Outcome"] == "COMPLETE"
    texts = removal.sandbox.log_lines(group)
    lines = [line for line in map(json.loads, texts) if "message" in line]
    assert {line["node"] for line in lines if "node" in line} == set(nodes)
    assert lines[-1]["message"].startswith("COMPLETE: ")
    data = [datum for text in texts if is_document(text) for datum in metrics_of(text)]
    assert [datum.value for datum in data if datum.name == "RemovedNodes"] == [2]
    assert not [line for line in lines if line["message"].startswith(("Plan: ", "Round: "))]


def test_a_long_removal_is_handed_over(removal: Removal) -> None:
    """With an invocation of 20 seconds, of which 3 are for the removal itself."""
    deployment = removal.deploy(removal.cluster(shutdown_seconds=4.0), Timeout=20)
    assert deployment.outputs["Outcome"] == "COMPLETE"
    lines = removal.log(deployment)
    assert [one for one in lines if "Handing over to invocation" in one.get("message", "")]
