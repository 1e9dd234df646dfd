"""A removal that wants a marker in S3 for every node: `s3://BUCKET/PREFIX<node id>`."""

from pathlib import Path

from aws_cdk import Annotations, App, CfnOutput, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from hyperpod_node_removal import NodeRemoval, RemovalWarning

PREFIX = "hyperpod-backups/"


class BackedUpRemovalStack(Stack):
    """Nodes that leave a cluster once their data is known to be saved."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        cluster_arn: str,
        bucket_name: str,
        node_ids: list[str],
    ) -> None:
        super().__init__(scope, construct_id)
        hook = lambda_.Function(
            self,
            "BackupMarker",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=lambda_.Code.from_asset(str(Path(__file__).parent / "function")),
            handler="index.handler",
            environment={"BUCKET": bucket_name, "PREFIX": PREFIX},
            timeout=Duration.minutes(5),
            log_group=logs.LogGroup(self, "Log", retention=logs.RetentionDays.ONE_YEAR),
        )
        bucket_arn = self.format_arn(service="s3", region="", account="", resource=bucket_name)
        hook.add_to_role_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[bucket_arn],
                conditions={"StringLike": {"s3:prefix": f"{PREFIX}*"}},
            )
        )
        removal = NodeRemoval(
            self,
            "Removal",
            cluster_arn=cluster_arn,
            node_ids=node_ids,
            before_removal=hook,
        )
        Annotations.of(removal).acknowledge_warning(
            RemovalWarning.DATA_LOSS, "the hook wants a backup marker for every node"
        )
        CfnOutput(self, "RemovedNodes", value=removal.removed_nodes)


app = App()
BackedUpRemovalStack(
    app,
    "BackedUpRemoval",
    cluster_arn=str(app.node.get_context("cluster_arn")),
    bucket_name=str(app.node.get_context("bucket")),
    node_ids=list(filter(None, str(app.node.get_context("node_ids")).split(","))),
)
app.synth()
