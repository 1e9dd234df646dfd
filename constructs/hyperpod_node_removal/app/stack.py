"""The stack: one removal, its attributes as Outputs."""

from typing import Final

from aws_cdk import Annotations, CfnOutput, Duration, Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from hyperpod_node_removal._removal import NodeRemoval
from hyperpod_node_removal._warnings import RemovalWarning
from hyperpod_node_removal_contract import Attribute
from hyperpod_node_removal_file import Settings

OUTPUTS: Final = {
    Attribute.OUTCOME: "The outcome of the removal",
    Attribute.CLUSTER_NAME: "The cluster",
    Attribute.REQUESTED_COUNT: "Nodes in the set",
    Attribute.PLANNED_COUNT: "Nodes that a dry run would have removed",
    Attribute.REMOVED_COUNT: "Nodes this deployment removed",
    Attribute.ACCEPTED_COUNT: "Nodes that were still leaving at the end",
    Attribute.ALREADY_ABSENT_COUNT: "Nodes that were already gone",
    Attribute.FAILED_COUNT: "Nodes that could not be removed",
    Attribute.PLANNED_NODES: "Nodes that a dry run would have removed",
    Attribute.REMOVED_NODES: "Nodes this deployment removed",
    Attribute.ACCEPTED_NODES: "Nodes that were still leaving at the end",
    Attribute.ALREADY_ABSENT_NODES: "Nodes that were already gone",
    Attribute.FAILED_NODES: "Nodes that could not be removed",
    Attribute.REQUESTED_NODES: "The set that these Outputs are about",
    Attribute.INSTANCE_GROUP_TARGET_COUNTS: "Target counts to copy to the cluster's template",
    Attribute.WARNINGS: "What may add instances again where nodes were removed",
}
"""Descriptions of the Outputs, which are named as the attributes are."""

# Who types ids on a command line at 3 a.m. reads every warning. A file is there to be read before
# it is deployed, node by node, and what its readers have in front of them need not be said again at
# each deployment. That a name in it widens the permissions they cannot see; an ARN in the file ends
# that warning.
_SEEN_IN_A_FILE: Final = (RemovalWarning.DATA_LOSS, RemovalWarning.STALE_INSTANCE_IDS)


class NodeRemovalStack(Stack):
    """A stack that removes one set of nodes. It is deployed to the environment of the CLI."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(
            scope,
            settings.stack_name,
            stack_name=settings.stack_name,  # within a stage too, which would add its own name
            description=f"Removes nodes from the SageMaker HyperPod cluster {settings.cluster}",
        )
        is_arn = settings.cluster.startswith("arn:")
        self.removal = NodeRemoval(
            self,
            "Removal",
            cluster_arn=settings.cluster if is_arn else None,
            cluster_name=None if is_arn else settings.cluster,
            node_ids=settings.node_ids,
            node_logical_ids=settings.node_logical_ids,
            on_partial_failure=settings.on_partial_failure,
            wait_for=settings.wait_for,
            min_remaining=settings.min_remaining or None,
            max_removals=settings.max_removals,
            protected_groups=settings.protected_groups,
            expected_groups=settings.expected_groups,
            missing_nodes=settings.missing_nodes,
            dry_run=settings.dry_run,
            before_removal=self._function(settings.before_removal),
            timeout=Duration.seconds(settings.timeout),
            retry_for=Duration.seconds(settings.retry_for),
            retry_token=settings.retry_token,
            verdict_event=settings.verdict_event,
            eks_cluster_arn=settings.eks_cluster_arn,
        )
        if settings.file is not None:
            for warning in _SEEN_IN_A_FILE:
                Annotations.of(self.removal).acknowledge_warning(
                    warning.value, f"the nodes are named in {settings.file}"
                )
        for attribute, description in OUTPUTS.items():
            CfnOutput(
                self,
                attribute.value,
                description=description,
                value=self.removal.resource.get_att_string(attribute.value),
            )
        CfnOutput(
            self,
            "LogGroup",
            description="What happened to each node",
            value=self.removal.provider.log_group.log_group_name,
        )

    def _function(self, arn: str | None) -> lambda_.IFunction | None:
        """The function that is asked before the first node goes, which is deployed elsewhere."""
        return lambda_.Function.from_function_arn(self, "BeforeRemoval", arn) if arn else None
