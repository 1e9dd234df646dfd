"""The constructs that hold a removal back until its nodes are drained, or their data is saved."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal._hook_function import HookFunction
from hyperpod_node_removal._statements import EKS_ACTION, allow
from hyperpod_node_removal._validation import (
    check_flag,
    check_text,
    construct_path,
    flag_text,
    is_token,
    whole_seconds,
)
from hyperpod_node_removal_contract import validate_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_ec2 as ec2
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_s3 as s3
    from aws_cdk import aws_secretsmanager as secretsmanager
    from constructs import Construct

SLURM_PACKAGE: Final = "hyperpod_node_removal_slurm_drain"
EKS_PACKAGE: Final = "hyperpod_node_removal_eks_drain"
MARKER_PACKAGE: Final = "hyperpod_node_removal_backup_marker"
MARKER_PREFIX: Final = "hyperpod-backups/"
_ONE_YEAR: Final = logs.RetentionDays.ONE_YEAR
_KUBERNETES_GROUP: Final = "hyperpod-node-drain"
"""The group to which rbac.yaml gives its permissions."""


class SlurmJobs(StrEnum):
    """What happens to the jobs that run on a node to be removed."""

    WAIT = "WAIT"
    """The drain waits for them until the removal's timeout. Nothing is lost; a node whose jobs do
    not end in time is not removed."""
    REQUEUE = "REQUEUE"
    """They are requeued, and lose what they computed since their last checkpoint. The drain waits
    for jobs that must not be requeued (`--no-requeue`), and for others on the same node."""
    CANCEL = "CANCEL"
    """They are canceled after a grace period, and lost."""


class SlurmDrain(HookFunction):
    """Drains nodes in Slurm before they are removed.

    No new job starts on a drained node, and it is not removed until no job is on it. If it is not
    removed after all, it accepts jobs again. A node that was drained by someone else stays drained,
    and its jobs are waited for regardless of `jobs`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        rest_api: str,
        token: secretsmanager.ISecret,
        vpc: ec2.IVpc,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_groups: Sequence[ec2.ISecurityGroup] | None = None,
        user: str = "root",
        jobs: SlurmJobs = SlurmJobs.WAIT,
        grace: Duration | None = None,
        log_retention: logs.RetentionDays = _ONE_YEAR,
        code: lambda_.Code | None = None,
    ) -> None:
        """Specify the REST API of Slurm, and how the function connects to it.

        Args:
            scope: the stack, or a construct in it.
            construct_id: unique within `scope`.
            rest_api: where slurmrestd listens: `http://10.1.0.10:6820`, or `https://`. It must
                serve v0.0.39 of its API or later (Slurm 23.02).
            token: the secret whose text is a JWT of `user`. It is read at each invocation.
            vpc: the VPC from which slurmrestd, and Secrets Manager, can be reached.
            vpc_subnets: the subnets to use. Default: the private ones.
            security_groups: of the function. Default: a new one, which allows all outbound traffic.
            user: the Slurm user of the token, who may change nodes. Default: root.
            jobs: what happens to the jobs on a node. Default: they are waited for.
            grace: how long they are waited for before they are canceled, in whole seconds from the
                drain. Default: 5 minutes with `SlurmJobs.CANCEL`; not allowed without it.
            log_retention: how long log events are kept. Default: one year.
            code: where the function's code is. Default: the code of this package, as an asset.

        Raises:
            InvalidPropertyError: the text names the property, its value and what is allowed.
        """
        path = construct_path(scope, construct_id)
        check_text(path, "rest_api", rest_api, _validate_url)
        check_text(path, "user", user, _validate_user)
        check_text(path, "jobs", jobs, _validate_jobs)
        if grace is not None and jobs != SlurmJobs.CANCEL and not is_token(jobs):
            problem = "is for jobs=SlurmJobs.CANCEL only; other jobs are not canceled"
            raise InvalidPropertyError(path, "grace", problem)
        seconds = whole_seconds(path, "grace", grace or Duration.minutes(5))
        super().__init__(
            scope,
            construct_id,
            package=SLURM_PACKAGE,
            description="Drains HyperPod nodes in Slurm before they are removed",
            environment={
                "REST_API": rest_api,
                "TOKEN": token.secret_arn,
                "USER_NAME": user,
                "JOBS": str(jobs),
                "GRACE": str(seconds),
            },
            code=code,
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_groups=security_groups,
            log_retention=log_retention,
        )
        token.grant_read(self.role)


class EksDrain(HookFunction):
    """Drains nodes in Kubernetes before they are removed.

    It cordons them and evicts their pods, and a node is not removed until it is empty. If it is not
    removed after all, it accepts pods again. A node that was cordoned by someone else stays
    cordoned. Its permissions in the cluster are in `rbac.yaml` (docs/drain.md).
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
        log_retention: logs.RetentionDays = _ONE_YEAR,
        code: lambda_.Code | None = None,
    ) -> None:
        """Specify the EKS cluster.

        Args:
            scope: the stack, or a construct in it.
            construct_id: unique within `scope`.
            cluster: the name of the EKS cluster that orchestrates the HyperPod cluster, in the
                stack's account and region.
            vpc: the VPC from which the cluster's private endpoint and the EKS API can be reached.
                Default: none, for a public endpoint.
            vpc_subnets: the subnets to use. Default: the private ones.
            security_groups: of the function. Default: a new one, which allows all outbound traffic.
            disrupts_protected_pods: whether to evict pods whose annotations say not to
                (`karpenter.sh/do-not-disrupt: "true"`, `cluster-autoscaler.kubernetes.io/
                safe-to-evict: "false"`). Default: such a pod, or node, is a veto.
            access_entry: whether to create the access entry that puts the function's role into the
                Kubernetes group `hyperpod-node-drain`. Default: it is created. The authentication
                mode of the cluster must allow access entries.
            log_retention: how long log events are kept. Default: one year.
            code: where the function's code is. Default: the code of this package, as an asset.

        Raises:
            InvalidPropertyError: the text names the property, its value and what is allowed.
        """
        path = construct_path(scope, construct_id)
        check_text(path, "cluster", cluster, _validate_eks_name)
        check_flag(path, "disrupts_protected_pods", disrupts_protected_pods)
        check_flag(path, "access_entry", access_entry, is_literal=True)
        arn = Stack.of(scope).format_arn(service="eks", resource="cluster", resource_name=cluster)
        super().__init__(
            scope,
            construct_id,
            package=EKS_PACKAGE,
            description="Drains HyperPod nodes in Kubernetes before they are removed",
            environment={
                "CLUSTER": cluster,
                "DISRUPTS": flag_text(disrupts_protected_pods),
            },
            statements=[allow(arn, EKS_ACTION)],
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
                kubernetes_groups=[_KUBERNETES_GROUP],
            )


class BackupMarker(HookFunction):
    """Requires an object in S3 for every node before it is removed: `s3://BUCKET/PREFIX<node id>`.

    Anything can write the object, such as the last line of a backup job, with any content. Instance
    ids are not reused, so a marker cannot be that of a later node.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket: s3.IBucket,
        prefix: str = MARKER_PREFIX,
        waits: bool = False,
        log_retention: logs.RetentionDays = _ONE_YEAR,
        code: lambda_.Code | None = None,
    ) -> None:
        """Specify the bucket.

        Args:
            scope: the stack, or a construct in it.
            construct_id: unique within `scope`.
            bucket: the bucket with the markers. The function may list the keys below the prefix,
                but not read objects.
            prefix: what the key of a marker has before the node's id. Default: `hyperpod-backups/`.
            waits: whether to wait for a missing marker until the removal's timeout. Default: its
                node is vetoed at once.
            log_retention: how long log events are kept. Default: one year.
            code: where the function's code is. Default: the code of this package, as an asset.

        Raises:
            InvalidPropertyError: `waits` is neither True nor False.
        """
        check_flag(construct_path(scope, construct_id), "waits", waits)
        super().__init__(
            scope,
            construct_id,
            package=MARKER_PACKAGE,
            description="Requires a backup marker for HyperPod nodes before they are removed",
            environment={
                "BUCKET": bucket.bucket_name,
                "PREFIX": prefix,
                "WAITS": flag_text(waits),
            },
            statements=[
                iam.PolicyStatement(
                    actions=["s3:ListBucket"],
                    resources=[bucket.bucket_arn],
                    conditions={"StringLike": {"s3:prefix": f"{prefix}*"}},
                )
            ],
            code=code,
            log_retention=log_retention,
        )


def _validate_jobs(value: str) -> str | None:
    return validate_choice(value, SlurmJobs)


def _validate_url(value: str) -> str | None:
    if re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
        return None
    return f"'{value}' is not a URL; allowed: http:// or https://, host and port"


def _validate_user(value: str) -> str | None:
    if re.fullmatch(r"[\w.-]+", value, re.ASCII):
        return None
    return f"'{value}' is not the name of a user"


def _validate_eks_name(value: str) -> str | None:
    if value and ":" not in value and "/" not in value:
        return None
    return f"'{value}' is not the name of an EKS cluster; specify its name, not its ARN"
