"""The construct: nodes are drained in Slurm before they are removed."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from aws_cdk import Duration
from aws_cdk import aws_logs as logs

from hyperpod_node_removal._errors import InvalidPropertyError
from hyperpod_node_removal._hook_function import HookFunction
from hyperpod_node_removal._validation import check_text, construct_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_ec2 as ec2
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_secretsmanager as secretsmanager
    from constructs import Construct

PACKAGE: Final = "hyperpod_node_removal_slurm_drain"


class SlurmJobs(StrEnum):
    """What becomes of the jobs that run on a node to be removed."""

    WAIT = "WAIT"
    """They are waited for until the removal's timeout. Nothing is lost; a node whose jobs do not
    end in time is not removed."""
    REQUEUE = "REQUEUE"
    """They are requeued, and lose what they computed since their last checkpoint. Jobs that may not
    be requeued (`--no-requeue`) are waited for, and so are others on the same node."""
    CANCEL = "CANCEL"
    """They are canceled after a grace time, and lost."""


class SlurmDrain(HookFunction):
    """Drains nodes in Slurm before they are removed.

    No new job starts on a drained node, and it is not removed before no job is on it. If it is not
    removed after all, it takes jobs again. A node that somebody else has drained stays as it was,
    and its jobs are waited for whatever `jobs` says.
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
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        code: lambda_.Code | None = None,
    ) -> None:
        """Name the REST API of Slurm, and what may be used to reach it.

        Args:
            scope: the stack, or a construct in it.
            construct_id: unique within `scope`.
            rest_api: where slurmrestd listens: `http://10.1.0.10:6820`, or `https://`. It must
                serve v0.0.39 of its API or later (Slurm 23.02).
            token: the secret whose text is a JWT of `user`. It is read at each call.
            vpc: the VPC from which slurmrestd, and Secrets Manager, can be reached.
            vpc_subnets: the subnets to use. Default: the private ones.
            security_groups: of the function. Default: a new one, which may reach anything.
            user: the Slurm user of the token, who may change nodes. Default: root.
            jobs: what becomes of the jobs on a node. Default: they are waited for.
            grace: for how long they are waited for before they are canceled, in whole seconds from
                the drain. Default: 5 minutes with `SlurmJobs.CANCEL`; not allowed without it.
            log_retention: how long log events are kept. Default: one year.
            code: where the function's code is. Default: the code of this package, as an asset.

        Raises:
            InvalidPropertyError: the text names the property, its value and what is allowed.
        """
        path = construct_path(scope, construct_id)
        check_text(path, "rest_api", rest_api, _validate_url)
        check_text(path, "user", user, _validate_user)
        if jobs not in tuple(SlurmJobs):
            allowed = ", ".join(SlurmJobs)
            raise InvalidPropertyError(path, "jobs", f"'{jobs}' is not one of {allowed}")
        if grace is not None and jobs != SlurmJobs.CANCEL:
            raise InvalidPropertyError(
                path, "grace", "is for jobs=SlurmJobs.CANCEL only; other jobs are not canceled"
            )
        grace = grace or Duration.minutes(5)
        super().__init__(
            scope,
            construct_id,
            package=PACKAGE,
            description="Drains HyperPod nodes in Slurm before they are removed",
            environment={
                "REST_API": rest_api,
                "TOKEN": token.secret_arn,
                "USER_NAME": user,
                "JOBS": str(jobs),
                "GRACE": str(grace.to_seconds()),
            },
            code=code,
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_groups=security_groups,
            log_retention=log_retention,
        )
        token.grant_read(self.role)


def _validate_url(value: str) -> str | None:
    if re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
        return None
    return f"'{value}' is not a URL; allowed: http:// or https://, host and port"


def _validate_user(value: str) -> str | None:
    if re.fullmatch(r"[\w.-]+", value, re.ASCII):
        return None
    return f"'{value}' is not the name of a user"
