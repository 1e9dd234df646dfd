"""How the function gets permissions: through the methods of its role, of whatever kind that is.

A policy is passed to the role, and the role decides: a role of the app attaches it, as does an
imported one, an immutable role ignores it, and under `Role.customize_roles` a role reports its
statements and leaves none in the template. Each policy is in the stack that needs it, never in the
role's own default policy: that would make the role's stack refer to the function's, which is a
circle, as is the function's own ARN, since a function waits for its role.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Final, Self, cast

from aws_cdk import Fn, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from hyperpod_node_removal._cluster import NamedCluster
from hyperpod_node_removal._statements import (
    INVOKE_ACTION,
    STACK_ACTION,
    acknowledge_wildcard,
    allow,
    removal_statements,
)

_STACK_GUID: Final = 2
"""Field of a stack's ARN between slashes, counted from 0."""
_ANY_CLUSTER_REASON: Final = (
    "The cluster is specified by name, and the ARN of a HyperPod cluster ends in an id that cannot"
    " be derived from the name. Specify cluster_arn instead to narrow the permissions."
)


class FunctionRole:
    """The role of a provider's function, and the policies that it is given."""

    def __init__(self, provider: Construct, role: iam.IRole, *, is_given: bool) -> None:
        """`is_given`: whether the role is the app's, so that others may attach policies, too."""
        self._provider = provider
        self._is_given = is_given
        self._reported: set[str] = set()
        self.role = role

    def new_policy(
        self, scope: Construct, construct_id: str, *statements: iam.PolicyStatement
    ) -> iam.Policy:
        """Give the role a policy with statements. It is not a resource if the role takes none."""
        policy = iam.Policy(
            scope,
            construct_id,
            policy_name=self._policy_name(scope, construct_id) if self._is_given else None,
            document=iam.PolicyDocument(minimize=True),
            statements=list(statements),
        )
        # Policy.attach_to_role would put it into the template even if the role does not take it.
        self.role.attach_inline_policy(policy)
        return policy

    def add(self, policy: iam.Policy, *statements: iam.PolicyStatement) -> None:
        """Add statements to a policy that the role was given."""
        policy.add_statements(*statements)
        if not _is_in_template(policy):
            for statement in statements:
                text = json.dumps(Stack.of(policy).resolve(statement.to_json()))
                if text not in self._reported:
                    self.role.add_to_principal_policy(statement)
                self._reported.add(text)

    def _policy_name(self, scope: Construct, construct_id: str) -> str:
        # IAM replaces a policy that has the same name on the same role. The id of the stack
        # distinguishes it from those of other apps.
        guid = Fn.select(_STACK_GUID, Fn.split("/", Stack.of(scope).stack_id))
        return f"{construct_id}-{self._provider.node.addr[-8:]}-{guid}"


class RemovalPermissions(Construct):
    """The policies that the removals of one stack share, for one provider.

    They are in the removals' stack. A removal waits for them and the function does not, so nothing
    is circular, and a provider of another stack need not know its users.
    """

    def __init__(self, scope: Construct, construct_id: str, role: FunctionRole) -> None:
        super().__init__(scope, construct_id)
        self._names_any_cluster = False
        self._role = role
        self._policy = role.new_policy(self, "Policy", allow(Stack.of(self).stack_id, STACK_ACTION))

    @classmethod
    def get_or_create(cls, scope: Construct, provider: Construct, role: FunctionRole) -> Self:
        """Return the permissions of the stack that `scope` is in, created if there are none."""
        stack = Stack.of(scope)
        parent = provider
        construct_id = "Permissions"
        if Stack.of(provider) is not stack:
            # The name of a policy is made from its logical id, which does not include the stack. If
            # two had the same name on one role, the stack deployed last would replace the other's.
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
        signals: bool,
    ) -> None:
        """Allow removals from `cluster`, and the calls that they need.

        These are to its EKS cluster, to the function `before_removal_arn`, and `signals` to the
        stack.
        """
        arn = cluster.arn
        if arn is None:
            stack = Stack.of(self)
            arn = stack.format_arn(service="sagemaker", resource="cluster", resource_name="*")
            if not self._names_any_cluster:
                acknowledge_wildcard(self._policy, arn, _ANY_CLUSTER_REASON)
            self._names_any_cluster = True
        statements = removal_statements(
            arn,
            eks_cluster_arn=eks_cluster_arn,
            before_removal_arn=None,
            signaled_stack_arn=Stack.of(self).stack_id if signals else None,
        )
        self._role.add(self._policy, *statements)
        if before_removal_arn is not None:
            self._allow_hook(before_removal_arn)

    def _allow_hook(self, arn: str) -> None:
        """Allow invoking a hook, by a policy of its own.

        The rollback of a deployment that adds a hook deletes that policy at its end. A statement in
        the shared policy would be revoked at its beginning, before the nodes are released.
        """
        text = json.dumps(Stack.of(self).resolve(arn), sort_keys=True)
        construct_id = f"Hook{sha256(text.encode()).hexdigest()[:8]}"
        if self.node.try_find_child(construct_id) is None:
            policy = self._role.new_policy(self, construct_id)
            self._role.add(policy, allow(arn, INVOKE_ACTION))


def _is_in_template(policy: iam.Policy) -> bool:
    """Return whether a policy with statements is a resource: its role has attached it."""
    resource = cast("iam.CfnPolicy", policy.node.default_child)
    return resource._should_synthesize()  # noqa: SLF001
