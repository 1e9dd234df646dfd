"""The page on hooks shows what is asked and what is understood."""

import json
import re

from hyperpod_node_removal_contract import BEFORE_REMOVAL_MAX
from hyperpod_node_removal_handler.before_removal import VERSION, Decision, event, verdict
from hyperpod_node_removal_handler.cluster import ClusterDescription, Node
from hyperpod_node_removal_handler.request import Envelope
from sandbox.project import ROOT

PAGE = (ROOT / "docs" / "before-removal.md").read_text(encoding="utf-8")
EVENT, *ANSWERS = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def test_the_event_is_what_a_hook_is_asked() -> None:
    (shown,) = EVENT["Nodes"]
    node = Node(
        shown["NodeId"],
        shown["NodeLogicalId"],
        shown["InstanceGroupName"],
        shown["Status"],
        instance_type=shown["InstanceType"],
        private_dns_hostname=shown["PrivateDnsHostname"],
    )
    description = ClusterDescription(
        EVENT["ClusterName"],
        "InService",
        arn=EVENT["ClusterArn"],
        eks_cluster_arn=EVENT["EksClusterArn"],
    )
    envelope = Envelope(
        request_type="Create",
        stack_id=EVENT["StackId"],
        request_id="",
        logical_resource_id=EVENT["LogicalResourceId"],
        response_url="https://",
        physical_resource_id="",
    )
    asked = event(envelope, description, [node], 1795473667.9)
    assert asked == EVENT
    assert list(asked) == list(EVENT)
    assert EVENT["Version"] == VERSION


def test_the_answers_are_understood() -> None:
    node = Node(EVENT["Nodes"][0]["NodeId"], "", "workers", "Running")
    yes, one_vetoed, no, not_yet = (
        verdict(json.dumps(answer).encode(), [node]) for answer in ANSWERS
    )
    assert yes.veto_of(node) is None
    assert one_vetoed.decision is Decision.PROCEED
    assert one_vetoed.veto_of(node) == "pod ml/trainer-0 cannot be evicted"
    assert no.decision is Decision.VETO
    assert not_yet.decision is Decision.WAIT
    assert not_yet.retry_after == 30
    assert "not ready in time: job 17 is running" in PAGE
    assert not_yet.veto_of(node) == "not ready in time: job 17 is running"


def test_the_time_is_that_of_the_contract() -> None:
    assert BEFORE_REMOVAL_MAX == 12 * 60
    assert "Twelve minutes" in PAGE
    assert "12 minutes or less" in PAGE
