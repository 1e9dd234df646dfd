"""What every removal of a stack shares: the Lambda function, its role and its log group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

import hyperpod_node_removal_contract as contract
from hyperpod_node_removal._asset import HANDLER_PACKAGE, staged_code
from hyperpod_node_removal._errors import NodeRemovalError
from hyperpod_node_removal._finished_events import (
    Detail,
    EventMethods,
    RuleOptions,
    check_event_bus,
    event_variables,
    finished_rule,
)
from hyperpod_node_removal._metrics import metric_variables
from hyperpod_node_removal._role_size import RoleSize
from hyperpod_node_removal._statements import (
    acknowledge_wildcard,
    cluster_statements,
    event_bus_statement,
    function_statement,
    signal_statement,
    stack_statement,
)
from hyperpod_node_removal._validation import (
    check_flag,
    check_text,
    is_token,
    stack_arn_problem,
)

if TYPE_CHECKING:
    from aws_cdk import aws_events as events

FUNCTION_TIMEOUT_SECONDS: Final = 900
"""The longest a Lambda function can run."""
MEMORY_MEGABYTES: Final = 512
"""3,000 nodes take a tenth of it (docs/benchmarks.md). The rest is for CPU, which comes with
memory: a start, mostly imports, takes a third of a second of a whole core (docs/adr/0015)."""
_ANY_STACK_ID_REASON: Final = (
    "The ARN of a stack ends in an id that is not known before the stack is created."
)


class NodeRemovalProvider(EventMethods, Construct):
    """The function that removes nodes, with its role and its log group. One per stack.

    A removal makes it when its stack has none yet. Made by hand it can be configured, and shared
    with removals of other stacks of the same account and region::

        provider = NodeRemovalProvider(stack, "NodeRemoval", log_retention=RetentionDays.ONE_MONTH)
        NodeRemoval(other_stack, "Removal", provider=provider, ...)

    The logical ids of its resources stay the same from version to version: CloudFormation refuses
    a custom resource whose function (`ServiceToken`) changes. For the same reason a removal that
    is deployed cannot move to another provider.
    """

    DEFAULT_ID: Final = "HyperPodNodeRemovalProvider"
    """Construct id of the provider that `get_or_create` finds or makes."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str = DEFAULT_ID,
        *,
        code: lambda_.Code | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        metrics: bool = False,
        event_bus: events.IEventBus | None = None,
    ) -> None:
        """Make the function, its role and its log group.

        Args:
            scope: the stack, or a construct in it.
            construct_id: with the default, removals of the stack find this provider.
            code: where the function's code is, such as the `handler.zip` of the same release in a
                bucket of yours. Default: the code of this package, as an asset.
            log_retention: how long log events are kept. Default: one year. The log group itself
                stays when the stack is deleted, as the record of what was removed.
            metrics: whether the function writes metrics of each removal, which are custom metrics
                and cost accordingly (docs/observability.md). Default: it does not.
            event_bus: where the function sends an event when a removal has ended. Default: nowhere.

        Raises:
            InvalidPropertyError: `metrics` is neither True nor False, `event_bus` no event bus.
        """
        path = f"{scope.node.path}/{construct_id}".lstrip("/")
        check_flag(path, "metrics", metrics)
        check_event_bus(path, event_bus)
        if code is None:
            code = lambda_.Code.from_asset(str(staged_code()))
        super().__init__(scope, construct_id)
        self._writes_metrics = metrics
        self._event_bus = event_bus
        self._log_group = logs.LogGroup(
            self, "LogGroup", retention=log_retention, removal_policy=RemovalPolicy.RETAIN
        )
        self._role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"Role of the function behind {contract.RESOURCE_TYPE}",
            inline_policies={"Logs": self._log_permissions()},
        )
        self._function = lambda_.Function(
            self,
            "Function",
            description=f"Removes nodes from SageMaker HyperPod ({contract.RESOURCE_TYPE})",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=code,
            handler=f"{HANDLER_PACKAGE}.entry.handler",
            environment={**metric_variables(metrics), **event_variables(event_bus)},
            role=self._role,
            timeout=Duration.seconds(FUNCTION_TIMEOUT_SECONDS),
            memory_size=MEMORY_MEGABYTES,
            log_group=self._log_group,
            logging_format=lambda_.LoggingFormat.JSON,
        )
        # CloudFormation invokes asynchronously. By default Lambda would run a request that crashed
        # twice more, and keep one that is throttled for six hours: it would remove nodes long after
        # CloudFormation has given up. Dropped within the shortest patience there is, none does.
        self._invocation = lambda_.EventInvokeConfig(
            self,
            "Invocation",
            function=self._function,
            retry_attempts=0,
            max_event_age=Duration.seconds(contract.SERVICE_TIMEOUT_MIN),
        )
        # In a policy of its own: a role whose own policy names the function would wait for the
        # function, which waits for the role.
        self._self_invocation = iam.Policy(
            self,
            "SelfInvocation",
            roles=[self._role],
            statements=[
                iam.PolicyStatement(
                    # A removal longer than one invocation is handed over to the next (ADR 5).
                    actions=["lambda:InvokeFunction"],
                    resources=[self._function.function_arn],
                )
            ],
        )
        self._elsewhere: iam.Policy | None = None
        self._policies: list[iam.Policy] = [self._self_invocation]
        if event_bus is not None:
            statements = [event_bus_statement(event_bus.event_bus_arn)]
            self.attach(iam.Policy(self, "FinishedEvents", statements=statements))
        self._own_policies = tuple(self._policies)
        self.node.add_validation(RoleSize(self, self._policies))

    @classmethod
    def get_or_create(cls, scope: Construct) -> Self:
        """The provider of the stack that `scope` is in, made if the stack has none.

        Raises:
            NodeRemovalError: something else in the stack has the provider's construct id.
        """
        stack = Stack.of(scope)
        found = stack.node.try_find_child(cls.DEFAULT_ID)
        if found is None:
            return cls(stack)
        if not isinstance(found, cls):
            raise NodeRemovalError(
                f"{found.node.path} is not a {cls.__name__}; give it another construct id,"
                f" '{cls.DEFAULT_ID}' is the provider's"
            )
        return found

    @property
    def service_token(self) -> str:
        """ARN of the function. A token."""
        return self._function.function_arn

    @property
    def function(self) -> lambda_.Function:
        """The function."""
        return self._function

    @property
    def role(self) -> iam.Role:
        """The role of the function. It may write its logs; each removal adds what it needs."""
        return self._role

    @property
    def log_group(self) -> logs.LogGroup:
        """The log group in which the function records what happened to each node."""
        return self._log_group

    @property
    def event_bus(self) -> events.IEventBus:
        """Where the function sends the event that ends a removal.

        Raises:
            NodeRemovalError: it sends none.
        """
        if self._event_bus is None:
            raise NodeRemovalError(
                f"{self.node.path} sends no events; give {type(self).__name__} an event_bus, such"
                " as EventBus.from_event_bus_name(stack, 'Bus', 'default')"
            )
        return self._event_bus

    def require_metrics(self) -> None:
        """Raise `NodeRemovalError` if the function writes no metrics: a graph of them would stay
        empty, and an alarm silent."""
        if self._writes_metrics is False:
            raise NodeRemovalError(
                f"{self.node.path} writes no metrics; give {type(self).__name__} metrics=True"
            )

    def allow_removals(
        self,
        *,
        stack_arn: str,
        cluster_arn: str,
        eks_cluster_arn: str | None = None,
        before_removal_arn: str | None = None,
        verdict_events: bool = False,
    ) -> None:
        """Allow removals that a template outside of this app declares. A `NodeRemoval` needs none.

        Args:
            stack_arn: the stack of that template. It may end in `*` in place of the id, which is
                not known before the stack is made:
                `arn:aws:cloudformation:us-west-2:111122223333:stack/maintenance/*`.
            cluster_arn: the cluster from which nodes are removed.
            eks_cluster_arn: the EKS cluster that orchestrates it, if any.
            before_removal_arn: the function that the template names in `BeforeRemoval`, if any.
            verdict_events: whether the template has a `VerdictCondition`. Default: it has none.

        Raises:
            InvalidPropertyError: the text names the argument, its value and what is allowed.
        """
        path = self.node.path
        check_text(path, "stack_arn", stack_arn, stack_arn_problem)
        check_text(path, "cluster_arn", cluster_arn, contract.cluster_arn_problem)
        if eks_cluster_arn is not None:
            check_text(path, "eks_cluster_arn", eks_cluster_arn, contract.eks_cluster_arn_problem)
        if before_removal_arn is not None:
            problem = contract.function_arn_problem
            check_text(path, "before_removal_arn", before_removal_arn, problem)
        if self._elsewhere is None:
            document = iam.PolicyDocument(minimize=True)
            self._elsewhere = iam.Policy(self, "RemovalsElsewhere", document=document)
            self.attach(self._elsewhere)
        self._elsewhere.add_statements(
            stack_statement(stack_arn), *cluster_statements(cluster_arn, eks_cluster_arn)
        )
        if before_removal_arn is not None:
            self._elsewhere.add_statements(function_statement(before_removal_arn))
        if verdict_events:
            self._elsewhere.add_statements(signal_statement(stack_arn))
        if "*" in stack_arn and not is_token(stack_arn):
            acknowledge_wildcard(self._elsewhere, stack_arn, _ANY_STACK_ID_REASON)

    def attach(self, policy: iam.Policy) -> None:
        """Give the function the rights of a policy, which may be in another stack."""
        policy.attach_to_role(self._role)
        self._policies.append(policy)

    def run_before(self, resource: Construct) -> None:
        """Have everything about the function in place before `resource` invokes it."""
        resource.node.add_dependency(self._invocation, *self._own_policies)

    def _add_rule(self, construct_id: str, detail: Detail, options: RuleOptions) -> events.Rule:
        return finished_rule(self, construct_id, self.event_bus, detail, options)

    def _log_permissions(self) -> iam.PolicyDocument:
        return iam.PolicyDocument(
            statements=[
                iam.PolicyStatement(
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    # Ends in ":*", the streams of this group.
                    resources=[self._log_group.log_group_arn],
                )
            ]
        )
