"""What the function may do for the removals of a stack.

The rights stand in a policy of the removal's stack, attached to the provider's role. A removal
waits for that policy and the function does not, so nothing is circular, and a provider of another
stack need not know who uses it. All removals of a stack share one policy for each provider.
"""

from typing import Final, Self

from aws_cdk import Stack
from constructs import Construct

from hyperpod_node_removal._cluster import NamedCluster
from hyperpod_node_removal._function_role import FunctionRole
from hyperpod_node_removal._provider_interface import INodeRemovalProvider
from hyperpod_node_removal._statements import (
    acknowledge_wildcard,
    cluster_statements,
    function_statement,
    signal_statement,
    stack_statement,
)

_ANY_CLUSTER_REASON: Final = (
    "The cluster is specified by name, and the ARN of a HyperPod cluster ends in an id that cannot"
    " be derived from the name. Specify cluster_arn instead to narrow the permissions."
)


class RemovalPermissions(Construct):
    """The policy that the removals of one stack share, for one provider."""

    def __init__(self, scope: Construct, construct_id: str, role: FunctionRole) -> None:
        super().__init__(scope, construct_id)
        self._names_any_cluster = False
        self._role = role
        self._policy = role.new_policy(self, "Policy", stack_statement(Stack.of(self).stack_id))

    @classmethod
    def get_or_create(
        cls, scope: Construct, provider: INodeRemovalProvider, role: FunctionRole
    ) -> Self:
        """The permissions of the stack that `scope` is in, made if there are none."""
        stack = Stack.of(scope)
        parent: Construct = provider
        construct_id = "Permissions"
        if Stack.of(provider) is not stack:
            # The name of a policy is made from its logical id, which does not tell the stack. With
            # equal names on one role, the stack deployed last would take the others' rights away.
            parent = stack
            construct_id = f"HyperPodNodeRemovalPermissions{provider.node.addr}{stack.node.addr}"
        found = parent.node.try_find_child(construct_id)
        return found if isinstance(found, cls) else cls(parent, construct_id, role)

    def allow(
        self,
        cluster: NamedCluster,
        eks_cluster_arn: str | None,
        before_removal_arn: str | None,
        *,
        signals: bool = False,
    ) -> None:
        """Allow removals from `cluster`, the look at its EKS cluster that they depend on, the
        question to the function that is asked before them, and `signals` to the stack."""
        arn = cluster.arn
        if arn is None:
            stack = Stack.of(self)
            arn = stack.format_arn(service="sagemaker", resource="cluster", resource_name="*")
            if not self._names_any_cluster:
                acknowledge_wildcard(self._policy, arn, _ANY_CLUSTER_REASON)
            self._names_any_cluster = True
        statements = cluster_statements(arn, eks_cluster_arn)
        if before_removal_arn is not None:
            statements.append(function_statement(before_removal_arn))
        if signals:
            statements.append(signal_statement(Stack.of(self).stack_id))
        self._role.add(self._policy, *statements)
