"""Whether the policies of a role fit into it, as far as can be told at synth."""

import json
from typing import Any, Final, cast

import jsii
from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct, IValidation

INLINE_POLICIES_MAX: Final = 10_240
"""Characters in all inline policies of a role, white space not counted (IAM quota)."""


@jsii.implements(IValidation)
class RoleSize:
    """Fails the synth if the inline policies of a role are larger than IAM accepts.

    Otherwise the deployment would fail, and name neither the removal nor a way out.
    """

    def __init__(self, provider: Construct, policies: list[iam.Policy]) -> None:
        """`policies` is read when the app is synthesized, so it may still grow."""
        self._provider = provider
        self._policies = policies

    def validate(self) -> list[str]:
        """The sentences CDK shows, none if the policies fit."""
        size = sum(
            least_size(Stack.of(policy).resolve(policy.document))
            for policy in self._policies
            if is_in_template(policy)
        )
        if size <= INLINE_POLICIES_MAX:
            return []
        sentence = (
            f"The permissions for the removals of {self._provider.node.path} have {size}"
            f" characters; allowed: {INLINE_POLICIES_MAX} in one role. Use another"
            " NodeRemovalProvider for some removals, or specify their clusters by cluster_name"
            " instead of cluster_arn."
        )
        return [sentence]


def is_in_template(policy: iam.Policy) -> bool:
    """Whether a policy with statements is a resource: its role has attached it."""
    resource = cast("iam.CfnPolicy", policy.node.default_child)
    return resource._should_synthesize()  # noqa: SLF001


def least_size(document: Any) -> int:
    """Characters a resolved policy document has at least: what is literal in it, without space."""
    return len("".join(json.dumps(_literals(document)).split()))


def _literals(value: Any) -> Any:
    """`value` with nothing in place of what is known at deployment only."""
    if isinstance(value, list):
        return [_literals(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Join" in value:
        _, parts = value["Fn::Join"]
        return "".join(part for part in parts if isinstance(part, str))
    if any(key == "Ref" or key.startswith("Fn::") for key in value):
        return ""
    return {key: _literals(item) for key, item in value.items()}
