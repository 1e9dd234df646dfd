"""A CloudWatch dashboard of removals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Duration
from constructs import Construct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._provider_interface import INodeRemovalProvider, ProviderParts
from hyperpod_node_removal._validation import check_text, construct_path
from hyperpod_node_removal_contract.telemetry import METRIC_NAMESPACE, Dimension, Metric

if TYPE_CHECKING:
    from aws_cdk import aws_cloudwatch as cloudwatch

_HALF: Final = 12
"""Columns of a dashboard that half a row takes."""
_PERIOD: Final = 300
_LINES_MAX: Final = 100


class NodeRemovalDashboard(Construct):
    """Nodes removed, failed and absent, how long it took, and what the log says of each node."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        provider: INodeRemovalProvider,
        cluster: str | None = None,
        dashboard_name: str | None = None,
    ) -> None:
        """Make the dashboard.

        Args:
            scope: the stack, or a construct in it.
            construct_id: unique within `scope`.
            provider: the function, with metrics on. Its log is searched for the nodes.
            cluster: name or ARN, as the removals write it, of the one cluster to show. Default:
                every cluster from which nodes were removed in the account and region.
            dashboard_name: its name. Default: one that CloudFormation makes.

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
                    _log_lines(provider),
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
    """A line for each cluster, or each cluster and code, that CloudWatch finds."""
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


def _log_lines(provider: INodeRemovalProvider) -> cloudwatch.LogQueryWidget:
    """The latest lines of the log that are about one node."""
    from aws_cdk import aws_cloudwatch as cloudwatch  # noqa: PLC0415

    return cloudwatch.LogQueryWidget(
        title="Nodes in the log, the latest first",
        width=_HALF,
        log_group_names=[provider.log_group.log_group_name],
        query_lines=[
            "fields @timestamp, node, code, message",
            "filter ispresent(node)",
            "sort @timestamp desc",
            f"limit {_LINES_MAX}",
        ],
    )
