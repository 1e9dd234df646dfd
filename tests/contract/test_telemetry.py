"""What a deployment tells beside its reply: metrics in the real log, events on a real bus."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aws_cdk import App, CfnOutput, CfnParameter, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs

from hyperpod_node_removal import NodeRemoval, NodeRemovalProvider
from sandbox.aws import Sandbox
from sandbox.hyperpod import Cluster
from sandbox.stacks import Deployment, read_assembly
from tests.handler.embedded_metrics import Datum, is_document, metrics_of
from tests.handler.event_schema import checked

ABSENT = "i-0123456789abcdef0"


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cdk.out")
    app = App(outdir=str(directory), analytics_reporting=False)
    stack = Stack(app, "Removal")

    def parameter(name: str) -> str:
        return CfnParameter(stack, name).value_as_string

    provider = NodeRemovalProvider(
        stack,
        metrics=parameter("Metrics"),  # type: ignore[arg-type] # a token passes
        event_bus=events.EventBus.from_event_bus_arn(stack, "Bus", parameter("BusArn")),
    )
    removal = NodeRemoval(
        stack,
        "Nodes",
        cluster_name=parameter("Cluster"),
        node_ids=CfnParameter(stack, "NodeIds", type="CommaDelimitedList").value_as_list,
        retry_for=Duration.seconds(0),
    )
    alarm = removal.alarm_on_failures(alarm_name=parameter("AlarmName"))
    queue = sqs.Queue.from_queue_arn(stack, "Queue", parameter("FailuresArn"))
    removal.on_failed("Failed", target=targets.SqsQueue(queue))
    CfnOutput(stack, "Log", value=provider.log_group.log_group_name)
    CfnOutput(stack, "Alarm", value=alarm.alarm_name)
    app.synth()
    return directory


@dataclass
class Told:
    """A stack with a bus of its own, and queues for all events and for those of failures."""

    sandbox: Sandbox
    assembly: Path
    name: str = field(default_factory=lambda: f"told-{uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        bus = self.sandbox.client("events")
        self.bus_arn = bus.create_event_bus(Name=self.name)["EventBusArn"]
        self.every, every_arn = self._queue("every")
        self.failures, self.failures_arn = self._queue("failures")
        pattern = json.dumps({"source": [{"prefix": ""}]})
        bus.put_rule(Name=self.name, EventBusName=self.name, EventPattern=pattern)
        target = {"Id": "every", "Arn": every_arn}
        bus.put_targets(Rule=self.name, EventBusName=self.name, Targets=[target])
        self.cluster: Cluster = self.sandbox.hyperpod.create_cluster(
            self.name, {"workers": 8}, shutdown_seconds=0.5, seed=1
        )

    def _queue(self, what: str) -> tuple[str, str]:
        client = self.sandbox.client("sqs")
        url = client.create_queue(QueueName=f"{self.name}-{what}")["QueueUrl"]
        asked = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, asked["Attributes"]["QueueArn"]

    def deploy(self, *nodes: str, bus_arn: str = "", metrics: str = "true") -> Deployment:
        stack = read_assembly(self.assembly, "Removal")
        return self.sandbox.deploy(
            self.name,
            stack.template,
            assets=stack.assets,
            parameters={
                "Metrics": metrics,
                "BusArn": bus_arn or self.bus_arn,
                "Cluster": self.name,
                "NodeIds": ",".join(nodes),
                "AlarmName": self.name,
                "FailuresArn": self.failures_arn,
            },
        )

    def received(self, queue: str) -> list[dict[str, Any]]:
        """The events in a queue, taken out of it."""
        self.sandbox.await_idle()
        client = self.sandbox.client("sqs")
        found: list[dict[str, Any]] = []
        while True:
            answer = client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            messages = answer.get("Messages", [])
            if not messages:
                return found
            for message in messages:
                found.append(json.loads(message["Body"]))
                handle = message["ReceiptHandle"]
                client.delete_message(QueueUrl=queue, ReceiptHandle=handle)

    def metrics(self, log_group: str) -> list[Datum]:
        lines = self.sandbox.log_lines(log_group)
        return [datum for line in lines if is_document(line) for datum in metrics_of(line)]


@pytest.fixture
def told(sandbox: Sandbox, assembly: Path) -> Iterator[Told]:
    told = Told(sandbox, assembly)
    yield told
    if sandbox.status(told.name):
        sandbox.delete(told.name)


def test_metrics_and_events_of_a_whole_life(told: Told) -> None:
    first, bad, good, *_ = told.cluster.node_ids("workers")

    created = told.deploy(first, ABSENT)
    assert created.status == "CREATE_COMPLETE"
    (event,) = told.received(told.every)
    assert event["source"] == "hyperpod.node-removal"
    assert event["detail-type"] == "HyperPod Node Removal Finished"
    assert event["resources"] == [created.stack_id]
    detail = checked(json.dumps(event["detail"]))
    assert (detail["Outcome"], detail["Status"]) == ("COMPLETE", "SUCCESS")
    assert (detail["RemovedNodes"], detail["AlreadyAbsentNodes"]) == ([first], [ABSENT])
    assert detail["LogGroup"] == created.outputs["Log"]

    told.cluster.refuse(bad)
    failed = told.deploy(bad, good)
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    # One event although the stack rolled back, which is a request of its own.
    (event,) = told.received(told.every)
    detail = checked(json.dumps(event["detail"]))
    assert (detail["Outcome"], detail["Status"]) == ("PARTIAL", "FAILED")
    assert detail["RemovedNodes"] == [good]
    assert [(one["Code"], one["Nodes"]) for one in detail["Failures"]] == [("NodeIdInUse", [bad])]
    # The rule of the stack saw the failure only.
    assert told.received(told.failures) == [event]

    by_cluster = {"ClusterName": told.name}
    values = {
        name: [
            datum.value
            for datum in told.metrics(created.outputs["Log"])
            if datum.name == name and dict(datum.dimensions) == by_cluster
        ]
        for name in ("RemovedNodes", "FailedNodes", "AlreadyAbsentNodes")
    }
    assert values == {"RemovedNodes": [1, 1], "FailedNodes": [0, 1], "AlreadyAbsentNodes": [1, 0]}

    assert told.sandbox.delete(told.name).status == "DELETE_COMPLETE"
    assert told.received(told.every) == []


def test_the_alarm_watches_what_the_function_writes(told: Told) -> None:
    bad, good, *_ = told.cluster.node_ids("workers")
    deployed = told.deploy(good)
    told.cluster.refuse(bad)
    told.deploy(bad)
    asked = told.sandbox.client("cloudwatch").describe_alarms(AlarmNames=[told.name])
    (alarm,) = asked["MetricAlarms"]
    dimensions = frozenset((one["Name"], one["Value"]) for one in alarm["Dimensions"])
    watched = [
        datum.value
        for datum in told.metrics(deployed.outputs["Log"])
        if (datum.namespace, datum.name, datum.dimensions)
        == (alarm["Namespace"], alarm["MetricName"], dimensions)
    ]
    assert watched == [0, 1]
    assert watched[1] >= alarm["Threshold"] > watched[0]


def test_an_event_that_is_refused_does_not_hurt_and_metrics_that_are_off_are_silent(
    told: Told,
) -> None:
    node, *_ = told.cluster.node_ids("workers")
    no_bus = told.bus_arn.replace(":event-bus/", ":archive/")
    deployed = told.deploy(node, bus_arn=no_bus, metrics="false")
    assert deployed.status == "CREATE_COMPLETE"
    assert told.received(told.every) == []
    lines = told.sandbox.log_lines(deployed.outputs["Log"])
    assert [line for line in lines if "event of this removal was not sent" in line]
    assert not any(is_document(line) for line in lines)
