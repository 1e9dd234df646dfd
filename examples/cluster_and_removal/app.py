"""A cluster and the removals from it in one app, in the order that keeps healthy nodes.

The number of workers and the faulty ones are in `cdk.json`.
"""

from aws_cdk import Annotations, App, CfnOutput, Stack
from aws_cdk.aws_sagemaker import CfnCluster
from constructs import Construct

from hyperpod_node_removal import NodeRemoval, RemovalWarning

EXECUTION_ROLE = "arn:aws:iam::111122223333:role/HyperPodInstances"
LIFE_CYCLE_SCRIPTS = "s3://sagemaker-team-scripts/hyperpod"


class ClusterStack(Stack):
    """The team's cluster, and the nodes to remove from it."""

    def __init__(
        self, scope: Construct, construct_id: str, *, worker_count: int, faulty: list[str]
    ) -> None:
        super().__init__(scope, construct_id)
        cluster = CfnCluster(
            self,
            "Cluster",
            # A literal name, because a removal that refers to the resource would come second.
            cluster_name="team-cluster",
            node_provisioning_mode="Continuous",
            node_recovery="Automatic",
            instance_groups=[
                self._group("head", "ml.m5.xlarge", 1, "Controller"),
                self._group("workers", "ml.p5.48xlarge", worker_count, "Compute"),
            ],
        )
        removal = NodeRemoval(
            self,
            "FaultyNodes",
            cluster=cluster,
            node_logical_ids=faulty,
            expected_groups=["workers"],
            min_remaining={"workers": 4},
        )
        # Other warnings are printed, and fail `cdk deploy --strict`.
        for warning, why in {
            RemovalWarning.DATA_LOSS: "checkpoints are in FSx for Lustre; jobs are drained first",
            RemovalWarning.INSTANCE_COUNT_DRIFT: "the second step of README.md writes it back",
            RemovalWarning.ANY_CLUSTER_ALLOWED: "this is the only cluster of the account",
        }.items():
            Annotations.of(removal).acknowledge_warning(warning, why)
        for name, value in {
            "RemovedNodes": removal.removed_nodes,
            "InstanceGroupTargetCounts": removal.instance_group_target_counts,
        }.items():
            CfnOutput(self, name, value=value)

    @staticmethod
    def _group(
        name: str, instance_type: str, count: int, node_type: str
    ) -> CfnCluster.ClusterInstanceGroupProperty:
        return CfnCluster.ClusterInstanceGroupProperty(
            instance_group_name=name,
            instance_type=instance_type,
            instance_count=count,
            execution_role=EXECUTION_ROLE,
            life_cycle_config=CfnCluster.ClusterLifeCycleConfigProperty(
                source_s3_uri=LIFE_CYCLE_SCRIPTS, on_create="on_create.sh"
            ),
            slurm_config=CfnCluster.ClusterSlurmConfigProperty(node_type=node_type),
        )


app = App()
ClusterStack(
    app,
    "TeamCluster",
    worker_count=int(app.node.get_context("worker_count")),
    faulty=list(filter(None, str(app.node.get_context("faulty")).split(","))),
)
app.synth()
