"""Metrics in the log, events on a bus, and the alarm, from deployments in the sandbox."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnOutput, CfnParameter, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs

from hyperpod_node_removal import NodeRemoval, NodeRemovalProvider
from sandbox.aws import Sandbox
from sandbox.stacks import Deployment
from tests.contract.lifecycle import STACK, Removal
from tests.handler.embedded_metrics import Datum, is_document, metrics_of
from tests.handler.event_schema import checked

ABSENT = "i-0123456789abcdef0"


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cdk.out")
    app = App(outdir=str(directory), analytics_reporting=False)
    stack = Stack(app, STACK)

    def parameter(name: str) -> str:
        return CfnParameter(stack, name).value_as_string

    provider = NodeRemovalProvider(
        stack,
        metrics=parameter("Metrics"),  # type: ignore[arg-type] # a token is allowed
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
class MonitoredRemoval(Removal):
    """A stack with its own bus, and queues for all events and for those of failures."""

    def __post_init__(self) -> None:
        bus = self.sandbox.client("events")
        self.bus_arn = bus.create_event_bus(Name=self.name)["EventBusArn"]
        self.all_events, all_events_arn = self._create_queue("all-events")
        self.failures, self.failures_arn = self._create_queue("failures")
        pattern = json.dumps({"source": [{"prefix": ""}]})
        bus.put_rule(Name=self.name, EventBusName=self.name, EventPattern=pattern)
        target = {"Id": "all-events", "Arn": all_events_arn}
        bus.put_targets(Rule=self.name, EventBusName=self.name, Targets=[target])
        self.nodes = self.cluster()

    def _create_queue(self, suffix: str) -> tuple[str, str]:
        client = self.sandbox.client("sqs")
        url = client.create_queue(QueueName=f"{self.name}-{suffix}")["QueueUrl"]
        response = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, response["Attributes"]["QueueArn"]

    def deploy_monitored(self, *nodes: str, bus_arn: str = "", metrics: str = "true") -> Deployment:
        """Deploy these nodes with this bus, by default the stack's own."""
        return self.deploy(
            *nodes,
            Metrics=metrics,
            BusArn=bus_arn or self.bus_arn,
            AlarmName=self.name,
            FailuresArn=self.failures_arn,
        )

    def receive(self, queue: str) -> list[dict[str, Any]]:
        """Remove and return the events in a queue."""
        self.sandbox.await_idle()
        client = self.sandbox.client("sqs")
        events: list[dict[str, Any]] = []
        while True:
            answer = client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            messages = answer.get("Messages", [])
            if not messages:
                return events
            for message in messages:
                events.append(json.loads(message["Body"]))
                handle = message["ReceiptHandle"]
                client.delete_message(QueueUrl=queue, ReceiptHandle=handle)

    def metrics(self, log_group: str) -> list[Datum]:
        lines = self.sandbox.log_lines(log_group)
        return [datum for line in lines if is_document(line) for datum in metrics_of(line)]


@pytest.fixture
def removal(sandbox: Sandbox, assembly: Path) -> Iterator[MonitoredRemoval]:
    removal = MonitoredRemoval(sandbox, assembly)
    yield removal
    if sandbox.status(removal.name):
        sandbox.delete(removal.name)


def test_metrics_events_and_the_alarm_follow_a_lifecycle(removal: MonitoredRemoval) -> None:
    first, bad, good, *_ = removal.nodes.node_ids("workers")

    created = removal.deploy_monitored(first, ABSENT)
    assert created.status == "CREATE_COMPLETE"
    (event,) = removal.receive(removal.all_events)
    assert event["source"] == "hyperpod.node-removal"
    assert event["detail-type"] == "HyperPod Node Removal Finished"
    assert event["resources"] == [created.stack_id]
    detail = checked(json.dumps(event["detail"]))
    assert (detail["Outcome"], detail["Status"]) == ("COMPLETE", "SUCCESS")
    assert (detail["RemovedNodes"], detail["AlreadyAbsentNodes"]) == ([first], [ABSENT])
    assert detail["LogGroup"] == created.outputs["Log"]

    removal.nodes.refuse(bad)
    failed = removal.deploy_monitored(bad, good)
    assert failed.status == "UPDATE_ROLLBACK_COMPLETE"
    # One event, although the rollback is a second request.
    (event,) = removal.receive(removal.all_events)
    detail = checked(json.dumps(event["detail"]))
    assert (detail["Outcome"], detail["Status"]) == ("PARTIAL", "FAILED")
    assert detail["RemovedNodes"] == [good]
    assert [(one["Code"], one["Nodes"]) for one in detail["Failures"]] == [("NodeIdInUse", [bad])]
    # The stack's rule matched only the failure.
    assert removal.receive(removal.failures) == [event]

    metrics = removal.metrics(created.outputs["Log"])
    by_cluster = {"ClusterName": removal.name}
    values = {
        name: [
            datum.value
            for datum in metrics
            if datum.name == name and dict(datum.dimensions) == by_cluster
        ]
        for name in ("RemovedNodes", "FailedNodes", "AlreadyAbsentNodes")
    }
    assert values == {"RemovedNodes": [1, 1], "FailedNodes": [0, 1], "AlreadyAbsentNodes": [1, 0]}

    response = removal.sandbox.client("cloudwatch").describe_alarms(AlarmNames=[removal.name])
    (alarm,) = response["MetricAlarms"]
    dimensions = frozenset((one["Name"], one["Value"]) for one in alarm["Dimensions"])
    watched = [
        datum.value
        for datum in metrics
        if (datum.namespace, datum.name, datum.dimensions)
        == (alarm["Namespace"], alarm["MetricName"], dimensions)
    ]
    assert watched == [0, 1]
    assert watched[1] >= alarm["Threshold"] > watched[0]

    assert removal.sandbox.delete(removal.name).status == "DELETE_COMPLETE"
    assert removal.receive(removal.all_events) == []


def test_a_rejected_event_changes_no_outcome_and_metrics_can_be_off(
    removal: MonitoredRemoval,
) -> None:
    node, *_ = removal.nodes.node_ids("workers")
    no_bus = removal.bus_arn.replace(":event-bus/", ":archive/")
    deployed = removal.deploy_monitored(node, bus_arn=no_bus, metrics="false")
    assert deployed.status == "CREATE_COMPLETE"
    assert removal.receive(removal.all_events) == []
    lines = removal.sandbox.log_lines(deployed.outputs["Log"])
    assert [line for line in lines if "event of this removal was not sent" in line]
    assert not any(is_document(line) for line in lines)
