"""Node ids pasted from other tools: each parser accepts the same texts, and rejects the same.

The texts are public: outputs and examples of the AWS CLI, kubectl, Slurm, and other tools.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack

from hyperpod_node_removal import InvalidPropertyError, NodeRemoval
from hyperpod_node_removal.app import settings_from_context
from hyperpod_node_removal_cli.plan import plan_nodes
from hyperpod_node_removal_file import SettingsError, read_removal_text
from hyperpod_node_removal_handler.request import RemovalRequest, RequestError
from tests.cli.fake_aws import FakeAws

ONE, TWO = "i-0123456789abcdef0", "i-0fedcba9876543210"
SSM = "sagemaker-cluster:lw12e0dn1hhd_worker3-i-080f90acad180de3e"

ACCEPTED = [
    # aws sagemaker list-cluster-nodes --query 'ClusterNodeSummaries[].InstanceId' --output text
    f"{ONE}\t{TWO}\n",
    # the same with --output json, and as Python prints a list
    f'[\n    "{ONE}",\n    "{TWO}"\n]\n',
    f"['{ONE}', '{TWO}']",
    f'("{ONE}", "{TWO}",)',
    # a column of --output table (AWS CLI user guide)
    f"|  {ONE}  |\n|  {TWO}  |",
    # a spreadsheet, a chat, a shell
    f"{ONE};{TWO}",
    f"{ONE}\r\n{TWO}\r\n",
    f"`{ONE}`, `{TWO}`",
    f'"{ONE}" "{TWO}"',
    f"{ONE}\u00a0{TWO}",
]
REJECTED = [
    # the guide "Scaling down a HyperPod cluster": 15 digits
    ('["i-111112222233333", "i-111112222233333"]', "'i-111112222233333' is not an instance id;"),
    # kubectl get nodes -o name; kubectl get nodes (awslabs/awsome-distributed-ai)
    ("node/hyperpod-i-055aeff9546187dee", "use i-055aeff9546187dee"),
    (
        "hyperpod-i-055aeff9546187dee   ml.g5.8xlarge   1     1",
        "is the Kubernetes name of a node; use its instance id, i-055aeff9546187dee",
    ),
    # spec.providerID of HyperPod's nodes and of others
    (
        "aws:///use1-az4/sagemaker/cluster/hyperpod-tqci9uwuwqiz-i-0f190b8fa232cef49",
        "use i-0f190b8fa232cef49",
    ),
    (f"aws:///us-west-2a/{ONE}", f"use {ONE}"),
    # aws ssm start-session --target (guide "Access your HyperPod cluster nodes")
    (SSM, f"'{SSM}' is not an instance id alone; use i-080f90acad180de3e"),
    # EventBridge, "SageMaker HyperPod Cluster Node Health Event" (guide "Automating SageMaker")
    (f'"InstanceId": "{ONE}",', "'InstanceId' is not an instance id; allowed: i- and 8 or 17"),
    # the response of BatchDeleteClusterNodes
    (f'{{"Successful": ["{ONE}"]}}', "'Successful' is not an instance id"),
    # an inventory; aws ec2 describe-instances --query '...[InstanceId,State.Name]' --output text
    (f"{ONE}:running", f"'{ONE}:running' is not an instance id alone; use {ONE}"),
    (f"{ONE}\trunning\n", "'running' is not an instance id; allowed:"),
    (f"arn:aws:ec2:us-west-2:111122223333:instance/{ONE}", f"use {ONE}"),
    # awslabs/ai-on-sagemaker-hyperpod, "Getting AWS Instance IDs from Node Names"
    ("ip-10-1-0-16", "'ip-10-1-0-16' is a host name; use the node's instance id, which aws"),
    ("ip-10-1-57-141.us-west-2.compute.internal", "is a host name; use the node's instance id"),
    # sinfo and scontrol show hostlist (slurm.schedmd.com, "Hostlist expressions")
    ("ip-10-1-[1-3,7]-4,ip-10-1-9-[8-9]", "'ip-10-1-[1-3,7]-4' is a list of host names; use"),
    ("NodeName=ip-10-1-0-16 Arch=x86_64", "'NodeName=ip-10-1-0-16' is not an instance id"),
    # terraform output -json
    (f'{{"nodes": {{"value": ["{ONE}"]}}}}', "is not an instance id"),
    (f"{ONE}-{TWO}", f"use {ONE}, {TWO}"),
    (ONE.upper(), f"use {ONE}"),
    (f"{ONE}  # XID 79", "'#' is not an instance id"),
]


def file(text: str | list[str]) -> tuple[str, ...]:
    document = json.dumps({"cluster": "ml-cluster", "node_ids": text})
    return read_removal_text(document.encode(), "set.json").settings.node_ids


def list_in_file(text: str) -> tuple[str, ...]:
    return file([text])


def context(text: str) -> tuple[str, ...]:
    return settings_from_context({"cluster": "ml-cluster", "node_ids": text}, Path()).node_ids


def property_text(text: str) -> tuple[str, ...]:
    return RemovalRequest.from_properties({"ClusterName": "a", "NodeIds": text}).node_ids


def parameter(text: str) -> tuple[str, ...]:
    """Split the text at its commas, as CloudFormation does with a CommaDelimitedList."""
    return RemovalRequest.from_properties({"ClusterName": "a", "NodeIds": text.split(",")}).node_ids


PARSERS = [
    file,
    list_in_file,
    context,
    property_text,
    parameter,
]


@pytest.mark.parametrize("text", ACCEPTED)
@pytest.mark.parametrize("parse", PARSERS)
def test_ids_are_accepted_with_any_separator(parse: Any, text: str) -> None:
    assert parse(text) == (ONE, TWO)


@pytest.mark.parametrize(("text", "error"), REJECTED)
@pytest.mark.parametrize("parse", PARSERS)
def test_other_text_is_rejected_with_the_form_to_use(parse: Any, text: str, error: str) -> None:
    with pytest.raises((SettingsError, RequestError)) as caught:
        parse(text)
    problems = getattr(caught.value, "every", (caught.value,))
    assert error in str(problems[0])
    assert all(text.isprintable() for text in map(str, problems))


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack(App(), "Stack")


@pytest.mark.parametrize("text", [*ACCEPTED, *(text for text, _ in REJECTED)])
def test_the_construct_does_not_split_text(stack: Stack, text: str) -> None:
    """An app can split text itself. The error shows the ids in it."""
    with pytest.raises(InvalidPropertyError, match=r"use |allowed: "):
        NodeRemoval(stack, "Removal", cluster_name="ml-cluster", node_ids=[text])


@pytest.mark.parametrize(("text", "error"), REJECTED)
def test_the_command_rejects_other_text_before_any_call(text: str, error: str) -> None:
    aws = FakeAws()
    report = plan_nodes("ml-cluster", [text], aws.connection)
    assert error in report.problems[0].text
    assert aws.calls == []


def test_logical_ids_are_split_like_node_ids_but_group_names_are_not() -> None:
    properties = {"NodeLogicalIds": "['gpu-1',\n 'gpu-2']"}
    request = RemovalRequest.from_properties({"ClusterName": "a", **properties})
    assert request.node_logical_ids == ("gpu-1", "gpu-2")
    with pytest.raises(RequestError, match="'a b' is not the name of an instance group"):
        RemovalRequest.from_properties({"ClusterName": "a", "ProtectedGroups": ["a b"]})


def test_the_same_ids_in_another_format_are_not_a_new_set() -> None:
    """An update that only changes the format of the list requests no node again."""
    new = {"ClusterName": "a", "NodeIds": f"{TWO}\n{ONE}"}
    old = {"ClusterName": "a", "NodeIds": [ONE, TWO]}
    assert RemovalRequest.from_properties(new, old).changes_settings_only
