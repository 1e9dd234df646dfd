"""What a person should have thought of before nodes are removed: warnings at synth.

Each stands until it is acknowledged, for the removal or for a construct around it::

    Annotations.of(removal).acknowledge_warning(
        RemovalWarning.DATA_LOSS, "checkpoints are in S3, and the jobs have moved"
    )

Until then the CDK CLI prints it, and with `--strict` it fails. A warning is given only where it can
bite, so that one that is read is worth reading.
"""

from enum import StrEnum

from aws_cdk import Annotations
from constructs import IConstruct

from hyperpod_node_removal._cluster import NamedCluster


class RemovalWarning(StrEnum):
    """Ids of the warnings, for acknowledgement. They stay the same from version to version."""

    DATA_LOSS = "hyperpod-node-removal:DataLoss"
    """Data on the volumes of a removed node is lost. Not for a dry run or an empty set."""
    INSTANCE_COUNT_DRIFT = "hyperpod-node-removal:InstanceCountDrift"
    """The cluster's template keeps its old counts. For a cluster of the same app."""
    CLUSTER_CHANGES_FIRST = "hyperpod-node-removal:ClusterChangesFirst"
    """The removal refers to the cluster's resource, which is therefore changed before it."""
    ANY_CLUSTER_ALLOWED = "hyperpod-node-removal:AnyClusterAllowed"
    """Without the cluster's ARN, the permissions are for every cluster of account and region."""
    STALE_INSTANCE_IDS = "hyperpod-node-removal:StaleInstanceIds"
    """An instance id may name a node no longer, unless missing nodes fail the removal."""


def warn(
    removal: IConstruct,
    cluster: NamedCluster,
    *,
    may_remove: bool,
    has_instance_ids: bool,
    may_be_missing: bool,
) -> None:
    """Give the warnings that apply to a removal.

    Args:
        may_remove: whether it can remove a node, as far as is known at synth.
        has_instance_ids: whether it names nodes by instance id.
        may_be_missing: whether a node that is not in the cluster counts as removed.
    """
    own = cluster.managed or cluster.referred
    found = {}
    if may_remove:
        found[RemovalWarning.DATA_LOSS] = (
            "Whatever is on the root and secondary volumes of the removed nodes is lost, also if"
            " the stack rolls back. Save it to S3 or FSx for Lustre, and move the jobs away, before"
            " this is deployed."
        )
    if may_remove and own is not None:
        found[RemovalWarning.INSTANCE_COUNT_DRIFT] = (
            f"Removing nodes lowers the counts of the instance groups of {own.node.path}, but"
            " its template keeps the old InstanceCount, and the next update of the cluster would"
            " add as many new nodes again. After the removal, write the counts of"
            " instance_group_target_counts into the template."
        )
    if cluster.referred is not None:
        found[RemovalWarning.CLUSTER_CHANGES_FIRST] = (
            f"cluster_arn or cluster_name refers to {cluster.referred.node.path}, so CloudFormation"
            " changes the cluster before the removal, and a lowered InstanceCount removes nodes of"
            " the service's choice. Pass the construct as cluster, which puts the removal first."
        )
    if cluster.arn is None:
        remedy = (
            "The ARN is not known before the cluster is made."
            if cluster.managed is not None
            else "Give cluster_arn instead of the name to narrow them."
        )
        found[RemovalWarning.ANY_CLUSTER_ALLOWED] = (
            "The ARN of a cluster cannot be told from its name, so the function's permissions are"
            f" for every HyperPod cluster of the account and region (cluster/*). {remedy}"
        )
    if may_remove and has_instance_ids and may_be_missing:
        found[RemovalWarning.STALE_INSTANCE_IDS] = (
            "Automatic recovery gives a node another instance, and the id in node_ids then counts"
            " as gone while the node is still there. Name it in node_logical_ids, which stay, if"
            " the cluster has continuous provisioning; or let missing_nodes=MissingNodes.FAIL"
            " refuse a set with such an id."
        )
    for warning, text in found.items():
        Annotations.of(removal).add_warning_v2(warning.value, text)
