"""The provider's stack in an account whose organization requires what a template must have."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from aws_cdk import App, BootstraplessSynthesizer, Fn, Stack

from hyperpod_node_removal import NodeRemoval, NodeRemovalProvider
from release.artifacts import PROVIDER
from release.provider_template import HANDLER_ZIP
from sandbox.hyperpod import Cluster
from tests.docs.code_blocks import DOCS
from tests.release.cli import Cli
from tests.release.test_provider_stack import removal

pytestmark = pytest.mark.xdist_group("release-stacks")

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


@pytest.fixture
def cluster(cli: Cli) -> Cluster:
    name = f"raw-{uuid4().hex[:8]}"
    return cli.sandbox.hyperpod.create_cluster(name, {"workers": 6}, shutdown_seconds=0.5)


def deployed(cli: Cli, name: str, **required: str) -> tuple[dict[str, str], str]:
    """The stack's resources by logical id, and the name of the export."""
    cli.deploy(
        PROVIDER,
        f"{name}-provider",
        capabilities=("CAPABILITY_IAM",),
        CodeBucket=Cli.BUCKET,
        CodeKey=HANDLER_ZIP,
        ClusterArn="*",
        StackName="raw-*",
        ExportName=f"{name}-token",
        **required,
    )
    told = cli.aws("cloudformation", "describe-stack-resources", "--stack-name", f"{name}-provider")
    resources = json.loads(told)["StackResources"]
    ids = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources}
    return ids, f"{name}-token"


def test_a_boundary_a_network_and_a_key(
    cli: Cli, provider: str, cluster: Cluster, tmp_path: Path
) -> None:
    """The sandbox does not keep all of them; `test_provider_template` looks at each."""
    iam, ec2, kms = (cli.sandbox.client(name) for name in ("iam", "ec2", "kms"))
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName=cluster.name, Description="-", VpcId=vpc)["GroupId"]
    key = kms.create_key()["KeyMetadata"]["Arn"]
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({**TRUST, "Statement": [everything]})
    boundary = iam.create_policy(PolicyName=cluster.name, PolicyDocument=document)["Policy"]["Arn"]

    resources, export = deployed(
        cli,
        cluster.name,
        PermissionsBoundaryArn=boundary,
        SubnetIds=subnet,
        SecurityGroupIds=group,
        KmsKeyArn=key,
        Architecture="x86_64",
    )
    (node, *_) = cluster.node_ids("workers")
    cli.deploy(removal(tmp_path, export), cluster.name, Cluster=cluster.name, NodeIds=node)
    assert node not in cluster.present

    policies = iam.list_role_policies(RoleName=resources["Role"])["PolicyNames"]
    assert {"Logs", "Network"} <= set(policies)


def test_a_role_that_somebody_else_has_made(
    cli: Cli, provider: str, cluster: Cluster, tmp_path: Path
) -> None:
    iam = cli.sandbox.client("iam")
    role = iam.create_role(
        RoleName=cluster.name, Path="/ml/", AssumeRolePolicyDocument=json.dumps(TRUST)
    )["Role"]["Arn"]
    place = ":".join(cluster.arn.split(":")[3:5])
    document = (DOCS / "iam" / "function-role.json").read_text(encoding="utf-8")
    document = document.replace("us-west-2:111122223333", place)
    document = document.replace("hyperpod-node-removal-", "raw-")
    iam.put_role_policy(RoleName=cluster.name, PolicyName="removal", PolicyDocument=document)
    resources, export = deployed(cli, cluster.name, RoleArn=role)
    (node, *_) = cluster.node_ids("workers")
    cli.deploy(removal(tmp_path, export), cluster.name, Cluster=cluster.name, NodeIds=node)
    assert node not in cluster.present
    assert resources.keys() == {"Function", "Invocation", "LogGroup"}
    function = cli.sandbox.client("lambda").get_function_configuration(
        FunctionName=resources["Function"]
    )
    assert function["Role"] == role
    assert iam.list_role_policies(RoleName=cluster.name)["PolicyNames"] == ["removal"]


def test_an_app_removes_nodes_with_the_function_of_the_template(
    cli: Cli, provider: str, cluster: Cluster, tmp_path: Path
) -> None:
    _, export = deployed(cli, cluster.name)
    app = App(outdir=str(tmp_path / "out"), analytics_reporting=False)
    stack = Stack(app, cluster.name, synthesizer=BootstraplessSynthesizer())
    (node, *_) = cluster.node_ids("workers")
    NodeRemoval(
        stack,
        "FaultyNodes",
        cluster_name=cluster.name,
        node_ids=[node],
        provider=NodeRemovalProvider.from_service_token(stack, "Provider", Fn.import_value(export)),
    )
    app.synth()
    cli.deploy(tmp_path / "out" / stack.template_file, cluster.name)
    assert node not in cluster.present
