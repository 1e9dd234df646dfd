"""The construct: nodes are drained in Kubernetes before they are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Stack
from aws_cdk import aws_eks as eks
from aws_cdk import aws_logs as logs

from hyperpod_node_removal._hook_function import HookFunction
from hyperpod_node_removal._statements import eks_cluster_statement
from hyperpod_node_removal._validation import check_flag, check_text, construct_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_ec2 as ec2
    from aws_cdk import aws_lambda as lambda_
    from constructs import Construct

PACKAGE: Final = "hyperpod_node_removal_eks_drain"
GROUP: Final = "hyperpod-node-drain"
"""The Kubernetes group that rbac.yaml gives its rights to."""


class EksDrain(HookFunction):
    """Drains nodes in Kubernetes before they are removed.

    It cordons them and evicts their pods, and a node is not removed before it is empty. If it is
    not removed after all, it takes pods again. A node that somebody else has cordoned stays so.
    What it needs in the cluster is in `rbac.yaml` (docs/drain.md).
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        cluster: str,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_groups: Sequence[ec2.ISecurityGroup] | None = None,
        disrupts_protected_pods: bool = False,
        access_entry: bool = True,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        code: lambda_.Code | None = None,
    ) -> None:
        """Name the EKS cluster.

        Args:
            scope: the stack, or a construct in it.
            construct_id: unique within `scope`.
            cluster: the name of the EKS cluster that orchestrates the HyperPod cluster, in the
                stack's account and region.
            vpc: the VPC from which the cluster's private endpoint, and the endpoints of EKS and
                STS, can be reached. Default: none, for a public endpoint.
            vpc_subnets: the subnets to use. Default: the private ones.
            security_groups: of the function. Default: a new one, which may reach anything.
            disrupts_protected_pods: whether to evict pods whose annotations say not to
                (`karpenter.sh/do-not-disrupt: "true"`, `cluster-autoscaler.kubernetes.io/
                safe-to-evict: "false"`). Default: such a pod, or node, is a veto.
            access_entry: whether to make the access entry that puts the function's role into the
                Kubernetes group `hyperpod-node-drain`. Default: it is made. The authentication mode
                of the cluster must allow access entries.
            log_retention: how long log events are kept. Default: one year.
            code: where the function's code is. Default: the code of this package, as an asset.

        Raises:
            InvalidPropertyError: the text names the property, its value and what is allowed.
        """
        path = construct_path(scope, construct_id)
        check_text(path, "cluster", cluster, _validate_name)
        check_flag(path, "disrupts_protected_pods", disrupts_protected_pods)
        check_flag(path, "access_entry", access_entry)
        arn = Stack.of(scope).format_arn(service="eks", resource="cluster", resource_name=cluster)
        super().__init__(
            scope,
            construct_id,
            package=PACKAGE,
            description="Drains HyperPod nodes in Kubernetes before they are removed",
            environment={
                "CLUSTER": cluster,
                "DISRUPTS": "true" if disrupts_protected_pods else "false",
            },
            statements=[eks_cluster_statement(arn)],
            code=code,
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_groups=security_groups,
            log_retention=log_retention,
        )
        if access_entry:
            eks.CfnAccessEntry(
                self,
                "AccessEntry",
                cluster_name=cluster,
                principal_arn=self.role.role_arn,
                kubernetes_groups=[GROUP],
            )


def _validate_name(value: str) -> str | None:
    if value and ":" not in value and "/" not in value:
        return None
    return f"'{value}' is not the name of an EKS cluster; give its name alone, not its ARN"
