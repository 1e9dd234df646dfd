"""Warnings at synth of what a person should consider before nodes are removed.

The CDK CLI prints a warning, and with `--strict` fails, until it is acknowledged for the removal or
for a construct that contains it::

    Annotations.of(removal).acknowledge_warning(
        RemovalWarning.DATA_LOSS, "checkpoints are in S3, and the jobs have moved"
    )

There is a warning only where it can matter, so that each is worth reading.
"""

from collections.abc import Sequence
from enum import StrEnum

from aws_cdk import Annotations
from constructs import IConstruct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._attributes import DeclaredRemoval
from hyperpod_node_removal_contract import Attribute


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


def warn(
    declared: DeclaredRemoval,
    *,
    has_permissions: bool,
    has_instance_ids: bool,
    may_be_missing: bool,
) -> None:
    """Add the warnings that apply to a removal.

    Args:
        declared: the removal.
        has_permissions: whether it gives the function the permissions that it needs.
        has_instance_ids: whether it lists nodes by instance id.
        may_be_missing: whether a node that is not in the cluster counts as removed.
    """
    removal, cluster, may_remove = declared.construct, declared.cluster, declared.may_remove
    found = {}
    if may_remove:
        found[RemovalWarning.DATA_LOSS] = (
            "Data on the root and secondary volumes of the removed nodes is lost, even if the stack"
            " rolls back. Save it to S3 or FSx for Lustre, and move the jobs to other nodes, before"
            " you deploy."
        )
    if may_remove and cluster.managed is not None:
        warn_of_drift(removal, cluster.managed.node.path)
    if cluster.arn is None and has_permissions:
        remedy = (
            "The ARN is not known before the cluster is created."
            if cluster.managed is not None
            else "Specify cluster_arn instead of the name to narrow them."
        )
        found[RemovalWarning.ANY_CLUSTER_ALLOWED] = (
            "The ARN of a cluster cannot be derived from its name, so the function's permissions"
            f" cover every HyperPod cluster in the account and region (cluster/*). {remedy}"
        )
    if may_remove and has_instance_ids and may_be_missing:
        found[RemovalWarning.STALE_INSTANCE_IDS] = (
            "Automatic node recovery may replace a node with another instance. The id in node_ids"
            " then counts as already removed although the node is still in the cluster. If the"
            " cluster uses continuous provisioning, use node_logical_ids, which do not change;"
            " otherwise, set missing_nodes=MissingNodes.FAIL to reject a set with such an id."
        )
    for warning, text in found.items():
        Annotations.of(removal).add_warning_v2(warning.value, text)


def warn_of_drift(removal: IConstruct, cluster: str) -> None:
    """Warn that the template of the cluster with this path keeps its old counts."""
    Annotations.of(removal).add_warning_v2(
        RemovalWarning.INSTANCE_COUNT_DRIFT.value,
        f"Removing nodes lowers the counts of the instance groups of {cluster}, but"
        " its template keeps the old InstanceCount, so the next update of the cluster would"
        " replace the removed nodes. After the removal, update the template with the counts in"
        " instance_group_target_counts.",
    )


def warn_of_cluster_first(removal: IConstruct, cluster: str, *, is_first: bool) -> None:
    """Warn that the cluster with this path is updated before the removal, or may be."""
    what = (
        f"cluster_arn or cluster_name refers to {cluster}, so CloudFormation updates the cluster"
        " before the removal"
        if is_first
        else f"cluster_name is the name of {cluster}, which does not wait for the removal, so"
        " CloudFormation may update the cluster before it"
    )
    Annotations.of(removal).add_warning_v2(
        RemovalWarning.CLUSTER_CHANGES_FIRST.value,
        f"{what}, and if InstanceCount is lower, the service chooses which nodes to remove. Pass"
        " the construct as cluster to run the removal first.",
    )


def warn_of_idle_provider(provider: IConstruct, removal: IConstruct, used: IConstruct) -> None:
    """Warn that no removal uses a provider, while one in its stack uses another."""
    Annotations.of(provider).add_warning_v2(
        RemovalWarning.PROVIDER_NOT_USED.value,
        f"No removal uses {provider.node.path}: {removal.node.path} uses {used.node.path}. The"
        " template has both functions. Pass the provider to the removals as provider, or delete"
        " it if nothing outside of the app uses it.",
    )


def warn_of_reserved(provider: IConstruct, reserved: int, at_once: int) -> None:
    """Warn that fewer executions are reserved than removals may run at once."""
    Annotations.of(provider).add_warning_v2(
        RemovalWarning.RESERVED_CONCURRENCY.value,
        f"{reserved} concurrent executions are reserved for {provider.node.path}, but {at_once}"
        " removals may run at once. Lambda drops a request that has waited for"
        f" {contract.SERVICE_TIMEOUT_MIN} s (the function's MaximumEventAge), and the stack then"
        f" waits until the removal's timeout and fails. Reserve at least {at_once}, or deploy the"
        " stacks one after the other.",
    )


def warn_of_order(later: IConstruct, earlier: IConstruct, between: Sequence[str]) -> None:
    """Warn that a removal does not wait for one that was declared before it.

    The earlier one depends on it through the constructs with these paths.
    """
    Annotations.of(later).add_warning_v2(
        RemovalWarning.REMOVALS_NOT_ORDERED.value,
        f"{later.node.path} does not wait for {earlier.node.path}, although both may remove nodes"
        f" from the same cluster: {earlier.node.path} already depends on it, through"
        f" {', '.join(between)}, and CloudFormation rejects circular dependencies. If both run at"
        " the same time, neither one's guards account for what the other removes. Declare them in"
        " the order of that dependency, or deploy them one after the other.",
    )


def warn_of_empty_value(removal: IConstruct, attribute: Attribute, place: str) -> None:
    """Warn that an attribute that may be empty is the value of an export or of a parameter."""
    Annotations.of(removal).add_warning_v2(
        RemovalWarning.EMPTY_EXPORT.value,
        f"{attribute} may be empty, and is the value of {place}. CloudFormation rejects an empty"
        " value, so the deployment would fail after the nodes are gone. Use a count instead, such"
        " as failed_count, or add literal text, as in f'nodes:{removal.failed_nodes}'.",
    )
