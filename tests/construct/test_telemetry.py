"""Metrics, events, alarms and a dashboard in a template; and nothing of them where they are off."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template

from hyperpod_node_removal import (
    ClusterMetrics,
    InvalidPropertyError,
    NodeRemoval,
    NodeRemovalDashboard,
    NodeRemovalError,
    NodeRemovalProvider,
)
from hyperpod_node_removal_contract import RESOURCE_TYPE
from tests.construct.test_template import CFN_LINT, CLUSTER_ARN, NOT_OURS

pytestmark = pytest.mark.xdist_group("construct-template")

BUS_ARN = "arn:aws:events:us-west-2:111122223333:event-bus/operations"


class Synthesized:
    """Stacks with everything on, with parameters in its place, and with everything off."""

    def __init__(self) -> None:
        app = App(analytics_reporting=False)
        self.off, self.on = Stack(app, "Off"), Stack(app, "On")
        self.parameters = Stack(app, "Parameters")
        NodeRemoval(self.off, "Removal", cluster_name="ml-cluster")
        self._everything(self.on)
        self._from_parameters(self.parameters)
        self.templates: dict[str, dict[str, Any]] = {
            stack.stack_name: dict(Template.from_stack(stack).to_json())
            for stack in (self.off, self.on, self.parameters)
        }

    def _everything(self, stack: Stack) -> None:
        topic = sns.Topic(stack, "Topic", enforce_ssl=True)
        bus = events.EventBus.from_event_bus_arn(stack, "Bus", BUS_ARN)
        provider = NodeRemovalProvider(stack, metrics=True, event_bus=bus)
        removal = NodeRemoval(stack, "Removal", cluster_arn=CLUSTER_ARN)
        removal.alarm_on_failures(actions=[actions.SnsAction(topic)], threshold=3)
        removal.on_finished("Finished", target=targets.SnsTopic(topic), description="Tell")
        removal.on_failed("Failed").add_target(targets.SnsTopic(topic))
        provider.on_failed("AnyFailed", rule_name="any-failed")
        provider.on_finished("AnyFinished")
        NodeRemovalDashboard(stack, "Dashboard", provider=provider)
        NodeRemovalDashboard(
            stack, "OfOne", provider=provider, cluster="ml-cluster", dashboard_name="of-one"
        )

    def _from_parameters(self, stack: Stack) -> None:
        metrics = CfnParameter(stack, "Metrics", allowed_values=["true", "false"])
        arn = CfnParameter(stack, "BusArn").value_as_string
        NodeRemovalProvider(
            stack,
            metrics=metrics.value_as_string,  # type: ignore[arg-type] # a token passes
            event_bus=events.EventBus.from_event_bus_arn(stack, "Bus", arn),
        )
        NodeRemoval(stack, "Removal", cluster_name="ml-cluster").alarm_on_failures()

    def resources(self, stack: str, resource_type: str) -> dict[str, dict[str, Any]]:
        resources = self.templates[stack]["Resources"]
        return {key: one for key, one in resources.items() if one["Type"] == resource_type}

    def one(self, stack: str, resource_type: str, part: str = "") -> dict[str, Any]:
        """Properties of the one resource of a type with this in its logical id."""
        found = self.resources(stack, resource_type)
        (resource,) = (one["Properties"] for key, one in found.items() if part in key)
        assert isinstance(resource, dict)
        return resource

    def variables(self, stack: str) -> Any:
        function = self.one(stack, "AWS::Lambda::Function")
        return function.get("Environment", {"Variables": {}})["Variables"]


@pytest.fixture(scope="module")
def synthesized() -> Synthesized:
    return Synthesized()


# The switches --------------------------------------------------------------------------------


def test_off_leaves_nothing_behind(synthesized: Synthesized) -> None:
    text = json.dumps(synthesized.templates["Off"])
    assert "events:" not in text
    assert "AWS::Events" not in text
    assert "AWS::CloudWatch" not in text
    assert synthesized.variables("Off") == {}


def test_on_tells_the_function(synthesized: Synthesized) -> None:
    variables = synthesized.variables("On")
    assert (variables["METRICS"], variables["EVENT_BUS"]) == ("true", BUS_ARN)


def test_the_function_may_send_events_to_the_one_bus(synthesized: Synthesized) -> None:
    policy = synthesized.one("On", "AWS::IAM::Policy", "FinishedEvents")
    assert policy["PolicyDocument"]["Statement"] == [
        {"Action": "events:PutEvents", "Effect": "Allow", "Resource": BUS_ARN}
    ]


def test_parameters_of_a_template_can_switch(synthesized: Synthesized) -> None:
    variables = synthesized.variables("Parameters")
    assert (variables["METRICS"], variables["EVENT_BUS"]) == ({"Ref": "Metrics"}, {"Ref": "BusArn"})
    policy = synthesized.one("Parameters", "AWS::IAM::Policy", "FinishedEvents")
    assert policy["PolicyDocument"]["Statement"][0]["Resource"] == {"Ref": "BusArn"}


def test_the_removal_waits_for_its_rules_its_alarm_and_the_permission(
    synthesized: Synthesized,
) -> None:
    ((_, removal),) = synthesized.resources("On", RESOURCE_TYPE).items()
    waits_for = removal["DependsOn"]
    for part in ("FinishedEvents", "RemovalFinished", "RemovalFailed", "FailureAlarm"):
        assert any(part in logical_id for logical_id in waits_for)


@pytest.mark.parametrize("value", ["on", 1, None])
def test_a_switch_is_true_or_false(value: Any) -> None:
    with pytest.raises(InvalidPropertyError, match=r"Stack/Provider: metrics: .* True or False"):
        NodeRemovalProvider(Stack(App(), "Stack"), "Provider", metrics=value)


def test_an_event_bus_is_a_construct() -> None:
    with pytest.raises(InvalidPropertyError, match=r"event_bus: 'default' \(str\) is not an event"):
        NodeRemovalProvider(Stack(App(), "Stack"), event_bus="default")  # type: ignore[arg-type]


# Metrics -------------------------------------------------------------------------------------


def removal_with(metrics: bool = True) -> NodeRemoval:
    stack = Stack(App(), "Stack")
    NodeRemovalProvider(stack, metrics=metrics)
    return NodeRemoval(stack, "Removal", cluster_name="ml-cluster")


def test_each_metric_has_a_method() -> None:
    removal = removal_with()
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


def test_options_of_a_metric_are_those_of_cloudwatch() -> None:
    metric = removal_with().metric_failed_nodes(
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
def test_a_metric_without_data_is_refused(name: str, code: str | None, match: str) -> None:
    with pytest.raises(InvalidPropertyError, match=match):
        ClusterMetrics("ml-cluster").metric(name, code=code)


def test_a_metric_that_is_not_written_is_refused() -> None:
    removal = removal_with(metrics=False)
    with pytest.raises(NodeRemovalError, match=r"Provider writes no metrics; give .* metrics=True"):
        removal.metric_failed_nodes()
    with pytest.raises(NodeRemovalError, match="writes no metrics"):
        removal.alarm_on_failures()
    with pytest.raises(NodeRemovalError, match="writes no metrics"):
        NodeRemovalDashboard(Stack(App(), "Other"), "Dashboard", provider=removal.provider)


def test_the_alarm_is_quiet_without_removals(synthesized: Synthesized) -> None:
    alarm = synthesized.one("On", "AWS::CloudWatch::Alarm")
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


def test_a_stack_that_stays_can_have_the_alarm() -> None:
    stack = Stack(App(), "Alarms")
    alarm = ClusterMetrics(CLUSTER_ARN).alarm_on_failures(stack, "Failures", alarm_name="failures")
    assert isinstance(alarm, cloudwatch.Alarm)
    (found,) = Template.from_stack(stack).find_resources("AWS::CloudWatch::Alarm").values()
    assert found["Properties"]["AlarmName"] == "failures"
    assert found["Properties"]["Dimensions"] == [{"Name": "ClusterName", "Value": CLUSTER_ARN}]


def test_a_cluster_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidPropertyError, match="ClusterMetrics: cluster: '-ml' is not"):
        ClusterMetrics("-ml")
    provider = NodeRemovalProvider(Stack(App(), "Stack"), metrics=True)
    with pytest.raises(InvalidPropertyError, match="Other/Dashboard: cluster: "):
        NodeRemovalDashboard(
            Stack(App(), "Other"), "Dashboard", provider=provider, cluster='ml" OR "'
        )


# Rules ---------------------------------------------------------------------------------------


def test_a_rule_of_a_removal_is_for_it_alone(synthesized: Synthesized) -> None:
    rule = synthesized.one("On", "AWS::Events::Rule", "RemovalFinished")
    ((logical_id, _),) = synthesized.resources("On", RESOURCE_TYPE).items()
    assert rule["EventBusName"] == "operations"
    assert rule["Description"] == "Tell"
    assert rule["EventPattern"] == {
        "source": ["hyperpod.node-removal"],
        "detail-type": ["HyperPod Node Removal Finished"],
        "detail": {"StackId": [{"Ref": "AWS::StackId"}], "LogicalResourceId": [logical_id]},
    }
    (target,) = rule["Targets"]
    assert "Topic" in target["Arn"]["Ref"]


def test_a_rule_of_a_provider_is_for_every_removal(synthesized: Synthesized) -> None:
    finished = synthesized.one("On", "AWS::Events::Rule", "AnyFinished")
    assert "detail" not in finished["EventPattern"]
    failed = synthesized.one("On", "AWS::Events::Rule", "AnyFailed")
    assert failed["EventPattern"]["detail"] == {"Outcome": ["FAILED", "PARTIAL"]}
    assert failed["Name"] == "any-failed"


def test_without_a_bus_there_are_no_rules() -> None:
    removal = removal_with()
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


def test_the_dashboard_shows_every_cluster_or_one(synthesized: Synthesized) -> None:
    bodies = {
        name: widgets(one["Properties"]["DashboardBody"])
        for name, one in synthesized.resources("On", "AWS::CloudWatch::Dashboard").items()
    }
    (every,) = (body for name, body in bodies.items() if name.startswith("Dashboard"))
    (one,) = (body for name, body in bodies.items() if name.startswith("OfOne"))
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


def test_cfn_lint_finds_nothing(synthesized: Synthesized, tmp_path: Path) -> None:
    for name, template in synthesized.templates.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(template))
    done = subprocess.run(
        [CFN_LINT, "--ignore-checks", *NOT_OURS, "--", *tmp_path.iterdir()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)
