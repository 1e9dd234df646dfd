"""The function of a drain or of the backup marker, which approves nodes before they are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from hyperpod_node_removal._asset import RUNTIME, function_code
from hyperpod_node_removal._statements import (
    LOG_ACTIONS,
    NETWORK_ACTIONS,
    acknowledge_wildcard,
    allow,
)
from hyperpod_node_removal_contract import RELEASE_MAX_AGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import aws_ec2 as ec2

HOOK_PACKAGE: Final = "hyperpod_node_removal_hook"
TIMEOUT_SECONDS: Final = 120
"""One invocation takes seconds: a drain that is not complete says so and is invoked again."""
MEMORY_MEGABYTES: Final = 1024
"""slurmrestd describes a job in 5.6 KB of JSON: 8,000 jobs take 270 MB, and 24,000 take 740 MB. The
processor grows with the memory, and parsing the pods of 3,000 Kubernetes nodes takes 24 s of it."""
_NETWORK_REASON: Final = (
    "Lambda makes network interfaces whose ids are not known before; the function itself is denied"
    " these calls."
)


class HookFunction(Construct):
    """A function that is invoked before nodes are removed, with its role and its log group.

    Pass it to `NodeRemoval` as `before_removal`. Any number of removals can use it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        package: str,
        description: str,
        environment: Mapping[str, str],
        statements: Sequence[iam.PolicyStatement] = (),
        code: lambda_.Code | None,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_groups: Sequence[ec2.ISecurityGroup] | None = None,
        log_retention: logs.RetentionDays,
    ) -> None:
        """Create the function. `package` is the import package with its code."""
        code = code or function_code(scope, (package, HOOK_PACKAGE))
        super().__init__(scope, construct_id)
        self._log_group = logs.LogGroup(self, "LogGroup", retention=log_retention)
        self._role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        logging = allow(self._log_group.log_group_arn, *LOG_ACTIONS)
        own = iam.Policy(self, "Policy", roles=[self._role], statements=[logging, *statements])
        policies = [own, *([_network_policy(self, self._role)] if vpc else [])]
        self._function = lambda_.Function(
            self,
            "Function",
            description=description,
            runtime=RUNTIME,
            architecture=lambda_.Architecture.ARM_64,
            code=code,
            handler=f"{package}.index.handler",
            environment=dict(environment),
            role=self._role,
            timeout=Duration.seconds(TIMEOUT_SECONDS),
            memory_size=MEMORY_MEGABYTES,
            log_group=self._log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_groups=security_groups,
            retry_attempts=2,
            max_event_age=Duration.seconds(RELEASE_MAX_AGE),
        )
        # Lambda rejects a function in a VPC until its role may make network interfaces.
        self._function.node.add_dependency(*policies)

    @property
    def function(self) -> lambda_.Function:
        """The function."""
        return self._function

    @property
    def function_arn(self) -> str:
        """ARN of the function. A token."""
        return self._function.function_arn

    @property
    def role(self) -> iam.Role:
        """The role of the function."""
        return self._role

    @property
    def log_group(self) -> logs.LogGroup:
        """The log group in which the function records the progress of each node."""
        return self._log_group


def _network_policy(scope: Construct, role: iam.Role) -> iam.Policy:
    policy = iam.Policy(
        scope,
        "Network",
        roles=[role],
        statements=[
            allow("*", *NETWORK_ACTIONS),
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                actions=list(NETWORK_ACTIONS),
                resources=["*"],
                # Present in the calls of the function's own code, and only there.
                conditions={"Null": {"lambda:SourceFunctionArn": "false"}},
            ),
        ],
    )
    acknowledge_wildcard(policy, "*", _NETWORK_REASON)
    return policy
