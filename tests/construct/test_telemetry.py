"""Metrics, events, alarms and a dashboard in a template. `default_template.json` has none."""

import json
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sns as sns

from hyperpod_node_removal import (
    ClusterMetrics,
    InvalidPropertyError,
    NodeRemoval,
    NodeRemovalDashboard,
    NodeRemovalError,
    NodeRemovalProvider,
)
from hyperpod_node_removal_contract import RESOURCE_TYPE
from tests.construct.stacks import CLUSTER_ARN, FUNCTION, Synthesized

BUS_ARN = "arn:aws:events:us-west-2:111122223333:event-bus/operations"
RULE, ALARM = "AWS::Events::Rule", "AWS::CloudWatch::Alarm"


def with_telemetry() -> Synthesized:
    """A stack with everything on."""
    stack = Stack(App(analytics_reporting=False), "On")
    topic = sns.Topic(stack, "Topic", enforce_ssl=True)
    bus = events.EventBus.from_event_bus_arn(stack, "Bus", BUS_ARN)
    provider = NodeRemovalProvider(stack, metrics=True, event_bus=bus)
    removal = NodeRemoval(stack, "Removal", cluster_arn=CLUSTER_ARN)
    removal.alarm_on_failures(actions=[actions.SnsAction(topic)], threshold=3)
    removal.on_finished("Finished", target=targets.SnsTopic(topic), description="Tell")
    removal.on_failed("Failed").add_target(targets.SnsTopic(topic))
    provider.on_failed("AnyFailed", rule_name="any-failed")
    provider.on_finished("AnyFinished")
    NodeRemovalDashboard(stack, "Every", provider=provider)
    NodeRemovalDashboard(
        stack, "OfOne", provider=provider, cluster="ml-cluster", dashboard_name="of-one"
    )
    return Synthesized(stack)


def with_parameters() -> Synthesized:
    """A stack that has parameters instead."""
    stack = Stack(App(analytics_reporting=False), "Parameters")
    metrics: Any = CfnParameter(stack, "Metrics", allowed_values=["true", "false"]).value_as_string
    arn = CfnParameter(stack, "BusArn").value_as_string
    bus = events.EventBus.from_event_bus_arn(stack, "Bus", arn)
    NodeRemovalProvider(stack, metrics=metrics, event_bus=bus)
    NodeRemoval(stack, "Removal", cluster_name="ml-cluster").alarm_on_failures()
    return Synthesized(stack)


@pytest.fixture(scope="module")
def on() -> Synthesized:
    return with_telemetry()


@pytest.fixture(scope="module")
def parameters() -> Synthesized:
    return with_parameters()


# The switches --------------------------------------------------------------------------------


def test_the_function_has_its_variables_and_may_send_events_to_one_bus(
    on: Synthesized, parameters: Synthesized
) -> None:
    for made, metrics, bus in (
        (on, "true", BUS_ARN),
        (parameters, {"Ref": "Metrics"}, {"Ref": "BusArn"}),
    ):
        variables = made.properties(FUNCTION)["Environment"]["Variables"]
        assert variables == {"METRICS": metrics, "EVENT_BUS": bus}
        assert made.statements("FinishedEvents") == [("events:PutEvents", bus)]


def test_the_removal_waits_for_its_rules_its_alarm_and_the_permission(on: Synthesized) -> None:
    waits_for = on.one(RESOURCE_TYPE)["DependsOn"]
    for part in ("FinishedEvents", "RemovalFinished", "RemovalFailed", "FailureAlarm"):
        assert any(part in logical_id for logical_id in waits_for)


@pytest.mark.parametrize("value", ["on", 1, None])
def test_metrics_is_true_or_false(stack: Stack, value: Any) -> None:
    with pytest.raises(InvalidPropertyError, match=r"Stack/Provider: metrics: .* True or False"):
        NodeRemovalProvider(stack, "Provider", metrics=value)


def test_an_event_bus_is_a_construct(stack: Stack) -> None:
    with pytest.raises(InvalidPropertyError, match=r"event_bus: 'default' \(str\) is not an event"):
        NodeRemovalProvider(stack, event_bus="default")  # type: ignore[arg-type]


# Metrics -------------------------------------------------------------------------------------


@pytest.fixture
def removal(stack: Stack) -> NodeRemoval:
    NodeRemovalProvider(stack, metrics=True)
    return NodeRemoval(stack, "Removal", cluster_name="ml-cluster")


def test_each_metric_has_a_method(removal: NodeRemoval) -> None:
    metrics = {
        "RemovedNodes": removal.metric_removed_nodes(),
        "FailedNodes": removal.metric_failed_nodes(),
        "AlreadyAbsentNodes": removal.metric_already_absent_nodes(),
        "Duration": removal.metric_duration(),
    }
    for name, metric in metrics.items():
        assert metric.metric_name == name
        assert metric.namespace == "HyperPodNodeRemoval"
        assert metric.dimensions == {"ClusterName": "ml-cluster"}
        assert metric.statistic == ("Maximum" if name == "Duration" else "Sum")


def test_options_of_a_metric_are_those_of_cloudwatch(removal: NodeRemoval) -> None:
    metric = removal.metric_failed_nodes(
        code="NodeIdInUse", statistic="Average", period=Duration.hours(1), label="In use"
    )
    assert metric.dimensions == {"ClusterName": "ml-cluster", "Code": "NodeIdInUse"}
    assert (metric.statistic, metric.label) == ("Average", "In use")
    assert metric.period.to_seconds() == 3600


@pytest.mark.parametrize(
    ("name", "code", "match"),
    [
        ("FailedNode", None, "'FailedNode' is unknown; allowed: RemovedNodes or FailedNodes"),
        ("FailedNodes", "InUse", "'InUse' has no metric; allowed: ClusterBusy, .* and Other"),
        ("Duration", "NodeIdInUse", "Duration has none; allowed: with FailedNodes only"),
    ],
)
def test_a_metric_without_data_is_rejected(name: str, code: str | None, match: str) -> None:
    with pytest.raises(InvalidPropertyError, match=match):
        ClusterMetrics("ml-cluster").metric(name, code=code)


def test_a_metric_that_is_not_written_is_an_error(stack: Stack) -> None:
    removal = NodeRemoval(stack, "Removal", cluster_name="ml-cluster")
    with pytest.raises(NodeRemovalError, match=r"Provider writes no metrics; give .* metrics=True"):
        removal.metric_failed_nodes()
    with pytest.raises(NodeRemovalError, match="writes no metrics"):
        removal.alarm_on_failures()
    with pytest.raises(NodeRemovalError, match="writes no metrics"):
        NodeRemovalDashboard(stack, "Dashboard", provider=removal.provider)


def test_the_alarm_does_not_go_off_without_removals(on: Synthesized) -> None:
    alarm = on.properties(ALARM)
    assert alarm.pop("AlarmDescription")
    (action,) = alarm.pop("AlarmActions")
    assert "Topic" in action["Ref"]
    assert alarm == {
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "DatapointsToAlarm": 1,
        "Dimensions": [{"Name": "ClusterName", "Value": CLUSTER_ARN}],
        "EvaluationPeriods": 2,
        "MetricName": "FailedNodes",
        "Namespace": "HyperPodNodeRemoval",
        "Period": 300,
        "Statistic": "Sum",
        "Threshold": 3,
        "TreatMissingData": "notBreaching",
    }


def test_a_long_lived_stack_can_have_the_alarm(stack: Stack) -> None:
    alarm = ClusterMetrics(CLUSTER_ARN).alarm_on_failures(stack, "Failures", alarm_name="failures")
    assert isinstance(alarm, cloudwatch.Alarm)
    found = Synthesized(stack).properties(ALARM)
    assert found["AlarmName"] == "failures"
    assert found["Dimensions"] == [{"Name": "ClusterName", "Value": CLUSTER_ARN}]


def test_an_invalid_cluster_is_rejected(stack: Stack, removal: NodeRemoval) -> None:
    with pytest.raises(InvalidPropertyError, match="ClusterMetrics: cluster: '-ml' is not"):
        ClusterMetrics("-ml")
    with pytest.raises(InvalidPropertyError, match="Stack/Dashboard: cluster: "):
        NodeRemovalDashboard(stack, "Dashboard", provider=removal.provider, cluster='ml" OR "')


# Rules ---------------------------------------------------------------------------------------


def test_a_rule_of_a_removal_is_for_it_alone(on: Synthesized) -> None:
    rule = on.properties(RULE, "RemovalFinished")
    (logical_id,) = on.resources(RESOURCE_TYPE)
    assert rule["EventBusName"] == "operations"
    assert rule["Description"] == "Tell"
    assert rule["EventPattern"] == {
        "source": ["hyperpod.node-removal"],
        "detail-type": ["HyperPod Node Removal Finished"],
        "detail": {"StackId": [{"Ref": "AWS::StackId"}], "LogicalResourceId": [logical_id]},
    }
    (target,) = rule["Targets"]
    assert "Topic" in target["Arn"]["Ref"]


def test_a_rule_of_a_provider_is_for_every_removal(on: Synthesized) -> None:
    finished = on.properties(RULE, "AnyFinished")
    assert "detail" not in finished["EventPattern"]
    failed = on.properties(RULE, "AnyFailed")
    assert failed["EventPattern"]["detail"] == {"Outcome": ["FAILED", "PARTIAL"]}
    assert failed["Name"] == "any-failed"


def test_without_a_bus_there_are_no_rules(removal: NodeRemoval) -> None:
    with pytest.raises(NodeRemovalError, match=r"Provider sends no events; give .* an event_bus"):
        removal.on_failed("Failed")


# The dashboard -------------------------------------------------------------------------------


def widgets(body: Any) -> list[dict[str, Any]]:
    """The widgets of a dashboard, with names in place of what is known at deployment only."""
    parts = body["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else next(iter(part)) for part in parts)
    found = json.loads(text)["widgets"]
    assert isinstance(found, list)
    return found


def test_the_dashboard_shows_every_cluster_or_one(on: Synthesized) -> None:
    every, one = (
        widgets(on.properties("AWS::CloudWatch::Dashboard", part)["DashboardBody"])
        for part in ("Every", "OfOne")
    )
    assert [widget["type"] for widget in every] == ["metric"] * 5 + ["log"]
    expressions = [
        widget["properties"]["metrics"][0][0]["expression"]
        for widget in every + one
        if widget["type"] == "metric"
    ]
    schema = "{HyperPodNodeRemoval,ClusterName}"
    assert expressions[0] == f"SEARCH('{schema} MetricName=\"RemovedNodes\"', 'Sum', 300)"
    assert expressions[3] == (
        "SEARCH('{HyperPodNodeRemoval,ClusterName,Code} MetricName=\"FailedNodes\"', 'Sum', 300)"
    )
    assert expressions[9] == (
        f"SEARCH('{schema} MetricName=\"Duration\" ClusterName=\"ml-cluster\"', 'Maximum', 300)"
    )
    query = every[5]["properties"]["query"]
    assert query.startswith("SOURCE 'Ref' | fields @timestamp, node, code, message")
