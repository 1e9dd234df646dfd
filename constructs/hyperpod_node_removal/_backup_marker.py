"""The construct: nodes are removed once an object in S3 says that their data is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from hyperpod_node_removal._hook_function import HookFunction
from hyperpod_node_removal._validation import check_flag, construct_path

if TYPE_CHECKING:
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_s3 as s3
    from constructs import Construct

PACKAGE: Final = "hyperpod_node_removal_backup_marker"
PREFIX: Final = "hyperpod-backups/"


class BackupMarker(HookFunction):
    """Requires an object in S3 for every node before it is removed: `s3://BUCKET/PREFIX<node id>`.

    What writes it, such as the last line of a backup job, and what is in it does not matter.
    Instance ids do not come back, so a marker cannot be taken for that of a later node.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket: s3.IBucket,
        prefix: str = PREFIX,
        waits: bool = False,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        code: lambda_.Code | None = None,
    ) -> None:
        """Name the bucket.

        Args:
            scope: the stack, or a construct in it.
            construct_id: unique within `scope`.
            bucket: the bucket with the markers. The function may list the keys below the prefix,
                and read no object.
            prefix: what the key of a marker has before the node's id. Default: `hyperpod-backups/`.
            waits: whether a marker that is missing is waited for until the removal's timeout.
                Default: its node is vetoed at once.
            log_retention: how long log events are kept. Default: one year.
            code: where the function's code is. Default: the code of this package, as an asset.

        Raises:
            InvalidPropertyError: `waits` is neither True nor False.
        """
        check_flag(construct_path(scope, construct_id), "waits", waits)
        super().__init__(
            scope,
            construct_id,
            package=PACKAGE,
            description="Requires a backup marker for HyperPod nodes before they are removed",
            environment={
                "BUCKET": bucket.bucket_name,
                "PREFIX": prefix,
                "WAITS": "true" if waits else "false",
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
