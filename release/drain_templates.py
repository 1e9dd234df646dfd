"""The drains, and the backup marker, as templates that need neither Python nor a CDK bootstrap.

They are synthesized from the constructs that an app uses: only what differs from cluster to cluster
comes from parameters.
"""

import tempfile
from collections.abc import Callable, Mapping
from typing import Any, Final

from aws_cdk import (
    Acknowledgment,
    App,
    Aws,
    BootstraplessSynthesizer,
    CfnCondition,
    CfnOutput,
    CfnParameter,
    Fn,
    Stack,
    Validations,
)
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager

from hyperpod_node_removal import BackupMarker, EksDrain, SlurmDrain
from hyperpod_node_removal._drains import MARKER_PREFIX
from hyperpod_node_removal._hook_function import HookFunction
from release.provider_parameters import LOG_RETENTION_DAYS, retention_parameter, text_parameter
from release.provider_template import name_resources
from release.template_text import template_text

SLURM_ZIP: Final = "slurm-drain.zip"
EKS_ZIP: Final = "eks-drain.zip"
MARKER_ZIP: Final = "backup-marker.zip"
_DRAIN: Final = "Drain"
_MARKER_HEAD: Final = "requires an object in S3 for every node before it is removed"

_COMMENTS: Final = {
    "LogGroup": "How far each node is, at each question.",
    "Role": "It may do what the policies below say.",
    "Policy": "To write its log, and to look at what it is about.",
    "Network": (
        "Lambda makes network interfaces with this role. The function's own code is denied them."
    ),
    "RoleDefaultPolicy": "To read the token.",
    "Function": "Pass its ARN to removals as BeforeRemoval, and to the provider.",
    "FunctionEventInvokeConfig": "A release is delivered within a minute or never.",
    "AccessEntry": "Puts the role into the Kubernetes group that rbac.yaml gives its rights to.",
}


def drain_texts() -> dict[str, str]:
    """Return the templates by the name of their file."""
    return {
        "hyperpod-node-removal-slurm-drain.yaml": template_text(
            _synthesized(_slurm), _head("Slurm", SLURM_ZIP), _COMMENTS
        ),
        "hyperpod-node-removal-eks-drain.yaml": template_text(
            _synthesized(_eks), _head("Kubernetes", EKS_ZIP), _COMMENTS
        ),
        "hyperpod-node-removal-backup-marker.yaml": template_text(
            _synthesized(_marker), _head_of(_MARKER_HEAD, MARKER_ZIP), _COMMENTS
        ),
    }


def _head(where: str, archive: str) -> str:
    return _head_of(f"drains HyperPod nodes in {where} before they are removed", archive)


def _head_of(does: str, archive: str) -> str:
    return (
        f"A function that {does}.\n\n"
        f"First upload {archive}, which comes with this template, to a bucket in this region."
    )


def _synthesized(fill: Callable[[Stack], HookFunction]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        app = App(outdir=directory, analytics_reporting=False)
        stack = Stack(app, "HyperPodNodeDrain", synthesizer=BootstraplessSynthesizer())
        drain = fill(stack)
        log_group = drain.log_group.node.default_child
        assert isinstance(log_group, logs.CfnLogGroup)
        log_group.retention_in_days = retention_parameter(stack, "Days to retain log events.")
        description = "BeforeRemoval of the removals that wait for the drain"
        CfnOutput(stack, "FunctionArn", description=description, value=drain.function_arn)
        name_resources(stack, _DRAIN)
        template: dict[str, Any] = app.synth().get_stack_by_name(stack.stack_name).template
    # What the CDK cannot say otherwise: an order that a reference implies, and numbers as numbers.
    depends = template["Resources"]["Function"]["DependsOn"]
    depends[:] = [name for name in depends if name != "Role"]
    retention = template["Parameters"]["LogRetentionDays"]
    retention["AllowedValues"] = list(LOG_RETENTION_DAYS)
    return template


def _code(stack: Stack, archive: str) -> lambda_.Code:
    bucket = text_parameter(
        stack, "CodeBucket", f"Bucket in this region that has {archive}.", r".{3,63}"
    )
    key = text_parameter(stack, "CodeKey", "Key of the code in the bucket.", r".{1,1024}", archive)
    return lambda_.Code.from_bucket(s3.Bucket.from_bucket_name(stack, "Bucket", bucket), key)


def _network(stack: Stack) -> dict[str, Any]:
    """Return what makes the construct expect a network, which `_put_into` then names."""
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-00000000")
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-00000000",
        availability_zones=["any"],
        private_subnet_ids=["subnet-00000000"],
    )
    return {"vpc": vpc, "security_groups": [group]}


def _put_into(
    drain: HookFunction, subnets: Any, groups: Any, condition: CfnCondition | None
) -> None:
    config: Mapping[str, Any] = {"SubnetIds": subnets, "SecurityGroupIds": groups}
    function = drain.function.node.default_child
    assert isinstance(function, lambda_.CfnFunction)
    if condition is None:
        function.add_property_override("VpcConfig", config)
        return
    chosen = Fn.condition_if(condition.logical_id, config, Aws.NO_VALUE)
    function.add_property_override("VpcConfig", chosen)
    # The function waits for the policy, so that is there with or without a network.
    policy: Any = drain.node.find_child("Network").node.default_child
    effect = Fn.condition_if(condition.logical_id, "Allow", "Deny")
    policy.add_property_override("PolicyDocument.Statement.0.Effect", effect)
    reason = "Without subnets the function is in no network."
    for rule in ("E1150", "F3031"):
        Validations.of(drain.function).acknowledge(
            Acknowledgment(id=f"CloudFormation-Validate::{rule}", reason=reason)
        )


def _slurm(stack: Stack) -> HookFunction:
    token = text_parameter(
        stack, "TokenArn", "ARN of the secret whose text is the JWT.", r"arn:aws.*"
    )
    subnets = CfnParameter(
        stack,
        "SubnetIds",
        type="List<AWS::EC2::Subnet::Id>",
        description="Private subnets from which slurmrestd and Secrets Manager can be reached.",
    )
    groups = CfnParameter(
        stack,
        "SecurityGroupIds",
        type="List<AWS::EC2::SecurityGroup::Id>",
        description="Security groups of the function, which slurmrestd's must let in.",
    )
    drain = SlurmDrain(
        stack,
        _DRAIN,
        rest_api=text_parameter(
            stack, "RestApi", "Where slurmrestd listens: http://10.1.0.10:6820.", r"https?://.+"
        ),
        token=secretsmanager.Secret.from_secret_complete_arn(stack, "Token", token),
        user=text_parameter(stack, "User", "The Slurm user of the token.", r".+", "root"),
        code=_code(stack, SLURM_ZIP),
        **_network(stack),
    )
    jobs = CfnParameter(
        stack,
        "Jobs",
        description="What becomes of jobs: WAIT loses nothing, and keeps a node whose jobs do not"
        " end in time. REQUEUE loses what they computed since their last checkpoint. CANCEL loses"
        " the jobs.",
        default="WAIT",
        allowed_values=["WAIT", "REQUEUE", "CANCEL"],
    )
    grace = CfnParameter(
        stack,
        "GraceSeconds",
        type="Number",
        description="With CANCEL: seconds for which jobs are waited for first.",
        default=300,
        min_value=0,
    )
    drain.function.add_environment("JOBS", jobs.value_as_string)
    drain.function.add_environment("GRACE", grace.value_as_string)
    _put_into(drain, subnets.value_as_list, groups.value_as_list, None)
    return drain


def _eks(stack: Stack) -> HookFunction:
    subnets = CfnParameter(
        stack,
        "SubnetIds",
        type="CommaDelimitedList",
        description="Private subnets from which the cluster's private endpoint, and the endpoints"
        " of EKS and STS, can be reached. Empty: the cluster has a public endpoint.",
        default="",
    ).value_as_list
    groups = CfnParameter(
        stack,
        "SecurityGroupIds",
        type="CommaDelimitedList",
        description="Security groups of the function, if it is in subnets.",
        default="",
    ).value_as_list
    disrupts = CfnParameter(
        stack,
        "DisruptsProtectedPods",
        description="Whether to evict pods whose annotations say not to.",
        default="false",
        allowed_values=["true", "false"],
    )
    drain = EksDrain(
        stack,
        _DRAIN,
        cluster=text_parameter(
            stack, "EksCluster", "Name of the EKS cluster.", r"[0-9A-Za-z_-]{1,100}"
        ),
        code=_code(stack, EKS_ZIP),
        **_network(stack),
    )
    drain.function.add_environment("DISRUPTS", disrupts.value_as_string)
    empty = Fn.condition_equals(Fn.select(0, subnets), "")
    has_network = CfnCondition(stack, "HasNetwork", expression=Fn.condition_not(empty))
    _put_into(drain, subnets, groups, has_network)
    return drain


def _marker(stack: Stack) -> HookFunction:
    bucket = text_parameter(stack, "MarkerBucket", "Bucket with the markers.", r".{3,63}")
    marker = BackupMarker(
        stack,
        _DRAIN,
        bucket=s3.Bucket.from_bucket_name(stack, "Markers", bucket),
        prefix=text_parameter(
            stack, "Prefix", "What a key has before the node's id.", r".*", MARKER_PREFIX
        ),
        code=_code(stack, MARKER_ZIP),
    )
    waits = CfnParameter(
        stack,
        "Waits",
        description="Whether a missing marker is waited for until the removal's timeout.",
        default="false",
        allowed_values=["true", "false"],
    )
    marker.function.add_environment("WAITS", waits.value_as_string)
    return marker
