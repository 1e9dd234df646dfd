"""The deployed asset in Lambda's runtime, on each interpreter that is installed.

`make test-runtime` runs these tests. CONTRIBUTING.md explains how to install other interpreters.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnOutput, CfnParameter, Stack

from hyperpod_node_removal import NodeRemoval, NodeRemovalProvider
from sandbox.aws import Sandbox
from sandbox.interpreters import VARIABLE, VERSIONS, found
from sandbox.stacks import Deployment
from tests.contract.lifecycle import STACK, Removal, log_lines
from tests.handler.embedded_metrics import is_document, metrics_of
from tests.sandbox.scripted_stack import ScriptedStack

pytestmark = pytest.mark.slow

PYTHONS = found()


@pytest.fixture(scope="module", params=list(PYTHONS))
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def sandbox(version: str) -> Iterator[Sandbox]:
    """A sandbox whose functions run on this version."""
    with Sandbox(python=PYTHONS[version]) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cdk.out")
    app = App(outdir=str(directory), analytics_reporting=False)
    stack = Stack(app, STACK)
    NodeRemovalProvider(stack, metrics=True)
    node_ids = CfnParameter(stack, "NodeIds", type="CommaDelimitedList").value_as_list
    cluster = CfnParameter(stack, "Cluster").value_as_string
    removal = NodeRemoval(stack, "Nodes", cluster_name=cluster, node_ids=node_ids)
    CfnOutput(stack, "Outcome", value=removal.outcome)
    app.synth()
    return directory


@pytest.fixture
def removal(sandbox: Sandbox, assembly: Path) -> Removal:
    return Removal(sandbox, assembly)


def log(removal: Removal, deployment: Deployment) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_lines(removal.sandbox, deployment)]


@pytest.mark.parametrize("python", VERSIONS)
def test_the_interpreter_is_installed(python: str) -> None:
    if python not in PYTHONS:
        pytest.skip(f"no python{python} on the PATH, and none is listed in {VARIABLE}")


def test_functions_run_on_the_selected_interpreter(sandbox: Sandbox, version: str) -> None:
    sandbox.hyperpod.create_cluster("ml-cluster", {"workers": 3})
    stack = ScriptedStack(sandbox, "version")
    deployment = stack.deploy(Create={"call": True}, outputs=("Python", "Runtime"))
    assert deployment.outputs == {"Python": version, "Runtime": "AWS_Lambda_python3.14"}


def test_a_removal_succeeds_without_errors_in_the_log(removal: Removal) -> None:
    cluster = removal.cluster()
    nodes = cluster.node_ids("workers")[:2]
    deployment = removal.deploy(*nodes)
    assert deployment.outputs["Outcome"] == "COMPLETE"
    assert cluster.present.isdisjoint(nodes)
    lines = log(removal, deployment)
    assert [one["record"]["status"] for one in lines if one.get("type") == "platform.report"] == [
        "success"
    ]
    assert not [one for one in lines if one.get("level") in {"ERROR", "CRITICAL"}]


def test_a_function_that_cannot_be_imported_replies(removal: Removal, tmp_path: Path) -> None:
    shutil.copytree(removal.assembly, tmp_path / "cdk.out")
    removal.assembly = tmp_path / "cdk.out"
    for package in removal.assembly.glob("asset.*/hyperpod_node_removal_handler"):
        (package / "index.py").write_text("from botocore import no_such_name\n", encoding="utf-8")
    deployment = removal.deploy("i-0123456789abcdef0")
    assert deployment.status == "ROLLBACK_COMPLETE"
    reason = "The function could not be loaded (ImportError: cannot import name 'no_such_name'"
    assert reason in deployment.failures()[0].reason


def test_metrics_and_outcomes_are_logged_at_any_log_level(removal: Removal) -> None:
    group = f"/own/{removal.name}"
    logging = {"LogFormat": "JSON", "ApplicationLogLevel": "ERROR", "LogGroup": group}
    nodes = removal.cluster().node_ids("workers")[:2]
    deployment = removal.deploy(*nodes, function={"LoggingConfig": logging})
    assert deployment.outputs["Outcome"] == "COMPLETE"
    texts = removal.sandbox.log_lines(group)
    lines = [line for line in map(json.loads, texts) if "message" in line]
    assert {line["node"] for line in lines if "node" in line} == set(nodes)
    assert lines[-1]["message"].startswith("COMPLETE: ")
    data = [datum for text in texts if is_document(text) for datum in metrics_of(text)]
    assert [datum.value for datum in data if datum.name == "RemovedNodes"] == [2]
    assert not [line for line in lines if line["message"].startswith(("Plan: ", "Round: "))]


def test_a_long_removal_is_handed_over(removal: Removal) -> None:
    """An invocation has 20 seconds, three of which are for the removal itself."""
    nodes = removal.cluster(shutdown_seconds=4.0).node_ids("workers")[:2]
    deployment = removal.deploy(*nodes, function={"Timeout": 20})
    assert deployment.outputs["Outcome"] == "COMPLETE"
    lines = log(removal, deployment)
    assert [one for one in lines if "Handing over to invocation" in one.get("message", "")]
