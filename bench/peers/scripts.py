"""Scripts that remove nodes, as one would write them: no CloudFormation, no Lambda.

They differ in how they find out which nodes are still in the cluster. All retry throttled calls
without end, and nodes that are in use for `retry_for`.
"""

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from bench.scenario import BATCH, CLUSTER, RETRY_FOR, Case, PeerResult, Scenario

PAUSE: Final = 5.0

Look = Callable[[Any, str, Collection[str]], set[str]]
"""Returns those of some nodes that are in the cluster, given a client and the cluster's name."""


def run(look: Look, case: Case) -> PeerResult:
    """Run a script for each removal. Its status is its exit code, its reason what it prints."""
    scenario = Scenario(case)

    def run_one(number: int) -> None:
        sagemaker = scenario.sagemaker
        if case.rate:  # The SDK itself only where its retries matter: it takes five times as long.
            sagemaker = boto3.client("sagemaker", config=Config(retries={"mode": "standard"}))
        refused = remove(sagemaker, CLUSTER, scenario.sets[number], look, RETRY_FOR)
        printed = "\n".join(f"{node}: {code}" for node, code in refused.items())
        scenario.exit(number, "FAILED" if refused else "SUCCESS", printed)

    with scenario.reached(), scenario.clock.as_time():
        scenario.clock.together([partial(run_one, number) for number in range(case.removals)])
    return scenario.result()


def remove(
    sagemaker: Any, cluster: str, node_ids: Collection[str], look: Look, retry_for: float
) -> dict[str, str]:
    """Remove nodes. Return the code of each node that is still refused after `retry_for`."""
    give_up_at = time.time() + retry_for
    waiting: Collection[str] = node_ids
    there: Collection[str] = node_ids
    refused: dict[str, str] = {}
    while True:
        is_last = time.time() >= give_up_at
        refused = _delete(sagemaker, cluster, [node for node in waiting if node in there])
        leaving = set(there) - refused.keys()
        if not leaving and (is_last or not refused):
            return refused
        waiting = () if is_last else tuple(refused)
        time.sleep(PAUSE)
        there = look(sagemaker, cluster, {*leaving, *waiting})


def _delete(sagemaker: Any, cluster: str, node_ids: list[str]) -> dict[str, str]:
    refused: dict[str, str] = {}
    for start in range(0, len(node_ids), BATCH):
        batch = node_ids[start : start + BATCH]
        try:
            response = _call(
                sagemaker.batch_delete_cluster_nodes, ClusterName=cluster, NodeIds=batch
            )
        except ClientError as error:
            # Every node of the batch was refused: the message has their codes.
            refused.update(dict.fromkeys(batch, error.response["Error"]["Message"]))
        else:
            refused.update({entry["NodeId"]: entry["Code"] for entry in response.get("Failed", [])})
    return refused


def list_cluster(sagemaker: Any, cluster: str, nodes: Collection[str], **only: str) -> set[str]:
    """List the whole cluster: what most people write."""
    found: set[str] = set()
    token: dict[str, str] = {}
    while True:
        page = _call(
            sagemaker.list_cluster_nodes, ClusterName=cluster, MaxResults=100, **only, **token
        )
        found.update(node["InstanceId"] for node in page["ClusterNodeSummaries"])
        if "NextToken" not in page:
            return found.intersection(nodes)
        token = {"NextToken": page["NextToken"]}


def list_group(sagemaker: Any, cluster: str, nodes: Collection[str]) -> set[str]:
    """List only the instance group of the nodes."""
    return list_cluster(sagemaker, cluster, nodes, InstanceGroupNameContains="workers")


def describe_each(sagemaker: Any, cluster: str, nodes: Collection[str]) -> set[str]:
    """Describe each node: what an expert writes for a few nodes of many."""
    found = set()
    for node in sorted(nodes):
        try:
            _call(sagemaker.describe_cluster_node, ClusterName=cluster, NodeId=node)
            found.add(node)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFound":
                raise
    return found


def _call(call: Callable[..., Any], **request: Any) -> Any:
    while True:
        try:
            return call(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ThrottlingException":
                raise
            time.sleep(PAUSE)
