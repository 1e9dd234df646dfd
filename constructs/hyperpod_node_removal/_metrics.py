"""The metrics of removals, as the function writes them, for alarms and graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from aws_cdk import Duration
from constructs import Construct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal._validation import check_text
from hyperpod_node_removal_contract.telemetry import (
    METRIC_CODES,
    METRIC_NAMESPACE,
    METRICS_VARIABLE,
    OTHER_CODE,
    Dimension,
    Metric,
)

if TYPE_CHECKING:
    from aws_cdk import aws_cloudwatch as cloudwatch

_ALARM_PERIODS: Final = 2
"""Of which one has to have failures. A removal is a single datum, and its log may be late."""


class MetricOptions(TypedDict, total=False):
    """Options of a metric, those of `aws_cdk.aws_cloudwatch.MetricOptions`."""

    account: str
    color: str
    id: str
    label: str
    period: Duration
    """Default: 5 minutes."""
    region: str
    statistic: str
    """Default: the sum; of durations, the maximum."""
    unit: cloudwatch.Unit
    visible: bool


class MetricMethods:
    """The metrics of the removals from one cluster, each as a `Metric`."""

    @property
    def _metrics_cluster(self) -> str:
        """Value of the dimension `ClusterName`."""
        raise NotImplementedError

    def metric(
        self, metric_name: str, *, code: str | None = None, **options: Unpack[MetricOptions]
    ) -> cloudwatch.Metric:
        """A metric by its name.

        Args:
            metric_name: one of `RemovedNodes`, `FailedNodes`, `AlreadyAbsentNodes`, `Duration`.
            code: of the failures with this code only; `FailedNodes` has that. Default: of all.
            options: those of `aws_cdk.aws_cloudwatch.MetricOptions`.

        Raises:
            InvalidPropertyError: there is no such metric, which would never have any data.
        """
        from aws_cdk import aws_cloudwatch as cloudwatch  # noqa: PLC0415

        check_text("metric", "metric_name", metric_name, _validate_metric)
        if code is not None:
            check_text("metric", "code", code, _validate_code)
            if metric_name != Metric.FAILED_NODES:
                problem = f"{metric_name} has none; allowed: with {Metric.FAILED_NODES} only"
                raise InvalidPropertyError("metric", "code", problem)
        dimensions = {Dimension.CLUSTER_NAME.value: self._metrics_cluster}
        if code is not None:
            dimensions[Dimension.CODE.value] = code
        is_duration = metric_name == Metric.DURATION
        options.setdefault(
            "statistic", cloudwatch.Stats.MAXIMUM if is_duration else cloudwatch.Stats.SUM
        )
        return cloudwatch.Metric(
            namespace=METRIC_NAMESPACE,
            metric_name=str(metric_name),
            dimensions_map=dimensions,
            **options,
        )

    def metric_removed_nodes(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Nodes that left. Default: their sum over 5 minutes."""
        return self.metric(Metric.REMOVED_NODES, **options)

    def metric_failed_nodes(
        self, *, code: str | None = None, **options: Unpack[MetricOptions]
    ) -> cloudwatch.Metric:
        """Nodes that could not be removed, all or those of one code. Default: their sum over 5
        minutes."""
        return self.metric(Metric.FAILED_NODES, code=code, **options)

    def metric_already_absent_nodes(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Nodes that were already gone. Default: their sum over 5 minutes."""
        return self.metric(Metric.ALREADY_ABSENT_NODES, **options)

    def metric_duration(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Seconds that removals took. Default: the longest of 5 minutes."""
        return self.metric(Metric.DURATION, **options)


class ClusterMetrics(MetricMethods):
    """The metrics of all removals from one cluster, for stacks that outlive a removal::

    metrics = ClusterMetrics("ml-cluster")
    metrics.alarm_on_failures(stack, "Failures", actions=[SnsAction(topic)])
    """

    def __init__(self, cluster: str) -> None:
        """`cluster` is its name or its ARN, as the removals write it: the two are two metrics.

        Raises:
            InvalidPropertyError: it is neither.
        """
        check_text(type(self).__name__, "cluster", cluster, contract.validate_cluster_name)
        self._cluster = cluster

    @property
    def _metrics_cluster(self) -> str:
        return self._cluster

    def alarm_on_failures(
        self,
        scope: Construct,
        construct_id: str,
        *,
        threshold: int = 1,
        actions: Sequence[cloudwatch.IAlarmAction] = (),
        alarm_name: str | None = None,
    ) -> cloudwatch.Alarm:
        """An alarm for when nodes of the cluster could not be removed.

        Args:
            scope: the stack, or a construct in it.
            construct_id: unique within `scope`.
            threshold: how many nodes within 5 minutes it takes. Default: one.
            actions: what to do when it goes off, such as `SnsAction(topic)`. Default: nothing.
            alarm_name: its name. Default: one that CloudFormation makes.
        """
        return failure_alarm(
            self, scope, construct_id, threshold=threshold, actions=actions, alarm_name=alarm_name
        )


def _validate_metric(value: str) -> str | None:
    return contract.validate_choice(value, Metric)


def _validate_code(value: str) -> str | None:
    if value in METRIC_CODES or value == OTHER_CODE:
        return None
    known = ", ".join(sorted(METRIC_CODES))
    return (
        f"{contract.quote(value)} has no metric; allowed: {known}, and {OTHER_CODE} for all others"
    )


def metric_variables(metrics: bool) -> dict[str, str]:
    """What the function is told of metrics. Nothing if it writes none.

    A token is told as it is: a parameter of the template may be `true` or `false`.
    """
    if metrics is False:
        return {}
    return {METRICS_VARIABLE: "true" if metrics is True else str(metrics)}


def failure_alarm(
    metrics: MetricMethods,
    scope: Construct,
    construct_id: str,
    *,
    threshold: int,
    actions: Sequence[cloudwatch.IAlarmAction],
    alarm_name: str | None,
) -> cloudwatch.Alarm:
    """The alarm of `alarm_on_failures`. Without removals there is no data, and all is well."""
    from aws_cdk import aws_cloudwatch as cloudwatch  # noqa: PLC0415

    alarm = metrics.metric_failed_nodes().create_alarm(
        scope,
        construct_id,
        alarm_name=alarm_name,
        alarm_description="Nodes of a HyperPod cluster could not be removed. The function's log"
        " has a line for each.",
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        threshold=threshold,
        evaluation_periods=_ALARM_PERIODS,
        datapoints_to_alarm=1,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    if actions:
        alarm.add_alarm_action(*actions)
    return alarm
