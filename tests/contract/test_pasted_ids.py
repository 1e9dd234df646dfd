"""Ids as people paste them: read, or refused with the form to use, wherever they are pasted.

The texts are public: outputs and examples of the AWS CLI, kubectl, Slurm and others.
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

READ = [
    # aws sagemaker list-cluster-nodes --query 'ClusterNodeSummaries[].InstanceId' --output text
    f"{ONE}\t{TWO}\n",
    # the same with --output json, and as Python prints a list
    f'[\n    "{ONE}",\n    "{TWO}"\n]\n',
    f"['{ONE}', '{TWO}']",
    f'("{ONE}", "{TWO}",)',
    # a column of --output table (docs.aws.amazon.com, CLI user guide)
    f"|  {ONE}  |\n|  {TWO}  |",
    # a spreadsheet, a chat, a shell
    f"{ONE};{TWO}",
    f"{ONE}\r\n{TWO}\r\n",
    f"`{ONE}`, `{TWO}`",
    f'"{ONE}" "{TWO}"',
    f"{ONE}\u00a0{TWO}",
]
REFUSED = [
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
    # the answer of BatchDeleteClusterNodes
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


def of_the_file(text: str) -> tuple[str, ...]:
    file = json.dumps({"cluster": "ml-cluster", "node_ids": text})
    return read_removal_text(file.encode(), "set.json").settings.node_ids


def of_a_list_in_the_file(text: str) -> tuple[str, ...]:
    file = json.dumps({"cluster": "ml-cluster", "node_ids": [text]})
    return read_removal_text(file.encode(), "set.json").settings.node_ids


def of_the_command_line(text: str) -> tuple[str, ...]:
    return settings_from_context({"cluster": "ml-cluster", "node_ids": text}, Path()).node_ids


def of_a_property(text: str) -> tuple[str, ...]:
    return RemovalRequest.from_properties({"ClusterName": "a", "NodeIds": text}).node_ids


def of_a_parameter(text: str) -> tuple[str, ...]:
    """CloudFormation splits a CommaDelimitedList at its commas, whatever is in it."""
    return RemovalRequest.from_properties({"ClusterName": "a", "NodeIds": text.split(",")}).node_ids


ENTRANCES = [
    of_the_file,
    of_a_list_in_the_file,
    of_the_command_line,
    of_a_property,
    of_a_parameter,
]


@pytest.mark.parametrize("text", READ)
@pytest.mark.parametrize("ids", ENTRANCES)
def test_ids_are_read_whatever_is_between_them(ids: Any, text: str) -> None:
    assert ids(text) == (ONE, TWO)


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
@pytest.mark.parametrize("ids", ENTRANCES)
def test_what_says_more_than_ids_is_refused_with_the_form_to_use(
    ids: Any, text: str, sentence: str
) -> None:
    with pytest.raises((SettingsError, RequestError)) as caught:
        ids(text)
    told = getattr(caught.value, "every", (caught.value,))
    assert sentence in str(told[0])
    assert all(text.isprintable() for text in map(str, told))


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack(App(), "Stack")


@pytest.mark.parametrize("text", [*READ, *(text for text, _ in REFUSED)])
def test_the_construct_takes_ids_alone(stack: Stack, text: str) -> None:
    """An app can split a text; the error says which ids are in it."""
    with pytest.raises(InvalidPropertyError, match=r"use |allowed: "):
        NodeRemoval(stack, "Removal", cluster_name="ml-cluster", node_ids=[text])


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_the_command_refuses_them_before_any_call(text: str, sentence: str) -> None:
    aws = FakeAws()
    report = plan_nodes("ml-cluster", [text], aws.connection)
    assert sentence in report.problems[0].text
    assert aws.calls == []


def test_logical_ids_are_read_alike_and_groups_are_not() -> None:
    properties = {"NodeLogicalIds": "['gpu-1',\n 'gpu-2']"}
    request = RemovalRequest.from_properties({"ClusterName": "a", **properties})
    assert request.node_logical_ids == ("gpu-1", "gpu-2")
    with pytest.raises(RequestError, match="'a b' is not the name of an instance group"):
        RemovalRequest.from_properties({"ClusterName": "a", "ProtectedGroups": ["a b"]})


def test_another_way_to_write_the_same_ids_is_no_new_set() -> None:
    """An update that only changes how the list is written asks for no node anew."""
    new = {"ClusterName": "a", "NodeIds": f"{TWO}\n{ONE}"}
    old = {"ClusterName": "a", "NodeIds": [ONE, TWO]}
    assert RemovalRequest.from_properties(new, old).changes_settings_only
