"""The metrics of removals, as the function writes them, for alarms, graphs and a dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from aws_cdk import Duration
from constructs import Construct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal._provider_interface import INodeRemovalProvider, ProviderParts
from hyperpod_node_removal._validation import check_text, construct_path
from hyperpod_node_removal_contract.telemetry import (
    METRIC_CODES,
    METRIC_NAMESPACE,
    OTHER_CODE,
    Dimension,
    Metric,
)

if TYPE_CHECKING:
    from aws_cdk import aws_cloudwatch as cloudwatch

_ALARM_PERIODS: Final = 2
"""One of them must have failures. A removal is a single data point, and its log may be late."""
_HALF: Final = 12
"""Columns of half a row of a dashboard."""
_PERIOD: Final = 300
_LINES_MAX: Final = 100


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
        """Return a metric by its name.

        Args:
            metric_name: one of `RemovedNodes`, `FailedNodes`, `AlreadyAbsentNodes`, `Duration`.
            code: count only failures with this code, with `FailedNodes`. Default: all.
            options: those of `aws_cdk.aws_cloudwatch.MetricOptions`.

        Raises:
            InvalidPropertyError: there is no such metric, which would never have any data.
        """
        from aws_cdk import aws_cloudwatch as cloudwatch  # noqa: PLC0415

        check_text("metric", "metric_name", metric_name, _validate_metric)
        dimensions = {Dimension.CLUSTER_NAME.value: self._metrics_cluster}
        if code is not None:
            check_text("metric", "code", code, _validate_code)
            if metric_name != Metric.FAILED_NODES:
                problem = f"{metric_name} has none; allowed: with {Metric.FAILED_NODES} only"
                raise InvalidPropertyError("metric", "code", problem)
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
        """Return the metric of nodes that left. Default: their sum over 5 minutes."""
        return self.metric(Metric.REMOVED_NODES, **options)

    def metric_failed_nodes(
        self, *, code: str | None = None, **options: Unpack[MetricOptions]
    ) -> cloudwatch.Metric:
        """Return the metric of failed nodes, all or by code. Default: their sum over 5 minutes."""
        return self.metric(Metric.FAILED_NODES, code=code, **options)

    def metric_already_absent_nodes(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the metric of nodes that were already gone. Default: their sum over 5 minutes."""
        return self.metric(Metric.ALREADY_ABSENT_NODES, **options)

    def metric_duration(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Return the metric of the seconds removals took. Default: the longest of 5 minutes."""
        return self.metric(Metric.DURATION, **options)


class ClusterMetrics(MetricMethods):
    """The metrics of all removals from one cluster, for stacks that outlive a removal.

    ::

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
        """Create an alarm for nodes of the cluster that could not be removed.

        Args:
            scope: the stack, or a construct in it.
            construct_id: unique within `scope`.
            threshold: how many nodes within 5 minutes set it off. Default: one.
            actions: what to do when it goes off, such as `SnsAction(topic)`. Default: nothing.
            alarm_name: its name. Default: one that CloudFormation generates.
        """
        from aws_cdk import aws_cloudwatch as cloudwatch  # noqa: PLC0415

        alarm = self.metric_failed_nodes().create_alarm(
            scope,
            construct_id,
            alarm_name=alarm_name,
            alarm_description="Nodes of a HyperPod cluster could not be removed. The function's log"
            " has a line for each.",
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            threshold=threshold,
            evaluation_periods=_ALARM_PERIODS,
            datapoints_to_alarm=1,
            # Without removals there is no data, and nothing is wrong.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        if actions:
            alarm.add_alarm_action(*actions)
        return alarm


def _validate_metric(value: str) -> str | None:
    return contract.validate_choice(value, Metric)


def _validate_code(value: str) -> str | None:
    if value in METRIC_CODES or value == OTHER_CODE:
        return None
    known = ", ".join(sorted(METRIC_CODES))
    return (
        f"{contract.quote(value)} has no metric; allowed: {known}, and {OTHER_CODE} for all others"
    )


class NodeRemovalDashboard(Construct):
    """A dashboard of nodes removed, failed and absent, durations, and log entries of each node."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        provider: INodeRemovalProvider,
        cluster: str | None = None,
        dashboard_name: str | None = None,
    ) -> None:
        """Create the dashboard.

        Args:
            scope: the stack, or a construct in it.
            construct_id: unique within `scope`.
            provider: the function, with metrics on. Its log is searched for the nodes.
            cluster: name or ARN, as the removals write it, of the one cluster to show. Default:
                every cluster from which nodes were removed in the account and region.
            dashboard_name: its name. Default: one that CloudFormation generates.

        Raises:
            InvalidPropertyError: `cluster` is not the name or the ARN of a cluster.
            NodeRemovalError: the provider writes no metrics.
        """
        from aws_cdk import aws_cloudwatch as cloudwatch  # noqa: PLC0415

        if cluster is not None:
            path = construct_path(scope, construct_id)
            check_text(path, "cluster", cluster, contract.validate_cluster_name)
        ProviderParts.of(provider).require_metrics()
        super().__init__(scope, construct_id)
        where = "" if cluster is None else f' {Dimension.CLUSTER_NAME}="{cluster}"'
        self._dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=dashboard_name,
            default_interval=Duration.days(14),
            widgets=[
                [
                    _graph("Removed nodes", Metric.REMOVED_NODES, where),
                    _graph("Failed nodes", Metric.FAILED_NODES, where),
                ],
                [
                    _graph("Nodes that were already absent", Metric.ALREADY_ABSENT_NODES, where),
                    _graph("Failed nodes by code", Metric.FAILED_NODES, where, by_code=True),
                ],
                [
                    _graph(
                        "Longest removal, in seconds",
                        Metric.DURATION,
                        where,
                        statistic=cloudwatch.Stats.MAXIMUM,
                    ),
                    cloudwatch.LogQueryWidget(
                        title="Nodes in the log, the latest first",
                        width=_HALF,
                        log_group_names=[provider.log_group.log_group_name],
                        query_lines=[
                            "fields @timestamp, node, code, message",
                            "filter ispresent(node)",
                            "sort @timestamp desc",
                            f"limit {_LINES_MAX}",
                        ],
                    ),
                ],
            ],
        )

    @property
    def dashboard(self) -> cloudwatch.Dashboard:
        """The dashboard, to which widgets can be added."""
        return self._dashboard


def _graph(
    title: str,
    metric: Metric,
    where: str,
    *,
    statistic: str = "Sum",
    by_code: bool = False,
) -> cloudwatch.GraphWidget:
    """Return a graph with a line for each cluster, or each cluster and code, in CloudWatch."""
    from aws_cdk import aws_cloudwatch as cloudwatch  # noqa: PLC0415

    dimensions = [Dimension.CLUSTER_NAME, Dimension.CODE] if by_code else [Dimension.CLUSTER_NAME]
    schema = ",".join([METRIC_NAMESPACE, *dimensions])
    return cloudwatch.GraphWidget(
        title=title,
        width=_HALF,
        left=[
            cloudwatch.MathExpression(
                expression=f"SEARCH('{{{schema}}} MetricName=\"{metric}\"{where}',"
                f" '{statistic}', {_PERIOD})",
                label="",
                period=Duration.seconds(_PERIOD),
            )
        ],
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
    )
