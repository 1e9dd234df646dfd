"""What the removals of a stack share: the Lambda function, its role and its log group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Self, cast

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._asset import function_code
from hyperpod_node_removal._errors import NodeRemovalError
from hyperpod_node_removal._events import check_event_bus
from hyperpod_node_removal._function import (
    acknowledge_any_resource,
    check_log_group,
    check_reserved,
    check_role,
    function_statements,
    new_function,
    new_log_group,
    new_role,
)
from hyperpod_node_removal._function_role import FunctionRole
from hyperpod_node_removal._provider_interface import (
    INodeRemovalProvider,
    ProviderElsewhere,
    ProviderParts,
    warn_of_use,
)
from hyperpod_node_removal._statements import (
    INVOKE_ACTION,
    STACK_ACTION,
    acknowledge_wildcard,
    allow,
    removal_statements,
)
from hyperpod_node_removal._validation import (
    check_at_synth,
    check_flag,
    check_text,
    construct_path,
    flag_text,
    is_token,
)
from hyperpod_node_removal_contract.telemetry import EVENT_BUS_VARIABLE, METRICS_VARIABLE

if TYPE_CHECKING:
    from aws_cdk import aws_ec2 as ec2
    from aws_cdk import aws_events as events
    from aws_cdk import aws_kms as kms

_STACK_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:cloudformation:[a-z0-9-]+:[0-9]{12}"
    rf":stack/{contract.STACK_NAME_FORM}/([A-Za-z0-9-]+|\*)"
)
_ANY_STACK_ID_REASON: Final = (
    "The ARN of a stack ends in an id that is not known before the stack is created."
)


class NodeRemovalProvider(INodeRemovalProvider):
    """The function that removes nodes, with its role and its log group. One per stack.

    The first removal of a stack creates it. Created explicitly, it can be configured, and shared
    with removals of other stacks in the same account and region::

        provider = NodeRemovalProvider(stack, "NodeRemoval", log_retention=RetentionDays.ONE_MONTH)
        NodeRemoval(other_stack, "Removal", provider=provider, ...)

    The logical ids of its resources stay the same from version to version: CloudFormation rejects
    a custom resource whose function (`ServiceToken`) changes. For the same reason a deployed
    removal cannot move to another provider.
    """

    DEFAULT_ID: Final = "HyperPodNodeRemovalProvider"
    """Construct id of the provider that `get_or_create` finds or creates."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str = DEFAULT_ID,
        *,
        code: lambda_.Code | None = None,
        log_retention: logs.RetentionDays | None = None,
        metrics: bool = False,
        event_bus: events.IEventBus | None = None,
        role: iam.IRole | None = None,
        permissions_boundary: iam.IManagedPolicy | None = None,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_groups: Sequence[ec2.ISecurityGroup] = (),
        log_group: logs.ILogGroup | None = None,
        encryption_key: kms.IKey | None = None,
        reserved_concurrent_executions: int | None = None,
        architecture: lambda_.Architecture | None = None,
        tracing: lambda_.Tracing | None = None,
    ) -> None:
        """Create the function, its role and its log group.

        docs/locked-down.md has more about roles, networks and keys.

        Args:
            scope: the stack, or a construct in it.
            construct_id: with the default, removals of the stack find this provider.
            code: where the function's code is, such as the `handler.zip` of the same release in
                your bucket. Default: the code of this package, as an asset.
            log_retention: how long log events are kept. Default: one year. The log group itself
                is retained when the stack is deleted, as the record of what was removed.
            metrics: whether the function writes metrics of each removal, which are billed as custom
                metrics (docs/observability.md). Default: it does not.
            event_bus: where the function sends an event at the end of a removal. Default: nowhere.
            role: the role of the function, which Lambda must be able to assume. It is given the
                permissions that are needed, unless it is immutable: then it must have them
                (docs/iam/function-role.json). Default: a role with those permissions and no others.
            permissions_boundary: of the role that is created. Default: none, or that of the app.
            vpc: where the function runs. It must be able to connect to SageMaker, CloudFormation,
                Lambda and S3 from there. Default: not in a VPC of the account.
            vpc_subnets: subnets of `vpc`, which must not be public. Default: private ones, as for
                `aws_cdk.aws_lambda.Function`.
            security_groups: of the function in `vpc`. Default: one that allows all outbound
                traffic.
            log_group: your log group instead of the one that is created. Default: one that is
                retained.
            encryption_key: for the log group that is created and for the function's environment.
                The key's policy gets a statement for CloudWatch Logs, unless the key is imported:
                then it must have one. Default: keys that AWS owns.
            reserved_concurrent_executions: how many removals can run at once, 1 or more. A request
                waits if there are more, and Lambda drops it after 60 s, or 300 s in a VPC. Default:
                as many as the account allows.
            architecture: of the processor. Default: ARM_64.
            tracing: whether X-Ray traces the function. Default: it does not.

        Raises:
            InvalidPropertyError: the text names the argument, its value and what is allowed.
            NodeRemovalError: the stack already has this provider, such as for a removal.
        """
        path = construct_path(scope, construct_id)
        check_flag(path, "metrics", metrics)
        check_event_bus(path, event_bus)
        check_role(path, role, Stack.of(scope), permissions_boundary)
        check_log_group(path, log_group, log_retention)
        check_reserved(path, reserved_concurrent_executions)
        _check_not_created(scope, construct_id)
        code = code or function_code(scope)
        super().__init__(scope, construct_id, metrics=metrics, event_bus=event_bus)
        self._log_group = log_group or new_log_group(self, log_retention, encryption_key)
        statements = function_statements(
            self._log_group,
            in_vpc=vpc is not None,
            traced=tracing not in {None, lambda_.Tracing.DISABLED},
        )
        self._parts.role = self._role = FunctionRole(
            self,
            role or new_role(self, statements, permissions_boundary),
            is_given=role is not None,
        )
        before = [] if role is None else [self._policy("FunctionPermissions", *statements.values())]
        if len(statements) > 1:
            holder = before[0] if before else self._role.role.node.default_child
            acknowledge_any_resource(holder)
        max_event_age = contract.EVENT_AGE_MAX if vpc is None else contract.EVENT_AGE_MAX_IN_VPC
        self._function = new_function(
            self,
            code=code,
            environment=_variables(metrics, event_bus, max_event_age),
            environment_encryption=encryption_key,
            role=self._role.role,
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_groups=list(security_groups) or None,
            reserved_concurrent_executions=reserved_concurrent_executions,
            architecture=architecture or lambda_.Architecture.ARM_64,
            tracing=tracing,
            log_group=self._log_group,
        )
        # Lambda checks that the role can attach a function to a VPC when it creates the function.
        self._function.node.add_dependency(*before)
        # CloudFormation invokes asynchronously. By default Lambda would run a request that crashed
        # twice more, and keep one that is throttled for six hours: it would remove nodes long after
        # the resource has timed out. So a request is dropped after the shortest timeout there is,
        # unless Lambda may first have to connect the function to its VPC again.
        invocation = lambda_.EventInvokeConfig(
            self,
            "Invocation",
            function=self._function,
            retry_attempts=0,
            max_event_age=Duration.seconds(max_event_age),
        )
        # In a separate policy: a role whose own policy names the function would wait for the
        # function, which waits for the role. A removal longer than one invocation is handed over
        # to the next (ADR 5).
        own = [self._policy("SelfInvocation", allow(self._function.function_arn, INVOKE_ACTION))]
        if event_bus is not None:
            own.append(
                self._policy("FinishedEvents", allow(event_bus.event_bus_arn, "events:PutEvents"))
            )
        self._parts.needed = [invocation, *before, *own]
        self._elsewhere: iam.Policy | None = None
        check_at_synth(
            self, lambda: warn_of_use(self, reserved_concurrent_executions, max_event_age)
        )

    @classmethod
    def from_service_token(
        cls,
        scope: Construct,
        construct_id: str,
        service_token: str,
        *,
        role: iam.IRole | None = None,
        log_group: logs.ILogGroup | None = None,
        metrics: bool = False,
        event_bus: events.IEventBus | None = None,
    ) -> INodeRemovalProvider:
        """Use a provider that a template or another app has created.

        Args:
            scope: the stack of the removals, or a construct in it.
            construct_id: unique within `scope`.
            service_token: ARN of the function, in the account and region of the stack. It may be a
                token, as in `Fn.import_value("HyperPodNodeRemovalServiceToken")`.
            role: the function's role, to which each removal then adds what it needs. Default:
                nothing is added, and the provider must allow removals of this stack: see
                `allow_removals`, or the parameters of the template.
            log_group: the function's log group, for a dashboard. Default: it is not known.
            metrics: whether the function writes metrics. Default: it does not.
            event_bus: where the function sends its events. Default: nowhere.

        Raises:
            InvalidPropertyError: the text names the argument, its value and what is allowed.
        """
        return ProviderElsewhere(
            scope,
            construct_id,
            service_token,
            role=role,
            log_group=log_group,
            metrics=metrics,
            event_bus=event_bus,
        )

    @classmethod
    def get_or_create(cls, scope: Construct) -> Self:
        """Return the provider of the stack that `scope` is in, created if the stack has none."""
        stack = Stack.of(scope)
        found = stack.node.try_find_child(cls.DEFAULT_ID)
        if found is None:
            found = cls(stack)
            ProviderParts.of(found).created_for = scope.node.path
        return cast("Self", found)

    @property
    def service_token(self) -> str:
        """ARN of the function. A token."""
        return self._function.function_arn

    @property
    def function(self) -> lambda_.Function:
        """The function."""
        return self._function

    def allow_removals(
        self,
        *,
        stack_arn: str,
        cluster_arn: str,
        eks_cluster_arn: str | None = None,
        before_removal_arn: str | None = None,
        verdict_events: bool = False,
    ) -> None:
        """Allow removals that a template outside of this app declares.

        A `NodeRemoval` does not need it.

        Args:
            stack_arn: the stack of that template. It may end in `*` in place of the id, which is
                not known before the stack is created:
                `arn:aws:cloudformation:us-west-2:111122223333:stack/maintenance/*`.
            cluster_arn: the cluster from which nodes are removed.
            eks_cluster_arn: the EKS cluster that orchestrates it, if any.
            before_removal_arn: the function that the template names in `BeforeRemoval`, if any.
            verdict_events: whether the template has a `VerdictCondition`. Default: it has none.

        Raises:
            InvalidPropertyError: the text names the argument, its value and what is allowed.
        """
        path = self.node.path
        check_text(path, "stack_arn", stack_arn, _validate_stack_arn)
        check_text(path, "cluster_arn", cluster_arn, contract.validate_cluster_arn)
        if eks_cluster_arn is not None:
            check_text(path, "eks_cluster_arn", eks_cluster_arn, contract.validate_eks_cluster_arn)
        if before_removal_arn is not None:
            validate = contract.validate_function_arn
            check_text(path, "before_removal_arn", before_removal_arn, validate)
        check_flag(path, "verdict_events", verdict_events, is_literal=True)
        if self._elsewhere is None:
            self._elsewhere = self._policy("RemovalsElsewhere")
        statements = removal_statements(
            cluster_arn,
            eks_cluster_arn=eks_cluster_arn,
            before_removal_arn=before_removal_arn,
            signaled_stack_arn=stack_arn if verdict_events else None,
        )
        self._role.add(self._elsewhere, allow(stack_arn, STACK_ACTION), *statements)
        self._parts.stacks_elsewhere.add(stack_arn)
        if "*" in stack_arn and not is_token(stack_arn):
            acknowledge_wildcard(self._elsewhere, stack_arn, _ANY_STACK_ID_REASON)

    def _policy(self, construct_id: str, *statements: iam.PolicyStatement) -> iam.Policy:
        return self._role.new_policy(self, construct_id, *statements)


def _check_not_created(scope: Construct, construct_id: str) -> None:
    """Raise `NodeRemovalError` if there is a provider with this id, and say what created it."""
    found = scope.node.try_find_child(construct_id)
    if isinstance(found, NodeRemovalProvider):
        created_for = ProviderParts.of(found).created_for
        origin = f"for {created_for}, which came first" if created_for else "before"
        raise NodeRemovalError(
            f"{found.node.path} was created {origin}; create the provider before the first removal"
            " of the stack, or give it another id and pass it to the removals as provider"
        )


def _variables(
    metrics: bool, event_bus: events.IEventBus | None, max_event_age: int
) -> dict[str, str]:
    """Return the environment of the function: only what is not the default."""
    variables = {}
    if metrics is not False:
        variables[METRICS_VARIABLE] = flag_text(metrics)
    if event_bus is not None:
        variables[EVENT_BUS_VARIABLE] = event_bus.event_bus_arn
    if max_event_age != contract.EVENT_AGE_MAX:
        variables[contract.EVENT_AGE_VARIABLE] = str(max_event_age)
    return variables


def _validate_stack_arn(value: str) -> str | None:
    """Return what is wrong with the ARN of a stack, which may have `*` in place of its id."""
    if _STACK_ARN.fullmatch(value):
        return None
    return (
        f"{contract.quote(value)} is not the ARN of a stack; allowed:"
        " arn:aws:cloudformation:<region>:<account>:stack/<name>/<id>, where <id> may be *"
    )
