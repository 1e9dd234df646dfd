"""Warnings at synth of what to consider before nodes are removed.

The CDK CLI prints a warning, and with `--strict` fails, until it is acknowledged for the removal or
for a construct that contains it::

    Annotations.of(removal).acknowledge_warning(
        RemovalWarning.DATA_LOSS, "checkpoints are in S3, and the jobs have moved"
    )

A warning appears only where it can matter.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from aws_cdk import Annotations
from constructs import IConstruct

from hyperpod_node_removal._attributes import DeclaredRemoval


class RemovalWarning(StrEnum):
    """Ids of the warnings, for acknowledgement. They stay the same from version to version."""

    DATA_LOSS = "hyperpod-node-removal:DataLoss"
    """Data on the volumes of a removed node is lost. Not shown for a dry run or an empty set."""
    INSTANCE_COUNT_DRIFT = "hyperpod-node-removal:InstanceCountDrift"
    """The cluster's template keeps its old counts. Shown for a cluster of the same app."""
    CLUSTER_CHANGES_FIRST = "hyperpod-node-removal:ClusterChangesFirst"
    """The cluster's resource may be updated before the removal, because the removal does not have
    the construct as `cluster` but refers to it, or has its literal name."""
    ANY_CLUSTER_ALLOWED = "hyperpod-node-removal:AnyClusterAllowed"
    """Without the cluster's ARN, the permissions are for all clusters of the account and region."""
    STALE_INSTANCE_IDS = "hyperpod-node-removal:StaleInstanceIds"
    """An instance id may no longer be that of a node, unless missing nodes fail the removal."""
    REMOVALS_NOT_ORDERED = "hyperpod-node-removal:RemovalsNotOrdered"
    """A removal does not wait for an earlier one of the same cluster, which depends on it."""
    EMPTY_EXPORT = "hyperpod-node-removal:EmptyExport"
    """An attribute that may be empty is exported to another stack, or is an SSM parameter."""
    PROVIDER_NOT_USED = "hyperpod-node-removal:ProviderNotUsed"
    """A provider was created, but the removals of its stack use another function."""
    RESERVED_CONCURRENCY = "hyperpod-node-removal:ReservedConcurrency"
    """Fewer executions are reserved for the function than removals may run at once."""


_TEXTS: Final[Mapping[RemovalWarning, str]] = {
    RemovalWarning.DATA_LOSS: (
        "Data on the root and secondary volumes of the removed nodes is lost, even if the stack"
        " rolls back. Save it to S3 or FSx for Lustre, and move the jobs to other nodes, before"
        " you deploy."
    ),
    RemovalWarning.INSTANCE_COUNT_DRIFT: (
        "Removing nodes lowers the counts of the instance groups of {cluster}, but its template"
        " keeps the old InstanceCount, so the next update of the cluster would replace the removed"
        " nodes. After the removal, update the template with the counts in"
        " instance_group_target_counts."
    ),
    RemovalWarning.CLUSTER_CHANGES_FIRST: (
        "{why}, and if InstanceCount is lower, the service chooses which nodes to remove. Pass the"
        " construct as cluster to run the removal first."
    ),
    RemovalWarning.ANY_CLUSTER_ALLOWED: (
        "The ARN of a cluster cannot be derived from its name, so the function's permissions cover"
        " every HyperPod cluster in the account and region (cluster/*). {remedy}"
    ),
    RemovalWarning.STALE_INSTANCE_IDS: (
        "Automatic node recovery may replace a node with another instance. The id in node_ids then"
        " counts as already removed although the node is still in the cluster. If the cluster uses"
        " continuous provisioning, use node_logical_ids, which do not change; otherwise, set"
        " missing_nodes=MissingNodes.FAIL to reject a set with such an id."
    ),
    RemovalWarning.REMOVALS_NOT_ORDERED: (
        "{later} does not wait for {earlier}, although both may remove nodes from the same cluster:"
        " {earlier} already depends on it, through {between}, and CloudFormation rejects circular"
        " dependencies. If both run at the same time, neither one's guards account for what the"
        " other removes. Declare them in the order of that dependency, or deploy them one after"
        " the other."
    ),
    RemovalWarning.EMPTY_EXPORT: (
        "{attribute} may be empty, and is the value of {place}. CloudFormation rejects an empty"
        " value, so the deployment would fail after the nodes are gone. Use a count instead, such"
        " as failed_count, or add literal text, as in f'nodes:{{removal.failed_nodes}}'."
    ),
    RemovalWarning.PROVIDER_NOT_USED: (
        "No removal uses {provider}: {removal} uses {used}. The template has both functions. Pass"
        " the provider to the removals as provider, or delete it if nothing outside of the app"
        " uses it."
    ),
    RemovalWarning.RESERVED_CONCURRENCY: (
        "{reserved} concurrent executions are reserved for {provider}, but {at_once} removals may"
        " run at once. Lambda drops a request that has waited for {dropped_after} s (the function's"
        " MaximumEventAge), and the stack then waits until the removal's timeout and fails. Reserve"
        " at least {at_once}, or deploy the stacks one after the other."
    ),
}


def warn(construct: IConstruct, warning: RemovalWarning, **values: object) -> None:
    """Add a warning to a construct, with these values in its text."""
    text = _TEXTS[warning].format(**values)
    Annotations.of(construct).add_warning_v2(warning.value, text)


def warn_of_removal(
    declared: DeclaredRemoval,
    *,
    has_permissions: bool,
    has_instance_ids: bool,
    may_be_missing: bool,
) -> None:
    """Add the warnings that apply to one removal, whatever else is in the app.

    Args:
        declared: the removal.
        has_permissions: whether it gives the function the permissions that it needs.
        has_instance_ids: whether it lists nodes by instance id.
        may_be_missing: whether a node that is not in the cluster counts as removed.
    """
    removal, cluster, may_remove = declared.construct, declared.cluster, declared.may_remove
    if may_remove and cluster.managed is not None:
        path = cluster.managed.node.path
        warn(removal, RemovalWarning.INSTANCE_COUNT_DRIFT, cluster=path)
    if may_remove:
        warn(removal, RemovalWarning.DATA_LOSS)
    if cluster.arn is None and has_permissions:
        remedy = (
            "The ARN is not known before the cluster is created."
            if cluster.managed is not None
            else "Specify cluster_arn instead of the name to narrow them."
        )
        warn(removal, RemovalWarning.ANY_CLUSTER_ALLOWED, remedy=remedy)
    if may_remove and has_instance_ids and may_be_missing:
        warn(removal, RemovalWarning.STALE_INSTANCE_IDS)
