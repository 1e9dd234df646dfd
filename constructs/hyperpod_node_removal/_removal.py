"""The construct of a set of nodes that a deployment removes from a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from aws_cdk import CfnElement, CustomResource, Duration, Stack
from aws_cdk.aws_lambda import IFunction
from constructs import Construct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._attributes import DeclaredRemoval, RemovalAttributes
from hyperpod_node_removal._cluster import named_cluster
from hyperpod_node_removal._events import (
    Detail,
    EventMethods,
    RuleOptions,
    await_removal,
    finished_rule,
    verdict_condition,
)
from hyperpod_node_removal._function_role import RemovalPermissions
from hyperpod_node_removal._hook_function import HookFunction
from hyperpod_node_removal._metrics import ClusterMetrics, MetricMethods
from hyperpod_node_removal._provider import NodeRemovalProvider
from hyperpod_node_removal._provider_interface import (
    INodeRemovalProvider,
    ProviderParts,
    check_provider,
)
from hyperpod_node_removal._stack_removals import StackRemovals
from hyperpod_node_removal._validation import (
    check_flag,
    check_size,
    checked_properties,
    construct_path,
    function_arn,
)
from hyperpod_node_removal._warnings import warn_of_removal
from hyperpod_node_removal_contract import (
    MissingNodes,
    PartialFailure,
    Property,
    WaitFor,
)

if TYPE_CHECKING:
    from aws_cdk import aws_cloudwatch as cloudwatch
    from aws_cdk import aws_events as events
    from aws_cdk.interfaces.aws_sagemaker import IClusterRef


class NodeRemoval(EventMethods, MetricMethods, RemovalAttributes):
    """Removes a set of nodes from a SageMaker HyperPod cluster when it is deployed.

    The deployment is complete when every node of the set has left the cluster, or was not in it to
    begin with. If the set changes, all nodes in it are removed, and nodes that it no longer lists
    stay removed. Nodes are never added back: neither a rollback nor deleting the removal changes
    the cluster.

    Its warnings at synth can be acknowledged: see `RemovalWarning`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        cluster: IClusterRef | None = None,
        cluster_arn: str | None = None,
        cluster_name: str | None = None,
        node_ids: Sequence[str] = (),
        node_logical_ids: Sequence[str] = (),
        on_partial_failure: PartialFailure = PartialFailure.FAIL,
        wait_for: WaitFor = WaitFor.REMOVED,
        min_remaining: Mapping[str, int] | None = None,
        max_removals: int | None = None,
        protected_groups: Sequence[str] = (),
        expected_groups: Sequence[str] = (),
        missing_nodes: MissingNodes = MissingNodes.ACCEPT,
        dry_run: bool = False,
        before_removal: IFunction | HookFunction | None = None,
        retry_for: Duration | None = None,
        retry_token: str | None = None,
        verdict_event: bool = False,
        timeout: Duration | None = None,
        eks_cluster_arn: str | None = None,
        provider: INodeRemovalProvider | None = None,
    ) -> None:
        """Specify the cluster in exactly one way, and the nodes.

        Args:
            scope: the stack, or a construct in it.
            construct_id: unique within `scope`.
            cluster: the cluster's construct. A cluster that the same app manages must have a
                literal name and is updated after the removal, so that the listed nodes are gone
                before a lower InstanceCount takes effect.
            cluster_arn: the cluster's ARN, which narrows the function's permissions to it.
            cluster_name: the cluster's name. The function may then remove nodes of any cluster in
                the account and region, because an ARN cannot be derived from a name.
            node_ids: instance ids (`i-0123456789abcdef0`). Default: none.
            node_logical_ids: logical ids, in a cluster with continuous provisioning. Default: none.
            on_partial_failure: whether the deployment fails, and the stack rolls back, if some of
                the nodes cannot be removed. If all fail, it fails. Default: it fails.
            wait_for: whether the deployment is complete when the nodes have left, or already when
                the service has accepted their removal. Default: when they have left.
            min_remaining: how many nodes must remain, by instance group. Default: none. If the
                removal would break this guard or one of the next four, no node is removed and the
                deployment fails.
            max_removals: how many nodes this removal may remove in one deployment. Default: no
                limit.
            protected_groups: instance groups from which no node is removed. Default: none.
            expected_groups: the only instance groups from which nodes are removed. Default: any.
            missing_nodes: whether a node that is not in the cluster counts as removed, or breaks a
                guard, as a typing error should. Default: it counts as removed.
            dry_run: whether to report only what would be removed and which guards would be broken:
                see `planned_nodes`. Default: nodes are removed.
            before_removal: `SlurmDrain(...)`, `EksDrain(...)`, or your own function, which is
                invoked with the planned nodes before the first is removed, and can veto all or some
                of them; see docs/before-removal.md. Any answer other than an explicit PROCEED, such
                as a crash, counts as a veto. Default: none.
            retry_for: how long the removal of a node that is in use or changing is retried, in
                whole seconds up to an hour and as far as `timeout` allows. Default: 10 minutes.
            retry_token: any text of up to 1,024 characters; changing it runs the same set again.
                Default: none.
            verdict_event: whether a success appears in the stack's events too, for example as
                `Received SUCCESS signal with UniqueId 1 of 5 not removed: NodeIdInUse i-0123...`.
                With `on_partial_failure=REPORT` and literal nodes only. It adds a wait condition,
                which fails the stack if its signal does not arrive (docs/adr/0018). Default: the
                events show failures only.
            timeout: how long the removal may take, from a minute to an hour. The function
                re-invokes itself before its own limit of 15 minutes. Default: 30 minutes.
            eks_cluster_arn: the EKS cluster that orchestrates this one, if any: the service checks
                that the caller may describe it. Default: a cluster without EKS.
            provider: the function, in the account and region of the stack. Default: one that all
                removals of the stack share.

        Raises:
            InvalidPropertyError: the text names the property, its value and what is allowed.
        """
        path = construct_path(scope, construct_id)
        named = named_cluster(
            path,
            Stack.of(scope),
            cluster=cluster,
            cluster_arn=cluster_arn,
            cluster_name=cluster_name,
        )
        check_provider(path, Stack.of(scope), provider)
        check_flag(path, "verdict_event", verdict_event, is_literal=True)
        if timeout is None:
            timeout = Duration.seconds(contract.REMOVAL_TIMEOUT_DEFAULT)
        if retry_for is None:
            retry_for = Duration.seconds(contract.RETRY_FOR_DEFAULT)
        before_removal_arn = function_arn(path, "before_removal", before_removal)
        properties = checked_properties(
            path,
            timeout=timeout,
            eks_cluster_arn=eks_cluster_arn,
            node_ids=node_ids,
            node_logical_ids=node_logical_ids,
            on_partial_failure=on_partial_failure,
            wait_for=wait_for,
            dry_run=dry_run,
            min_remaining=min_remaining,
            max_removals=max_removals,
            protected_groups=protected_groups,
            expected_groups=expected_groups,
            missing_nodes=missing_nodes,
            before_removal=before_removal_arn,
            retry_for=retry_for,
            retry_token=retry_token,
        )
        ids = properties.get(Property.NODE_IDS, [])
        logical_ids = properties.get(Property.NODE_LOGICAL_IDS, [])
        check_size(path, ids, logical_ids)
        properties.pop(Property.SERVICE_TIMEOUT, None)  # an argument of CustomResource
        properties = {Property.CLUSTER_NAME.value: named.name, **properties}
        condition = verdict_condition(scope, construct_id, properties) if verdict_event else None
        if condition:
            properties[Property.VERDICT_CONDITION.value] = condition.logical_id

        super().__init__(scope, construct_id)
        self._cluster = named
        self._provider = provider or NodeRemovalProvider.get_or_create(self)
        self._parts = ProviderParts.of(self._provider)
        self._resource = CustomResource(
            self,
            "Resource",
            resource_type=contract.RESOURCE_TYPE,
            service_token=self._provider.service_token,
            service_timeout=timeout,
            properties=properties,
        )
        if condition is not None:
            await_removal(condition, self._resource)
        role = self._parts.role
        if role is not None:
            permissions = RemovalPermissions.get_or_create(self, self._provider, role)
            permissions.allow(
                named, eks_cluster_arn, before_removal_arn, signals=condition is not None
            )
            self._resource.node.add_dependency(permissions)
        if before_removal is not None:
            # With everything in its scope: it may need its own permissions to answer.
            self._resource.node.add_dependency(before_removal)
        self._resource.node.add_dependency(*self._parts.needed)
        if named.managed is not None:
            named.managed.node.add_dependency(self)
        declared = DeclaredRemoval(
            self,
            named,
            self._provider,
            may_remove=bool(ids or logical_ids) and dry_run is not True,
        )
        StackRemovals.get_or_create(self).add(declared)
        self._parts.removals.append(declared)
        warn_of_removal(
            declared,
            has_permissions=role is not None,
            has_instance_ids=bool(ids),
            may_be_missing=missing_nodes != MissingNodes.FAIL,
        )

    @property
    def provider(self) -> INodeRemovalProvider:
        """The function that does the removal, with its role and log group."""
        return self._provider

    def alarm_on_failures(
        self,
        construct_id: str = "FailureAlarm",
        *,
        threshold: int = 1,
        actions: Sequence[cloudwatch.IAlarmAction] = (),
        alarm_name: str | None = None,
    ) -> cloudwatch.Alarm:
        """Create an alarm for nodes of this removal's cluster that any removal failed to remove.

        It is created before the removal begins. But if the creation of the stack is rolled back,
        the alarm is deleted, too: for a stack that is kept, see `ClusterMetrics`.

        Args:
            construct_id: unique within this construct.
            threshold: how many nodes within 5 minutes set it off. Default: one.
            actions: what to do when it goes off, such as `SnsAction(topic)`. Default: nothing.
            alarm_name: its name. Default: one that CloudFormation generates.

        Raises:
            NodeRemovalError: the provider writes no metrics.
        """
        alarm = ClusterMetrics(self._metrics_cluster).alarm_on_failures(
            self, construct_id, threshold=threshold, actions=actions, alarm_name=alarm_name
        )
        self._resource.node.add_dependency(alarm)
        return alarm

    @property
    def _metrics_cluster(self) -> str:
        self._parts.require_metrics()
        return self._cluster.name

    def _add_rule(self, construct_id: str, detail: Detail, options: RuleOptions) -> events.Rule:
        """Create a rule for this removal alone, before it begins."""
        element = cast("CfnElement", self._resource.node.default_child)
        this = {"StackId": [Stack.of(self).stack_id], "LogicalResourceId": [element.logical_id]}
        bus = self._provider.event_bus
        rule = finished_rule(self, construct_id, bus, {**this, **detail}, options)
        self._resource.node.add_dependency(rule)
        return rule
