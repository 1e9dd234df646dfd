"""How the function gets a permission: through the methods of its role, whichever role that is.

A policy is handed to the role, and the role decides: a role of the app attaches it, an imported one
does too, an immutable one drops it, and under `Role.customize_roles` a role reports its statements
and leaves none in the template. Each policy stands in the stack that needs it, never in the role's
own default policy: that would refer from the role's stack to the function's and close a circle, as
would the function's own ARN, since a function waits for its role.
"""

import json
from typing import Final

from aws_cdk import Fn, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from hyperpod_node_removal._role_size import RoleSize, is_in_template

_STACK_GUID: Final = 2
"""Field of a stack's ARN between slashes, counted from 0."""


class FunctionRole:
    """The role of a provider's function, and the policies that it is given."""

    def __init__(self, provider: Construct, role: iam.IRole, *, is_given: bool) -> None:
        """`is_given`: whether the role is the app's, so that others may attach policies, too."""
        self._provider = provider
        self._role = role
        self._is_given = is_given
        self._policies: list[iam.Policy] = []
        self._reported: set[str] = set()
        provider.node.add_validation(RoleSize(provider, self._policies))

    @property
    def role(self) -> iam.IRole:
        """The role."""
        return self._role

    def new_policy(
        self, scope: Construct, construct_id: str, *statements: iam.PolicyStatement
    ) -> iam.Policy:
        """Give the role a policy with statements. It is no resource if the role takes none."""
        policy = iam.Policy(
            scope,
            construct_id,
            policy_name=self._policy_name(scope, construct_id) if self._is_given else None,
            document=iam.PolicyDocument(minimize=True),
            statements=list(statements),
        )
        self.attach(policy)
        return policy

    def attach(self, policy: iam.Policy) -> None:
        """Give the role a policy with all of the statements that it has by now."""
        # Policy.attach_to_role would put it into the template whatever the role says.
        self._role.attach_inline_policy(policy)
        self._policies.append(policy)

    def add(self, policy: iam.Policy, *statements: iam.PolicyStatement) -> None:
        """Add statements to a policy that the role was given."""
        policy.add_statements(*statements)
        if not is_in_template(policy):
            for statement in statements:
                text = json.dumps(Stack.of(policy).resolve(statement.to_json()))
                if text not in self._reported:
                    self._role.add_to_principal_policy(statement)
                self._reported.add(text)

    def _policy_name(self, scope: Construct, construct_id: str) -> str:
        # IAM puts a policy in the place of one that has the same name on the same role. The id of
        # the stack tells it from those of other apps.
        guid = Fn.select(_STACK_GUID, Fn.split("/", Stack.of(scope).stack_id))
        return f"{construct_id}-{self._provider.node.addr[-8:]}-{guid}"
