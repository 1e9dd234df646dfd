"""The templates of the drains and of the backup marker, from the constructs of an app.

What differs from cluster to cluster comes from parameters.
"""

from collections.abc import Callable
from typing import Any, Final

from aws_cdk import (
    Acknowledgment,
    Aws,
    CfnCondition,
    CfnOutput,
    CfnParameter,
    Duration,
    Fn,
    Stack,
    Validations,
)
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager

from hyperpod_node_removal import BackupMarker, EksDrain, SlurmDrain, SlurmJobs
from hyperpod_node_removal._drains import MARKER_PREFIX
from hyperpod_node_removal._hook_function import HookFunction
from release.templates import Parameters, synthesize, template_text

SLURM_ZIP: Final = "slurm-drain.zip"
EKS_ZIP: Final = "eks-drain.zip"
MARKER_ZIP: Final = "backup-marker.zip"
_DRAIN: Final = "Drain"
_COMMENTS: Final = {
    "LogGroup": "The progress of each node, at each invocation.",
    "Role": "It may do what the policies below say.",
    "Policy": "To write its log, and to read what it needs.",
    "Network": (
        "Lambda makes network interfaces with this role. The function's own code is denied them."
    ),
    "RoleDefaultPolicy": "To read the token.",
    "Function": "Pass its ARN to removals as BeforeRemoval, and to the provider.",
    "FunctionEventInvokeConfig": "A release is delivered within a minute or never.",
    "AccessEntry": "Puts the role into the Kubernetes group to which rbac.yaml gives permissions.",
}


def drain_texts() -> dict[str, str]:
    """Return the text of each template by the name of its file."""
    before = "before they are removed"
    return {
        "hyperpod-node-removal-slurm-drain.yaml": _text(
            _slurm, f"drains HyperPod nodes in Slurm {before}", SLURM_ZIP
        ),
        "hyperpod-node-removal-eks-drain.yaml": _text(
            _eks, f"drains HyperPod nodes in Kubernetes {before}", EKS_ZIP
        ),
        "hyperpod-node-removal-backup-marker.yaml": _text(
            _marker, "requires an object in S3 for every node before it is removed", MARKER_ZIP
        ),
    }


def _text(make: Callable[[Stack], HookFunction], does: str, archive: str) -> str:
    def fill(stack: Stack) -> None:
        drain = make(stack)
        log_group = drain.log_group.node.default_child
        assert isinstance(log_group, logs.CfnLogGroup)
        log_group.retention_in_days = Parameters(stack).log_retention("Days to retain log events.")
        description = "BeforeRemoval of the removals that wait for the drain"
        CfnOutput(stack, "FunctionArn", description=description, value=drain.function_arn)

    template = synthesize(fill, name="HyperPodNodeDrain", scope=_DRAIN)
    template["Resources"]["Function"]["DependsOn"].remove("Role")  # its reference implies that
    head = (
        f"A function that {does}.\n\n"
        f"First upload {archive}, which comes with this template, to a bucket in this region."
    )
    return template_text(template, head, _COMMENTS)


def _slurm(stack: Stack) -> HookFunction:
    given = Parameters(stack)
    token = given.text("TokenArn", "ARN of the secret whose text is the JWT.", r"arn:aws.*")
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
        description="Security groups of the function, which that of slurmrestd must allow in.",
    )
    drain = SlurmDrain(
        stack,
        _DRAIN,
        rest_api=given.text(
            "RestApi", "Where slurmrestd listens: http://10.1.0.10:6820.", r"https?://.+"
        ),
        token=secretsmanager.Secret.from_secret_complete_arn(stack, "Token", token),
        user=given.text("User", "The Slurm user of the token.", r".+", "root"),
        code=_code(stack, SLURM_ZIP),
        jobs=given.choice(  # type: ignore[arg-type] # a token passes
            "Jobs",
            "What happens to jobs: WAIT loses nothing, and keeps a node whose jobs do not end in"
            " time. REQUEUE loses what they computed since their last checkpoint. CANCEL loses the"
            " jobs.",
            *SlurmJobs,
        ),
        grace=Duration.seconds(
            CfnParameter(
                stack,
                "GraceSeconds",
                type="Number",
                description="With CANCEL: seconds for which jobs are waited for first.",
                default=300,
                min_value=0,
            ).value_as_number
        ),
        **_network(stack),
    )
    _set_network(drain, subnets.value_as_list, groups.value_as_list)
    return drain


def _eks(stack: Stack) -> HookFunction:
    given = Parameters(stack)
    subnets = given.texts(
        "SubnetIds",
        "Private subnets from which the cluster's private endpoint and the EKS API can be reached."
        " Empty: the cluster has a public endpoint.",
    )
    groups = given.texts(
        "SecurityGroupIds", "Security groups of the function, if it is in subnets."
    )
    disrupts = given.flag(
        "DisruptsProtectedPods", "Whether to evict pods whose annotations say not to."
    )
    drain = EksDrain(
        stack,
        _DRAIN,
        cluster=given.text("EksCluster", "Name of the EKS cluster.", r"[0-9A-Za-z_-]{1,100}"),
        code=_code(stack, EKS_ZIP),
        disrupts_protected_pods=disrupts,  # type: ignore[arg-type] # a token passes
        **_network(stack),
    )
    empty = Fn.condition_equals(Fn.select(0, subnets), "")
    condition = CfnCondition(stack, "HasNetwork", expression=Fn.condition_not(empty)).logical_id
    # The function waits for the policy, so the policy exists with or without a network.
    policy: Any = drain.node.find_child("Network").node.default_child
    effect = Fn.condition_if(condition, "Allow", "Deny")
    policy.add_property_override("PolicyDocument.Statement.0.Effect", effect)
    reason = "Without subnets the function is in no network."
    for rule in ("E1150", "F3031"):
        Validations.of(drain.function).acknowledge(
            Acknowledgment(id=f"CloudFormation-Validate::{rule}", reason=reason)
        )
    _set_network(drain, subnets, groups, condition)
    return drain


def _marker(stack: Stack) -> HookFunction:
    given = Parameters(stack)
    bucket = given.text("MarkerBucket", "Bucket with the markers.", r".{3,63}")
    return BackupMarker(
        stack,
        _DRAIN,
        bucket=s3.Bucket.from_bucket_name(stack, "Markers", bucket),
        prefix=given.text("Prefix", "What a key has before the node's id.", r".*", MARKER_PREFIX),
        code=_code(stack, MARKER_ZIP),
        waits=given.flag(  # type: ignore[arg-type] # a token passes
            "Waits", "Whether to wait for a missing marker until the removal's timeout."
        ),
    )


def _code(stack: Stack, archive: str) -> lambda_.Code:
    given = Parameters(stack)
    bucket = given.text("CodeBucket", f"Bucket in this region that has {archive}.", r".{3,63}")
    key = given.text("CodeKey", "Key of the code in the bucket.", r".{1,1024}", archive)
    return lambda_.Code.from_bucket(s3.Bucket.from_bucket_name(stack, "Bucket", bucket), key)


def _network(stack: Stack) -> dict[str, Any]:
    """Return placeholders, so that the construct has a network; `_set_network` replaces them."""
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-00000000")
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-00000000",
        availability_zones=["any"],
        private_subnet_ids=["subnet-00000000"],
    )
    return {"vpc": vpc, "security_groups": [group]}


def _set_network(
    drain: HookFunction, subnets: list[str], groups: list[str], condition: str = ""
) -> None:
    config: Any = {"SubnetIds": subnets, "SecurityGroupIds": groups}
    if condition:
        config = Fn.condition_if(condition, config, Aws.NO_VALUE)
    function = drain.function.node.default_child
    assert isinstance(function, lambda_.CfnFunction)
    function.add_property_override("VpcConfig", config)
