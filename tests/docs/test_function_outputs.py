"""The events, log lines, and queries on the pages match the function's."""

import json
import logging
import re
from pathlib import Path

import pytest

from hyperpod_node_removal_contract import BEFORE_REMOVAL_MAX, telemetry
from hyperpod_node_removal_handler import report
from hyperpod_node_removal_handler.before_removal import VERSION, Decision, event, verdict
from hyperpod_node_removal_handler.cluster import ClusterDescription, Node
from hyperpod_node_removal_handler.request import Envelope
from sandbox.hyperpod import Cluster
from sandbox.project import ROOT
from tests.docs.code_blocks import DOCS, CodeBlock, all_code_blocks, code_blocks
from tests.handler.event_schema import PATH, checked
from tests.handler.world import World

SHOWN = "i-0123456789abcdef{}"


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.INFO, "hyperpod_node_removal_handler")
    return World()


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.hp.create_cluster("ml-cluster", {"head": 1, "workers": 8}, "head")


def on_one_line(text: str) -> str:
    """Return a text with spaces in place of line breaks. Pages are narrower than the log."""
    return " ".join(text.split())


def with_shown_ids(text: str, nodes: list[str]) -> str:
    """Return a text with the ids of the pages in place of those of the cluster."""
    for number, node in enumerate(nodes):
        text = text.replace(node, SHOWN.format(number))
    return text


# README and landing page ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", DOCS / "index.md"], ids=lambda page: page.name
)
def test_the_stack_event_is_what_the_function_reports(
    page: Path, world: World, cluster: Cluster
) -> None:
    nodes = list(cluster.node_ids("workers")[:7])
    cluster.refuse(nodes[0], "NodeIdInUse", "Another operation is under way")
    cluster.set_node_status(nodes[1], "SystemUpdating")
    reason = with_shown_ids(world.report(nodes, retry_for=0).reason, nodes)
    text = on_one_line(page.read_text(encoding="utf-8").replace("**", ""))
    frame = "Received response status [FAILED] from custom resource. Message returned: "
    assert frame + reason in text


# Before you delete ----------------------------------------------------------------------------

CHECKLIST = [on_one_line(block.text) for block in code_blocks(DOCS / "before-you-delete.md")]


def test_the_plan_matches_the_log(
    world: World, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [cluster.node_ids("workers")[0], *cluster.node_ids("head"), SHOWN.format(2)]
    cluster.set_node_status(nodes[0], "Failure", message="XID 79")
    world.remove(nodes)
    messages = [record.getMessage() for record in caplog.records]
    plan = "\n".join(message for message in messages if message.startswith("Plan"))
    assert on_one_line(with_shown_ids(plan, nodes)) in CHECKLIST


def test_the_lines_to_change_match_the_log(world: World, cluster: Cluster) -> None:
    result = world.remove(cluster.node_ids("workers")[:3])
    lines = [line.text for line in report.of_result(result).lines]
    (shown,) = [block for block in CHECKLIST if "InstanceCount" in block]
    assert shown in lines


# Before a node is removed ---------------------------------------------------------------------

HOOK_PAGE = (DOCS / "before-removal.md").read_text(encoding="utf-8")
EVENT, *RESPONSES = [
    json.loads(block.text) for block in code_blocks(DOCS / "before-removal.md", "json")
]


def test_the_event_of_the_hook_is_what_the_function_sends() -> None:
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
        request_id=EVENT["RequestId"],
        logical_resource_id=EVENT["LogicalResourceId"],
        response_url="https://",
        physical_resource_id="",
    )
    sent = event(envelope, description, [node], 1795473667.9)
    assert sent == EVENT
    assert list(sent) == list(EVENT)
    assert EVENT["Version"] == VERSION


def test_the_function_accepts_the_responses_of_the_hook() -> None:
    node = Node(EVENT["Nodes"][0]["NodeId"], "", "workers", "Running")
    proceed, one_vetoed, veto, wait = (
        verdict(json.dumps(response).encode(), [node]) for response in RESPONSES
    )
    assert proceed.veto_of(node) is None
    assert one_vetoed.decision is Decision.PROCEED
    assert one_vetoed.veto_of(node) == "pod ml/trainer-0 cannot be evicted"
    assert veto.decision is Decision.VETO
    assert wait.decision is Decision.WAIT
    assert wait.retry_after == 30
    reason = "not ready in time: job 17 is running"
    assert wait.veto_of(node) == reason
    assert BEFORE_REMOVAL_MAX == 12 * 60
    assert all(text in HOOK_PAGE for text in (reason, "Twelve minutes", "12 minutes or less"))


# Metrics and events ---------------------------------------------------------------------------

TELEMETRY_PAGE = DOCS / "observability.md"
TELEMETRY = TELEMETRY_PAGE.read_text(encoding="utf-8")


def test_the_event_matches_its_schema() -> None:
    (block,) = code_blocks(TELEMETRY_PAGE, "json")
    assert checked(block.text)["Version"] == telemetry.EVENT_VERSION
    assert f"({PATH.relative_to(DOCS)})" in TELEMETRY


def test_metrics_and_names_match_the_contract() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \| (Count|Seconds) \| (.*?) \|", TELEMETRY, re.MULTILINE))
    assert {name for name, _, _ in rows} == set(telemetry.Metric)
    assert {unit for name, unit, _ in rows if name == telemetry.Metric.DURATION} == {"Seconds"}
    assert {dimensions for _, _, dimensions in rows} == {"`ClusterName`", "`ClusterName`, `Code`"}
    for name in (
        telemetry.METRIC_NAMESPACE,
        telemetry.EVENT_SOURCE,
        telemetry.EVENT_DETAIL_TYPE,
        telemetry.METRICS_VARIABLE,
        telemetry.EVENT_BUS_VARIABLE,
        telemetry.OTHER_CODE,
    ):
        assert f"`{name}`" in TELEMETRY
    assert f"{telemetry.EVENT_DETAIL_MAX_BYTES:,} bytes" in TELEMETRY


# Queries for CloudWatch Logs Insights ---------------------------------------------------------

QUERY = re.compile(r"^(?:fields|filter|stats|parse) ")
STRING = re.compile(r'"[^"]*"|\'[^\']*\'|/[^/]*/')
NAME = re.compile(r"@?[a-z]\w*")
LAMBDA_FIELDS = {"@timestamp", "@message", "message", "level"}
KEYWORDS = re.compile(
    r"\b(?:fields|filter|stats|sort|limit|parse|by|as|asc|desc|and|or|in|like|not|count"
    r"|count_distinct|ispresent|max|min|avg|sum|bin)\b"
)
QUERIES = [
    block for block in all_code_blocks("insights", "text") if QUERY.match(block.text.lstrip())
]


@pytest.fixture
def log_fields(world: World, cluster: Cluster, caplog: pytest.LogCaptureFixture) -> set[str]:
    """The fields in the log of a removal in which one node fails."""
    bad, good, *_ = cluster.node_ids("workers")
    cluster.refuse(bad, "NodeIdInUse", "Another operation is under way.")
    result = world.remove([bad, good], retry_for=0)
    own = set(logging.makeLogRecord({}).__dict__)
    fields = {name for record in caplog.records for name in vars(record)} - own
    for line in report.of_result(result).lines:
        fields |= set(line.fields)
    assert fields
    return fields


@pytest.mark.parametrize("query", QUERIES, ids=[query.place for query in QUERIES])
def test_queries_use_fields_that_the_log_has(query: CodeBlock, log_fields: set[str]) -> None:
    assert len(QUERIES) >= 5
    text = STRING.sub("", query.text)
    defined = set(re.findall(r" as (\w+)", text))
    names = set(NAME.findall(KEYWORDS.sub("", text))) - defined
    assert names
    assert names - LAMBDA_FIELDS <= log_fields
