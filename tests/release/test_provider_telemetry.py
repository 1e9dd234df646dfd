"""Metrics and events of the provider's template, switched on by its parameters."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from release.artifacts import PROVIDER
from release.provider_template import HANDLER_ZIP
from sandbox.hyperpod import Cluster
from tests.handler.embedded_metrics import is_document, metrics_of
from tests.handler.event_schema import checked
from tests.release.cli import Cli
from tests.release.test_provider_stack import removal

pytestmark = pytest.mark.xdist_group("release-stacks")


@pytest.fixture
def cluster(cli: Cli) -> Cluster:
    name = f"raw-{uuid4().hex[:8]}"
    return cli.sandbox.hyperpod.create_cluster(name, {"workers": 6}, shutdown_seconds=0.5)


def test_parameters_switch_metrics_and_events_on(
    cli: Cli, provider: str, cluster: Cluster, tmp_path: Path
) -> None:
    """A provider of its own; the code is in the bucket since the usual one was made."""
    events, queues = (cli.sandbox.client(name) for name in ("events", "sqs"))
    bus = events.create_event_bus(Name=cluster.name)["EventBusArn"]
    url = queues.create_queue(QueueName=cluster.name)["QueueUrl"]
    asked = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    pattern = json.dumps({"source": ["hyperpod.node-removal"]})
    events.put_rule(Name="all", EventBusName=cluster.name, EventPattern=pattern)
    target = {"Id": "queue", "Arn": asked["Attributes"]["QueueArn"]}
    events.put_targets(Rule="all", EventBusName=cluster.name, Targets=[target])

    export = f"{cluster.name}-token"
    outputs = cli.deploy(
        PROVIDER,
        f"{cluster.name}-provider",
        capabilities=("CAPABILITY_IAM",),
        CodeBucket=Cli.BUCKET,
        CodeKey=HANDLER_ZIP,
        ClusterArn="*",
        StackName="raw-*",
        ExportName=export,
        Metrics="true",
        EventBusArn=bus,
    )
    (node, *_) = cluster.node_ids("workers")
    cli.deploy(removal(tmp_path, export), cluster.name, Cluster=cluster.name, NodeIds=node)

    lines = cli.sandbox.log_lines(outputs["LogGroupName"])
    data = [datum for line in lines if is_document(line) for datum in metrics_of(line)]
    assert {datum.name: datum.value for datum in data if datum.name != "Duration"} == {
        "RemovedNodes": 1,
        "FailedNodes": 0,
        "AlreadyAbsentNodes": 0,
    }
    (message,) = queues.receive_message(QueueUrl=url)["Messages"]
    assert checked(json.dumps(json.loads(message["Body"])["detail"]))["RemovedNodes"] == [node]
