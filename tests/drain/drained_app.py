"""An app with a drain, for the real CDK CLI: `-c rest_api=...` is Slurm, `-c eks=...` is EKS."""

from aws_cdk import App, CfnOutput, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_secretsmanager as secretsmanager

from hyperpod_node_removal import EksDrain, NodeRemoval, SlurmDrain

app = App()


def given(name: str) -> str:
    return str(app.node.try_get_context(name) or "")


stack = Stack(app, "Drained")
vpc = ec2.Vpc.from_vpc_attributes(
    stack,
    "Vpc",
    vpc_id="vpc-0123456789abcdef0",
    availability_zones=["us-east-1a"],
    private_subnet_ids=["subnet-0123456789abcdef0"],
)
eks = given("eks")
removal = NodeRemoval(
    stack,
    "Nodes",
    cluster_arn=given("cluster_arn"),
    eks_cluster_arn=eks or None,
    node_ids=given("node_ids").split(","),
    before_removal=EksDrain(stack, "Drain", cluster=eks.partition(":cluster/")[2], vpc=vpc)
    if eks
    else SlurmDrain(
        stack,
        "Drain",
        rest_api=given("rest_api"),
        token=secretsmanager.Secret.from_secret_complete_arn(stack, "Token", given("token")),
        vpc=vpc,
    ),
    timeout=Duration.seconds(int(given("seconds"))),
    retry_for=Duration.seconds(0),
)
CfnOutput(stack, "RemovedNodes", value=removal.removed_nodes)
app.synth()
