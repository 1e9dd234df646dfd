"""What the function may do for the removals of a stack.

The rights stand in a policy of the removal's stack, attached to the provider's role. A removal
waits for that policy and the function does not, so nothing is circular, and a provider of another
stack need not know who uses it. All removals of a stack share one policy for each provider.
"""

from typing import Any, Final, Self

from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_iam as iam
from constructs import Construct

from hyperpod_node_removal._cluster import NamedCluster
from hyperpod_node_removal._provider import NodeRemovalProvider

CLUSTER_ACTIONS: Final = (
    "sagemaker:BatchDeleteClusterNodes",
    "sagemaker:DescribeCluster",
    "sagemaker:ListClusterNodes",
)
_ANY_CLUSTER_REASON: Final = (
    "The cluster is given by name, and the ARN of a HyperPod cluster ends in an id that cannot be"
    " told from the name. Give cluster_arn instead of the name to narrow the permissions."
)


class RemovalPermissions(Construct):
    """The policy that the removals of one stack share, for one provider."""

    def __init__(self, scope: Construct, construct_id: str, provider: NodeRemovalProvider) -> None:
        super().__init__(scope, construct_id)
        self._names_any_cluster = False
        self._policy = iam.Policy(
            self,
            "Policy",
            document=iam.PolicyDocument(minimize=True),
            statements=[
                iam.PolicyStatement(
                    # To see whether a request comes from a rollback.
                    actions=["cloudformation:DescribeStacks"],
                    resources=[Stack.of(self).stack_id],
                )
            ],
        )
        provider.attach(self._policy)

    @classmethod
    def get_or_create(cls, scope: Construct, provider: NodeRemovalProvider) -> Self:
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
        return found if isinstance(found, cls) else cls(parent, construct_id, provider)

    def allow(self, cluster: NamedCluster, eks_cluster_arn: str | None) -> None:
        """Allow removals from `cluster`, and the look at its EKS cluster that they depend on."""
        arn = cluster.arn
        if arn is None:
            stack = Stack.of(self)
            arn = stack.format_arn(service="sagemaker", resource="cluster", resource_name="*")
            self._acknowledge_any_cluster(arn)
        self._allow(CLUSTER_ACTIONS, arn)
        if eks_cluster_arn is not None:
            self._allow(("eks:DescribeCluster",), eks_cluster_arn)

    def _allow(self, actions: tuple[str, ...], resource: str) -> None:
        self._policy.add_statements(
            iam.PolicyStatement(actions=list(actions), resources=[resource])
        )

    def _acknowledge_any_cluster(self, arn: str) -> None:
        """Say to cdk-nag, if the app runs it, why there is a wildcard: for this finding only."""
        if self._names_any_cluster:
            return
        self._names_any_cluster = True
        finding = f"AwsSolutions-IAM5[Resource::{_as_cdk_nag_writes(Stack.of(self).resolve(arn))}]"
        Validations.of(self._policy).acknowledge(
            Acknowledgment(id=f"AwsSolutions::{finding}", reason=_ANY_CLUSTER_REASON)
        )


def _as_cdk_nag_writes(resolved: Any) -> str:
    """A resolved ARN as cdk-nag writes it into the id of a finding: `arn:<AWS::Partition>:...`."""
    if isinstance(resolved, dict) and "Ref" in resolved:
        return f"<{resolved['Ref']}>"
    if isinstance(resolved, dict) and "Fn::Join" in resolved:
        return "".join(_as_cdk_nag_writes(part) for part in resolved["Fn::Join"][1])
    return str(resolved)
