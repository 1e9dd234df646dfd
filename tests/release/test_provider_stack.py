"""The provider's stack from `dist/`, with the real AWS CLI and nothing else."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from aws_cdk import App, BootstraplessSynthesizer, Fn, Stack

from hyperpod_node_removal import NodeRemoval, NodeRemovalProvider
from release.artifacts import PROVIDER
from release.provider_parameters import EXPORT_NAME
from release.provider_template import HANDLER_ZIP
from sandbox.hyperpod import Cluster
from sandbox.project import ROOT
from tests.docs.code_blocks import DOCS
from tests.handler.embedded_metrics import is_document, metrics_of
from tests.handler.event_schema import checked
from tests.release.cli import Cli

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
    """A cluster of this test, whose name serves as that of a stack too."""
    name = f"raw-{uuid4().hex[:8]}"
    return cli.sandbox.hyperpod.create_cluster(name, {"workers": 6}, shutdown_seconds=0.5)


def removal(folder: Path, export: str) -> Path:
    """Write the example of a removal, which imports this export and retries nothing."""
    text = (ROOT / "examples" / "cloudformation" / "removal.yaml").read_text(encoding="utf-8")
    text = text.replace(EXPORT_NAME, export)
    path = folder / "removal.yaml"
    path.write_text(text.replace("ServiceTimeout: 1800", "RetryFor: 0"), encoding="utf-8")
    return path


def removes_a_node(cli: Cli, cluster: Cluster, template: Path) -> str:
    """Deploy the removal of one node."""
    (node, *_) = cluster.node_ids("workers")
    outputs = cli.deploy(template, cluster.name, ClusterName=cluster.name, NodeIds=node)
    assert outputs["RemovedNodes"] == node
    assert node not in cluster.present
    return node


def another_provider(cli: Cli, name: str, **required: str) -> tuple[dict[str, str], str]:
    """Deploy one for stacks of this module: its resources by logical id, and its export.

    The code is in the bucket since the provider of all tests was deployed.
    """
    code = {"CodeBucket": Cli.BUCKET, "CodeKey": HANDLER_ZIP}
    given = {"ClusterArn": "*", "StackName": "raw-*", "ExportName": f"{name}-token"}
    stack = f"{name}-provider"
    cli.deploy(PROVIDER, stack, capabilities=("CAPABILITY_IAM",), **code, **given, **required)
    text = cli.aws("cloudformation", "describe-stack-resources", "--stack-name", stack)
    resources = json.loads(text)["StackResources"]
    made = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources}
    return made, f"{name}-token"


def test_a_boundary_a_network_and_a_key(
    cli: Cli, provider: str, cluster: Cluster, tmp_path: Path
) -> None:
    """The sandbox does not keep all of them; `test_provider_template` checks each."""
    iam, ec2, kms = (cli.sandbox.client(name) for name in ("iam", "ec2", "kms"))
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName=cluster.name, Description="-", VpcId=vpc)["GroupId"]
    key = kms.create_key()["KeyMetadata"]["Arn"]
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({**TRUST, "Statement": [everything]})
    boundary = iam.create_policy(PolicyName=cluster.name, PolicyDocument=document)["Policy"]["Arn"]
    resources, export = another_provider(
        cli,
        cluster.name,
        PermissionsBoundaryArn=boundary,
        SubnetIds=subnet,
        SecurityGroupIds=group,
        KmsKeyArn=key,
        Architecture="x86_64",
    )
    removes_a_node(cli, cluster, removal(tmp_path, export))
    policies = iam.list_role_policies(RoleName=resources["Role"])["PolicyNames"]
    assert {"Logs", "Network"} <= set(policies)


def test_a_role_that_is_created_elsewhere(
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
    resources, export = another_provider(cli, cluster.name, RoleArn=role)
    removes_a_node(cli, cluster, removal(tmp_path, export))
    assert resources.keys() == {"Function", "Invocation", "LogGroup"}
    function = cli.sandbox.client("lambda").get_function_configuration(
        FunctionName=resources["Function"]
    )
    assert function["Role"] == role
    assert iam.list_role_policies(RoleName=cluster.name)["PolicyNames"] == ["removal"]


def test_an_app_removes_nodes_with_the_function_of_the_template(
    cli: Cli, provider: str, cluster: Cluster, tmp_path: Path
) -> None:
    app = App(outdir=str(tmp_path / "out"), analytics_reporting=False)
    stack = Stack(app, cluster.name, synthesizer=BootstraplessSynthesizer())
    (node, *_) = cluster.node_ids("workers")
    NodeRemoval(
        stack,
        "FaultyNodes",
        cluster_name=cluster.name,
        node_ids=[node],
        provider=NodeRemovalProvider.from_service_token(
            stack, "Provider", Fn.import_value(EXPORT_NAME)
        ),
    )
    app.synth()
    cli.deploy(tmp_path / "out" / stack.template_file, cluster.name)
    assert node not in cluster.present


def test_parameters_switch_metrics_and_events_on(
    cli: Cli, provider: str, cluster: Cluster, tmp_path: Path
) -> None:
    events, queues = (cli.sandbox.client(name) for name in ("events", "sqs"))
    bus = events.create_event_bus(Name=cluster.name)["EventBusArn"]
    url = queues.create_queue(QueueName=cluster.name)["QueueUrl"]
    queue = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    pattern = json.dumps({"source": ["hyperpod.node-removal"]})
    events.put_rule(Name="all", EventBusName=cluster.name, EventPattern=pattern)
    target = {"Id": "queue", "Arn": queue["Attributes"]["QueueArn"]}
    events.put_targets(Rule="all", EventBusName=cluster.name, Targets=[target])
    resources, export = another_provider(cli, cluster.name, Metrics="true", EventBusArn=bus)
    node = removes_a_node(cli, cluster, removal(tmp_path, export))

    lines = cli.sandbox.log_lines(resources["LogGroup"])
    data = [datum for line in lines if is_document(line) for datum in metrics_of(line)]
    assert {datum.name: datum.value for datum in data if datum.name != "Duration"} == {
        "RemovedNodes": 1,
        "FailedNodes": 0,
        "AlreadyAbsentNodes": 0,
    }
    (message,) = queues.receive_message(QueueUrl=url)["Messages"]
    assert checked(json.dumps(json.loads(message["Body"])["detail"]))["RemovedNodes"] == [node]
