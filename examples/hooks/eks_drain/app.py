"""A removal that drains the nodes of a HyperPod cluster on EKS first."""

from pathlib import Path

from aws_cdk import Annotations, App, CfnOutput, Duration, Stack
from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from hyperpod_node_removal import NodeRemoval, RemovalWarning

GROUP = "hyperpod-node-drain"
"""The Kubernetes group that rbac.yaml gives its rights to."""


class DrainedRemovalStack(Stack):
    """Nodes that leave a cluster once they are drained."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        cluster_arn: str,
        eks_cluster_arn: str,
        node_ids: list[str],
        timeout: Duration,
    ) -> None:
        super().__init__(scope, construct_id)
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group = logs.LogGroup(self, "Log", retention=logs.RetentionDays.ONE_YEAR)
        log_group.grant_write(role)
        hook = lambda_.Function(
            self,
            "Drain",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=lambda_.Code.from_asset(str(Path(__file__).parent / "function")),
            handler="eks_drain.index.handler",
            role=role,
            timeout=Duration.minutes(12),
            memory_size=256,
            log_group=log_group,
        )
        hook.add_to_role_policy(
            iam.PolicyStatement(actions=["eks:DescribeCluster"], resources=[eks_cluster_arn])
        )
        access = eks.CfnAccessEntry(
            self,
            "Access",
            cluster_name=eks_cluster_arn.partition(":cluster/")[2],
            principal_arn=role.role_arn,
            kubernetes_groups=[GROUP],
        )
        removal = NodeRemoval(
            self,
            "Removal",
            cluster_arn=cluster_arn,
            eks_cluster_arn=eks_cluster_arn,
            node_ids=node_ids,
            before_removal=hook,
            timeout=timeout,
        )
        removal.node.add_dependency(access)
        Annotations.of(removal).acknowledge_warning(
            RemovalWarning.DATA_LOSS, "pods are evicted first, and keep their data elsewhere"
        )
        CfnOutput(self, "RemovedNodes", value=removal.removed_nodes)


app = App()
DrainedRemovalStack(
    app,
    "DrainedRemoval",
    cluster_arn=str(app.node.get_context("cluster_arn")),
    eks_cluster_arn=str(app.node.get_context("eks_cluster_arn")),
    node_ids=list(filter(None, str(app.node.get_context("node_ids")).split(","))),
    timeout=Duration.seconds(int(app.node.try_get_context("timeout") or 1800)),
)
app.synth()
